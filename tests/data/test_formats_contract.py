"""What every file of formats keeps: the protocol, guessing by names, pickling, order, reading, splits without masks."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest

from structseg import build
from structseg.config import DataConfig
from structseg.data import Format, check_split, fingerprint, frequencies, open_format
from structseg.data.loader import Augmentation, batches
from structseg.errors import DataError

NAMES = tuple(build.names("data.formats"))
ON_DISK = tuple(name for name in NAMES if name != "scenes")


def opened(name: str, root: Path, **options: Any) -> Format:
    layouts.BUILD[name](root)
    root.mkdir(exist_ok=True)
    return open_format(DataConfig(format=name, root=str(root), options=options))


def test_every_format_has_a_tiny_set() -> None:
    assert set(layouts.BUILD) == set(NAMES)
    assert set(layouts.SPLITS) == set(ON_DISK)


@pytest.mark.parametrize("name", NAMES)
def test_protocol(name: str, tmp_path: Path) -> None:
    entry = build.find("data.formats", name)
    assert "labels" in build.options(entry)
    assert entry.__doc__
    source = opened(name, tmp_path / "set")
    assert isinstance(source.origin, str)
    assert source.labels.num_classes > 1
    assert source.labels.ignore_index == 255
    assert isinstance(entry.fits(tmp_path), bool)


@pytest.mark.parametrize("name", ON_DISK)
def test_fits_its_own_layout_and_no_empty_folder(name: str, tmp_path: Path) -> None:
    layouts.BUILD[name](tmp_path / "set")
    (tmp_path / "empty").mkdir()
    fits = {other: build.find("data.formats", other).fits(tmp_path / "set") for other in NAMES}
    assert fits[name]
    assert [other for other in NAMES if fits[other] and other not in (name, "pairs")] == []
    assert not build.find("data.formats", name).fits(tmp_path / "empty")
    assert not build.find("data.formats", name).fits(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ON_DISK)
def test_fits_opens_no_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.BUILD[name](tmp_path)
    entry = build.find("data.formats", name)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_text", refuse)
    assert entry.fits(tmp_path)


@pytest.mark.parametrize("name", ON_DISK)
def test_splits_and_order(name: str, tmp_path: Path) -> None:
    source = opened(name, tmp_path)
    expected = layouts.SPLITS[name]
    assert source.splits() == tuple(sorted(expected, key=source.splits().index))
    for split, names in expected.items():
        items = source.items(split)
        assert tuple(item.name for item in items) == names
        assert [item.index for item in items] == list(range(len(names)))
        assert source.items(split) == items
        paths = [path for item in items for path in (item.image, item.target, item.instances, item.depth) if path]
        assert all(os.path.isfile(path) for path in paths)
        assert len(fingerprint(source, split)) == 16
    with pytest.raises(DataError, match="there is no split 'trian'") as caught:
        source.items("trian")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ON_DISK)
def test_read(name: str, tmp_path: Path) -> None:
    source = opened(name, tmp_path)
    again = pickle.loads(pickle.dumps(source))
    for split in layouts.SPLITS[name]:
        for item in source.items(split):
            sample, copy = source.read(item), again.read(item)
            assert sample.name == item.name
            assert sample.image.shape == (*layouts.SIZE, 3)
            if split == layouts.BARE.get(name):
                assert sample.target is None
                continue
            assert sample.target is not None
            assert sample.target.dtype == np.uint8
            assert set(np.unique(sample.target)) <= {*range(source.labels.num_classes), 255}
            for array, other in ((sample.target, copy.target), (sample.instances, copy.instances)):
                assert (array is None) == (other is None)
                if array is not None:
                    assert array.shape == layouts.SIZE
                    np.testing.assert_array_equal(array, other)
            assert set(sample.tags) <= set(source.labels.names)


@pytest.mark.parametrize("name", ON_DISK)
def test_counts_are_those_of_what_is_read(name: str, tmp_path: Path) -> None:
    source = opened(name, tmp_path)
    items = source.items(next(split for split in layouts.SPLITS[name] if split != layouts.BARE.get(name)))
    targets = [source.read(item).target for item in items]
    counts = sum(np.bincount(np.ravel(t), minlength=256)[: source.labels.num_classes] for t in targets if t is not None)
    assert frequencies(source, items) == pytest.approx(tuple(counts / np.sum(counts)))


@pytest.mark.parametrize(("name", "split"), layouts.BARE.items())
def test_splits_without_masks_are_listed_and_not_trained_on(name: str, split: str, tmp_path: Path) -> None:
    source = opened(name, tmp_path)
    assert all(item.target is None for item in source.items(split))
    with pytest.raises(
        DataError, match=rf"split '{split}': (\d) of \1 pictures have no mask, first .*\.(jpg|png);"
    ) as caught:
        check_split(source, split)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "what"), [("cityscapes", "instances"), ("nyuv2", "depth")])
def test_streams_decode_only_what_they_carry(name: str, what: str, tmp_path: Path) -> None:
    source = opened(name, tmp_path)
    items = source.items("train")
    settings: dict[str, Any] = {"seed": 0, "stream": "labeled", "batch": 2, "start": 0, "stop": 1}
    settings["augmentation"] = Augmentation(crop=(4, 4))
    (batch,) = batches(source, items, extra=(what,), **settings)
    assert batch.extra[what].shape == (2, 4, 4)
    for item in items:
        getattr(item, what).write_bytes(b"no picture")
    (batch,) = batches(source, items, **settings)
    assert not batch.extra
    with pytest.raises(DataError, match="not a picture that can be read"):
        next(batches(source, items, extra=(what,), **settings))


@pytest.mark.parametrize("name", ON_DISK)
def test_a_class_can_be_ignored_by_name(name: str, tmp_path: Path) -> None:
    source = opened(name, tmp_path)
    split = next(split for split in layouts.SPLITS[name] if split != layouts.BARE.get(name))
    item = source.items(split)[0]
    before = source.read(item).target
    assert before is not None
    gone = int(np.unique(before)[-2]) if 255 in before else int(before.max())
    ignoring = open_format(DataConfig(format=name, root=str(tmp_path), ignore=(source.labels.names[gone],)))
    after = ignoring.read(ignoring.items(split)[0])
    assert after.target is not None
    shift = np.where(before > gone, before.astype(int) - 1, before)
    np.testing.assert_array_equal(after.target, np.where((before == gone) | (before == 255), 255, shift))
    if after.instances is not None:
        assert not after.instances[after.target == 255].any()
