"""Tiny data sets in the published layout of each format, drawn for tests. `BUILD[format](root)` makes one with the
splits `SPLITS[format]`; pictures are 8 x 6 (width x height)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from structseg.config import DataConfig
from structseg.data import open_format
from structseg.data.labels import default_palette
from structseg.errors import ConfigError, DataError
from structseg.types import Sample

SIZE = (6, 8)  # height, width
Rows = Sequence[Sequence[int]] | np.ndarray | int


def picture(path: Path, size: tuple[int, int] = SIZE, value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], (value, 60, 30)).save(path)
    return path


def grey(path: Path, rows: Rows, dtype: Any = np.uint8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(np.asarray(rows, dtype), SIZE).copy()).save(path)
    return path


def palette(path: Path, rows: Rows, colours: Sequence[tuple[int, int, int]] = default_palette(256)) -> Path:
    grey(path, rows)
    with Image.open(path) as opened:
        indexed = Image.frombytes("P", opened.size, opened.tobytes())
    indexed.putpalette([value for colour in colours for value in colour])
    indexed.save(path)
    return path


def halves(left: int, right: int, void: int | None = None) -> np.ndarray:
    """`left` and `right`, with a column of `void` between them."""
    rows = np.full(SIZE, left, np.int64)
    rows[:, 4:] = right
    if void is not None:
        rows[:, 3] = void
    return rows


def read_all(name: str, root: Path, split: str, **keys: Any) -> list[Sample]:
    source = open_format(DataConfig(format=name, root=str(root), **keys))
    return [source.read(item) for item in source.items(split)]


def fails(name: str, root: Path, *parts: str, split: str = "train", **keys: Any) -> None:
    """Reading a split is refused in one line with all of `parts` in it."""
    with pytest.raises((DataError, ConfigError)) as caught:
        read_all(name, root, split, **keys)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def pairs(root: Path) -> None:
    for split in ("train", "val"):
        for name in ("b", "a"):
            picture(root / "images" / split / f"{name}.png")
            grey(root / "masks" / split / f"{name}.png", halves(0, 1, 255))
    (root / "classes.txt").write_text("wall\npole\n255 void\n")


def camvid(root: Path) -> None:
    (root / "classes.txt").parent.mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("0 Sky 128,128,128\n1 Pole 1,2,3\n11 Void 0,0,0\n")
    for split in ("train", "val"):
        for name in ("A_1", "A_2"):
            picture(root / "images" / split / f"{name}.jpg")
            palette(root / "labels" / split / f"{name}.png", halves(0, 1, 11))
        (root / f"{split}.txt").write_text("A_2\nA_1\n")


def camvid_published(root: Path) -> None:
    """As SegNet's authors share it: `train` and `val` with their lists, `test` without."""
    for split, names in (("train", ("A_1", "A_2")), ("val", ("A_1", "A_2")), ("test", ("B_2", "B_1"))):
        for name in names:
            picture(root / split / f"{name}.png")
            grey(root / f"{split}annot" / f"{name}.png", halves(0, 2, 11))
        lines = [f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n" for name in names[::-1]]
        if split != "test":
            (root / f"{split}.txt").write_text("".join(lines))


def voc(root: Path, names: Sequence[str] = ("2007_000002", "2007_000001", "2008_000003")) -> Path:
    """root/VOCdevkit/VOC2012, which it returns; `test` has no masks, the last line of `train` no line end."""
    base = root / "VOCdevkit" / "VOC2012"
    for name in (*names, "2008_000009"):
        picture(base / "JPEGImages" / f"{name}.jpg")
    for name in names:
        palette(base / "SegmentationClass" / f"{name}.png", halves(0, 15, 255))
        palette(base / "SegmentationObject" / f"{name}.png", halves(0, 1, 255))
        objects = "<object><name>person</name><part><name>head</name></part></object>" * 2
        path = base / "Annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<annotation>{objects}</annotation>")
    lists = base / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_bytes(b"\r\n".join(name.encode() for name in names[:2]))
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in names[2:]))
    (lists / "test.txt").write_text("2008_000009\n")
    return base


def cityscapes(root: Path) -> None:
    """`test` has no masks."""
    towns = {"train": ("aachen", "bonn"), "val": ("frankfurt",), "test": ("berlin",)}
    for split, names in towns.items():
        for town in names:
            for name in (f"{town}_000001_000019", f"{town}_000000_000294", f"{town}_000000_000019"):
                picture(root / "leftImg8bit" / split / town / f"{name}_leftImg8bit.png")
                if split != "test":
                    start = root / "gtFine" / split / town
                    grey(start / f"{name}_gtFine_labelIds.png", halves(7, 26, 4))
                    grey(start / f"{name}_gtFine_labelTrainIds.png", halves(0, 13, 255))
                    grey(start / f"{name}_gtFine_instanceIds.png", halves(7, 26001, 4), np.uint16)


