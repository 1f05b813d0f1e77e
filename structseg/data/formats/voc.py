"""PASCAL VOC as VOCdevkit/VOC2012, with SBD's masks too, or lists of `image mask` lines as AAF and others use them.

    base/JPEGImages/ID.jpg   base/SegmentationClass/ID.png   base/SegmentationObject/ID.png   base/Annotations/ID.xml
    base/ImageSets/Segmentation/SPLIT.txt (one ID a line)     base is root, root/VOC2012 or root/VOCdevkit/VOC2012

A mask is looked for in SegmentationClass, then in SegmentationClassAug (SBD's masks as PNG), so that the official one
goes first. Masks are palette or grey PNGs of 0..20 and 255 = void, or SBD's own .mat files. A split without any mask
(test) can be predicted, and is refused by training and scoring. Without ImageSets all pictures are the split `all`. A
list root/SPLIT.txt of `image mask` or `image` lines, relative to root, is a split, too.

The split `train_aug`, known as train+ and trainaug, too, needs no list: where SegmentationClassAug and the list of val
lie there and no train_aug.txt, it is every picture that has a mask in either folder and is not in val, sorted by name.
With the published files these are VOC's train and SBD without val: 10,582.

Instances are those of SegmentationObject, 0 = none, its void 255 among it. Tags are read from tags.txt (`ID tag tag`)
in root or base, else from the objects of the XML files.
Source: Everingham et al., IJCV 2015; Hariharan et al., ICCV 2011 (SBD).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from structseg.data import tables
from structseg.data.formats import all_or_none, missing_split, read_lines, refuse_void
from structseg.data.labels import apply, read_labels
from structseg.data.lists import is_pair_list, read_names, read_pairs
from structseg.data.read import SUFFIXES, read_instances, read_item, read_mask
from structseg.errors import ConfigError, DataError, did_you_mean
from structseg.types import Int32, Item, Labels, Sample, UInt8

MASKS = ("SegmentationClass", "SegmentationClassAug")
ENDS = (".png", ".mat")  # of masks
NOT_LISTS = frozenset(("tags.txt", "classes.txt", "labels.txt"))
ALL = "all"  # the split where there are no lists
TRAIN_AUG, VAL = "train_aug", "val"  # the split that is formed without a list, and what it leaves out


class VOC:
    """PASCAL VOC in the layout above.

    `masks`: the folder of masks in base or root, such as "segcls" or "sbd/dataset/cls" ("" = the two above). `lists`:
    the folder of list files in base or root. `year`: such as "2012", where there are several. `labels` replaces the 21
    classes.
    """

    origin = ""

    def __init__(self, *, root: Path, labels: str = "", masks: str = "", lists: str = "", year: str = "") -> None:
        self.root = Path(root)
        self.base = _base(self.root, str(year))
        self.masks = [self._folder(masks, "masks")] if masks else [self.base / name for name in MASKS]
        self.lists = self._folder(lists, "lists") if lists else self.base / "ImageSets" / "Segmentation"
        self.own_lists = bool(lists)
        self.labels = read_labels(labels) if labels else tables.voc()
        refuse_void(self.labels, tables.IGNORE, "the void of VOC masks")

    @staticmethod
    def fits(root: Path) -> bool:
        """JPEGImages and masks, or lists of masks, in root or in a VOCdevkit."""
        found = _bases(root)
        return any((base / name).is_dir() for base in found for name in (*MASKS, "ImageSets/Segmentation"))

    def splits(self) -> tuple[str, ...]:
        """Those of the lists, and `train_aug` where its parts lie there; `all` without lists."""
        return self._splits(self._lists())

    def _splits(self, lists: Mapping[str, Path]) -> tuple[str, ...]:
        augmented = self.base / MASKS[1]
        formed = [TRAIN_AUG] if VAL in lists and augmented in self.masks and augmented.is_dir() else []
        return tuple(sorted({*lists, *formed})) or (ALL,)

    def items(self, split: str) -> tuple[Item, ...]:
        lists = self._lists()
        known = self._splits(lists)
        if split not in known and split == TRAIN_AUG:
            raise DataError(
                f"{self.lists}: there is no {split}.txt, and to form this split there must be {VAL}.txt and "
                f"{self.base / MASKS[1]} (structseg download voc2012_aug); splits here: {', '.join(known)}"
            )
        if split not in known:
            raise missing_split(self.lists if lists else self.root, split, known)
        file = lists.get(split)
        if file and is_pair_list(file):
            items = read_pairs(file, self.root)
        else:
            names = _listed_names(file) if file else self._augmented(lists[VAL]) if lists else self._all()
            items = all_or_none(self._named(names), split, " or ".join(map(str, self.masks)))
        tags = self._tags()
        return tuple(self._complete(item, tags) for item in items)

    def read(self, item: Item) -> Sample:
        return read_item(item, self.labels, target=_read_target, instances=_read_objects)

    def read_target(self, item: Item) -> UInt8 | None:
        return None if item.target is None else _read_target(item.target, self.labels)

    def _folder(self, name: str, key: str) -> Path:
        for folder in (self.base / name, self.root / name):
            if folder.is_dir():
                return folder
        raise ConfigError(f"data.options.{key}: there is no folder {self.root / name} and none in {self.base}")

    def _lists(self) -> dict[str, Path]:
        """Split -> list file; those of `image mask` lines lie in root."""
        files = list(self.lists.glob("*.txt"))
        if not self.own_lists:
            own = [file for file in self.root.glob("*.txt") if file.name not in NOT_LISTS]
            files = [*(file for file in own if is_pair_list(file)), *files]
        return {file.stem: file for file in files}

    def _all(self) -> dict[str, str]:
        """The names of all pictures, each with "": no list or mask names them."""
        pictures = self.base / "JPEGImages"
        names = sorted(entry.stem for entry in pictures.iterdir() if entry.suffix.lower() in SUFFIXES)
        if not names:
            raise DataError(f"{pictures}: no pictures in this folder")
        return dict.fromkeys(names, "")

    def _augmented(self, val: Path) -> dict[str, str]:
        """The names of all masks but those of val, each with its file."""
        files = [file for folder in self.masks if folder.is_dir() for file in folder.iterdir() if file.suffix in ENDS]
        if is_pair_list(val):
            held_out = {item.name.rpartition("/")[2] for item in read_pairs(val, self.root)}
        else:
            held_out = {name for _, name in read_names(val)}
        found = {file.stem: f"{file}: " for file in files if file.stem not in held_out}
        if not found:
            raise DataError(f"{self.base / MASKS[1]}: no masks beside those of {val}, so split '{TRAIN_AUG}' is empty")
        return dict(sorted(found.items()))

    def _named(self, names: Mapping[str, str]) -> Iterator[Item]:
        """The items of these names; the other half says in an error what names them."""
        for index, (name, where) in enumerate(names.items()):
            image = self.base / "JPEGImages" / f"{name}.jpg"
            if not os.path.isfile(image):
                raise DataError(f"{where}there is no file {image}")
            yield Item(name, image, self._mask(name), index=index)

    def _mask(self, name: str) -> Path | None:
        paths = (folder / f"{name}{end}" for folder in self.masks for end in ENDS)
        return next((path for path in paths if os.path.isfile(path)), None)

    def _complete(self, item: Item, tags: dict[str, tuple[str, ...]] | None) -> Item:
        """`item` with its instances and tags."""
        name = item.image.stem if item.image else item.name
        objects = self.base / "SegmentationObject" / f"{name}.png"
        if tags is None:
            found = _xml_tags(self.base / "Annotations" / f"{name}.xml", self.labels)
        else:
            found = tags.get(name, ())
        return replace(item, instances=objects if os.path.isfile(objects) else None, tags=found)

    def _tags(self) -> dict[str, tuple[str, ...]] | None:
        """ID -> tags, where there is a tags.txt."""
        file = next((path for base in (self.root, self.base) if (path := base / "tags.txt").is_file()), None)
        if file is None:
            return None
        found: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(read_lines(file), 1):
            name, *tags = line.split() or [""]
            if name in found:
                raise DataError(f"{file}, line {number}: '{name}' stands twice; keep one line for each picture")
            found[name] = _known(tags, self.labels, f"{file}, line {number}")
        return found


def _listed_names(file: Path) -> dict[str, str]:
    """The names of a list of IDs, each with its line."""
    return {name: f"{file}, line {number}: " for number, name in read_names(file)}


def _bases(root: Path) -> list[Path]:
    """The folders with JPEGImages that root may mean."""
    years = [
        path
        for folder in (root / "VOCdevkit", root)
        for path in sorted(folder.glob("VOC*"))
        if re.fullmatch(r"VOC\d{4}", path.name)
    ]
    return [path for path in (root, *years) if (path / "JPEGImages").is_dir()]


def _base(root: Path, year: str) -> Path:
    found = _bases(root)
    if not found:
        raise DataError(f"{root}: no JPEGImages in it, in VOC2012 or in VOCdevkit/VOC2012; data.root is the devkit")
    chosen = [path for path in found if path.name == f"VOC{year.removeprefix('VOC')}"] if year else found
    if not chosen:
        raise ConfigError(f"data.options.year: there is no VOC{year} in {root}; here: {_listed(found)}")
    if len(chosen) > 1:
        raise ConfigError(f'{root} holds {_listed(found)}; choose one, e.g. data.options.year="{found[-1].name[3:]}"')
    return chosen[0]


def _listed(folders: list[Path]) -> str:
    return ", ".join(folder.name for folder in folders)


def _read_target(path: Path, labels: Labels) -> UInt8:
    return apply(_read_sbd(path), labels, path) if path.suffix == ".mat" else read_mask(path, labels)


def _read_sbd(path: Path) -> UInt8:
    """(H,W) class ids of an SBD file."""
    from scipy.io import loadmat

    try:
        content = loadmat(str(path), squeeze_me=True, struct_as_record=False)["GTcls"].Segmentation
    except (OSError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise DataError(f"{path}: not one of SBD's masks, which hold GTcls.Segmentation ({error})") from error
    return np.asarray(content, np.uint8)


def _read_objects(path: Path) -> Int32:
    """SegmentationObject: 1, 2 ... and 255 = void."""
    objects = read_instances(path)
    objects[objects == tables.IGNORE] = 0
    return objects


def _xml_tags(path: Path, labels: Labels) -> tuple[str, ...]:
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        return ()
    return _known(_xml_names(path, changed), labels, str(path))


@lru_cache(maxsize=1 << 16)  # a split is listed several times in a run
def _xml_names(path: Path, changed: int) -> tuple[str, ...]:
    """The names of the objects, each once, in their order."""
    try:
        tree = ElementTree.parse(path)
    except (ElementTree.ParseError, OSError) as error:
        raise DataError(f"{path}: cannot be read as XML ({error}); copy it again") from error
    return tuple(dict.fromkeys((node.findtext("name") or "").strip() for node in tree.iterfind("object")))


def _known(tags: list[str] | tuple[str, ...], labels: Labels, where: str) -> tuple[str, ...]:
    """Those of `tags` that are classes of the table. Raises DataError for one that VOC does not have either."""
    known = {*labels.names, *tables.VOC}
    if stray := [tag for tag in tags if tag not in known]:
        raise DataError(f"{where}: there is no class '{stray[0]}'{did_you_mean(stray[0], known)}")
    return tuple(dict.fromkeys(tag for tag in tags if tag in labels.names))
