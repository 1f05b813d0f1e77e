"""CamVid as SegNet's authors share it: the rules of every format, the real frames in both layouts, what goes wrong."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
import test_formats_contract as contract
from inspect_sets import kinds, look
from layouts import grey, halves
from PIL import Image

from structseg.config import DataConfig
from structseg.data import Format, check_split, fingerprint, open_format, tables
from structseg.data.download import find
from structseg.data.download.unpack import unpack
from structseg.data.formats.camvid import CamVid
from structseg.data.formats.pairs import Pairs
from structseg.data.labels import read_labels
from structseg.errors import DataError
from structseg.recipes import read

SPLITS = {"train": ("A_2", "A_1"), "val": ("A_2", "A_1"), "test": ("B_1", "B_2")}


def camvid(root: Path, **keys: Any) -> Format:
    return open_format(DataConfig(format="camvid", root=str(root), **keys))


def fails(root: Path, *parts: str, split: str = "train", **keys: Any) -> None:
    layouts.fails("camvid", root, *parts, split=split, **keys)


# ------------------------------------------------------------------------------------------------ as every format


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny set of the contract is laid out as published."""
    monkeypatch.setitem(layouts.BUILD, "camvid", layouts.camvid_published)
    monkeypatch.setitem(layouts.SPLITS, "camvid", SPLITS)


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    "rule",
    [
        contract.test_protocol,
        contract.test_fits_its_own_layout_and_no_empty_folder,
        contract.test_splits_and_order,
        contract.test_read,
        contract.test_counts_are_those_of_what_is_read,
        contract.test_a_class_can_be_ignored_by_name,
    ],
)
def test_the_contract_of_formats_holds(rule: Callable[[str, Path], None], tmp_path: Path) -> None:
    rule("camvid", tmp_path)


@pytest.mark.usefixtures("published")
def test_fits_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contract.test_fits_opens_no_file("camvid", tmp_path, monkeypatch)


# ------------------------------------------------------------------------------------------------ what it reads


def test_the_built_in_table_is_that_of_the_packed_set(data_root: Path) -> None:
    read = read_labels(data_root / "camvid" / "classes.txt")
    built_in = tables.camvid()
    assert built_in == replace(read, thin=built_in.thin, source=built_in.source)
    assert (
        built_in.thin == camvid(data_root / "camvid").labels.thin == ("Pole", "SignSymbol", "Pedestrian", "Bicyclist")
    )