def gta5(root: Path) -> None:
    for number in (1, 2, 10):
        picture(root / "images" / f"{number:05d}.png")
        palette(root / "labels" / f"{number:05d}.png", halves(7, 26, 34))
    (root / "train.txt").write_text("10.png\n1")
    (root / "val.txt").write_text("00002\n")


def coco_file(file: Path, **changes: Any) -> Path:
    """Two pictures: a person with a dog before it and a crowd of people; none."""
    content: dict[str, Any] = {
        "info": {"description": "Stra\u00dfe"},
        "images": [
            {"id": 7, "file_name": "000000000007.jpg", "height": SIZE[0], "width": SIZE[1]},
            {"id": 5, "file_name": "000000000005.jpg", "height": SIZE[0], "width": SIZE[1]},
        ],
        "annotations": [
            {"id": 30, "image_id": 7, "category_id": 18, "iscrowd": 0, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]},
            {"id": 31, "image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [[0, 0, 4, 0, 4, 6, 0, 6]]},
            {
                "id": 32,
                "image_id": 7,
                "category_id": 1,
                "iscrowd": 1,
                "segmentation": {"size": list(SIZE), "counts": [18, 30]},
            },
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**content, **changes}, ensure_ascii=False), encoding="utf-8")
    return file


def coco(root: Path) -> None:
    """`test` has no masks."""
    for split in ("train", "val", "test"):
        for number in (7, 5):
            picture(root / split / f"{number:012d}.jpg")
        coco_file(root / "annotations" / f"instances_{split}.json")
    (root / "annotations" / "instances_test.json").rename(root / "annotations" / "image_info_test.json")


def mapillary(root: Path) -> None:
    """`testing` has no masks."""
    labels = [
        {"name": "animal--bird", "readable": "Bird", "color": [165, 42, 42], "instances": True, "evaluate": True},
        {"name": "flat--road", "readable": "Road", "color": [128, 64, 128], "instances": False, "evaluate": True},
        {"name": "object--car", "readable": "Car", "color": [0, 0, 142], "instances": True, "evaluate": True},
        {"name": "void", "readable": "Unlabeled", "color": [0, 0, 0], "instances": False, "evaluate": False},
    ]
    for split in ("training", "validation", "testing"):
        for name in ("_b", "a-a"):
            picture(root / split / "images" / f"{name}.jpg")
            if split != "testing":
                palette(root / split / "v1.2" / "labels" / f"{name}.png", halves(1, 2, 3))
                grey(root / split / "v1.2" / "instances" / f"{name}.png", halves(256, 513, 768), np.uint16)
    (root / "config_v1.2.json").write_text(json.dumps({"labels": labels}))


def nyuv2(root: Path) -> None:
    for number in range(1, 5):
        picture(root / "images" / f"{number:04d}.jpg")
        palette(root / "labels40" / f"{number:04d}.png", halves(0, 3, 255))
        grey(root / "depth" / f"{number:04d}.png", halves(51, 255, 0))
    (root / "train.txt").write_text("0003\n0001\n")
    (root / "test.txt").write_text("0002\n0004")
    (root / "classes40.txt").write_text("0 wall\n")
    (root / "semi").mkdir()
    (root / "semi" / "labeled_1_2.txt").write_text("0001\n")


BUILD: dict[str, Callable[[Path], Any]] = {
    "camvid": camvid,
    "cityscapes": cityscapes,
    "coco": coco,
    "gta5": gta5,
    "mapillary": mapillary,
    "nyuv2": nyuv2,
    "pairs": pairs,
    "scenes": lambda root: None,
    "voc": voc,
}
SPLITS: dict[str, dict[str, tuple[str, ...]]] = {  # split -> names of its items in order; those in BARE have no masks
    "camvid": {"train": ("A_2", "A_1"), "val": ("A_2", "A_1")},
    "cityscapes": {
        "train": tuple(
            f"{town}/{town}_{number}"
            for town in ("aachen", "bonn")
            for number in ("000000_000019", "000000_000294", "000001_000019")
        ),
        "val": tuple(f"frankfurt/frankfurt_{number}" for number in ("000000_000019", "000000_000294", "000001_000019")),
        "test": tuple(f"berlin/berlin_{number}" for number in ("000000_000019", "000000_000294", "000001_000019")),
    },
    "coco": dict.fromkeys(("train", "val", "test"), ("000000000007", "000000000005")),
    "gta5": {"train": ("00010", "00001"), "val": ("00002",)},
    "mapillary": dict.fromkeys(("training", "validation", "testing"), ("_b", "a-a")),
    "nyuv2": {"train": ("0003", "0001"), "test": ("0002", "0004"), "semi/labeled_1_2": ("0001",)},
    "pairs": {"train": ("a", "b"), "val": ("a", "b")},
    "voc": {"train": ("2007_000002", "2007_000001"), "val": ("2008_000003",), "test": ("2008_000009",)},
}
BARE = {"cityscapes": "test", "coco": "test", "mapillary": "testing", "voc": "test"}
