"""NYU Depth v2, the 1449 labelled pairs: pictures, depth, and 40 or 13 classes.

    root/images/NNNN.jpg   root/labels40/NNNN.png   root/depth/NNNN.png   root/train.txt test.txt (one name a line)

Masks hold NYU40 - 1 (0..39) and 255 = no label; the 13 classes are merged from them. Depth is 8 bit, metres = value /
25.5, with holes filled. Lists in folders below root are splits, too: `semi/labeled_1_4`.
Source: Silberman et al., ECCV 2012; Gupta et al., CVPR 2013 (40 classes); Couprie et al., ICLR 2013 (13).
"""

from __future__ import annotations

import os
from pathlib import Path

from structseg.data import tables
from structseg.data.formats import missing_split, refuse_void
from structseg.data.labels import read_labels
from structseg.data.lists import read_names
from structseg.data.read import read_item
from structseg.errors import ConfigError, DataError
from structseg.types import Item, Sample

METRES = 1 / 25.5  # of one step of depth
TABLES = frozenset(("classes.txt", "classes40.txt", "classes13.txt", "labels.txt"))


class NYUv2:
    """NYU Depth v2 in the layout above. `classes`: 40 or 13. `labels` replaces them."""

    origin = ""

    def __init__(self, *, root: Path, labels: str = "", classes: int = 40) -> None:
        if classes not in (40, 13):
            raise ConfigError(f"data.options.classes: {classes!r}; NYU Depth v2 has 40 or 13")
        self.root = Path(root)
        for name in ("images", "labels40", "depth"):
            if not (self.root / name).is_dir():
                raise DataError(f"{self.root}: no folder {name} in it; data.root holds images, labels40 and depth")
        self.labels = read_labels(labels) if labels else tables.nyu(classes)
        refuse_void(self.labels, tables.IGNORE, "no label in masks of NYU Depth v2")

    @staticmethod
    def fits(root: Path) -> bool:
        """images/, labels40/ and depth/."""
        return all((root / name).is_dir() for name in ("images", "labels40", "depth"))

    def splits(self) -> tuple[str, ...]:
        lists = [file for pattern in ("*.txt", "*/*.txt") for file in self.root.glob(pattern)]
        return tuple(sorted(f.relative_to(self.root).with_suffix("").as_posix() for f in lists if f.name not in TABLES))

    def items(self, split: str) -> tuple[Item, ...]:
        if split not in self.splits():
            raise missing_split(self.root, split, self.splits())
        file = self.root / f"{split}.txt"
        return tuple(self._item(file, *line, index) for index, line in enumerate(read_names(file)))

    def read(self, item: Item) -> Sample:
        return read_item(item, self.labels, depth_unit=METRES)

    def _item(self, file: Path, number: int, name: str, index: int) -> Item:
        paths = [self.root / "images" / f"{name}.jpg"]
        paths += [self.root / folder / f"{name}.png" for folder in ("labels40", "depth")]
        for path in paths:
            if not os.path.isfile(path):
                raise DataError(f"{file}, line {number}: there is no file {path}")
        image, target, depth = paths
        return Item(name, image, target, depth=depth, index=index)
