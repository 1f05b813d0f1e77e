"""GTA5 ("Playing for Data"): frames of a game with the labels of Cityscapes.

    root/images/00001.png   root/labels/00001.png   root/train.txt val.txt test.txt (one name a line), or root/split.mat

Masks are palette PNGs whose index is the label id of Cityscapes (0..33, and 34 = licence plate), which become its 19
classes; grey masks of these ids and RGB masks of its colours are read too. Names in lists may lack the leading zeros
and have an ending: 1, 00001 and 00001.png are one picture. `split.mat`, as published, holds the numbers of the frames
(trainIds, valIds, testIds). Without either all pictures are the split `all`.
Source: Richter et al., ECCV 2016.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from structseg.data import tables
from structseg.data.formats import missing_split, refuse_void
from structseg.data.formats.pairs import TABLES
from structseg.data.labels import read_labels
from structseg.data.lists import read_names
from structseg.data.read import SUFFIXES, read_colours, read_item, read_mask
from structseg.errors import ConfigError, DataError
from structseg.types import Item, Sample, UInt8

PLATE = 34  # raw value of licence plates, -1 in Cityscapes
ALL = "all"  # the split where there are no lists
NOT_LISTS = frozenset(("classes.txt", "labels.txt"))


class GTA5:
    """GTA5 in the layout above.

    `ids`: what masks hold, "label" (0..34), "train" (0..18, 255) or "colour": colours of Cityscapes, also where a mask
    has a palette whose index means nothing. `labels` replaces the 19 classes.
    """

    origin = ""

    def __init__(self, *, root: Path, labels: str = "", ids: str = "label") -> None:
        if ids not in ("label", "train", "colour"):
            raise ConfigError(f"data.options.ids: {ids!r}; write 'label' (0..34), 'train' (0..18 and 255) or 'colour'")
        self.root = Path(root)
        self.by_colour = ids == "colour"
        for name in ("images", "labels"):
            if not (self.root / name).is_dir():
                raise DataError(f"{self.root}: there is no folder {name} in it; data.root holds images and labels")
        own = tables.cityscapes("train" if ids == "train" else "label")
        own = own if ids == "train" else replace(own, values=(*own.values, (PLATE, own.ignore_index)))
        self.labels = read_labels(labels) if labels else own
        refuse_void(self.labels, tables.IGNORE, "no label in masks of GTA5")

    @staticmethod
    def fits(root: Path) -> bool:
        """images/ and labels/ with pictures in them that have numbers for names, and no label table: it has none."""
        return not any((root / name).is_file() for name in TABLES) and all(
            _begins_with_number(root / name) for name in ("images", "labels")
        )

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(self._lists())) or (ALL,)

    def items(self, split: str) -> tuple[Item, ...]:
        lists = self._lists()
        if split not in lists and (lists or split != ALL):
            raise missing_split(self.root, split, self.splits())
        images, masks = _pictures(self.root / "images"), _pictures(self.root / "labels")
        wanted = _names(lists[split], split) if lists else [(str(self.root / "images"), name) for name in images]
        if not wanted:
            raise DataError(f"{self.root}: split '{split}' has no picture")
        if stray := sorted(set(masks) - set(images)):
            raise DataError(
                f"{self.root / 'labels'}: {len(stray)} masks without a picture in {self.root / 'images'}, "
                f"first {masks[stray[0]].name}; add the pictures or take the masks out"
            )
        return tuple(self._items(wanted, images, masks))

    def read(self, item: Item) -> Sample:
        return read_item(item, self.labels, target=read_colours if self.by_colour else read_mask)

    def read_target(self, item: Item) -> UInt8 | None:
        read = read_colours if self.by_colour else read_mask
        return None if item.target is None else read(item.target, self.labels)

    def _lists(self) -> dict[str, Path]:
        """Split -> the file that lists it."""
        lists = {file.stem: file for file in self.root.glob("*.txt") if file.name not in NOT_LISTS}
        official = self.root / "split.mat"
        return lists or (dict.fromkeys(("train", "val", "test"), official) if official.is_file() else {})

    def _items(
        self, wanted: Sequence[tuple[str, str]], images: dict[str, Path], masks: dict[str, Path]
    ) -> Iterator[Item]:
        seen: dict[str, str] = {}
        for index, (where, written) in enumerate(wanted):
            name = _number(written)
            if name in seen:
                raise DataError(f"{where}: picture '{written}' stands already as '{seen[name]}'")
            seen[name] = written
            for folder, found in (("images", images), ("labels", masks)):
                if name not in found:
                    raise DataError(f"{where}: there is no file '{written}' in {self.root / folder}")
            yield Item(images[name].stem, images[name], masks[name], index=index)


def _begins_with_number(folder: Path) -> bool:
    first = next((path for path in folder.glob("*.png")), None) if folder.is_dir() else None
    return first is not None and first.stem.isdecimal()


def _number(name: str) -> str:
    """A name without ending and leading zeros."""
    path = PurePosixPath(name)
    stem = path.with_suffix("").as_posix() if path.suffix.lower() in SUFFIXES else name
    return str(int(stem)) if stem.isdecimal() else stem


def _pictures(folder: Path) -> dict[str, Path]:
    """Name without leading zeros -> file, sorted by file name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            name = _number(path.name)
            if name in found:
                raise DataError(f"{path} and {found[name].name} have one number; keep one of them")
            found[name] = path
    return found


def _names(file: Path, split: str) -> list[tuple[str, str]]:
    """(where it stands, name) of each picture of a list."""
    if file.suffix == ".txt":
        return [(f"{file}, line {number}", name) for number, name in read_names(file)]
    from scipy.io import loadmat

    try:
        numbers = np.ravel(loadmat(str(file))[f"{split}Ids"]).astype(np.int64)
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise DataError(f"{file}: cannot be read as the published split file ({error})") from error
    return [(str(file), str(number)) for number in numbers]
