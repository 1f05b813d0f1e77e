"""CamVid, 480x360 frames of five drives with 11 classes and void: as SegNet's authors share it, or packed.

    root/SPLIT/ID.png          root/SPLITannot/ID.png     root/SPLIT.txt (`picture mask` a line, as published)
    root/images/SPLIT/ID.jpg   root/labels/SPLIT/ID.png   root/SPLIT.txt (one ID a line)     root/classes.txt

The first is what `structseg download camvid` makes (root is its CamVid/): grey masks of 0..10 and 11 = void, so that
the table is built in. Its lists write places of their authors' machine (/SegNet/CamVid/train/ID.png), of which only the
file names count; a split without a list is its folder, sorted by name. In both layouts an item's name is the ID.

Consecutive frames are near copies, so 10 of them, in the order of the list and of one drive (the ID before its last
underscore), share a group: intervals are drawn over groups.
Source: Brostow, Fauqueur, Cipolla, "Semantic object classes in video", PRL 2009; Badrinarayanan, Kendall, Cipolla,
"SegNet", PAMI 2017 (size, classes and splits).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from structseg.data import tables
from structseg.data.formats import missing_split, read_lines, refuse_void
from structseg.data.formats.pairs import TABLES
from structseg.data.labels import read_labels
from structseg.data.read import read_item
from structseg.errors import DataError
from structseg.types import Item, Sample

ANNOTATED = "annot"  # what SegNet's authors append to the name of a split: the folder of its masks
BLOCK = 10  # frames of a drive that count as near copies


class CamVid:
    """CamVid in the layouts above. `labels` replaces the folder's `classes.txt`, and that the built-in table."""

    origin = ""

    def __init__(self, *, root: Path, labels: str = "") -> None:
        self.root = Path(root)
        self.published = not (self.root / "images").is_dir()
        if self.published and not _annotated(self.root):
            raise DataError(
                f"{self.root}: neither train/ and trainannot/ nor images/ and labels/ in it; data.root holds them; "
                f"after structseg download camvid --out FOLDER it is FOLDER/CamVid"
            )
        own = self.root / "classes.txt"
        built_in = self.published and not labels and not own.is_file()
        table = tables.camvid() if built_in else read_labels(labels or own)
        own_thin = tuple(name for name in tables.CAMVID_THIN if name in table.names)
        self.labels = table if table.thin else replace(table, thin=own_thin)
        if self.published:
            refuse_void(self.labels, tables.CAMVID_VOID, "the void of CamVid masks")

    @staticmethod
    def fits(root: Path) -> bool:
        """SPLIT/ and SPLITannot/ and no label table; or images/, labels/, classes.txt and a list of a folder's name."""
        if not (root / "images").is_dir():
            return bool(_annotated(root)) and not any((root / name).is_file() for name in TABLES)
        return (root / "labels").is_dir() and (root / "classes.txt").is_file() and bool(_packed(root))

    def splits(self) -> tuple[str, ...]:
        return _annotated(self.root) if self.published else _packed(self.root)

    def items(self, split: str) -> tuple[Item, ...]:
        if split not in self.splits():
            raise missing_split(self.root, split, self.splits())
        file = self.root / f"{split}.txt"
        files = self._from_folders(split) if self.published and not file.is_file() else self._listed(file)
        seen: Counter[str] = Counter()
        items: list[Item] = []
        for name, image, target in files:
            drive = name.rpartition("_")[0]
            items.append(Item(name, image, target, group=f"{drive}-{seen[drive] // BLOCK:03d}", index=len(items)))
            seen[drive] += 1
        return tuple(items)

    def read(self, item: Item) -> Sample:
        return read_item(item, self.labels)

    def _listed(self, file: Path) -> Iterator[tuple[str, Path, Path]]:
        """Name, picture and mask of each line of a list."""
        first_line: dict[str, int] = {}
        for number, line in enumerate(read_lines(file), 1):
            if not (written := line.strip()):
                continue
            where = f"{file}, line {number}"
            name, image, target = self._paths(file.stem, written, where)
            if name in first_line:
                raise DataError(f"{where}: picture '{name}' stands already in line {first_line[name]}")
            first_line[name] = number
            for path in (image, target):
                if not os.path.isfile(path):  # unlike Path.is_file, on any length of name
                    raise DataError(f"{where}: there is no file {path}; add it, or take the line out")
            yield name, image, target
        if not first_line:
            raise DataError(f"{file}: lists no picture")

    def _paths(self, split: str, written: str, where: str) -> tuple[str, Path, Path]:
        """Of a line `ID`, or as published `/SegNet/CamVid/train/ID.png /SegNet/CamVid/trainannot/ID.png`."""
        if not self.published:
            folders = self.root / "images" / split, self.root / "labels" / split
            return written, folders[0] / f"{written}.jpg", folders[1] / f"{written}.png"
        files = [PurePosixPath(column).name for column in written.split()]
        if len(files) != 2:
            raise DataError(f"{where}: {len(files)} columns; write 'picture mask', or delete the list")
        return Path(files[0]).stem, self.root / split / files[0], self.root / f"{split}{ANNOTATED}" / files[1]

    def _from_folders(self, split: str) -> Iterator[tuple[str, Path, Path]]:
        """Name, picture and mask of a split without list, sorted by name."""
        image_folder, mask_folder = self.root / split, self.root / f"{split}{ANNOTATED}"
        images, masks = _pictures(image_folder), _pictures(mask_folder)
        if not images:
            raise DataError(f"{image_folder}: no .png in this folder; unpack the set again")
        for name in sorted({*images, *masks}):
            if name not in masks:
                raise DataError(f"{images[name]}: has no mask in {mask_folder}; add it, or take the picture out")
            if name not in images:
                raise DataError(f"{masks[name]}: has no picture in {image_folder}; add it, or take the mask out")
            yield name, images[name], masks[name]


def _annotated(root: Path) -> tuple[str, ...]:
    """The splits of the published layout: folders that have one of masks beside them."""
    masks = (path for path in root.glob(f"*{ANNOTATED}") if path.is_dir())
    names = (path.name.removesuffix(ANNOTATED) for path in masks)
    return tuple(sorted(name for name in names if name and (root / name).is_dir()))


def _packed(root: Path) -> tuple[str, ...]:
    """The splits of the other one: lists of the name of a folder of pictures."""
    return tuple(sorted(file.stem for file in root.glob("*.txt") if (root / "images" / file.stem).is_dir()))


def _pictures(folder: Path) -> dict[str, Path]:
    """Name without ending -> file."""
    return {path.stem: path for path in folder.glob("*.png") if not path.name.startswith(".")}
