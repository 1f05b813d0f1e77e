"""COCO: pictures and a JSON file of objects a split, drawn into class maps when they are read.

    root/annotations/instances_SPLIT.json   root/SPLIT/NAME.jpg, root/images/SPLIT/NAME.jpg or root/images/NAME.jpg

Class 0 is `background`: what no object covers. Objects are drawn from the largest to the smallest (by the pixels of
their masks; of equal ones the later one last), so that a smaller object lies on top. Crowds (`iscrowd`) are ignored
where no object lies on them. Categories that are not chosen are not drawn. Polygons that reach beyond the picture are
cut off at its edge; one wholly outside is an error. Instances are numbered from 1 in the order of the file; crowds have
none. Tags are the classes of the objects. A split whose file is image_info_SPLIT.json has no masks: it can be
predicted, and is refused by training and scoring.
Source: Lin et al., ECCV 2014.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from structseg.data import tables
from structseg.data.formats import missing_split
from structseg.data.index import Index, read_index
from structseg.data.labels import read_labels
from structseg.data.read import read_item
from structseg.data.segments import Mask, to_mask
from structseg.errors import ConfigError, DataError, did_you_mean
from structseg.types import Int32, Item, Labels, Sample, UInt8

Object = tuple[int, bool, Mask]  # class id, whether it is a crowd, (H,W)
FILES = ("instances_{}.json", "image_info_{}.json")  # below annotations; the second has pictures alone
PICTURES = ("{}", "images/{}", "images")  # below root


class COCO:
    """COCO in the layout above.

    `classes`: "coco" = its 80, "voc" = the 20 of PASCAL VOC, in VOC's order and names, "own" = the categories of your
    own files, or a list of COCO's names. `labels` replaces them by a table whose raw values are category ids and 0 =
    background.
    """

    origin = ""

    def __init__(self, *, root: Path, labels: str = "", classes: str | tuple[str, ...] = "coco") -> None:
        self.root = Path(root)
        self.indexes: dict[Path, Index] = {}  # goes along to loader processes
        if not self.splits():
            raise DataError(f"{self.root}: no annotations/instances_SPLIT.json in it; data.root holds annotations")
        self.categories: dict[int, str] | None = None if labels else tables.COCO  # id -> name, as files must have them
        if labels:
            self.labels = read_labels(labels)
        elif classes == "own":
            self.categories = dict(self._index(self._file(self.splits()[0])).categories)
            names = tuple(self.categories.values())
            self.labels = tables.coco(names, [(raw, raw) for raw in range(len(names) + 1)], "of the COCO file")
        else:
            self.labels = _official(classes)
        # category id -> raw value; own ids may begin with 0, which is the background
        own = enumerate(self.categories, 1) if self.categories and classes == "own" else ()
        self.raw = {category: raw for raw, category in own}
        raw = dict(self.labels.values)
        if 0 not in raw:
            raise DataError(f"label table {self.labels.source}: 0, which is the background of COCO, is in no class")
        self.drawn = frozenset(value for value, index in raw.items() if index != raw[0])

    @staticmethod
    def fits(root: Path) -> bool:
        """annotations/instances_*.json."""
        return any((root / "annotations").glob(FILES[0].format("*")))

    def splits(self) -> tuple[str, ...]:
        folder = self.root / "annotations"
        found = {
            file.name.removesuffix(".json").removeprefix(kind.partition("{")[0])
            for kind in FILES
            for file in folder.glob(kind.format("*"))
        }
        return tuple(sorted(found))

    def items(self, split: str) -> tuple[Item, ...]:
        if split not in self.splits():
            raise missing_split(self.root / "annotations", split, self.splits())
        file = self._file(split)
        index = self._index(file)
        self._check(index)
        target = file if file.name == FILES[0].format(split) else None
        folder = next((path for name in PICTURES if (path := self.root / name.format(split)).is_dir()), None)
        if folder is None:
            raise DataError(f"{file}: there is no folder {self.root / split} or {self.root / 'images' / split}")
        return tuple(_items(index, folder, target))

    def read(self, item: Item) -> Sample:
        sample = read_item(replace(item, target=None), self.labels)
        if item.target is None or item.image is None:
            return sample
        _, height, width = self._index(item.target).images[item.index]
        if sample.image.shape[:2] != (height, width):
            h, w = sample.image.shape[:2]
            raise DataError(f"{item.image} is {w}x{h}, but {item.target} says that it is {width}x{height}")
        size, found = self._objects(item.target, item.index)
        target, instances = draw(found, size, dict(self.labels.values)[0], self.labels.ignore_index)
        present = dict.fromkeys(index for index, crowd, _ in found if not crowd and index < self.labels.num_classes)
        return replace(
            sample, target=target, instances=instances, tags=tuple(self.labels.names[index] for index in present)
        )

    def read_target(self, item: Item) -> UInt8 | None:
        if item.target is None:
            return None
        size, found = self._objects(item.target, item.index)
        return draw(found, size, dict(self.labels.values)[0], self.labels.ignore_index)[0]

    def _file(self, split: str) -> Path:
        files = [self.root / "annotations" / name.format(split) for name in FILES]
        return files[0] if files[0].is_file() else files[1]

    def _index(self, file: Path) -> Index:
        if file not in self.indexes:
            self.indexes[file] = read_index(file)
        return self.indexes[file]

    def _check(self, index: Index) -> None:
        """Raise DataError where the categories of a file are not those that the classes were made for."""
        known = dict(self.labels.values)
        for category, name in index.categories:
            where = f"{index.file}: category {category} '{name}'"
            if self.categories is None and category not in known:
                raise DataError(
                    f"{where} is not in the label table {self.labels.source}; add it, or list it under ignore"
                )
            expected = None if self.categories is None else self.categories.get(category)
            if self.categories is not None and expected != name:
                other = f"it is '{expected}'" if expected else "it does not exist"
                others = "the first file" if self.raw else "COCO"
                raise DataError(
                    f"{where}: {other} in {others}; "
                    f"categories of your own, the same in every file, need data.options.classes='own'"
                )

    def _objects(self, file: Path, place: int) -> tuple[tuple[int, int], list[Object]]:
        """Height and width of a picture as the file says, and its objects of chosen categories."""
        index = self._index(file)
        _, height, width = index.images[place]
        classes = dict(self.labels.values)
        found = []
        for entry in index.read(place):
            raw = self.raw.get(entry["category_id"], entry["category_id"])
            if raw in self.drawn:
                mask = to_mask(entry["segmentation"], (height, width), f"{file}: annotation {entry['id']}")
                found.append((classes[raw], bool(entry.get("iscrowd")), mask))
        return (height, width), found


def draw(objects: Sequence[Object], size: tuple[int, int], background: int, ignore_index: int) -> tuple[UInt8, Int32]:
    """(H,W) class ids and (H,W) numbers of objects, by the rule above."""
    target = np.full(size, background, np.uint8)
    instances = np.zeros(size, np.int32)
    for _, crowd, mask in objects:
        if crowd:
            target[mask] = ignore_index
    things = [(index, mask) for index, crowd, mask in objects if not crowd]
    areas = [np.count_nonzero(mask) for _, mask in things]
    for place in sorted(range(len(things)), key=lambda place: -areas[place]):  # stable: of equal ones the later last
        index, mask = things[place]
        target[mask] = index
        instances[mask] = place + 1
    instances[target == ignore_index] = 0
    return target, instances


def _items(index: Index, folder: Path, target: Path | None) -> Iterator[Item]:
    seen: set[str] = set()
    for place, (name, _, _) in enumerate(index.images):
        if name in seen:
            raise DataError(f"{index.file}: picture '{name}' stands there with two ids")
        seen.add(name)
        image = folder / name
        if not os.path.isfile(image):
            raise DataError(f"{index.file}: there is no file {image}")
        yield Item(Path(name).with_suffix("").as_posix(), image, target, index=place)


def _official(classes: str | tuple[str, ...]) -> Labels:
    """COCO's 80, VOC's 20, or the chosen of the 80; raw values are category ids."""
    if classes == "voc":
        ids = {name: place for place, name in enumerate(tables.COCO_OF_VOC, 1)}
        names: tuple[str, ...] = tables.VOC[1:]
    else:
        names = (
            tuple(tables.COCO.values()) if classes == "coco" else (classes,) if isinstance(classes, str) else classes
        )
        ids = {name: place for place, name in enumerate(names, 1)}
    if stray := [name for name in ids if name not in tables.COCO.values()]:
        near = did_you_mean(str(stray[0]), ["coco", "voc", "own", *tables.COCO.values()])
        raise ConfigError(f"data.options.classes: COCO has no class {stray[0]!r}{near}")
    values = [(category, ids.get(name, 0)) for category, name in tables.COCO.items()]
    return tables.coco(names, [(0, 0), *values], "COCO")
