"""Each thing that `inspect` looks for, on a tiny set that has it, and not on one that has not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inspect_sets import TABLE, good, kinds, look, mask, only, picture
from PIL import Image

from structseg.config import DataConfig
from structseg.data.inspect import copies, inspect
from structseg.data.inspect.look import Look, Mark, histogram
from structseg.data.labels import default_palette, read_labels
from structseg.errors import DataError
from structseg.types import Item


def test_a_good_set_has_no_findings_and_exact_counts(tmp_path: Path) -> None:
    found = look(good(tmp_path))
    assert kinds(found) == []
    facts = found.facts
    assert facts["format"] == "pairs"
    assert [(row["name"], row["pictures"], row["masks"]) for row in facts["splits"]] == [
        ("test", 4, 4),
        ("train", 4, 4),
        ("val", 4, 4),
    ]
    assert facts["sizes"]["rows"] == [{"size": [32, 24], "pictures": 12}]
    assert facts["kinds"] == {"grey, 8 bit": 12}
    assert [row["share"]["train"] for row in facts["classes"]] == [1 / 3] * 3  # of the labelled pixels
    assert [row["pictures"]["val"] for row in facts["classes"]] == [4] * 3
    assert facts["ignored"] == {"train": 0.25, "val": 0.25, "test": 0.25}
    meanings = {row["value"]: (row["meaning"], row["pixels"]) for row in facts["values"]}
    assert meanings["255"] == ("ignored", 12 * 24 * 8)
    assert meanings["1"] == ("car", 12 * 24 * 8)
    assert [row["why"] for row in facts["sheet"]] == ["most of road, car, sky", *["spread evenly"] * 5]
    json.dumps(facts)


def overwrite(name: str, **options: Any) -> Callable[[Path], object]:
    return lambda root: mask(root / f"masks/train/{name}.png", **options)


def cut(root: Path, name: str) -> None:
    path = root / name
    path.write_bytes(path.read_bytes()[:-60])


BROKEN: dict[str, tuple[Callable[[Path], object], str, tuple[str, ...]]] = {
    "missing mask": (
        lambda root: (root / "masks/train/train1.png").unlink(),
        "no mask",
        ("split 'train'", "1 picture of 4"),
    ),
    "missing picture": (
        lambda root: (root / "images/val/val2.png").unlink(),
        "no picture",
        ("split 'val'", "1 mask of 4"),
    ),
    "truncated picture": (lambda root: cut(root, "images/train/train2.png"), "image", ("train2.png", "damaged")),
    "truncated mask": (lambda root: cut(root, "masks/test/test3.png"), "mask", ("test3.png", "damaged")),
    "wrong size": (overwrite("train0", size=(12, 16)), "size", ("train0.png is 16x12", "picture 32x24")),
    "stray value": (overwrite("train0", values=(0, 1, 77, 78)), "strays", ("77 (192 pixels in 1)", "classes.txt")),
    "16 bit": (overwrite("train0", values=(0, 1, 1000, 2), mode="I;16"), "strays", ("1000 (192 pixels in 1)",)),
    "0 and 255": (
        lambda root: (root / "classes.txt").write_text("0 back\n1 front\n2 sky\n"),
        "strays",
        ("255 (2304 pixels in 12)", "often 'no label'"),
    ),
    "RGB without colours": (
        lambda root: (
            (root / "classes.txt").write_text("0 a\n1 b\n2 c\n255 void\n"),
            Image.new("RGB", (32, 24), (9, 8, 7)).save(root / "masks/train/train1.png"),
        ),
        "other",
        ("an RGB mask", "has no colours"),
    ),
    "JPEG masks": (
        lambda root: (
            Image.open(root / "masks/train/train1.png").save(root / "masks/train/train1.jpg"),
            (root / "masks/train/train1.png").unlink(),
        ),
        "mask",
        ("train1.jpg", "blurred labels"),
    ),
    "nothing labelled": (
        lambda root: (root / "classes.txt").write_text(
            "7 road\n8 car\n0 void\n1 ignore\n2 unlabeled\n255 unlabelled\n"
        ),
        "no labels",
        ("no mask has a pixel with a label",),
    ),
    "one class": (
        lambda root: (root / "classes.txt").write_text("1 car\n0 void\n2 ignore\n255 unlabelled\n"),
        "one class",
        ("'car' is its only class", "background"),
    ),
    "no table": (lambda root: (root / "classes.txt").unlink(), "no table", ("labels.toml",)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_stops_training_is_found(case: str, tmp_path: Path) -> None:
    damage, kind, words = BROKEN[case]
    damage(good(tmp_path))
    found = look(tmp_path)
    assert [finding.kind for finding in found.broken] == [kind]
    assert all(word in found.broken[0].text for word in words), found.broken[0].text
    assert str(tmp_path) not in found.broken[0].text  # files are named below the folder
    json.dumps(found.facts)


def test_strays_are_counted_by_file(tmp_path: Path) -> None:
    good(tmp_path)
    mask(tmp_path / "masks/train/train1.png", (0, 77))
    mask(tmp_path / "masks/val/val0.png", (0, 1, 2, 77))
    (row,) = look(tmp_path).facts["strays"]
    assert row["value"] == "77"
    assert row["pixels"] == 24 * (16 + 8)
    assert row["files"] == [
        {"file": "masks/train/train1.png", "pixels": 24 * 16},
        {"file": "masks/val/val0.png", "pixels": 24 * 8},
    ]


def test_of_very_many_strays_the_most_frequent_are_told(tmp_path: Path) -> None:
    good(tmp_path)
    for number in range(2):
        picture(tmp_path / f"images/train/train{number}.png", number, size=(24, 64))
        mask(tmp_path / f"masks/train/train{number}.png", tuple(range(3 + number, 67 + number)), size=(24, 64))
    found = look(tmp_path)
    assert [row["pixels"] for row in found.facts["strays"]] == [24 * 2] * 40
    assert all(len(row["files"]) == 2 for row in found.facts["strays"])
    assert "and at least 35 more; add them" in only(found, "strays")


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_kinds_of_masks_are_told(mode: str, tmp_path: Path) -> None:
    good(tmp_path)
    for path in tmp_path.glob("masks/*/*.png"):
        if mode == "P":
            mask(path, (0, 1, 2, 255), mode="P")
        else:
            stripes = np.repeat(np.array([[128, 64, 128], [0, 0, 142]], np.uint8), 16, axis=0)
            Image.fromarray(np.broadcast_to(stripes, (24, 32, 3)).copy()).save(path)
    found = look(tmp_path)
    assert found.facts["kinds"] == {"palette" if mode == "P" else "RGB": 12}
    assert not found.broken
    if mode == "RGB":
        assert [row["value"] for row in found.facts["values"]] == ["#00008e", "#804080"]
        assert [row["share"]["train"] for row in found.facts["classes"]] == [0.5, 0.5, 0]
        assert "sky in no mask of split 'train'" in only(found, "absent class")


def test_palette_saved_as_grey_is_suspected(tmp_path: Path) -> None:
    good(tmp_path)
    luma = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in default_palette(16)]
    for path in tmp_path.glob("masks/*/*.png"):
        mask(path, (luma[0], luma[1], luma[7], luma[15]))
    found = look(tmp_path)
    assert "palette" in only(found, "palette as grey")
    assert [finding.kind for finding in found.broken] == ["strays"]


def test_smoothed_masks_are_suspected(tmp_path: Path) -> None:
    good(tmp_path)
    mask(tmp_path / "masks/train/train0.png", tuple(range(0, 200, 2)), size=(24, 400))
    picture(tmp_path / "images/train/train0.png", 5, size=(24, 400))
    assert "100 distinct values" in only(look(tmp_path), "blurred")


def test_absent_and_rare_classes_are_warnings(tmp_path: Path) -> None:
    good(tmp_path, table=TABLE + "3 bus\n4 ignore me\n")
    found = look(tmp_path)
    assert not found.broken
    assert only(found, "absent class").startswith("bus, ignore me in no mask of split 'train'")
    assert "'ignore me' is learned like any other" in only(found, "void class")
    big = tmp_path / "masks/train/train0.png"
    array = np.zeros((24, 32), np.uint8)
    array[0, 0] = 3
    Image.fromarray(array).save(big)
    assert "bus (0.04 % in 1 picture)" in only(look(tmp_path), "rare class")


def test_an_empty_mask_is_a_warning(tmp_path: Path) -> None:
    good(tmp_path)
    mask(tmp_path / "masks/val/val1.png", (255,))
    found = look(tmp_path)
    assert kinds(found, "warning") == ["empty mask"]
    assert found.findings[0].files == ("masks/val/val1.png",)


def test_copies_and_leaks(tmp_path: Path) -> None:
    good(tmp_path)
    shutil.copy(tmp_path / "images/train/train0.png", tmp_path / "images/val/val0.png")
    image = Image.open(tmp_path / "images/train/train1.png")
    image.resize((40, 30)).save(tmp_path / "images/test/test1.png")
    mask(tmp_path / "masks/test/test1.png", size=(30, 40))
    shutil.copy(tmp_path / "images/train/train2.png", tmp_path / "images/train/train3.png")
    found = look(tmp_path)
    assert sorted(kinds(found)) == ["leak", "near copies", "near leak"]
    assert only(found, "leak") == "the same file in 'train' and 'val': 1 picture of 'val'; scores on it are too good"
    assert "'test' and 'train'" in only(found, "near leak")
    assert "2 pictures have a near copy in their own split (1 group, 1 exact copy)" in only(found, "near copies")
    assert {tuple(side["name"] for side in pair["sides"]) for pair in found.facts["alike"]} == {
        ("train: images/train/train0.png", "val: images/val/val0.png"),
        ("test: images/test/test1.png", "train: images/train/train1.png"),
    } or len(found.facts["alike"]) == 2


def test_overlapping_lists(tmp_path: Path) -> None:
    good(tmp_path)
    line = "images/{0}/{0}{1}.png masks/{0}/{0}{1}.png\n"
    train = [line.format("train", number) for number in range(4)]
    (tmp_path / "train.txt").write_text("".join(train))
    (tmp_path / "train_more.txt").write_text("".join([*train, line.format("test", 1)]))
    (tmp_path / "val.txt").write_text(train[1] + line.format("val", 0))
    found = look(tmp_path)
    leaks = [finding.text for finding in found.findings if finding.kind == "leak"]
    pairs = (("test", "train_more"), ("train", "val"), ("train_more", "val"))
    assert sorted(text.partition(":")[0] for text in leaks) == [f"1 picture in both '{a}' and '{b}'" for a, b in pairs]
    assert only(found, "overlap") == "lists that share pictures: 'train' and 'train_more' 4"
    assert found.facts["pictures"] == 9  # 4 of train, 4 of test, val0: each is opened once


def test_near_copies_are_those_of_a_slow_search() -> None:
    rng = np.random.default_rng(0)
    looks = []
    for number in range(300):
        parent = looks[-7].mark if number >= 7 and number % 5 == 0 else None
        bits = rng.random(64) < 0.5 if parent is None else parent.bits ^ (rng.random(64) < 0.1)
        thumb = rng.integers(0, 256, (16, 16), dtype=np.uint8) if parent is None else parent.thumb
        looks.append(Look(Item(str(number)), ("train",), mark=Mark(bits, thumb)))
    expected = []
    for a in range(300):
        for b in range(a + 1, 300):
            first, second = looks[a].mark, looks[b].mark
            assert first is not None
            assert second is not None
            grey = first.thumb.astype(float) - first.thumb.mean() - (second.thumb.astype(float) - second.thumb.mean())
            if (first.bits != second.bits).sum() <= copies.DISTANCE and np.abs(grey).mean() <= copies.ALIKE:
                expected.append([a, b])
    assert len(expected) > 20
    assert copies.near(looks).tolist() == expected
    numbers = copies.clusters(300, copies.near(looks))
    assert all(numbers[a] == numbers[b] for a, b in expected)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_histogram_counts_every_pixel(shape: tuple[int, ...]) -> None:
    raw = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    values, counts = histogram(raw)
    packed = raw.astype(np.int64) if raw.ndim == 2 else raw.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    expected = dict(zip(*np.unique(packed, return_counts=True), strict=True))
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == expected


# ------------------------------------------------------------------------------------------------ tables


def test_a_suggested_table_reads_the_masks(tmp_path: Path) -> None:
    good(tmp_path, table="")
    (tmp_path / "class_names.txt").write_text("road\ncar\nsky\n")
    found = look(tmp_path)
    (tmp_path / "labels.toml").write_text(found.facts["suggestion"])
    labels = read_labels(tmp_path / "labels.toml")
    assert labels.names == ("road", "car", "sky")
    assert dict(labels.values) == {0: 0, 1: 1, 2: 2, 255: 255}
    assert [row["share"]["train"] for row in found.facts["classes"]] == [1 / 3] * 3
    assert look(tmp_path).facts["suggestion"] == ""
    assert kinds(look(tmp_path)) == []


def test_a_suggested_table_of_binary_and_of_colour_masks(tmp_path: Path) -> None:
    binary = good(tmp_path / "binary", table="")
    for path in binary.glob("masks/*/*.png"):
        mask(path, (0, 255))
    assert 'name = "foreground"\nvalues = [255]' in look(binary).facts["suggestion"]
    colour = good(tmp_path / "colour", table="")
    for path in colour.glob("masks/*/*.png"):
        array = np.zeros((24, 32, 3), np.uint8)
        array[:, 16:] = (0, 0, 142)
        Image.fromarray(array).save(path)
    (colour / "labels.toml").write_text(look(colour).facts["suggestion"])
    assert [colour for colour, _ in read_labels(colour / "labels.toml").colours] == [(0, 0, 0), (0, 0, 142)]


def test_a_suggested_table_of_a_palette_that_is_filled_up(tmp_path: Path) -> None:
    good(tmp_path, table="")
    for path in tmp_path.glob("masks/*/*.png"):
        palette_mask = Image.fromarray(np.repeat(np.uint8([[0, 1, 2, 3]]), 8, axis=1).repeat(24, axis=0), mode="P")
        palette_mask.putpalette([200, 0, 0, 255, 255, 255, 255, 255, 255])  # the rest is black
        palette_mask.save(path)
    found = look(tmp_path)
    (tmp_path / "labels.toml").write_text(found.facts["suggestion"])
    labels = read_labels(tmp_path / "labels.toml")
    assert dict(labels.values) | {255: 255} == {0: 0, 1: 1, 2: 2, 3: 3, 255: 255}
    assert labels.palette[:2] == ((200, 0, 0), (255, 255, 255))
    assert len(set(labels.palette)) == 4


# ------------------------------------------------------------------------------------------------ layouts


@pytest.mark.parametrize("table", ["classes.txt", "labels.toml", "classes.toml"])
def test_numbered_pictures_beside_a_table_are_somebodys_own(table: str, tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"images/{number:04d}.png", number)
        mask(tmp_path / f"labels/{number:04d}.png")
    assert look(tmp_path).facts["format"] == "gta5"
    rows = (f'[[class]]\nname = "{name}"\nvalues = [{value}]\n' for value, name in enumerate(("road", "car", "sky")))
    (tmp_path / table).write_text(TABLE if table.endswith("txt") else "".join(rows))
    assert "3 pairs in images/ and labels/" in only(look(tmp_path), "no splits")


def test_two_pictures_of_one_name_are_no_pair_more(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"photos/p{number}.png", number)
        mask(tmp_path / f"truth/p{number}.png")
    picture(tmp_path / "photos/p1.bmp", 9)
    (tmp_path / "classes.txt").write_text(TABLE)
    assert "1 picture of 4 without a mask" in only(look(tmp_path), "no mask")


def test_loose_pictures_and_masks_are_matched(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"photos/p{number}_rgb.png", number)
        mask(tmp_path / f"truth/p{number}_gt.png")
    picture(tmp_path / "photos/alone_rgb.png", 9)
    (tmp_path / "classes.txt").write_text(TABLE)
    found = look(tmp_path)
    assert "3 pairs in photos/ and truth/" in only(found, "no splits")
    assert "1 picture of 4 without a mask" in only(found, "no mask")
    assert found.facts["splits"][0]["masks"] == 3


def test_pictures_and_masks_in_one_folder(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"p{number}.jpg", number)
        mask(tmp_path / f"p{number}.png")
    assert look(tmp_path).facts["splits"][0]["masks"] == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, ("no pictures in it", "images/SPLIT/", "camvid", "voc")),
        (lambda root: picture(root / "a.jpg", 0), ("1 picture but no masks", "predict", "looked for")),
        (lambda root: mask(root / "masks/a.png"), ("1 mask but no pictures",)),
        (
            lambda root: (picture(root / "images/a.jpg", 0), mask(root / "masks/b.png")),
            ("images/a.jpg", "masks/b.png", "no names match"),
        ),
        (
            lambda root: (
                picture(root / "in/JPEGImages/a.jpg", 0),
                mask(root / "in/SegmentationClass/a.png"),
            ),
            ("data sets lie below it", "in (voc)"),
        ),
    ],
)
def test_what_cannot_be_inspected_says_why(
    make: Callable[[Path], object], words: tuple[str, ...], tmp_path: Path
) -> None:
    make(tmp_path)
    with pytest.raises(DataError) as refused:
        look(tmp_path)
    assert all(word in str(refused.value) for word in words), refused.value


def test_drawn_pictures_are_sampled(tmp_path: Path) -> None:
    config = DataConfig(format="scenes", options={"size": (48, 64), "train": 300, "val": 3, "test": 2})
    facts = inspect(config, limit=8).facts
    assert [row["looked_at"] for row in facts["splits"]] == [8, 3, 2]
    assert facts["depth"]["pictures"] == facts["instances"]["pictures"] == 13
    assert 0 < facts["depth"]["least"] < facts["depth"]["greatest"] < 200
    assert not facts["whole"]


def test_limit_spreads_and_progress_counts(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    good(tmp_path)
    found = inspect(DataConfig(root=str(tmp_path)), guessed=True, limit=2, progress=lambda *at: seen.append(at))
    assert seen == [(place, 6) for place in range(1, 7)]
    assert [one.item.name for one in found.looks if "train" in one.splits] == ["train0", "train3"]
    assert not found.facts["whole"]


def test_ignored_classes_and_options_count(tmp_path: Path) -> None:
    good(tmp_path)
    found = look(tmp_path, ignore=("sky",), options={"group": r"^(\D+)"})
    assert [row["name"] for row in found.facts["classes"]] == ["road", "car"]
    assert found.facts["ignored"]["train"] == 0.5
    assert [row["groups"] for row in found.facts["splits"]] == [1, 1, 1]


def test_the_largest_picture_is_the_one_that_training_takes(tmp_path: Path) -> None:
    good(tmp_path)
    assert look(tmp_path, max_pixels=24 * 32).findings == ()
    found = look(tmp_path, max_pixels=24 * 32 - 1)
    assert kinds(found, "error") == ["image", "mask"]
    assert "are more than data.max_pixels = 767" in only(found, "image")


def test_a_camera_that_stands_still(tmp_path: Path) -> None:
    """All pictures alike: few pairs are kept, and still all are one group and every leak is told."""
    mark = Mark(np.zeros(64, bool), np.zeros((16, 16), np.uint8))
    splits = [("train",)] * 2000 + [("val",)] * 500
    looks = [Look(Item(str(n), Path(f"{n}.png")), split, mark=mark) for n, split in enumerate(splits)]
    pairs = copies.near(looks)
    assert len(pairs) <= 2 * copies.FIRST * len(looks)
    assert len(set(copies.clusters(len(looks), pairs).tolist())) == 1
    found = copies.findings(looks, copies.exact(looks), pairs, tmp_path)
    leak, inner = (finding.text for finding in found)
    assert "500 pictures of 'val'" in leak
    assert "2500 pictures have a near copy in their own split (2 groups)" in inner
