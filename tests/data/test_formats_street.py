"""Cityscapes, GTA5 and Mapillary Vistas: ids, colours, instances, groups, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
from layouts import fails, grey, halves, palette, read_all
from PIL import Image
from scipy.io import savemat

from structseg.config import DataConfig
from structseg.data import Format, check_split, open_format
from structseg.data.tables import CITYSCAPES, cityscapes
from structseg.errors import DataError

TARGET = halves(0, 13, 255)  # road, car
# the official list, by label id; -1 and 255 are ignored
TRAIN_IDS = [
    *[255] * 7, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255,
    16, 17, 18,
]  # fmt: skip


def opened(name: str, root: Path, **keys: Any) -> Format:
    return open_format(DataConfig(format=name, root=str(root), **keys))


def test_the_table_of_cityscapes() -> None:
    labels = cityscapes("label")
    assert [train for _, train, _ in CITYSCAPES] == TRAIN_IDS
    assert dict(labels.values) == dict(enumerate(TRAIN_IDS))
    assert dict(cityscapes("train").values) == {**{i: i for i in range(19)}, 255: 255}
    # what the server takes: the released encoder of train ids
    server = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    assert labels.raw_values() == server
    assert labels.names[:3] == ("road", "sidewalk", "building")
    assert labels.palette[13] == (0, 0, 142)
    colours = dict(labels.colours)
    assert colours[153, 153, 153] == 5  # pole, not pole group
    assert colours[0, 0, 0] == colours[81, 0, 81] == 255
    assert set(labels.thin) <= set(labels.names)


# ------------------------------------------------------------------------------------------------ Cityscapes


@pytest.mark.parametrize("ids", ["label", "train"])
def test_cityscapes(tmp_path: Path, ids: str) -> None:
    layouts.cityscapes(tmp_path)
    source = opened("cityscapes", tmp_path, options={"ids": ids})
    items = source.items("train")
    groups = ["aachen/aachen_000000", "aachen/aachen_000000", "aachen/aachen_000001", "bonn/bonn_000000"]
    assert [item.group for item in items][:4] == groups
    for item in items:
        sample = source.read(item)
        np.testing.assert_array_equal(sample.target, TARGET)
        np.testing.assert_array_equal(sample.instances, np.where(TARGET == 13, 26001, 0))


def test_things_of_classes_that_are_not_evaluated_are_no_instances(tmp_path: Path) -> None:
    layouts.cityscapes(tmp_path)
    start = tmp_path / "gtFine/val/frankfurt/frankfurt_000000_000019_gtFine"
    grey(Path(f"{start}_labelIds.png"), halves(29, 24))
    grey(Path(f"{start}_instanceIds.png"), halves(29000, 24), np.uint16)  # a caravan, a group of people
    (sample, *_) = read_all("cityscapes", tmp_path, "val")
    assert sample.instances is not None
    assert not sample.instances.any()


def test_cityscapes_coarse_and_names_of_ones_own(tmp_path: Path) -> None:
    layouts.cityscapes(tmp_path)
    for path in sorted((tmp_path / "gtFine/val").rglob("*_labelTrainIds.png")):
        for folder in ("gtCoarse", "gtFineId"):
            town = tmp_path / folder / "val" / path.parent.name
            name = path.name.replace("gtFine_labelTrainIds", f"{folder}_labelIds")
            grey(town / name, halves(0, 13, 255) if folder == "gtFineId" else halves(7, 26, 0))
    aaf = {"gt": "gtFineId", "masks": "_gtFineId_labelIds", "ids": "train"}  # these hold train ids in spite of the name
    for options in ({"gt": "gtCoarse"}, aaf):
        for sample in read_all("cityscapes", tmp_path, "val", options=options):
            np.testing.assert_array_equal(sample.target, TARGET)
    wrong = {"gt": "gtFineId", "masks": "_gtFineId_labelIds"}
    fails("cityscapes", tmp_path, "value 255", "hold train ids", "data.options.ids='train'", options=wrong, split="val")


def _start(root: Path) -> str:
    return str(root / "gtFine/train/bonn/bonn_000000_000294_gtFine")


CITY_WRONG: dict[str, tuple[Callable[[Path], Any], dict[str, str], tuple[str, ...]]] = {
    "train ids for label ids": (
        lambda root: grey(Path(f"{_start(root)}_labelIds.png"), TARGET),
        {},
        ("bonn_000000_000294_gtFine_labelIds.png: value 255 (6 pixels)", "data.options.ids='train'"),
    ),
    "label ids for train ids": (
        lambda root: grey(Path(f"{_start(root)}_labelTrainIds.png"), halves(7, 26, 4)),
        {"ids": "train"},
        ("bonn_000000_000294_gtFine_labelTrainIds.png: value 26 (24 pixels)", "data.options.ids='label'"),
    ),
    "by name": (
        lambda root: None,
        {"masks": "_gtFine_labelTrainIds"},
        ("data.options.masks", "data.options.ids='train'"),
    ),
    "ids": (lambda root: None, {"ids": "trainId"}, ("data.options.ids: 'trainId'",)),
    "8 bits, high byte lost": (
        lambda root: grey(Path(f"{_start(root)}_instanceIds.png"), halves(7, 26001 % 256)),
        {},
        ("gtFine_instanceIds.png: number 145 is neither", "saved with 8 bits"),
    ),
    "8 bits, cut": (
        lambda root: grey(Path(f"{_start(root)}_instanceIds.png"), halves(7, 255)),
        {},
        ("gtFine_instanceIds.png: number 255 is neither", "saved with 8 bits"),
    ),
    "no mask": (
        lambda root: Path(f"{_start(root)}_labelIds.png").unlink(),
        {},
        ("split 'train': 1 of 6 pictures have no mask in", "gtFine/train", "bonn_000000_000294_leftImg8bit.png"),
    ),
    "no picture": (
        lambda root: (root / "leftImg8bit/train/bonn/bonn_000000_000294_leftImg8bit.png").unlink(),
        {},
        ("gtFine/train: 1 masks without a picture in", "first 'bonn/bonn_000000_000294'"),
    ),
    "empty": (
        lambda root: [path.unlink() for path in (root / "leftImg8bit/train").rglob("*.png")],
        {},
        ("leftImg8bit/train: no picture CITY/NAME_leftImg8bit.png",),
    ),
    "elsewhere": (
        lambda root: (root / "leftImg8bit").rename(root / "images"),
        {},
        ("there is no folder leftImg8bit in it",),
    ),
}


@pytest.mark.parametrize("what", CITY_WRONG)
def test_what_is_wrong_with_cityscapes_is_told(tmp_path: Path, what: str) -> None:
    spoil, options, parts = CITY_WRONG[what]
    layouts.cityscapes(tmp_path)
    spoil(tmp_path)
    fails("cityscapes", tmp_path, *parts, options=options)


def test_published_test_masks_are_refused_for_scoring(tmp_path: Path) -> None:
    """They are there, but hold nothing that is evaluated."""
    layouts.cityscapes(tmp_path)
    for path in (tmp_path / "leftImg8bit/test").rglob("*.png"):
        name = path.name.replace("leftImg8bit", "gtFine_labelIds")
        grey(tmp_path / "gtFine/test" / path.parent.name / name, halves(1, 3, 0))
    source = opened("cityscapes", tmp_path)
    with pytest.raises(DataError, match="split 'test': every pixel of the 3 masks looked at is ignored"):
        check_split(source, "test")


def test_void_is_no_class_of_cityscapes(data_root: Path) -> None:
    """The 8-category masks of the samples have a table that calls 255 a class of a long name."""
    root = data_root / "samples" / "cityscapes"
    options = {"gt": "gtCategory8", "masks": "_gtCategory8", "ids": "train"}
    table = str(root / "classes.txt")
    fails("cityscapes", root, "has the raw value 255, which is no label", split="all", options=options, labels=table)


def test_real_cityscapes(data_root: Path, tmp_path: Path) -> None:
    root = data_root / "samples" / "cityscapes_small"
    (by_label,) = read_all("cityscapes", root, "all")
    (by_train,) = read_all("cityscapes", root, "all", options={"ids": "train"})
    assert by_label.image.shape == (128, 256, 3)
    assert by_label.group == "frankfurt_000000"
    assert by_label.target is not None
    assert by_train.target is not None
    assert np.mean(by_label.target == by_train.target) > 0.997  # each file was made smaller by itself
    assert by_label.instances is not None
    assert set(np.unique(by_label.instances)) == {0, 24000, 24001, 24002, 24003, 26000, 26001, 26002}
    assert set(np.unique(by_label.target[by_label.instances >= 26000])) == {13}
    root = data_root / "samples" / "cityscapes"
    table = tmp_path / "classes.txt"
    table.write_text((root / "classes.txt").read_text().replace("ignore (anti-aliased edge)", "ignore"))
    options = {"gt": "gtCategory8", "masks": "_gtCategory8", "ids": "train"}
    source = opened("cityscapes", root, options=options, labels=str(table))
    items = source.items("all")
    assert len(items) == 15
    assert {item.group.rpartition("_")[0] for item in items} == {"dusseldorf", "lindau", "munster"}
    check_split(source, "all")


# ------------------------------------------------------------------------------------------------ GTA5


def test_gta5_masks_of_every_kind(tmp_path: Path) -> None:
    layouts.gta5(tmp_path)
    expected = halves(0, 13, 255)
    table = np.array([colour for _, _, colour in CITYSCAPES], np.uint8)
    rows = halves(7, 26, 6)  # road, car, ground
    path = tmp_path / "labels" / "00002.png"
    kinds: dict[str, Callable[[], Any]] = {
        "palette": lambda: palette(path, halves(7, 26, 34), [(i, i, i) for i in range(256)]),
        "grey": lambda: grey(path, rows),
        "rgb": lambda: Image.fromarray(table[rows]).save(path),
    }
    for kind, write in kinds.items():
        write()
        (sample,) = read_all("gta5", tmp_path, "val")
        np.testing.assert_array_equal(sample.target, expected, err_msg=kind)
    palette(path, halves(0, 1, 2), [(128, 64, 128), (0, 0, 142), (81, 0, 81)])  # the index means nothing
    (sample,) = read_all("gta5", tmp_path, "val", options={"ids": "colour"})
    np.testing.assert_array_equal(sample.target, expected)
    grey(path, expected)
    (sample,) = read_all("gta5", tmp_path, "val", options={"ids": "train"})
    np.testing.assert_array_equal(sample.target, expected)
    fails("gta5", tmp_path, "00002.png: value 255 (6 pixels)", "data.options.ids='train'", split="val")
    fails("gta5", tmp_path, "data.options.ids: 'rgb'", options={"ids": "rgb"})


def test_gta5_split_file_and_no_lists(tmp_path: Path) -> None:
    layouts.gta5(tmp_path)
    for name in ("train.txt", "val.txt"):
        (tmp_path / name).unlink()
    assert [item.name for item in opened("gta5", tmp_path).items("all")] == ["00001", "00002", "00010"]
    savemat(tmp_path / "split.mat", {"trainIds": [[10], [1]], "valIds": [[2]], "testIds": [[3]]})
    source = opened("gta5", tmp_path)
    assert source.splits() == ("test", "train", "val")
    assert [item.name for item in source.items("train")] == ["00010", "00001"]
    fails("gta5", tmp_path, "split.mat: there is no file '3' in", "images", split="test")
    savemat(tmp_path / "split.mat", {"trainIds": [[1], [1]]})
    fails("gta5", tmp_path, "split.mat: picture '1' stands already as '1'")
    fails("gta5", tmp_path, "split.mat: cannot be read as the published split file", split="val")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("00001 00001.png\n", ("train.txt, line 1: 2 columns in a list of names",)),
        ("1\n00002\n00001.png\n", ("train.txt, line 3: picture '00001.png' stands already as '1'",)),
        ("7\n", ("train.txt, line 1: there is no file '7' in", "images")),
        ("", ("train.txt: lists no picture",)),
    ],
)
def test_gta5_lists_that_are_wrong(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    layouts.gta5(tmp_path)
    (tmp_path / "train.txt").write_text(text)
    fails("gta5", tmp_path, *parts)


def test_gta5_pairs_that_are_wrong(tmp_path: Path) -> None:
    layouts.gta5(tmp_path)
    (tmp_path / "labels/00010.png").unlink()
    fails("gta5", tmp_path, "train.txt, line 1: there is no file '10.png' in", "labels")
    grey(tmp_path / "labels/00010.png", 7)
    grey(tmp_path / "labels/00011.png", 7)
    fails("gta5", tmp_path, "labels: 1 masks without a picture in", "first 00011.png")
    layouts.picture(tmp_path / "images/11.png")
    layouts.picture(tmp_path / "images/00011.png")
    fails("gta5", tmp_path, "images/11.png and 00011.png have one number")


# ------------------------------------------------------------------------------------------------ Mapillary


def test_mapillary(tmp_path: Path) -> None:
    layouts.mapillary(tmp_path)
    source = opened("mapillary", tmp_path)
    assert source.labels.names == ("Bird", "Road", "Car")
    assert source.labels.palette[1] == (128, 64, 128)
    assert dict(source.labels.values) == {0: 0, 1: 1, 2: 2, 3: 255}
    grey(tmp_path / "training/v1.2/labels/_b.png", halves(0, 2, 3))
    grey(tmp_path / "training/v1.2/instances/_b.png", halves(0, 513, 768), np.uint16)  # the first bird is number 0
    first, second = (source.read(item) for item in source.items("training"))
    np.testing.assert_array_equal(second.target, halves(1, 2, 255))
    np.testing.assert_array_equal(second.instances, halves(0, 514, 0))
    np.testing.assert_array_equal(first.instances, halves(1, 514, 0))


def test_mapillary_packages(tmp_path: Path) -> None:
    layouts.mapillary(tmp_path)
    (tmp_path / "config_v2.0.json").write_text((tmp_path / "config_v1.2.json").read_text())
    fails("mapillary", tmp_path, "holds config_v1.2.json, config_v2.0.json; choose one", split="training")
    assert read_all("mapillary", tmp_path, "training", options={"version": "1.2"})[0].target is not None
    assert all(s.target is None for s in read_all("mapillary", tmp_path, "training", options={"version": "2.0"}))
    fails("mapillary", tmp_path, "has no config_v3.json; here: config_v1.2.json", options={"version": "3"})
    (tmp_path / "config_v2.0.json").unlink()
    (tmp_path / "config_v1.2.json").rename(tmp_path / "config.json")  # a package of one edition
    for split in ("training", "validation"):
        for kind in ("labels", "instances"):
            (tmp_path / split / "v1.2" / kind).rename(tmp_path / split / kind)
    assert read_all("mapillary", tmp_path, "training")[0].instances is not None


def _config(root: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    file = root / "config_v1.2.json"
    content = json.loads(file.read_text())
    change(content["labels"])
    file.write_text(json.dumps(content))


VISTAS_WRONG: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "8 bits": (
        lambda root: grey(root / "training/v1.2/instances/_b.png", halves(0, 1)),
        ("instances/_b.png: numbers up to 1 only", "saved with 8 bits"),
    ),
    "class": (
        lambda root: grey(root / "training/v1.2/instances/_b.png", halves(256, 2000), np.uint16),
        ("instances/_b.png: class 7 is not in the config file (4 classes)",),
    ),
    "value": (
        lambda root: grey(root / "training/v1.2/labels/_b.png", halves(1, 9)),
        ("labels/_b.png: value 9 (24 pixels) not in the label table", "config_v1.2.json"),
    ),
    "no mask": (
        lambda root: (root / "training/v1.2/labels/_b.png").unlink(),
        ("split 'training': 1 of 2 pictures have no mask in", "_b.jpg"),
    ),
    "no picture": (
        lambda root: (root / "training/images/_b.jpg").unlink(),
        ("labels: 1 masks without a picture in", "first '_b'"),
    ),
    "no config": (lambda root: (root / "config_v1.2.json").unlink(), ("no config.json or config_v1.2.json",)),
    "config": (
        lambda root: (root / "config_v1.2.json").write_text("[]"),
        ("config_v1.2.json: cannot be read as Vistas' config file",),
    ),
    "colour": (
        lambda root: _config(root, lambda labels: labels[0].pop("color")),
        ("config_v1.2.json: cannot be read as Vistas' config file (KeyError('color'))",),
    ),
}


@pytest.mark.parametrize("what", VISTAS_WRONG)
def test_what_is_wrong_with_mapillary_is_told(tmp_path: Path, what: str) -> None:
    spoil, parts = VISTAS_WRONG[what]
    layouts.mapillary(tmp_path)
    spoil(tmp_path)
    fails("mapillary", tmp_path, *parts, split="training")


def test_mapillary_long_names_where_short_ones_stand_twice(tmp_path: Path) -> None:
    layouts.mapillary(tmp_path)
    _config(tmp_path, lambda labels: labels[0].update(readable="Car"))
    assert opened("mapillary", tmp_path).labels.names == ("animal--bird", "flat--road", "object--car")
