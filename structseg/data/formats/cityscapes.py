"""Cityscapes as published: pictures by split and city, masks of label ids or train ids, instances.

    root/leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png
    root/gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png  ..._labelTrainIds.png  ..._instanceIds.png (16 bit)

Masks of label ids 0..33 become the 19 evaluated classes, so that `predict --ids raw` writes what the server takes. A
split without masks can be predicted, and is refused by training and scoring; so is `test`, whose published masks have
no label. Where leftImg8bit holds pictures and no folders, they are the split `all`.

Instances keep their number, label id * 1000 + n; groups of things, and classes that are not evaluated, are none.
Frames of one sequence of a city (NAME is CITY_SEQUENCE_FRAME) are a group: intervals are drawn over groups.
Source: Cordts et al., CVPR 2016.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from structseg.data import tables
from structseg.data.formats import all_or_none, missing_split, refuse_void
from structseg.data.labels import read_labels
from structseg.data.read import read_instances, read_item
from structseg.errors import ConfigError, DataError
from structseg.types import Int32, Item, Sample

IMAGES = "leftImg8bit"
ALL = "all"  # the split where there are no folders of splits


class Cityscapes:
    """Cityscapes in the layout above.

    `gt`: the folder of masks, "gtFine" or "gtCoarse". `ids`: what masks hold, "label" (0..33) or "train" (0..18, 255).
    `masks`: the end of the masks' names ("" = _gtFine_labelIds and so on). AAF's masks are gt="gtFineId",
    masks="_gtFineId_labelIds", ids="train". `labels` replaces the 19 classes.
    """

    origin = ""

    def __init__(
        self, *, root: Path, labels: str = "", gt: str = "gtFine", ids: str = "label", masks: str = ""
    ) -> None:
        if ids not in ("label", "train"):
            raise ConfigError(f"data.options.ids: {ids!r}; write 'label' (0..33) or 'train' (0..18 and 255)")
        if ids == "label" and masks.endswith("labelTrainIds"):
            raise ConfigError(f"data.options.masks: '{masks}' holds train ids; set data.options.ids='train', too")
        self.root = Path(root)
        self.gt = gt
        self.end = f"{masks or f'_{gt}_' + ('labelIds' if ids == 'label' else 'labelTrainIds')}.png"
        if not (self.root / IMAGES).is_dir():
            raise DataError(f"{self.root}: there is no folder {IMAGES} in it; data.root holds {IMAGES} and {gt}")
        self.labels = read_labels(labels) if labels else tables.cityscapes(ids)
        refuse_void(self.labels, tables.IGNORE, "no label in masks of Cityscapes")

    @staticmethod
    def fits(root: Path) -> bool:
        """A folder leftImg8bit, beside it one whose name begins with gt."""
        return (root / IMAGES).is_dir() and any(path.is_dir() for path in root.glob("gt*"))

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in (self.root / IMAGES).iterdir() if path.is_dir())) or (ALL,)

    def items(self, split: str) -> tuple[Item, ...]:
        if split not in self.splits():
            raise missing_split(self.root / IMAGES, split, self.splits())
        below = "" if split == ALL and not (self.root / IMAGES / ALL).is_dir() else split
        image_folder, mask_folder = self.root / IMAGES / below, self.root / self.gt / below
        images = _ending(image_folder, f"_{IMAGES}.png")
        masks = _ending(mask_folder, self.end)
        if not images:
            raise DataError(f"{image_folder}: no picture CITY/NAME_{IMAGES}.png in it")
        if stray := sorted(set(masks) - set(images)):
            raise DataError(
                f"{mask_folder}: {len(stray)} masks without a picture in {image_folder}, first '{stray[0]}'; "
                f"add the pictures or take the masks out"
            )
        items = [_item(name, images[name], masks.get(name), index) for index, name in enumerate(images)]
        return all_or_none(items, split, mask_folder)

    def read(self, item: Item) -> Sample:
        return read_item(item, self.labels, instances=_read_things)


def _ending(folder: Path, end: str) -> dict[str, Path]:
    """Path below the folder without `end` -> file, sorted."""
    found = sorted(folder.rglob(f"*{end}")) if folder.is_dir() else []
    return {path.relative_to(folder).as_posix().removesuffix(end): path for path in found}


def _item(name: str, image: Path, target: Path | None, index: int) -> Item:
    instances = None
    if target is not None:
        for word in ("labelTrainIds", "labelIds"):
            path = target.with_name(target.name.replace(word, "instanceIds"))
            instances = path if path != target and path.is_file() else instances
    return Item(name, image, target, instances, group=name.rpartition("_")[0], index=index)


def _read_things(path: Path) -> Int32:
    """Numbers of things; what has none, stuff and groups, is 0. Raises DataError for numbers cut to 8 bits."""
    numbers = read_instances(path)
    wrong = (numbers >= len(tables.CITYSCAPES)) & (numbers < tables.THING)
    if wrong.any():
        raise DataError(
            f"{path}: number {numbers[wrong][0]} is neither a label id (0-33) nor an instance (label id * 1000 + n): "
            f"the file was saved with 8 bits; instances need the 16-bit PNG as published"
        )
    return np.where(numbers < tables.THING, 0, numbers)