def as_published(packed: Path, root: Path, split: str, count: int) -> None:
    """The first frames of the packed set in the published layout, their pictures as PNG."""
    names = (packed / f"{split}.txt").read_text().split()[:count]
    for folder in (split, f"{split}annot"):
        (root / folder).mkdir()
    for name in names:
        with Image.open(packed / "images" / split / f"{name}.jpg") as frame:
            frame.save(root / split / f"{name}.png")
        with Image.open(packed / "labels" / split / f"{name}.png") as mask:
            Image.fromarray(np.asarray(mask)).save(root / f"{split}annot" / f"{name}.png")  # grey, no palette
    lines = [f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n" for name in names]
    (root / f"{split}.txt").write_text("".join(lines))


def test_real_frames_are_the_same_in_both_layouts(data_root: Path, tmp_path: Path) -> None:
    as_published(data_root / "camvid", tmp_path, "test", 12)
    packed, source = camvid(data_root / "camvid"), camvid(tmp_path)
    items = source.items("test")
    assert [(item.name, item.group, item.index) for item in items] == [
        (item.name, item.group, item.index) for item in packed.items("test")[:12]
    ]
    assert [item.group for item in items] == ["0001TP-000"] * 10 + ["0001TP-001"] * 2
    ours, theirs = source.read(items[0]), packed.read(packed.items("test")[0])
    assert ours.target is not None
    assert theirs.target is not None
    np.testing.assert_array_equal(ours.image, theirs.image)
    np.testing.assert_array_equal(ours.target, theirs.target)
    check_split(source, "test")
    (tmp_path / "test.txt").unlink()
    assert source.items("test") == items  # the published lists are sorted by name
    assert len(fingerprint(source, "test")) == 16


def test_inspect_knows_the_published_layout(tmp_path: Path) -> None:
    layouts.camvid_published(tmp_path / "CamVid")
    found = look(tmp_path / "CamVid")
    assert found.facts["format"] == "camvid"
    assert {row["name"]: row["pictures"] for row in found.facts["splits"]} == dict.fromkeys(SPLITS, 2)
    assert [row["meaning"] for row in found.facts["values"]] == ["Sky", "Pole", "ignored"]
    assert "list" not in kinds(found)
    with pytest.raises(DataError, match=r"data sets lie below it: CamVid \(camvid\)"):
        look(tmp_path)


def test_own_tables(tmp_path: Path) -> None:
    """`classes.txt` goes before the built-in table, `data.labels` before both; a set with a table may be anybody's."""
    layouts.camvid_published(tmp_path)
    assert CamVid.fits(tmp_path)
    (tmp_path / "classes.txt").write_text("0 sky\n2 thing\n11 void\n")
    assert camvid(tmp_path).labels.names == ("sky", "thing")
    assert camvid(tmp_path).labels.thin == ()
    assert not CamVid.fits(tmp_path)
    assert Pairs.fits(tmp_path)
    table = tmp_path / "mine.txt"
    table.write_text("0 Sky\n2 Pole\n11 void\n")
    assert camvid(tmp_path, labels=str(table)).labels.thin == ("Pole",)
    table.write_text("0 Sky\n2 Pole\n11 rest\n")
    fails(tmp_path, "class 'rest' has the raw value 11, which is the void of CamVid masks", labels=str(table))


# ------------------------------------------------------------------------------------------------ what goes wrong


def test_neither_layout(tmp_path: Path) -> None:
    layouts.camvid_published(tmp_path / "CamVid")
    fails(tmp_path, "neither train/ and trainannot/ nor images/ and labels/ in it", "FOLDER/CamVid")
    (tmp_path / "images").mkdir()
    fails(tmp_path, "classes.txt: no such file")


def test_a_pair_that_is_not_whole(tmp_path: Path) -> None:
    layouts.camvid_published(tmp_path)
    (tmp_path / "testannot/B_2.png").unlink()
    fails(tmp_path, "test/B_2.png: has no mask in", "testannot; add it, or take the picture out", split="test")
    (tmp_path / "test/B_2.png").unlink()
    grey(tmp_path / "testannot/B_3.png", halves(0, 2))
    fails(tmp_path, "testannot/B_3.png: has no picture in", "test; add it, or take the mask out", split="test")
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "test").mkdir()
    fails(tmp_path, "test: no .png in this folder; unpack the set again", split="test")
    shutil.rmtree(tmp_path / "testannot")
    fails(tmp_path, "there is no split 'test'; splits here: train, val", split="test")
    (tmp_path / "trainannot/A_1.png").unlink()
    fails(tmp_path, "train.txt, line 2: there is no file", "trainannot/A_1.png; add it, or take the line out")
    found = look(tmp_path)
    assert found.broken
    assert "list" in kinds(found, "error")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a/train/A_1.png /a/trainannot/A_1.png /b\n", "train.txt, line 1: 3 columns; write 'picture mask'"),
        ("A_1\n", "train.txt, line 1: 1 columns; write 'picture mask'"),
        ("\ntrain/A_3.png trainannot/A_1.png\n", "train.txt, line 2: there is no file"),
        ("x/A_1.png y/A_1.png\n" * 2, "train.txt, line 2: picture 'A_1' stands already in line 1"),
        (f"{'a' * 300}.png A_1.png", "train.txt, line 1: there is no file"),
        ("\n", "train.txt: lists no picture"),
    ],
)
def test_lists_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    layouts.camvid_published(tmp_path)
    (tmp_path / "train.txt").write_text(text)
    fails(tmp_path, message)


def test_a_value_that_camvid_does_not_have(tmp_path: Path) -> None:
    layouts.camvid_published(tmp_path)
    grey(tmp_path / "trainannot/A_1.png", halves(0, 12))
    fails(tmp_path, "A_1.png: value 12 (24 pixels) not in the label table CamVid")


# ------------------------------------------------------------------------------------------------ its download


def test_what_is_downloaded_is_what_the_recipes_read(tmp_path: Path) -> None:
    """An archive like the published one, unpacked as the entry says."""
    entry = find("camvid")
    (file,) = entry.files
    outer = file.inside.removesuffix("/CamVid")
    layouts.camvid_published(tmp_path / outer / "CamVid")
    (tmp_path / outer / "README.md").write_text("a tutorial\n")
    with zipfile.ZipFile(tmp_path / file.filename, "w") as archive:
        for path in sorted((tmp_path / outer).rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    unpack(tmp_path / file.filename, tmp_path / "data" / file.into, inside=file.inside)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["CamVid"]
    assert "data.root=FOLDER/CamVid" in entry.use
    config = read("camvid_aaf", [f"data.root={tmp_path / 'data' / 'CamVid'}"])
    assert config.data.format == entry.format == "camvid"
    source = open_format(config.data)
    for split in (config.data.train, config.data.val, config.data.test):
        check_split(source, split)
    assert source.labels.names == tuple(tables.CAMVID)
