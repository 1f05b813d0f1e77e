"""PASCAL VOC: every folder that may be called so, masks of every kind, instances, tags, lists, and what goes wrong."""

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
from scipy.io import savemat

from structseg.config import DataConfig
from structseg.data import Format, check_split, open_format
from structseg.data.labels import default_palette
from structseg.errors import DataError

TARGET = halves(0, 15, 255)


def voc(root: Path, **keys: Any) -> Format:
    return open_format(DataConfig(format="voc", root=str(root), **keys))


def fails(root: Path, *parts: str, split: str = "train", **keys: Any) -> None:
    layouts.fails("voc", root, *parts, split=split, **keys)


def test_the_table_is_the_standard_one() -> None:
    root = Path(__file__).parent
    with pytest.raises(DataError, match="no JPEGImages in it, in VOC2012 or in VOCdevkit/VOC2012"):
        voc(root)
    from structseg.data.tables import voc as table

    labels = table()
    assert labels.num_classes == 21
    assert (labels.names[0], labels.names[15], labels.names[20]) == ("background", "person", "tvmonitor")
    assert labels.palette[15] == (192, 128, 128)
    assert labels.palette[20] == (0, 64, 128)
    assert dict(labels.values) == {**{i: i for i in range(21)}, 255: 255}
    assert dict(labels.colours)[224, 224, 192] == 255


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_root_is_the_devkit_or_a_folder_in_it(tmp_path: Path, below: str) -> None:
    layouts.voc(tmp_path)
    source = voc(tmp_path / below)
    assert source.splits() == ("test", "train", "val")
    sample = source.read(source.items("train")[0])
    np.testing.assert_array_equal(sample.target, TARGET)
    np.testing.assert_array_equal(sample.instances, np.where(TARGET == 15, 1, 0))
    assert sample.tags == ("person",)


def test_two_years_need_a_choice(tmp_path: Path) -> None:
    base = layouts.voc(tmp_path)
    shutil.copytree(base, base.parent / "VOC2007")
    fails(tmp_path, "holds VOC2007, VOC2012; choose one", 'data.options.year="2012"')
    fails(tmp_path, "data.options.year: there is no VOC2010", "here: VOC2007, VOC2012", options={"year": "2010"})
    image = voc(tmp_path, options={"year": "2007"}).items("train")[0].image
    assert image is not None
    assert image.is_relative_to(base.parent / "VOC2007")
    assert voc(tmp_path, options={"year": 2007}).items("train")


