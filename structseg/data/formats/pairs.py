"""Your own pictures and masks: two folders, or a list file.

Folders (masks may also be called labels or annotations), matched by the path below the split without its suffix:

    root/images/SPLIT/**/a.jpg + root/masks/SPLIT/**/a.png      or      root/SPLIT/images/** + root/SPLIT/masks/**
    or where the options say: images = "rgb/{split}", masks = "gt/{split}"

List: root/SPLIT.txt with `image mask` on a line, relative to root or whole paths, split by a space, tab or comma; names
with spaces in double quotes. It goes before folders. A line with the picture alone is an item without mask: fine to
predict, refused by training and evaluation. Nothing is left out silently: a picture without mask and a mask without
picture are errors.

The label table is the option `data.labels`, else labels.toml, classes.toml, classes.txt or labels.txt in root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from structseg.data.formats import missing_split
from structseg.data.labels import read_labels
from structseg.data.lists import is_pair_list, read_pairs
from structseg.data.read import SUFFIXES, read_item
from structseg.errors import ConfigError, DataError
from structseg.types import Item, Labels, Sample

TABLES = ("labels.toml", "classes.toml", "classes.txt", "labels.txt")
MASKS = ("masks", "labels", "annotations")
LAYOUTS = "images/SPLIT/ and masks/SPLIT/, SPLIT/images/ and SPLIT/masks/, or SPLIT.txt with 'image mask' on a line"


class Pairs:
    """Pictures and masks in folders or a list.

    `images`, `masks`: folder templates with `{split}`; `image_suffix`, `mask_suffix`: ends of the file names without
    extension, such as "_gt": only files that have it count, and it is taken off before matching. `group`: a regular
    expression searched in each item's name, whose first group (or else the whole match) is the picture's group; items
    in which it is not found, and all items where it is "", are groups of their own.
    """

    origin = ""

    def __init__(
        self,
        *,
        root: Path,
        labels: str = "",
        images: str = "",
        masks: str = "",
        image_suffix: str = "",
        mask_suffix: str = "",
        group: str = "",
    ) -> None:
        for key, template in (("images", images), ("masks", masks)):
            if (images or masks) and template.count("{split}") != 1:
                raise ConfigError(f"data.options.{key}: '{template}'; give images and masks, each with {{split}} once")
        self.root = Path(root)
        self.templates = (images, masks)
        self.image_suffix = image_suffix
        self.mask_suffix = mask_suffix
        self.group = _expression(group)
        self.labels = read_labels(labels) if labels else _own_table(self.root)

    @staticmethod
    def fits(root: Path) -> bool:
        """Two folders of pictures and masks, or a label table with another text file, which may be a list."""
        splits = _folders(root / "images")
        if any(splits & _folders(root / name) for name in MASKS):
            return True
        if any("images" in (inside := _folders(root / name)) and inside & set(MASKS) for name in _folders(root)):
            return True
        texts = {file.name for file in root.glob("*.txt")}
        return bool(texts - set(TABLES)) and any((root / name).is_file() for name in TABLES)

    def splits(self) -> tuple[str, ...]:
        if self.templates[0]:
            return _matching(self.root, self.templates[0])
        lists = [file.stem for file in self.root.glob("*.txt") if file.name not in TABLES and is_pair_list(file)]
        return tuple(
            sorted({*lists, *_matching(self.root, "images/{split}"), *_matching(self.root, "{split}/images")} - {""})
        )

    def items(self, split: str) -> tuple[Item, ...]:
        if self.listed(split):
            items = read_pairs(self.root / f"{split}.txt", self.root)
        else:
            items = self._from_folders(*self._folders(split))
        return self.grouped(items)

    def read(self, item: Item) -> Sample:
        return read_item(item, self.labels)

    def _folders(self, split: str) -> tuple[Path, Path]:
        """Of pictures and of masks."""
        images, masks = self.templates
        pairs = [(images, masks)] if images else []
        if not images:
            pairs = [("images/{split}", f"{name}/{{split}}") for name in MASKS]
            pairs += [("{split}/images", f"{{split}}/{name}") for name in MASKS]
        found = [tuple(self.root / template.replace("{split}", split) for template in pair) for pair in pairs]
        for image_folder, mask_folder in found:
            if image_folder.is_dir() and mask_folder.is_dir():
                return image_folder, mask_folder
        for image_folder, mask_folder in found:
            if image_folder.is_dir():
                raise DataError(f"{image_folder} has pictures, but there is no folder {mask_folder} with their masks")
        if not self.splits():
            raise DataError(f"{self.root}: neither folders nor lists of pictures found; expected {LAYOUTS}")
        raise missing_split(self.root, split, self.splits())

    def grouped(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """The items with the groups that the option `group` finds in their names."""
        return _grouped(items, self.group) if self.group.pattern else items

    def listed(self, split: str) -> bool:
        """Whether a list, not folders, says what belongs to the split."""
        file = self.root / f"{split}.txt"
        return not self.templates[0] and file.name not in TABLES and file.is_file()

    def found(self, split: str) -> tuple[dict[str, Path], dict[str, Path]]:
        """Pictures and masks in the folders of a split by their common name, whether they match or not."""
        image_folder, mask_folder = self._folders(split)
        return _stems(image_folder, self.image_suffix), _stems(mask_folder, self.mask_suffix)

    def _from_folders(self, image_folder: Path, mask_folder: Path) -> tuple[Item, ...]:
        images = _stems(image_folder, self.image_suffix)
        masks = _stems(mask_folder, self.mask_suffix)
        for path, chosen, suffix in ((image_folder, images, self.image_suffix), (mask_folder, masks, self.mask_suffix)):
            if not chosen:
                ending = f" that end in '{suffix}'" if suffix else ""
                raise DataError(f"{path}: no pictures{ending} in this folder; known are {', '.join(sorted(SUFFIXES))}")
        _refuse_lonely(image_folder, sorted(set(images) - set(masks)), "without a mask", mask_folder)
        _refuse_lonely(mask_folder, sorted(set(masks) - set(images)), "without a picture", image_folder)
        return tuple(Item(stem, images[stem], masks[stem], index=i) for i, stem in enumerate(sorted(images)))


def _own_table(root: Path) -> Labels:
    for name in TABLES:
        if (root / name).is_file():
            return read_labels(root / name)
    raise DataError(
        f"{root}: no label table; write the class names into {root / 'classes.txt'}, one 'index name' a line "
        f"(index = value in the masks), or set data.labels to a table"
    )


def _matching(root: Path, template: str) -> tuple[str, ...]:
    """What `{split}` can be in a folder template."""
    before, _, after = template.partition("{split}")
    pattern = re.compile(rf"{re.escape(before)}([^/]+){re.escape(after)}")
    found = (pattern.fullmatch(p.relative_to(root).as_posix()) for p in root.glob(template.replace("{split}", "*")))
    return tuple(sorted({match[1] for match in found if match and (root / match[0]).is_dir()}))


def _folders(path: Path) -> set[str]:
    """Names of the folders in a folder; unlike a glob, asks nothing about its files, of which there may be many."""
    if not path.is_dir():
        return set()
    with os.scandir(path) as entries:
        return {entry.name for entry in entries if entry.is_dir()}


def _stems(folder: Path, suffix: str) -> dict[str, Path]:
    """Relative path without extension and `suffix` -> file."""
    found: dict[str, Path] = {}
    for path in files_below(folder):
        if path.suffix.lower() not in SUFFIXES or not path.stem.endswith(suffix):
            continue
        key = (path.parent.relative_to(folder) / path.stem.removesuffix(suffix)).as_posix()
        if key in found:
            raise DataError(f"{path} and {found[key].name} differ only in their ending; keep one of them")
        found[key] = path
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden, links followed, each folder entered once, by whatever name."""
    seen = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True):
        new = []
        for name in sorted(folders, key=lambda name: (os.path.islink(os.path.join(place, name)), name)):
            real = os.path.realpath(os.path.join(place, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                new.append(name)
        folders[:] = new
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def _expression(group: str) -> re.Pattern[str]:
    try:
        return re.compile(group)
    except (re.error, TypeError, OverflowError) as error:
        raise ConfigError(f"data.options.group: {group!r} is not a regular expression ({error})") from error


def _grouped(items: tuple[Item, ...], group: re.Pattern[str]) -> tuple[Item, ...]:
    found = [group.search(item.name) for item in items]
    if not any(found):
        raise DataError(
            f"data.options.group: {group.pattern!r} is in no name of {len(items)} pictures, first '{items[0].name}'"
        )
    names = [match[min(group.groups, 1)] or "" if match else "" for match in found]
    return tuple(replace(item, group=name) for item, name in zip(items, names, strict=True))


def _refuse_lonely(folder: Path, stems: list[str], what: str, other: Path) -> None:
    if stems:
        files = "file" if len(stems) == 1 else "files"
        raise DataError(
            f"{folder}: {len(stems)} {files} {what} in {other}, first '{stems[0]}'; "
            f"add or remove, or set image_suffix and mask_suffix in data.options"
        )
