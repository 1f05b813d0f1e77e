"""Each layout of files: what it lists, what it reads, and every way in which a folder or list can be wrong."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from structseg import build
from structseg.config import DataConfig
from structseg.data import Format, check_split, fingerprint, frequencies, open_format
from structseg.data.fingerprint import _mark
from structseg.errors import ConfigError, DataError

NAMES = "background\npole\n255 void\n"


def picture(path: Path, size: tuple[int, int] = (8, 6), value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 9, 9)).save(path)
    return path


def mask(path: Path, rows: list[list[int]] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((6, 8), np.uint8) if rows is None else np.array(rows, np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def tree(root: Path, *names: str, split: str = "train") -> Path:
    """root/images/SPLIT/NAME.png with masks and a label table."""
    for name in names:
        picture(root / "images" / split / f"{name}.png")
        mask(root / "masks" / split / f"{name}.png")
    (root / "classes.txt").write_text(NAMES)
    return root


def pairs(root: Path, **keys: Any) -> Format:
    return open_format(DataConfig(root=str(root), **keys))


def fails(root: Path, *parts: str, split: str = "train", **keys: Any) -> None:
    with pytest.raises((DataError, ConfigError)) as caught:
        pairs(root, **keys).items(split)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ every format


def test_every_format_has_a_first_line() -> None:
    formats = build.names("data.formats")
    assert {"camvid", "pairs", "scenes"} <= set(formats)
    assert all(formats.values())


@pytest.mark.parametrize("name", build.names("data.formats"))
def test_every_format_keeps_the_contract(name: str) -> None:
    entry = build.find("data.formats", name)
    assert isinstance(getattr(entry, "origin", ""), str)
    assert all(callable(getattr(entry, method)) for method in ("splits", "items", "read"))
    assert "labels" in build.options(entry)
    assert entry.__doc__


def test_the_room_loads_no_torch() -> None:
    code = "import sys, structseg.data, structseg.data.formats.pairs; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_open_format_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.format: there is no 'pears'; did you mean 'pairs'"):
        open_format(DataConfig(format="pears"))
    with pytest.raises(DataError, match=r"data\.root is not set"):
        open_format(DataConfig(format="camvid"))
    with pytest.raises(DataError, match=r"data\.root: folder .*nowhere does not exist"):
        pairs(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"data\.options: pairs has no option 'imges'; did you mean 'images'"):
        pairs(tree(tmp_path, "a"), options={"imges": "x"})
    with pytest.raises(ConfigError, match=r"data\.ignore: .* has no class 'pol'; did you mean 'pole'"):
        pairs(tmp_path, ignore=("pol",))
    assert pairs(tmp_path, ignore=("pole",)).labels.names == ("background",)


# ------------------------------------------------------------------------------------------------ folders


@pytest.mark.parametrize("layout", ["images/{s}|masks/{s}", "images/{s}|labels/{s}", "{s}/images|{s}/annotations"])
def test_folders(tmp_path: Path, layout: str) -> None:
    images, masks = layout.split("|")
    for split, names in {"train": ["b", "deep/a"], "val": ["c"]}.items():
        for name in names:
            picture(tmp_path / images.format(s=split) / f"{name}.JPG")
            mask(tmp_path / masks.format(s=split) / f"{name}.png")
    (tmp_path / images.format(s="train") / "Thumbs.db").touch()
    (tmp_path / images.format(s="train") / "._b.jpg").touch()
    (tmp_path / "labels.toml").write_text('[[class]]\nname = "all"\n')
    source = pairs(tmp_path)
    assert source.splits() == ("train", "val")
    items = source.items("train")
    assert [item.name for item in items] == ["b", "deep/a"]
    assert [item.index for item in items] == [0, 1]
    assert items[1].image == tmp_path / images.format(s="train") / "deep/a.JPG"
    assert items[1].target == tmp_path / masks.format(s="train") / "deep/a.png"
    target = source.read(items[0]).target
    assert target is not None
    assert target.shape == (6, 8)
    assert pickle.loads(pickle.dumps(source)).items("train") == items


def test_templates_and_suffixes(tmp_path: Path) -> None:
    picture(tmp_path / "rgb/train/city/a_img.png")
    mask(tmp_path / "gt/fine_train/city/a_gt.png")
    picture(tmp_path / "gt/fine_train/city/a_colour.png")
    (tmp_path / "classes.txt").write_text(NAMES)
    options = {"images": "rgb/{split}", "masks": "gt/fine_{split}", "image_suffix": "_img", "mask_suffix": "_gt"}
    source = pairs(tmp_path, options=options)
    assert source.splits() == ("train",)
    assert [item.name for item in source.items("train")] == ["city/a"]
    fails(tmp_path, "data.options.masks: ''", "each with {split} once", options={"images": "rgb/{split}"})
    fails(tmp_path, "data.options.images: 'rgb'", options={"images": "rgb", "masks": "gt"})
    fails(tmp_path, "no pictures that end in '_x'", options={**options, "image_suffix": "_x"})


def test_folders_that_are_wrong(tmp_path: Path) -> None:
    fails(tmp_path, "no label table; write the class names into", "classes.txt")
    (tmp_path / "classes.txt").write_text(NAMES)
    fails(tmp_path, "neither folders nor lists of pictures found; expected images/SPLIT/")
    (tmp_path / "images/train").mkdir(parents=True)
    fails(tmp_path, "but there is no folder", "masks/train")
    (tmp_path / "masks/train").mkdir(parents=True)
    fails(tmp_path, "images/train: no pictures in this folder; known are .bmp")
    tree(tmp_path, "a", "b")
    fails(tmp_path, "there is no split 'tran'", "(splits here: train)", "did you mean 'train'", split="tran")
    fails(tmp_path, "there is no split 'zzz'; splits here: train", split="zzz")
    picture(tmp_path / "images/train/c.png")
    picture(tmp_path / "images/train/d.png")
    fails(tmp_path, "images/train: 2 files without a mask in", "first 'c'")
    mask(tmp_path / "masks/train/c.png")
    mask(tmp_path / "masks/train/d.png")
    extra = mask(tmp_path / "masks/train/e.png")
    fails(tmp_path, "masks/train: 1 file without a picture in", "first 'e'")
    extra.unlink()
    picture(tmp_path / "images/train/a.jpg")
    fails(tmp_path, "images/train/a.png and a.jpg differ only in their ending")


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    tree(tmp_path / "set", "z/a", "z/deep/b")
    for kind in ("images", "masks"):
        folder = tmp_path / "set" / kind / "train"
        for link, target in {"again": ".", "more": ".", "a_link": "z", "z/deep/up": "../..", "z/also": "../z"}.items():
            (folder / link).symlink_to(target, target_is_directory=True)
        other = tmp_path / kind
        other.mkdir()
        (picture if kind == "images" else mask)(other / "c.png")
        (folder / "other").symlink_to(other, target_is_directory=True)
    items = pairs(tmp_path / "set").items("train")
    assert [item.name for item in items] == ["other/c", "z/a", "z/deep/b"]


def test_groups(tmp_path: Path) -> None:
    def groups(expression: str) -> list[str]:
        source = pairs(tmp_path, options={"group": expression})
        assert pickle.loads(pickle.dumps(source)).items("train") == source.items("train")
        return [item.group for item in source.items("train")]

    tree(tmp_path, "x/d1_01", "x/d1_02", "x/d2_01", "y/still")
    assert [item.group for item in pairs(tmp_path).items("train")] == groups("") == ["", "", "", ""]
    assert groups(r"^(.*)_\d+$") == ["x/d1", "x/d1", "x/d2", ""]
    assert groups(r"^[^/]*") == ["x", "x", "x", "y"]
    assert groups(r"(?:d(1))?_|still") == ["1", "1", "", ""]
    fails(
        tmp_path, "data.options.group: 'drive' is in no name of 4 pictures, first 'x/d1_01'", options={"group": "drive"}
    )
    fails(tmp_path, "data.options.group: '(' is not a regular expression (", options={"group": "("})
    fails(tmp_path, "data.options.group: 5 is not a regular expression (", options={"group": 5})
    (tmp_path / "train.txt").write_text("images/train/x/d1_01.png\nimages/train/y/still.png\n")
    assert groups(r"d\d") == ["d1", ""]


# ------------------------------------------------------------------------------------------------ lists


def test_lists(tmp_path: Path) -> None:
    for name in ("a", "b", "c c", "d,d", "e", "f"):
        picture(tmp_path / f"x/{name}.png")
        mask(tmp_path / f"y/{name}.png")
    (tmp_path / "classes.txt").write_text(NAMES)
    (tmp_path / "README.txt").write_text("about this set\n")
    lines = [
        "x/a.png y/a.png",
        "",
        "x/b.png\ty/b.png",
        '"x/c c.png" "y/c c.png"',
        '"x/d,d.png" "y/d,d.png"',
        "x/e.png, y/e.png",
        "/x/f.png   /y/f.png",
    ]
    (tmp_path / "train.txt").write_text("\ufeff" + "\r\n".join(lines))
    (tmp_path / "new.txt").write_text("x/a.png\nx/b.png")
    source = pairs(tmp_path)
    assert source.splits() == ("new", "train")
    items = source.items("train")
    assert [item.name for item in items] == ["x/a", "x/b", "x/c c", "x/d,d", "x/e", "x/f"]
    assert items[3].target == tmp_path / "y/d,d.png"
    assert [item.target for item in source.items("new")] == [None, None]
    assert source.read(source.items("new")[0]).target is None
    with pytest.raises(DataError, match=r"split 'new': 2 of 2 pictures have no mask, first .*x/a\.png"):
        check_split(source, "new")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x/a.png y/a.png\nx/b.png y/b.png\n", "train.txt, line 2: there is no file"),
        ("x/a.png y/a.png z\n", "train.txt, line 1: 3 columns; write 'image mask'"),
        ("x/a.png y/a.png\n\nx/a.png y/a.png\n", "train.txt, line 3: picture 'x/a' stands already in line 1"),
        ("\n\n", "train.txt: lists no picture"),
        (f"x/a.png y/{'a' * 300}.png\n", "train.txt, line 1: there is no file"),
    ],
)
def test_lists_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    picture(tmp_path / "x/a.png")
    mask(tmp_path / "y/a.png")
    (tmp_path / "classes.txt").write_text(NAMES)
    (tmp_path / "train.txt").write_text(text)
    fails(tmp_path, message)


def test_list_elsewhere_and_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    root.mkdir()
    image, target = picture(tmp_path / "x/a.png"), mask(tmp_path / "y/a.png")
    (root / "classes.txt").write_text(NAMES)
    (root / "train.txt").write_text(f"{image} ../y/a.png\n")
    (item,) = pairs(root).items("train")
    assert item.image == image
    assert item.target is not None
    assert item.target.samefile(target)
    assert ".." not in item.name
    assert not item.name.startswith("/")
    monkeypatch.chdir(tmp_path)
    (root / "train.txt").write_text("x/a.png y/a.png\n")  # is there below the working folder, not below root
    fails(root, f"train.txt, line 1: there is no file {root / 'x/a.png'}")
    (root / "train.txt").write_bytes(b"\xff\xfe\x00")
    fails(root, "train.txt: cannot be read")


# ------------------------------------------------------------------------------------------------ checks, fingerprint


def test_check_finds_what_is_wrong_inside_files(tmp_path: Path) -> None:
    source = pairs(tree(tmp_path, *"abcdef"))
    check_split(source, "train")
    path = mask(tmp_path / "masks/train/d.png", [[7] * 8] * 6)
    with pytest.raises(DataError, match=r"d\.png: value 7 \(48 pixels\) not in the label table"):
        check_split(source, "train")
    mask(path, [[0] * 5] * 6)
    with pytest.raises(DataError, match=r"is 8x6 but its mask .* is 5x6"):
        check_split(source, "train")
    for name in "abcdef":
        mask(tmp_path / f"masks/train/{name}.png", [[255] * 8] * 6)
    with pytest.raises(DataError, match="every pixel of the 6 masks looked at is ignored"):
        check_split(source, "train")
    with pytest.raises(DataError, match="no pixel of 6 masks has a label"):
        frequencies(source, source.items("train"))


def test_a_table_of_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is its only class, with nothing to tell it from"):
        check_split(pairs(tree(tmp_path, "a"), ignore=("pole",)), "train")


def test_frequencies_count_labelled_pixels(tmp_path: Path) -> None:
    tree(tmp_path, "a", "b", "c")
    mask(tmp_path / "masks/train/b.png", [[1, 1, 255, 255, 0, 0, 0, 0]] * 6)
    source = pairs(tmp_path)
    one = 12 / (48 + 36 + 48)
    assert frequencies(source, source.items("train")) == pytest.approx((1 - one, one))
    assert frequencies(source, source.items("train"), limit=2) == (1, 0)  # the first and the last


def test_fingerprint_changes_with_the_data_only(tmp_path: Path) -> None:
    first, second = (tree(tmp_path / name, "a", "b") for name in ("one", "two"))
    base = fingerprint(pairs(first), "train")
    assert len(base) == 16
    assert fingerprint(pairs(second), "train") == base
    assert fingerprint(pairs(first, ignore=("pole",)), "train") != base
    picture(second / "images/train/a.png", (9, 9))
    assert fingerprint(pairs(second), "train") != base
    mask(first / "masks/train/b.png", [[1] * 8] * 6)
    changed = fingerprint(pairs(first), "train")
    assert changed != base
    tree(first, "c")
    assert fingerprint(pairs(first), "train") not in (base, changed)


@pytest.mark.parametrize("size", [0, 10, 4096, 5000, 300_000, (1 << 20) - 1, 1 << 20])
def test_blocks_are_the_whole_of_a_small_file(tmp_path: Path, size: int) -> None:
    content = np.zeros(size, np.uint8)
    for place in range(0, size, size // 29 + 1):
        content[place] = 1
        changed = _mark(save(tmp_path / "b.bmp", content))
        content[place] = 0
        assert changed != _mark(save(tmp_path / "a.bmp", content)), place


def test_fingerprint_of_files_that_are_not_compressed(tmp_path: Path) -> None:
    content = np.zeros(5_000_000, np.uint8)
    path = save(tmp_path / "a.tif", content)
    marks = {_mark(path)}
    for first in (0, 1_000_000, 4_000_000, len(content) - 20_000):  # anything as long as the gap between two blocks
        changed = content.copy()
        changed[first : first + 20_000] = 1
        marks.add(_mark(save(path, changed)))
    assert len(marks) == 5
    root = tree(tmp_path / "set", "a")
    (root / "masks/train/a.png").unlink()
    mask(root / "masks/train/a.bmp")
    base = fingerprint(pairs(root), "train")
    mask(root / "masks/train/a.bmp", [[0] * 8] * 2 + [[1] + [0] * 7] + [[0] * 8] * 3)
    assert fingerprint(pairs(root), "train") != base


def save(path: Path, content: np.ndarray) -> Path:
    path.write_bytes(content.tobytes())
    return path


# ------------------------------------------------------------------------------------------------ scenes


def test_scenes() -> None:
    config = DataConfig(format="scenes", options={"size": [48, 64], "train": 5, "val": 2, "test": 3})
    source = open_format(config)
    items = {split: source.items(split) for split in source.splits()}
    assert {split: len(found) for split, found in items.items()} == {"train": 5, "val": 2, "test": 3}
    every = [item for found in items.values() for item in found]
    assert len({item.index for item in every}) == len({item.name for item in every}) == 10
    sample = source.read(items["val"][1])
    assert sample.image.shape == (48, 64, 3)
    assert sample.target is not None
    assert sample.target.shape == (48, 64)
    assert sample.instances is not None
    assert sample.depth is not None
    assert sample.instances.dtype == np.int32
    assert sample.depth.dtype == np.float32
    assert set(sample.tags) <= set(source.labels.names)
    again = pickle.loads(pickle.dumps(source)).read(items["val"][1])
    np.testing.assert_array_equal(again.image, sample.image)
    check_split(source, "train")
    more = open_format(DataConfig(format="scenes", options={"size": (48, 64), "train": 9, "val": 2}))
    assert more.items("val") == items["val"]
    assert fingerprint(more, "val") == fingerprint(source, "val")
    other = open_format(DataConfig(format="scenes", options={"size": (48, 64), "seed": 1, "val": 2}))
    assert fingerprint(other, "val") != fingerprint(source, "val")
    with pytest.raises(DataError, match="scenes: there is no split 'vall'"):
        source.items("vall")


def test_scenes_ignore_by_name() -> None:
    whole = open_format(DataConfig(format="scenes"))
    name = whole.labels.names[0]
    source = open_format(DataConfig(format="scenes", ignore=(name,)))
    item = source.items("test")[0]
    before, after = whole.read(item).target, source.read(item).target
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after, np.where(before == 0, 255, before.astype(int) - 1) % 256)
    assert name not in source.read(item).tags


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, "data.options.train: 0 is not a whole number"),
        ({"val": "many"}, "data.options.val: 'many'"),
        ({"size": [96]}, "data.options.size"),
        ({"size": 96}, "data.options.size"),
        ({"seed": -1}, "data.options.seed"),
        ({"count": 1}, "data.options: scenes has no option 'count'"),
    ],
)
def test_scenes_options_that_are_wrong(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_format(DataConfig(format="scenes", options=options))
    assert message in str(caught.value)


# ------------------------------------------------------------------------------------------------ CamVid


def test_real_camvid(data_root: Path) -> None:
    source = open_format(DataConfig(format="camvid", root=str(data_root / "camvid")))
    assert source.splits() == ("test", "train", "val")
    assert [len(source.items(split)) for split in ("train", "val", "test")] == [367, 101, 233]
    assert source.labels.num_classes == 11
    assert source.labels.names[:3] == ("Sky", "Building", "Pole")
    assert source.labels.thin == ("Pole", "SignSymbol", "Pedestrian", "Bicyclist")
    assert dict(source.labels.values)[11] == 255
    sample = source.read(source.items("test")[0])
    assert sample.image.shape == (360, 480, 3)
    assert sample.target is not None
    raw = np.asarray(Image.open(data_root / "camvid/labels/test/0001TP_008550.png"))
    np.testing.assert_array_equal(sample.target, np.where(raw == 11, 255, raw))
    groups = Counter(item.group for item in source.items("test"))
    assert max(groups.values()) == 10
    assert len(groups) == 7 + 18  # 62 and 171 frames of two drives
    assert {item.name.rpartition("_")[0] for item in source.items("test") if item.group == "Seq05VD-003"} == {"Seq05VD"}
    check_split(source, "val", limit=8)


def test_camvid_layout_errors(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("0 Sky 128,128,128\n1 Pole 1,2,3\n11 Void 0,0,0\n")
    picture(tmp_path / "images/train/A_1.jpg")
    mask(tmp_path / "labels/train/A_1.png")
    (tmp_path / "train.txt").write_text("A_1\n\nA_2")
    source = open_format(DataConfig(format="camvid", root=str(tmp_path)))
    assert source.labels.thin == ("Pole",)
    with pytest.raises(DataError, match=r"train\.txt, line 3: there is no file .*A_2\.jpg"):
        source.items("train")
    with pytest.raises(DataError, match="there is no split 'test'; splits here: train"):
        source.items("test")
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbfA_1\r\n\r\n")
    assert [item.name for item in source.items("train")] == ["A_1"]
    (tmp_path / "train.txt").write_text("A_1\n\nA_1\n")
    with pytest.raises(DataError, match=r"train\.txt, line 3: picture 'A_1' stands already in line 1"):
        source.items("train")
    (tmp_path / "train.txt").write_bytes("Stra\u00dfe_1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"train\.txt: cannot be read \(.*\); save it as UTF-8"):
        source.items("train")
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(DataError, match=r"train\.txt: lists no picture"):
        source.items("train")
