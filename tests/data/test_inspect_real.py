"""The real sets, as their README describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inspect_sets import kinds, look, only

from structseg.data.inspect import Inspection
from structseg.errors import DataError

pytestmark = pytest.mark.slow


def by_split(found: Inspection) -> dict[str, int]:
    return {row["name"]: row["pictures"] for row in found.facts["splits"]}


def void(found: Inspection) -> list[str]:
    return [row["value"] for row in found.facts["values"] if row["meaning"] == "ignored"]


def pictures(found: Inspection, split: str) -> dict[str, int]:
    return {row["name"]: row["pictures"][split] for row in found.facts["classes"]}


def test_camvid(data_root: Path) -> None:
    found = look(data_root / "camvid")
    assert found.facts["format"] == "camvid"
    assert by_split(found) == {"train": 367, "val": 101, "test": 233}
    assert found.facts["sizes"]["rows"] == [{"size": [480, 360], "pictures": 701}]
    assert found.facts["kinds"] == {"palette": 701}
    assert void(found) == ["11"]
    assert len(found.facts["classes"]) == 11
    assert not found.broken
    assert kinds(found) == ["near copies"]  # neighbours in time, within a split only


def test_nyuv2(data_root: Path) -> None:
    found = look(data_root / "nyuv2")
    assert found.facts["format"] == "nyuv2"
    counts = by_split(found)
    assert (counts["train"], counts["test"]) == (795, 654)
    assert found.facts["sizes"]["rows"] == [{"size": [384, 288], "pictures": 1449}]
    assert void(found) == ["255"]
    assert len(found.facts["classes"]) == 40
    depth: dict[str, Any] = found.facts["depth"]
    assert depth["pictures"] == 1449
    assert depth["void"] < 0.001  # holes are filled
    assert 0.5 < depth["least"] < 1 < 9 < depth["greatest"] <= 10
    assert not found.broken


def test_voc2012_subset(data_root: Path) -> None:
    found = look(data_root / "voc2012_subset")
    assert found.facts["format"] == "voc"
    counts = by_split(found)
    assert (counts["train_aug"], counts["val"]) == (600, 200)
    assert void(found) == ["255"]
    assert found.facts["instances"] is None
    assert found.facts["tags"]["pictures"] == 800
    filled = ["bottle", "car", "cat", "chair", "cow", "dog", "horse", "person", "pottedplant"]
    filled += ["sheep", "sofa", "tvmonitor"]
    there = pictures(found, "train_aug")
    assert min(there[name] for name in filled) > max(
        count for name, count in there.items() if name not in [*filled, "background", "bird", "diningtable"]
    )
    assert not found.broken


def test_voc2007_masks(data_root: Path) -> None:
    found = look(data_root / "voc2007_masks")
    assert by_split(found) == {"val": 44}
    assert void(found) == ["255"]
    assert found.facts["instances"]["pictures"] == found.facts["tags"]["pictures"] == 44
    assert "no split 'train'" in only(found, "no train")
    assert not found.broken


def test_coco_voc20(data_root: Path) -> None:
    found = look(data_root / "coco_voc20")
    counts = by_split(found)
    assert (counts["train"], counts["val"]) == (269, 116)
    there = pictures(found, "trainval")
    assert {"person", "diningtable", "bottle"} == set(sorted(there, key=lambda name: -there[name])[1:4])
    assert {"cow", "sheep", "horse"} == set(sorted(there, key=lambda name: there[name])[:3])
    assert void(found) == ["255"]
    assert found.facts["instances"]["pictures"] == 385
    assert not found.broken


def test_samples(data_root: Path) -> None:
    samples = data_root / "samples"
    loose = look(samples / "cityscapes")
    assert "15 pairs in leftImg8bit/ and gtCategory8/" in only(loose, "no splits")
    assert "'ignore (anti-aliased edge)' is learned like any other" in only(loose, "void class")
    small = look(samples / "cityscapes_small")
    assert small.facts["format"] == "cityscapes"
    assert small.facts["instances"]["things"] > 0
    assert look(samples / "labelme_voc2011").facts["instances"]["pictures"] == 3
    for name, words in (
        ("coral", "2 pictures but no masks"),
        ("sunrgbd", "no masks"),
        ("sunrgbd_nyu_hha", "4 pictures but no masks"),
        (".", "data sets lie below it"),
    ):
        with pytest.raises(DataError, match=words):
            look(samples / name)
