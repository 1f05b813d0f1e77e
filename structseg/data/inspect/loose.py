"""Pictures and masks in a folder that fits no layout: which files belong together, and what is missing?

Folders are told apart by their names, else by what lies in them: a mask is a palette or grey picture of few distinct
values. The two trees with the most matching names are taken; a common beginning or end of all names of a tree
("_leftImg8bit", "_gt") is taken off before matching. A picture and its mask may also lie in one folder (`a.jpg` and
`a.png`, or `a_mask.png`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from structseg.data.formats.pairs import files_below
from structseg.data.read import SUFFIXES, read_raw
from structseg.errors import DataError

MASK_WORDS = re.compile(r"(?i)(mask|label|annot|segm|truth|target|category|gt(?![a-z]{3})|classes|index)")
IMAGE_WORDS = re.compile(r"(?i)(^im(age|g)?s?|image|jpeg|rgb|photo|pictures?|frames?|leftimg|color|colour)")
OTHER_WORDS = re.compile(r"(?i)(depth|dispar|hha|instance|object|normals?|overlay|semi|thermal|infrared)")
MASK_END = re.compile(r"(?i)[-_. ]?(mask|label|labels|seg|segmentation|gt|target|labelids|annotation)$")
MOST_FILES = 200_000
SAMPLE = 4  # files of a folder that are opened to see what it holds
FEW = 64  # distinct values of a mask, at most


@dataclass(frozen=True)
class Loose:
    """What was found: matched pairs by name, and files without a partner."""

    pairs: dict[str, tuple[Path, Path]]
    bare_images: tuple[Path, ...] = ()
    bare_masks: tuple[Path, ...] = ()
    images: str = ""  # folder of the pictures, below the root; "." = the root
    masks: str = ""
    pictures: int = 0  # all picture files below the root, of whatever kind


def find(root: Path) -> Loose:
    """The best match of a tree of pictures with a tree of masks below `root`."""
    files = [path for path in islice(files_below(root), MOST_FILES) if path.suffix.lower() in SUFFIXES]
    trees: dict[str, list[Path]] = {}
    for path in files:
        parts = path.relative_to(root).parts
        trees.setdefault(parts[0] if len(parts) > 1 else ".", []).append(path)
    kinds = {name: _kind(name, paths) for name, paths in trees.items()}
    found = [
        _match(root, image, mask, trees)
        for image, kind in kinds.items()
        if kind == "image"
        for mask, other in kinds.items()
        if other == "mask"
    ]
    found += [_one_folder(root, name, paths) for name, paths in trees.items()]
    best = max(found, key=lambda one: len(one.pairs), default=Loose({}))
    if not best.pairs:
        images = tuple(path for name, kind in kinds.items() if kind == "image" for path in trees[name])
        masks = tuple(path for name, kind in kinds.items() if kind == "mask" for path in trees[name])
        return Loose({}, images, masks, pictures=len(files))
    return Loose(best.pairs, best.bare_images, best.bare_masks, best.images, best.masks, len(files))


def _kind(name: str, paths: list[Path]) -> str:
    if OTHER_WORDS.search(name):
        return "other"
    if name != ".":
        if MASK_WORDS.search(name):
            return "mask"
        if IMAGE_WORDS.search(name):
            return "image"
    chosen = paths[:: max(1, len(paths) // SAMPLE)][:SAMPLE]
    return "mask" if all(_looks_like_mask(path) for path in chosen) else "image"


def _looks_like_mask(path: Path) -> bool:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        return False
    try:
        raw = read_raw(path).values
    except DataError:
        return False
    return raw.ndim == 2 and np.unique(raw).size <= FEW


def _match(root: Path, images: str, masks: str, trees: dict[str, list[Path]]) -> Loose:
    left, right = _keys(root / images, trees[images]), _keys(root / masks, trees[masks])
    return _paired(left, right, images, masks)


def _paired(left: dict[str, Path], right: dict[str, Path], images: str, masks: str) -> Loose:
    both = sorted(set(left) & set(right))
    return Loose(
        {key: (left[key], right[key]) for key in both},
        tuple(left[key] for key in sorted(set(left) - set(right))),
        tuple(right[key] for key in sorted(set(right) - set(left))),
        images,
        masks,
    )


def _keys(folder: Path, paths: list[Path]) -> dict[str, Path]:
    """Path below `folder` without its extension and without what all names begin and end with."""
    stems = [PurePosixPath(path.relative_to(folder).as_posix()).with_suffix("") for path in paths]
    names = [stem.name for stem in stems]
    end = _common_end(names)
    plain = [(stem.parent / stem.name.removesuffix(end)).as_posix() for stem in stems]
    found: dict[str, Path] = {}
    for key, path in zip(plain, paths, strict=True):
        found[f"{key}{path.suffix}" if key in found else key] = path  # a second one of a name has no partner
    return found


def _common_end(names: list[str]) -> str:
    """What all names end with, from a separator and a letter on: "_leftImg8bit", "_gtFine_labelIds", or ""."""
    first, last = min(name[::-1] for name in names), max(name[::-1] for name in names)  # all others lie between
    same = next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
    match = re.search(r"[-_. ][a-zA-Z]\w*$", first[:same][::-1])
    return match[0] if match else ""


def _one_folder(root: Path, name: str, paths: list[Path]) -> Loose:
    """Pictures and masks side by side: told apart by the end of the name, or JPEG by its PNG."""
    folder = root if name == "." else root / name
    masks: dict[str, Path] = {}
    images: dict[str, Path] = {}
    for path in paths:
        stem = (path.relative_to(folder).parent / path.stem).as_posix()
        marked = MASK_END.sub("", stem)
        if marked != stem or (path.suffix.lower() == ".png" and _has_jpeg(path)):
            masks[marked] = path
        else:
            images[f"{stem}{path.suffix}" if stem in images else stem] = path
    return _paired(images, masks, name, name) if masks else Loose({})


def _has_jpeg(path: Path) -> bool:
    return any(path.with_suffix(end).is_file() for end in (".jpg", ".jpeg", ".JPG"))
