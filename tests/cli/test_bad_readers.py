"""Published data sets laid out or labelled wrongly, through the installed command: one `error:` line, exit code 2,
nothing written. And predictions with raw ids, which is what the servers of these sets take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
from layouts import grey, halves, palette
from PIL import Image
from support import TINY, Cli, refused

KEYS = (*TINY, "data.val=train")


def _to_grey(root: Path) -> None:
    for path in (root / "VOCdevkit/VOC2012/SegmentationClass").glob("*.png"):
        palette(path, halves(1, 2, 3))
        with Image.open(path) as opened:
            made = opened.convert("L")
        made.save(path)


def _table(root: Path, text: str) -> None:
    (root / "table.txt").write_text(text)


def _train_ids(root: Path) -> None:
    for path in (root / "gtFine/train").rglob("*_labelTrainIds.png"):
        shutil.copy(path, path.with_name(path.name.replace("labelTrainIds", "labelIds")))


def _label_ids(root: Path) -> None:
    for path in (root / "gtFine/train").rglob("*_labelIds.png"):
        shutil.copy(path, path.with_name(path.name.replace("labelIds", "labelTrainIds")))


def _eight_bits(root: Path) -> None:
    for path in (root / "gtFine/train").rglob("*_instanceIds.png"):
        grey(path, halves(7, 26001 % 256))


def _outside(root: Path) -> None:
    layouts.coco_file(
        root / "annotations/instances_train.json",
        annotations=[{"id": 4, "image_id": 7, "category_id": 1, "segmentation": [[90, 1, 95, 1, 95, 5]]}],
    )


def _coco(root: Path, **changes: Any) -> None:
    layouts.coco_file(root / "annotations/instances_train.json", **changes)


CROWD = {"image_id": 7, "category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 6]]}

# what -> format, how it is spoiled, settings, words of the message
WRONG: dict[str, tuple[str, Callable[[Path], Any], tuple[str, ...], tuple[str, ...]]] = {
    "palette mask read as grey": ("voc", _to_grey, (), ("SegmentationClass/2007_00000", "38", "75", "113", "to grey")),
    "void as a class": (
        "voc",
        lambda root: _table(root, "0 background\n15 person\n255 edge\n"),
        ("data.labels=voc/table.txt",),
        ("class 'edge' has the raw value 255", "the void of VOC masks"),
    ),
    "train ids for label ids": ("cityscapes", _train_ids, (), ("labelIds.png: value 255", "data.options.ids='train'")),
    "label ids for train ids": (
        "cityscapes",
        _label_ids,
        ("data.options.ids=train",),
        ("labelTrainIds.png: value 26", "data.options.ids='label'"),
    ),
    "8-bit instances": ("cityscapes", _eight_bits, (), ("instanceIds.png: number 145", "saved with 8 bits")),
    "columns": (
        "voc",
        lambda root: (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt").write_text("2007_000002 1\n"),
        (),
        ("train.txt, line 1: 2 columns",),
    ),
    "twice in a list": (
        "gta5",
        lambda root: (root / "train.txt").write_text("1\n00001\n"),
        (),
        ("train.txt, line 2: picture '00001' stands already",),
    ),
    "polygon outside": ("coco", _outside, (), ("annotation 4: a polygon from (90, 1)", "outside its picture of 8x6")),
    "annotation id twice": (
        "coco",
        lambda root: _coco(root, annotations=[{"id": 4, **CROWD}, {"id": 4, **CROWD}]),
        (),
        ("instances_train.json: annotations number 2: id 4 stands already",),
    ),
    "unknown category": (
        "coco",
        lambda root: _coco(root, annotations=[{"id": 4, **CROWD, "category_id": 77}]),
        (),
        ("instances_train.json: annotation 4: category_id 77 is not among the 2 categories",),
    ),
    "missing mask": (
        "mapillary",
        lambda root: (root / "training/v1.2/labels/_b.png").unlink(),
        ("data.train=training", "data.val=training"),
        ("split 'training': 1 of 2 pictures have no mask", "_b.jpg"),
    ),
    "empty split": (
        "nyuv2",
        lambda root: (root / "train.txt").write_text("\n"),
        (),
        ("train.txt: lists no picture",),
    ),
    "no masks": ("voc", lambda root: None, ("data.train=test",), ("split 'test': 1 of 1 pictures have no mask",)),
}


@pytest.mark.parametrize("what", WRONG)
def test_training_is_refused(structseg_cli: Cli, tmp_path: Path, what: str) -> None:
    name, spoil, settings, words = WRONG[what]
    layouts.BUILD[name](tmp_path / name)
    spoil(tmp_path / name)
    given = ("train", "pairs_ce", f"data.format={name}", f"data.root={name}", *KEYS, *settings, "--out", "run")
    refused(structseg_cli, *given, out=tmp_path / "run", words=words)


@pytest.fixture(scope="module")
def street_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on a tiny Cityscapes, beside its data."""
    from structseg.recipes import read
    from structseg.training.run import train

    folder = tmp_path_factory.mktemp("street")
    layouts.cityscapes(folder / "cityscapes")
    settings = ("data.format=cityscapes", f"data.root={folder / 'cityscapes'}", "evaluation.split=val", *KEYS)
    train(read("pairs_ce", (*settings, "data.val=val")), out=folder / "run", quiet=True)
    return folder


def test_pictures_without_masks_are_predicted_and_not_scored(
    structseg_cli: Cli, street_run: Path, tmp_path: Path
) -> None:
    pictures = street_run / "cityscapes/leftImg8bit/test"
    done = structseg_cli("predict", street_run / "run", pictures, "--out", tmp_path / "plain")
    assert done.returncode == 0, done.stderr
    done = structseg_cli("predict", street_run / "run", pictures, "--out", tmp_path / "raw", "--ids", "raw")
    assert done.returncode == 0, done.stderr
    server = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])
    written = sorted((tmp_path / "raw/index").rglob("*.png"))
    assert len(written) == 3
    for path in written:
        with Image.open(path) as raw, Image.open(tmp_path / "plain" / path.relative_to(tmp_path / "raw")) as plain:
            assert raw.mode == "L"
            np.testing.assert_array_equal(np.array(raw), server[np.array(plain)])
    words = ("split 'test': 3 of 3 pictures have no mask",)
    refused(structseg_cli, "evaluate", street_run / "run", "--split", "test", out=tmp_path / "none", words=words)


def test_ids_that_cannot_be_written(structseg_cli: Cli, tmp_path: Path) -> None:
    from structseg.recipes import read
    from structseg.training.run import train

    root = tmp_path / "colours"
    table = '[[class]]\nname = "wall"\ncolour = "#800000"\n[[class]]\nname = "pole"\nvalues = [7]\ncolour = "#008000"\n'
    for split in ("train", "val"):
        layouts.picture(root / "images" / split / "a.png")
        colours = np.array([(128, 0, 0), (0, 128, 0)], np.uint8)[halves(0, 1)]
        (root / "masks" / split).mkdir(parents=True)
        Image.fromarray(colours).save(root / "masks" / split / "a.png")
    (root / "labels.toml").write_text(table)
    train(read("pairs_ce", (f"data.root={root}", *KEYS)), out=tmp_path / "run", quiet=True)
    given = ("predict", tmp_path / "run", root / "images", "--out", tmp_path / "out", "--ids")
    words = ("labels.toml: class 'wall' has no raw value", "class ids instead")
    refused(structseg_cli, *given, "raw", out=tmp_path / "out", words=words)
    refused(structseg_cli, *given, "server", out=tmp_path / "out", words=("--ids server: write class or raw",))
