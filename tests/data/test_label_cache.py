"""The label cache gives what reading gives, whatever happens to masks, tables, files and the disk."""

from __future__ import annotations

import errno
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from structseg import runs
from structseg.config import DataConfig
from structseg.data import check_split, frequencies, open_format
from structseg.data.formats import Format, read_sample
from structseg.data.labels import default_palette
from structseg.data.read import read_mask
from structseg.data.reading import Reading, reading
from structseg.data.transforms import choose_window, warp_nearest
from structseg.errors import DataError
from structseg.types import Labels

LABELS = Labels(("a", "b"), default_palette(2), ((0, 0), (1, 1), (9, 255)))


def save(path: Path, value: int = 0) -> Path:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[10:, 5:] = 1
    pixels[:, 0] = value
    Image.fromarray(pixels).save(path)
    return path


def cached(path: Path, folder: Path, labels: Labels = LABELS) -> np.ndarray[Any, Any]:
    with reading(Reading(cache=str(folder))):
        return read_mask(path, labels)


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_same_with_and_without(tmp_path: Path) -> None:
    path, folder = save(tmp_path / "m.png", 9), tmp_path / "cache"
    plain = read_mask(path, LABELS)
    for _ in range(2):  # made, then mapped
        found = cached(path, folder)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, plain)
        found[0] = 1  # whatever is done to it is not written
    (entry,) = entries(folder)
    np.testing.assert_array_equal(np.load(entry), plain)
    window = choose_window(plain.shape, 1.7, (12, 13), 0.3, 0.9)
    np.testing.assert_array_equal(warp_nearest(cached(path, folder), window), warp_nearest(plain, window))


def test_a_changed_mask_is_read_anew(tmp_path: Path) -> None:
    path, folder = save(tmp_path / "m.png"), tmp_path / "cache"
    old = cached(path, folder)
    stat = os.stat(path)
    save(path, 1)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # the clock of some file systems is slow
    np.testing.assert_array_equal(cached(path, folder), read_mask(path, LABELS))
    assert len(entries(folder)) == 1  # the old one is gone,
    assert old[0, 0] == 0  # and whoever has it still has it


def test_another_table_is_another_entry(tmp_path: Path) -> None:
    path, folder = save(tmp_path / "m.png"), tmp_path / "cache"
    cached(path, folder)
    swapped = replace(LABELS, values=((0, 1), (1, 0)))
    np.testing.assert_array_equal(cached(path, folder, swapped), read_mask(path, swapped))
    assert len(entries(folder)) == 2
    cached(path, folder, replace(LABELS, names=("x", "y"), source="elsewhere"))  # means the same
    assert len(entries(folder)) == 2


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"x" * 5000])
def test_damaged_entries_are_made_anew(tmp_path: Path, damage: bytes) -> None:
    path, folder = save(tmp_path / "m.png"), tmp_path / "cache"
    cached(path, folder)
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    for content in (damage, whole[:-1], whole + b"\0"):
        entry.write_bytes(content)
        np.testing.assert_array_equal(cached(path, folder), read_mask(path, LABELS))
        assert entry.read_bytes() == whole


def test_faults_are_not_kept(tmp_path: Path) -> None:
    path, folder = save(tmp_path / "m.png", 7), tmp_path / "cache"
    for _ in range(2):
        with pytest.raises(DataError, match=r"m\.png: value 7 \(30 pixels\) not in the label table"):
            cached(path, folder)
    with pytest.raises(DataError, match=r"none\.png: no such file"):
        cached(tmp_path / "none.png", folder)
    assert not entries(folder)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path, folder = save(tmp_path / "m.png"), tmp_path / "cache"
    monkeypatch.setattr(runs.os, "fsync", full)
    with pytest.raises(DataError) as caught:
        cached(path, folder)
    assert str(caught.value).startswith(f"data.cache: cannot write {folder}")
    assert str(caught.value).endswith(
        "No space left on device; free some space, give another folder, or leave data.cache empty"
    )
    assert not entries(folder)


def fill(paths: list[Path], folder: Path, failed: Any) -> None:
    for path in paths:
        if not np.array_equal(cached(path, folder), read_mask(path, LABELS)):
            failed.set()


def test_several_processes_at_once(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}.png", name % 2) for name in range(8)]
    context = multiprocessing.get_context("fork")
    failed = context.Event()
    children = [context.Process(target=fill, args=(paths, tmp_path / "cache", failed)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert not failed.is_set()
    assert len(entries(tmp_path / "cache")) == 8
    assert not runs.leftovers(tmp_path / "cache")


# ------------------------------------------------------------------------------------------------ data sets


def pairs(root: Path, **keys: Any) -> Format:
    for kind in ("images", "masks"):
        (root / kind / "train").mkdir(parents=True, exist_ok=True)
    for name in "abc":
        Image.new("RGB", (40, 30)).save(root / "images/train" / f"{name}.png")
        save(root / "masks/train" / f"{name}.png")
    (root / "classes.txt").write_text("ground\nthing\n")
    return open_format(DataConfig(root=str(root), **keys))


def test_every_reader_of_a_data_set_uses_it(tmp_path: Path) -> None:
    source = pairs(tmp_path / "set", cache=str(tmp_path / "cache"))
    plain = pairs(tmp_path / "set")
    items = source.items("train")
    check_split(source, "train")
    kept = entries(tmp_path / "cache")
    assert len(kept) == 3
    assert frequencies(source, items) == frequencies(plain, items)
    found, expected = (read_sample(each, items[0]).target for each in (source, plain))
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found, expected)
    assert entries(tmp_path / "cache") == kept


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"data\.cache: .*file is not a folder; give one"):
        pairs(tmp_path / "set", cache=str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"data\.cache: cannot write .*file/deep"):
        pairs(tmp_path / "set", cache=str(tmp_path / "file/deep"))
    assert not (tmp_path / "cache").exists()


def test_the_largest_picture(tmp_path: Path) -> None:
    source = pairs(tmp_path / "set", max_pixels=1199)
    with pytest.raises(DataError) as caught:
        check_split(source, "train")
    assert str(caught.value) == (
        f"{tmp_path / 'set/images/train/a.png'}: 40x30 pixels are more than data.max_pixels = 1199; "
        "cut it into tiles, or raise data.max_pixels (0 = no limit)"
    )
    for limit in (1200, 0):
        check_split(pairs(tmp_path / "set", max_pixels=limit), "train")


def test_pillows_own_limit_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # it would warn above 10 and refuse above 20
    assert cached(save(tmp_path / "m.png"), tmp_path / "cache").shape == (30, 40)
    assert Image.MAX_IMAGE_PIXELS == 10
