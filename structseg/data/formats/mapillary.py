"""Mapillary Vistas, editions 1.2 and 2.0: street pictures of all sizes, classes as its config says.

    root/{training,validation,testing}/images/NAME.jpg
    root/SPLIT/v1.2/{labels,instances}/NAME.png and root/config_v1.2.json     or     root/SPLIT/{labels,instances}/ and
    root/config.json in packages of one edition

A mask holds places in the list of the config file, which says names, colours and which are evaluated; the others are
ignored. Instance files have 16 bits, class * 256 + n. Things get the number value + 1, everything else 0. `testing` has
no masks: it can be predicted, and is refused by training and scoring.
Source: Neuhold et al., ICCV 2017.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from structseg.data.formats import all_or_none, missing_split
from structseg.data.labels import read_labels
from structseg.data.read import read_instances, read_item
from structseg.errors import ConfigError, DataError
from structseg.types import Int32, Item, Labels, Sample

SPLITS = ("training", "validation", "testing")


class Mapillary:
    """Mapillary Vistas in the layout above.

    `version`: "1.2" or "2.0", where a package holds both. `labels` replaces the classes of the config file.
    """

    origin = ""

    def __init__(self, *, root: Path, labels: str = "", version: str = "") -> None:
        self.root = Path(root)
        config, self.below = _edition(self.root, str(version).removeprefix("v"))
        entries = _entries(config)
        self.things = tuple(bool(entry.get("instances")) for entry in entries)
        self.labels = read_labels(labels) if labels else _table(entries, config)

    @staticmethod
    def fits(root: Path) -> bool:
        """A config file and pictures of a split."""
        named = any(root.glob("config*.json"))
        return named and any((root / split / "images").is_dir() for split in SPLITS)

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if (self.root / split / "images").is_dir())

    def items(self, split: str) -> tuple[Item, ...]:
        if split not in self.splits():
            raise missing_split(self.root, split, self.splits())
        folder = self.root / split
        images = _stems(folder / "images", ".jpg")
        masks = _stems(folder / self.below / "labels", ".png")
        instances = _stems(folder / self.below / "instances", ".png")
        if not images:
            raise DataError(f"{folder / 'images'}: no pictures NAME.jpg in this folder")
        if stray := sorted(set(masks) - set(images)):
            raise DataError(
                f"{folder / self.below / 'labels'}: {len(stray)} masks without a picture in {folder / 'images'}, "
                f"first '{stray[0]}'; add the pictures or take the masks out"
            )
        items = [
            Item(name, image, masks.get(name), instances.get(name), index=index)
            for index, (name, image) in enumerate(images.items())
        ]
        return all_or_none(items, split, folder / self.below / "labels")

    def read(self, item: Item) -> Sample:
        return read_item(item, self.labels, instances=self._things)

    def _things(self, path: Path) -> Int32:
        """Numbers of things; stuff is 0. Raises DataError for numbers cut to 8 bits and classes out of the config."""
        numbers = read_instances(path)
        if numbers.max() < 256 and len(np.unique(numbers)) > 1:
            raise DataError(
                f"{path}: numbers up to {numbers.max()} only: the file was saved with 8 bits; instances need the "
                f"16-bit PNG as published (class * 256 + n)"
            )
        classes = numbers >> 8
        if classes.max() >= len(self.things):
            raise DataError(f"{path}: class {classes.max()} is not in the config file ({len(self.things)} classes)")
        return np.where(np.array(self.things)[classes], numbers + 1, 0).astype(np.int32)


def _edition(root: Path, version: str) -> tuple[Path, str]:
    """The config file and the folder of masks below a split."""
    found = {file.stem.partition("_v")[2]: file for file in sorted(root.glob("config*.json"))}
    if not found:
        raise DataError(f"{root}: no config.json or config_v1.2.json in it; data.root is the folder of the package")
    if version and version not in found:
        raise ConfigError(f"data.options.version: {root} has no config_v{version}.json; here: {_named(found)}")
    if not version and len(found) > 1:
        raise ConfigError(f'{root} holds {_named(found)}; choose one, e.g. data.options.version="{max(found)}"')
    version = version or next(iter(found))
    return found[version], f"v{version}" if version else ""


def _named(found: dict[str, Path]) -> str:
    return ", ".join(file.name for file in found.values())


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["labels"]
        if entries and all(isinstance(entry, dict) and len(entry["color"]) == 3 and entry["name"] for entry in entries):
            return list(entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: cannot be read as Vistas' config file ({error!r})") from error
    raise DataError(f"{file}: not Vistas' config file, whose labels have name and color")


def _table(entries: list[dict[str, Any]], file: Path) -> Labels:
    """The evaluated classes; raw values are places in the file."""
    kept = [place for place, entry in enumerate(entries) if entry.get("evaluate", True)]
    ids = {place: index for index, place in enumerate(kept)}
    names = [str(entries[place].get("readable") or entries[place]["name"]) for place in kept]
    if len(set(names)) < len(names):  # the long names, animal--bird, are unique
        names = [str(entries[place]["name"]) for place in kept]
    palette = tuple((r, g, b) for r, g, b in (entries[place]["color"] for place in kept))
    ignore_index = 255
    values = tuple((place, ids.get(place, ignore_index)) for place in range(len(entries)))
    return Labels(tuple(names), palette, values, ignore_index=ignore_index, source=str(file))


def _stems(folder: Path, end: str) -> dict[str, Path]:
    """Name -> file, sorted."""
    found = sorted(path for path in folder.glob(f"*{end}") if not path.name.startswith("."))
    return {path.stem: path for path in found}
