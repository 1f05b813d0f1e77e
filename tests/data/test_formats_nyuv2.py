"""NYU Depth v2: 40 and 13 classes, depth in metres, lists, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import layouts
import numpy as np
import pytest
from layouts import fails, halves, read_all
from PIL import Image

from structseg.config import DataConfig
from structseg.data import check_split, open_format
from structseg.data.tables import NYU13, NYU13_OF_40, NYU40


def test_classes_and_depth(tmp_path: Path) -> None:
    layouts.nyuv2(tmp_path)
    for classes, expected in {40: halves(0, 3, 255), 13: halves(11, 0, 255)}.items():  # wall, bed
        for sample in read_all("nyuv2", tmp_path, "train", options={"classes": classes}):
            np.testing.assert_array_equal(sample.target, expected)
            assert sample.depth is not None
            assert sample.depth.dtype == np.float32
            np.testing.assert_allclose(sample.depth, halves(2, 10, 0), rtol=1e-6)
    fails("nyuv2", tmp_path, "data.options.classes: 14; NYU Depth v2 has 40 or 13", options={"classes": 14})


def test_the_13_classes_are_the_published_merge() -> None:
    merged = {name: {NYU40[i] for i, k in enumerate(NYU13_OF_40) if NYU13[k - 1] == name} for name in NYU13}
    assert merged["floor"] == {"floor", "floor mat"}
    assert merged["table"] == {"table", "desk"}
    assert merged["window"] == {"window", "blinds", "curtain"}
    assert merged["bed"] == {"bed"}
    assert merged["tv"] == {"television"}
    assert sum(map(len, merged.values())) == 40


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    layouts.nyuv2(tmp_path)
    (tmp_path / "train.txt").write_text("0001\n0001\n")
    fails("nyuv2", tmp_path, "train.txt, line 2: picture '0001' stands already in line 1")
    (tmp_path / "train.txt").write_text("0001 0001\n")
    fails("nyuv2", tmp_path, "train.txt, line 1: 2 columns")
    (tmp_path / "train.txt").write_text("0001\n0003")
    Image.new("RGB", (8, 6)).save(tmp_path / "depth/0003.png")
    fails("nyuv2", tmp_path, "depth/0003.png: depth in colours")
    Image.new("L", (9, 6)).save(tmp_path / "depth/0003.png")
    fails("nyuv2", tmp_path, "0003.jpg is 8x6 but its mask", "depth/0003.png is 9x6")
    (tmp_path / "depth/0003.png").unlink()
    fails("nyuv2", tmp_path, "train.txt, line 2: there is no file", "depth/0003.png")
    table = tmp_path / "classes.txt"
    table.write_text("0 wall\n255 nothing\n")
    fails("nyuv2", tmp_path, "class 'nothing' has the raw value 255", labels=str(table))
    (tmp_path / "labels40").rename(tmp_path / "labels")
    fails("nyuv2", tmp_path, "no folder labels40 in it")


@pytest.mark.parametrize("classes", [40, 13])
def test_real_nyuv2(data_root: Path, classes: int) -> None:
    source = open_format(DataConfig(format="nyuv2", root=str(data_root / "nyuv2"), options={"classes": classes}))
    assert {split: len(source.items(split)) for split in ("train", "test")} == {"train": 795, "test": 654}
    assert {"semi/labeled_1_4", "semi/unlabeled_1_16"} <= set(source.splits())
    check_split(source, "test", limit=4)
    sample = source.read(source.items("test")[0])
    assert sample.image.shape == (288, 384, 3)
    assert sample.depth is not None
    assert 1 < sample.depth.min() < sample.depth.max() < 10.01
    names = (data_root / "nyuv2" / "classes40.txt").read_text().splitlines()
    assert [f"{index} {name}" for index, name in enumerate(NYU40)] == [line.strip() for line in names]
