"""CamVid as images/SPLIT/ID.jpg and labels/SPLIT/ID.png: 480x360 frames of five drives, 11 classes and Void.

    root/images/SPLIT/ID.jpg   root/labels/SPLIT/ID.png   root/SPLIT.txt (one ID a line)   root/classes.txt

Consecutive frames are near copies, so 10 of them, in the order of the list and of one drive (the ID before its last
underscore), share a group: intervals are drawn over groups.
Source: Brostow, Fauqueur, Cipolla, "Semantic object classes in video", PRL 2009.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from structseg.data.formats import missing_split, read_lines
from structseg.data.labels import read_labels
from structseg.data.read import read_item
from structseg.errors import DataError
from structseg.types import Item, Sample

THIN = ("Pole", "SignSymbol", "Pedestrian", "Bicyclist")
BLOCK = 10  # frames of a drive that count as near copies


class CamVid:
    """CamVid in the layout above. `labels` replaces the folder's `classes.txt`."""

    origin = ""

    def __init__(self, *, root: Path, labels: str = "") -> None:
        self.root = Path(root)
        table = read_labels(labels or self.root / "classes.txt")
        own_thin = tuple(name for name in THIN if name in table.names)
        self.labels = table if table.thin else replace(table, thin=own_thin)

    @staticmethod
    def fits(root: Path) -> bool:
        """images/, labels/ and classes.txt, and a list of the name of a folder of pictures."""
        if not ((root / "labels").is_dir() and (root / "classes.txt").is_file()):
            return False
        return any((root / "images" / file.stem).is_dir() for file in root.glob("*.txt"))

    def splits(self) -> tuple[str, ...]:
        return tuple(
            sorted(file.stem for file in self.root.glob("*.txt") if (self.root / "images" / file.stem).is_dir())
        )

    def items(self, split: str) -> tuple[Item, ...]:
        if split not in self.splits():
            raise missing_split(self.root, split, self.splits())
        file = self.root / f"{split}.txt"
        seen: Counter[str] = Counter()
        first_line: dict[str, int] = {}
        items: list[Item] = []
        for number, line in enumerate(read_lines(file), 1):
            if not (name := line.strip()):
                continue
            if name in first_line:
                raise DataError(f"{file}, line {number}: picture '{name}' stands already in line {first_line[name]}")
            first_line[name] = number
            drive = name.rpartition("_")[0]
            items.append(self._item(split, name, f"{drive}-{seen[drive] // BLOCK:03d}", len(items), number))
            seen[drive] += 1
        if not items:
            raise DataError(f"{file}: lists no picture")
        return tuple(items)

    def _item(self, split: str, name: str, group: str, index: int, number: int) -> Item:
        image = self.root / "images" / split / f"{name}.jpg"
        target = self.root / "labels" / split / f"{name}.png"
        for path in (image, target):
            if not os.path.isfile(path):  # unlike Path.is_file, on any length of name
                raise DataError(f"{self.root / split}.txt, line {number}: there is no file {path}")
        return Item(name, image, target, group=group, index=index)

    def read(self, item: Item) -> Sample:
        return read_item(item, self.labels)
