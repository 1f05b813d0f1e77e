"""COCO: classes, the rule of drawing, crowds, categories, and what goes wrong."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
from layouts import SIZE, fails, read_all

from structseg.config import DataConfig
from structseg.data import Format, check_split, fingerprint, open_format
from structseg.data.tables import COCO, COCO_OF_VOC, VOC


def coco(root: Path, **keys: Any) -> Format:
    return open_format(DataConfig(format="coco", root=str(root), **keys))


def rewritten(root: Path, split: str = "train", **changes: Any) -> None:
    layouts.coco_file(root / "annotations" / f"instances_{split}.json", **changes)


def thing(number: int, category: int, box: tuple[float, float, float, float], crowd: int = 0) -> dict[str, Any]:
    left, top, right, below = box
    polygon = [left, top, right, top, right, below, left, below]
    return {"id": number, "image_id": 7, "category_id": category, "iscrowd": crowd, "segmentation": [polygon]}


def expected(person: int, dog: int | None) -> np.ndarray:
    """Of layouts.coco_file: the dog lies on the person although it comes first; beside them a crowd."""
    rows = np.full(SIZE, person, np.int64)
    rows[:, 4:] = 255
    rows[:, 3:4] = person
    if dog is not None:
        rows[1:3, 1:3] = dog
    return rows


@pytest.mark.parametrize(
    ("classes", "count", "person", "dog"),
    [
        ("coco", 81, 1, 17),
        ("voc", 21, 15, 12),
        (["dog", "person"], 3, 2, 1),
        (["person"], 2, 1, None),
        ("own", 3, 1, 2),
    ],
)
def test_classes(tmp_path: Path, classes: Any, count: int, person: int, dog: int | None) -> None:
    layouts.coco(tmp_path)
    source = coco(tmp_path, options={"classes": classes})
    assert source.labels.num_classes == count
    assert source.labels.names[0] == "background"
    first, second = (source.read(item) for item in source.items("train"))
    np.testing.assert_array_equal(first.target, expected(person, dog))
    instances = np.where(expected(1, None) == 255, 0, 1 if dog is None else 2)
    if dog is not None:
        instances[1:3, 1:3] = 1
    np.testing.assert_array_equal(first.instances, instances)
    assert set(first.tags) == ({"person"} if dog is None else {"person", "dog"})
    np.testing.assert_array_equal(second.target, np.zeros(SIZE))
    assert second.tags == ()
    check_split(source, "train")
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read(source.items("val")[0]).target, first.target)


def test_the_tables() -> None:
    assert len(COCO) == 80
    assert [COCO[number] for number in (1, 13, 44, 67, 90)] == [
        "person",
        "stop sign",
        "bottle",
        "dining table",
        "toothbrush",
    ]
    assert set(COCO_OF_VOC) <= set(COCO.values())
    same = [(v, c) for v, c in zip(VOC[1:], COCO_OF_VOC, strict=True) if v != c]
    assert same == [
        ("aeroplane", "airplane"),
        ("diningtable", "dining table"),
        ("motorbike", "motorcycle"),
        ("pottedplant", "potted plant"),
        ("sofa", "couch"),
        ("tvmonitor", "tv"),
    ]


def test_smaller_objects_lie_on_top_and_of_equal_ones_the_later(tmp_path: Path) -> None:
    layouts.coco(tmp_path)
    things = [
        thing(1, 18, (0, 0, 2, 2)),
        thing(2, 1, (0, 0, 8, 6)),
        thing(3, 1, (1, 1, 3, 3)),
        thing(4, 1, (0, 0, 8, 6), 1),
    ]
    rewritten(tmp_path, annotations=things)
    sample = read_all("coco", tmp_path, "train", options={"classes": "voc"})[0]
    instances = np.full(SIZE, 2)
    instances[:2, :2] = 1
    instances[1:3, 1:3] = 3
    np.testing.assert_array_equal(sample.instances, instances)
    assert sample.target is not None
    np.testing.assert_array_equal(sample.target, np.where(instances == 1, 12, 15))  # no crowd shows
    rewritten(tmp_path, annotations=things[:3][::-1])
    instances = read_all("coco", tmp_path, "train")[0].instances
    assert instances is not None
    assert instances[1, 1] == 3


def test_categories_of_ones_own(tmp_path: Path) -> None:
    layouts.coco(tmp_path)
    own = [{"id": 0, "name": "rust"}, {"id": 900000, "name": "crack"}]
    for split in ("train", "val"):
        rewritten(
            tmp_path, split, categories=own, annotations=[thing(1, 0, (0, 0, 4, 6)), thing(2, 900000, (4, 0, 8, 6))]
        )
    rewritten(tmp_path, "test", categories=own, annotations=[])
    fails("coco", tmp_path, "category 0 'rust': it does not exist in COCO", "data.options.classes='own'")
    options = {"classes": "own"}
    source = coco(tmp_path, options=options)
    assert source.labels.names == ("background", "rust", "crack")
    np.testing.assert_array_equal(source.read(source.items("train")[0]).target, layouts.halves(1, 2))
    rewritten(tmp_path, "val", categories=[{"id": 0, "name": "dent"}], annotations=[])
    fails("coco", tmp_path, "category 0 'dent': it is 'rust' in the first file", split="val", options=options)


def test_a_table_of_category_ids(tmp_path: Path) -> None:
    layouts.coco(tmp_path)
    table = tmp_path / "labels.toml"
    table.write_text('[[class]]\nname = "other"\nvalues = [0]\n[[class]]\nname = "alive"\nvalues = [1, 18]\n')
    sample = read_all("coco", tmp_path, "train", labels=str(table))[0]
    np.testing.assert_array_equal(sample.target, expected(1, 1))
    table.write_text('[[class]]\nname = "other"\nvalues = [0]\n[[class]]\nname = "human"\nvalues = [1]\n')
    fails("coco", tmp_path, "category 18 'dog' is not in the label table", "labels.toml", labels=str(table))
    table.write_text('[[class]]\nname = "human"\nvalues = [1]\n')
    fails("coco", tmp_path, "0, which is the background of COCO, is in no class", labels=str(table))


def test_the_fingerprint_follows_the_objects(tmp_path: Path) -> None:
    layouts.coco(tmp_path)
    before = fingerprint(coco(tmp_path), "train")
    assert fingerprint(coco(tmp_path), "train") == before
    rewritten(tmp_path, annotations=[thing(1, 1, (0, 0, 4, 6))])
    assert fingerprint(coco(tmp_path), "train") != before


def test_pictures_may_lie_in_any_of_three_folders(tmp_path: Path) -> None:
    layouts.coco(tmp_path)
    (tmp_path / "images").mkdir()
    for split in ("train", "val"):
        (tmp_path / split).rename(tmp_path / "images" / split)
    assert len(coco(tmp_path).items("train")) == 2
    for path in (tmp_path / "images" / "train").iterdir():
        path.rename(tmp_path / "images" / path.name)
    (tmp_path / "images" / "train").rmdir()
    assert len(coco(tmp_path).items("train")) == 2
    (tmp_path / "images").rename(tmp_path / "pictures")
    fails("coco", tmp_path, "instances_train.json: there is no folder", "images/train")


PICTURE = {"id": 7, "file_name": "000000000007.jpg", "height": 6, "width": 8}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"annotations": [thing(1, 3, (0, 0, 4, 6))]}, ("annotation 1: category_id 3 is not among the 2 categories",)),
        ({"annotations": [thing(1, 1, (0, 0, 4, 6))] * 2}, ("annotations number 2: id 1 stands already",)),
        ({"images": [PICTURE, {**PICTURE, "id": 8}]}, ("picture '000000000007.jpg' stands there with two ids",)),
        ({"images": [PICTURE, PICTURE]}, ("images number 2: id 7 stands already",)),
        ({"images": []}, ("instances_train.json: lists no picture under 'images'",)),
        ({"images": [{**PICTURE, "file_name": "9.jpg"}]}, ("instances_train.json: there is no file", "train/9.jpg")),
        ({"images": [{**PICTURE, "width": 9}]}, ("000000000007.jpg is 8x6, but", "says that it is 9x6")),
        (
            {"annotations": [thing(41, 1, (9, 7, 12, 8))]},
            ("instances_train.json: annotation 41: a polygon from (9, 7) to (12, 8) lies outside its picture of 8x6",),
        ),
        ({"categories": [{"id": 1, "name": "bicycle"}]}, ("annotation 30: category_id 18",)),
        (
            {"categories": [{"id": 1, "name": "dog"}, {"id": 18, "name": "person"}]},
            ("category 1 'dog': it is 'person' in COCO",),
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    layouts.coco(tmp_path)
    rewritten(tmp_path, **changes)
    fails("coco", tmp_path, *parts)


def test_options_and_roots_that_are_wrong(tmp_path: Path) -> None:
    fails("coco", tmp_path, "no annotations/instances_SPLIT.json in it")
    layouts.coco(tmp_path)
    fails("coco", tmp_path, "data.options.classes: COCO has no class 'pascal'", options={"classes": "pascal"})
    fails("coco", tmp_path, "COCO has no class 'dgo'; did you mean 'dog'", options={"classes": ["person", "dgo"]})
    (tmp_path / "annotations/instances_train.json").write_text(json.dumps({"images": 3})[:-1])
    fails("coco", tmp_path, "instances_train.json: not valid JSON")