def test_grey_rgb_and_sbd_masks_in_a_folder_of_their_own(tmp_path: Path) -> None:
    base = layouts.voc(tmp_path)
    names = [item.name for item in voc(tmp_path).items("train")]
    colours = np.array([*default_palette(255), (224, 224, 192)], np.uint8)[TARGET]
    cells = np.array(TARGET, np.uint8)
    cells[cells == 255] = 0  # SBD has no void
    for folder in ("segcls", "rgb", "cls"):
        (base / folder).mkdir()
    for name in names:
        grey(base / "segcls" / f"{name}.png", TARGET)
        Image.fromarray(colours).save(base / "rgb" / f"{name}.png")
        savemat(base / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": cells, "Boundaries": 0}})
    for folder, expected in {"segcls": TARGET, "rgb": TARGET, "cls": cells}.items():
        source = voc(tmp_path, options={"masks": folder})
        sample = source.read(source.items("train")[0])
        np.testing.assert_array_equal(sample.target, expected, err_msg=folder)
        check_split(source, "train")
    savemat(base / "cls" / f"{names[0]}.mat", {"GTinst": 1})
    fails(tmp_path, f"{names[0]}.mat: not one of SBD's masks", options={"masks": "cls"})
    fails(tmp_path, "data.options.masks: there is no folder", options={"masks": "segclass"})


def test_the_official_mask_goes_before_the_augmented(tmp_path: Path) -> None:
    base = layouts.voc(tmp_path)
    for name in ("2007_000002", "2008_000009"):
        palette(base / "SegmentationClassAug" / f"{name}.png", halves(0, 7))
    (base / "ImageSets/Segmentation/train_aug.txt").write_text("2007_000002\n2008_000009")
    source = voc(tmp_path)
    first, second = (source.read(item) for item in source.items("train_aug"))
    np.testing.assert_array_equal(first.target, TARGET)
    np.testing.assert_array_equal(second.target, halves(0, 7))
    assert second.instances is None
    assert second.tags == ()


def test_train_aug_is_formed_of_both_folders_without_val(tmp_path: Path) -> None:
    """Two masks of train, one of val that SBD has, too, one that SBD alone has, one picture without any."""
    base = layouts.voc(tmp_path)
    fails(tmp_path, "no train_aug.txt", "SegmentationClassAug", "download voc2012_aug", split="train_aug")
    layouts.picture(base / "JPEGImages/2007_000000.jpg")
    layouts.picture(base / "JPEGImages/2008_000001.jpg")
    for name in ("2007_000000", "2007_000002", "2008_000003"):
        palette(base / "SegmentationClassAug" / f"{name}.png", halves(0, 7))
    source = voc(tmp_path)
    assert source.splits() == ("test", "train", "train_aug", "val")
    items = source.items("train_aug")
    assert [item.name for item in items] == ["2007_000000", "2007_000001", "2007_000002"]
    assert [item.index for item in items] == [0, 1, 2]
    masks = [item.target.parent.name for item in items if item.target]
    assert masks == ["SegmentationClassAug", "SegmentationClass", "SegmentationClass"]
    assert [item.name for item in source.items("val")] == ["2008_000003"]
    check_split(source, "train_aug")
    lists = base / "ImageSets/Segmentation"
    (lists / "train_aug.txt").write_text("2007_000002\n")  # a list goes first
    assert [item.name for item in voc(tmp_path).items("train_aug")] == ["2007_000002"]
    (lists / "train_aug.txt").unlink()
    (base / "JPEGImages/2007_000000.jpg").unlink()
    fails(tmp_path, "SegmentationClassAug/2007_000000.png: there is no file", "2007_000000.jpg", split="train_aug")
    (base / "SegmentationClassAug/2007_000000.png").unlink()
    (lists / "val.txt").write_text("2007_000001\n2007_000002\n2008_000003\n")
    fails(tmp_path, "no masks beside those of", "val.txt", "split 'train_aug' is empty", split="train_aug")
    (lists / "val.txt").unlink()
    fails(tmp_path, "no train_aug.txt", "there must be val.txt", "splits here: test, train", split="train_aug")


def test_train_aug_leaves_out_a_val_of_pairs_and_masks_chosen_otherwise_form_none(tmp_path: Path) -> None:
    base = layouts.voc(tmp_path)
    palette(base / "SegmentationClassAug/2008_000009.png", halves(0, 7))
    (base / "ImageSets/Segmentation/val.txt").unlink()
    (base / "val.txt").write_text("JPEGImages/2008_000003.jpg SegmentationClass/2008_000003.png\n")
    names = [item.name for item in voc(base).items("train_aug")]
    assert names == ["2007_000001", "2007_000002", "2008_000009"]
    assert "train_aug" not in voc(base, options={"masks": "SegmentationClass"}).splits()


def test_lists_of_pairs_as_published_with_aaf(tmp_path: Path) -> None:
    base = layouts.voc(tmp_path)
    root = tmp_path / "aaf"
    root.mkdir()
    base.rename(root / "VOC2012")
    grey(root / "VOC2012/segcls/2007_000002.png", TARGET)
    grey(root / "sbd/dataset/clsimg/2008_000003.png", halves(0, 7))
    lists = root / "lists"
    lists.mkdir()
    line = "VOC2012/JPEGImages/2007_000002.jpg VOC2012/segcls/2007_000002.png"
    (lists / "train+.txt").write_text(f"{line}\nVOC2012/JPEGImages/2008_000003.jpg sbd/dataset/clsimg/2008_000003.png")
    (lists / "test.txt").write_text("VOC2012/JPEGImages/2008_000009.jpg\n")
    for options in ({"lists": "lists"}, {}):
        if not options:
            (lists / "train+.txt").rename(root / "train+.txt")
        source = voc(root, options=options)
        assert "train+" in source.splits()
        first, second = source.items("train+")
        assert first.name == "VOC2012/JPEGImages/2007_000002"
        assert second.target == root / "sbd/dataset/clsimg/2008_000003.png"
        sample = source.read(first)
        np.testing.assert_array_equal(sample.target, TARGET)
        assert sample.instances is not None
        assert sample.tags == ("person",)
    assert voc(root, options={"lists": "lists"}).items("test")[0].target is None
    (lists / "bad.txt").write_text(f"{line} 1\n")
    fails(root, "bad.txt, line 1: 3 columns; write 'image mask'", split="bad", options={"lists": "lists"})
    (lists / "bad.txt").write_text(f"{line}\n{line}\n")
    fails(root, "bad.txt, line 2: picture", "stands already in line 1", split="bad", options={"lists": "lists"})
    fails(root, "data.options.lists: there is no folder", options={"lists": "list"})


def test_without_lists_all_pictures_are_one_split(tmp_path: Path) -> None:
    base = layouts.voc(tmp_path)
    shutil.rmtree(base / "ImageSets")
    fails(tmp_path, "split 'all': 1 of 4 pictures have no mask", "2008_000009.jpg", split="all")
    (base / "JPEGImages/2008_000009.jpg").unlink()
    assert [item.name for item in voc(tmp_path).items("all")] == ["2007_000001", "2007_000002", "2008_000003"]
    fails(tmp_path, "there is no split 'train'; splits here: all")


def test_tags_from_a_file_go_first(tmp_path: Path) -> None:
    base = layouts.voc(tmp_path)
    (tmp_path / "tags.txt").write_text("2007_000002 dog cat dog\n2007_000001\n")
    source = voc(tmp_path, ignore=("cat",))
    assert [item.tags for item in source.items("train")] == [("dog",), ()]
    (tmp_path / "tags.txt").write_text("2007_000002 dgo\n")
    fails(tmp_path, "tags.txt, line 1: there is no class 'dgo'; did you mean 'dog'?")
    (tmp_path / "tags.txt").write_text("2007_000002 dog\n2007_000002 cat\n")
    fails(tmp_path, "tags.txt, line 2: '2007_000002' stands twice")
    (tmp_path / "tags.txt").unlink()
    (base / "Annotations/2007_000001.xml").write_text("<annotation><object><name>persno</name></object></annotation>")
    fails(tmp_path, "2007_000001.xml: there is no class 'persno'; did you mean 'person'?")
    (base / "Annotations/2007_000002.xml").write_text("<annotation>")
    fails(tmp_path, "2007_000002.xml: cannot be read as XML")


def _luminance(base: Path) -> None:
    """The palette mask as `convert("L")` makes it."""
    path = base / "SegmentationClass/2007_000002.png"
    palette(path, halves(1, 2, 3))
    with Image.open(path) as opened:
        made = opened.convert("L")
    made.save(path)
    assert set(np.unique(np.asarray(made))) == {38, 75, 113}


def _write(name: str, text: str) -> Callable[[Path], Any]:
    return lambda base: (base / name).write_text(text)


WRONG: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "luminance": (_luminance, ("2007_000002.png", "38", "75", "113", "brightnesses", "converted to grey")),
    "columns": (
        _write("ImageSets/Segmentation/train.txt", "2007_000002 -1\n"),
        ("train.txt, line 1: 2 columns in a list of names",),
    ),
    "twice": (
        _write("ImageSets/Segmentation/train.txt", "2007_000002\n\n2007_000002"),
        ("train.txt, line 3: picture '2007_000002' stands already in line 1",),
    ),
    "empty": (_write("ImageSets/Segmentation/train.txt", "\n"), ("train.txt: lists no picture",)),
    "no picture": (
        _write("ImageSets/Segmentation/train.txt", "2007_000002\n2007_9\n"),
        ("train.txt, line 2: there is no file", "JPEGImages/2007_9.jpg"),
    ),
    "no mask": (
        lambda base: (base / "SegmentationClass/2007_000001.png").unlink(),
        ("split 'train': 1 of 2 pictures have no mask in", "SegmentationClassAug", "first", "2007_000001.jpg"),
    ),
    "size of instances": (
        lambda base: Image.new("L", (3, 3)).save(base / "SegmentationObject/2007_000001.png"),
        ("2007_000001.jpg is 8x6 but its mask", "SegmentationObject/2007_000001.png is 3x3"),
    ),
    "colour instances": (
        lambda base: Image.new("RGB", (8, 6)).save(base / "SegmentationObject/2007_000001.png"),
        ("SegmentationObject/2007_000001.png: instances in colours",),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told(tmp_path: Path, what: str) -> None:
    spoil, parts = WRONG[what]
    spoil(layouts.voc(tmp_path))
    fails(tmp_path, *parts)


def test_void_is_no_class(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    table = tmp_path / "table.txt"
    table.write_text("0 background\n15 person\n255 border\n")
    fails(tmp_path, "class 'border' has the raw value 255, which is the void of VOC masks", labels=str(table))
    table.write_text("0 background\n15 person\n255 void\n")
    assert voc(tmp_path, labels=str(table)).labels.num_classes == 2


# ------------------------------------------------------------------------------------------------ real pictures


@pytest.mark.parametrize(
    ("folder", "counts", "classes"),  # classes of a whole split
    [
        ("voc2012_subset", {"train": 97, "train_aug": 600, "val": 200}, set()),
        ("voc2007_masks", {"val": 44}, set()),
        ("coco_voc20", {"train": 269, "trainval": 385, "val": 116}, set()),
        ("samples/labelme_voc2011", {"all": 3}, {0, 5, 6, 7, 9, 15, 18, 255}),
    ],
)
def test_real_sets(data_root: Path, folder: str, counts: dict[str, int], classes: set[int]) -> None:
    source = voc(data_root / folder)
    assert {split: len(source.items(split)) for split in source.splits()} == counts
    for split in source.splits():
        check_split(source, split, limit=6)
    items = source.items(source.splits()[-1])
    for item in items[::40]:
        sample = source.read(item)
        assert sample.target is not None
        assert item.target is not None
        with Image.open(item.target) as opened:
            raw = np.array(opened)
        np.testing.assert_array_equal(sample.target, raw)
        if folder != "samples/labelme_voc2011":
            assert set(sample.tags) >= {source.labels.names[c] for c in np.unique(raw) if 0 < c < 255}
        assert (sample.instances is None) == (folder == "voc2012_subset")
    if classes:
        targets = [source.read(item).target for item in items]
        assert {int(value) for target in targets if target is not None for value in np.unique(target)} == classes


def test_the_formed_train_aug_has_the_pictures_of_the_list(data_root: Path, tmp_path: Path) -> None:
    whole = data_root / "voc2012_subset/VOCdevkit/VOC2012"
    for name in ("JPEGImages", "SegmentationClassAug"):
        (tmp_path / name).symlink_to(whole / name)
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    shutil.copy(whole / "ImageSets/Segmentation/val.txt", lists)
    listed = (whole / "ImageSets/Segmentation/train_aug.txt").read_text().split()
    assert [item.name for item in voc(tmp_path).items("train_aug")] == sorted(listed)


def test_real_tags_are_those_of_the_xml(data_root: Path, tmp_path: Path) -> None:
    by_file = voc(data_root / "coco_voc20").items("val")
    for name in ("JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations", "ImageSets"):
        (tmp_path / name).symlink_to(data_root / "coco_voc20" / name)  # without its tags.txt
    by_xml = voc(tmp_path).items("val")
    assert [set(item.tags) for item in by_file] == [set(item.tags) for item in by_xml]
