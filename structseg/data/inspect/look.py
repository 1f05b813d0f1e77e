"""Open one picture with all that belongs to it, once, and keep what the questions need: sizes, values, marks of copies.

Everything is read as training reads it. Where that fails, picture and mask are read one by one, to say which of them is
broken. A `Look` is small (about 2 kB), so that a million of them fit into memory.

The mark of a copy is a difference hash: the picture is averaged to 8 rows of 9 grey cells, and bit (y, x) says whether
cell (y, x + 1) is brighter than cell (y, x). Near copies differ in few of the 64 bits; a 16 x 16 thumbnail decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.data.formats import Format
from structseg.data.read import SUFFIXES, read_image, read_raw
from structseg.errors import DataError
from structseg.types import Colour, Float32, Int32, Item, Labels, UInt8

Numbers = NDArray[np.int64]
THUMB = 16  # side of a thumbnail, cells
MOST_COLOURS = 4096  # distinct values kept of one mask; a photo saved as mask has more


class Mark(NamedTuple):
    """What a picture looks like, in 320 bytes."""

    bits: NDArray[np.bool_]  # (64,) difference hash
    thumb: UInt8  # (THUMB, THUMB) grey


@dataclass
class Look:
    """What was seen of one item. Raw values of colour masks are packed as 0xrrggbb."""

    item: Item
    splits: tuple[str, ...]
    size: tuple[int, int] | None = None  # width, height
    mask_size: tuple[int, int] | None = None
    mask_kind: str = ""
    palette: tuple[Colour, ...] = ()
    values: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # (K,) raw values in the mask
    counts: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # (K,) pixels of each
    distinct: int = 0  # values in the mask, also those not kept
    ids: Numbers | None = None  # (256,) pixels by class id, where the format makes them other than from values
    content: bytes = b""  # digest of the picture file
    mark: Mark | None = None  # of what the picture looks like
    depth: tuple[float, float, float] | None = None  # least and greatest metres, share without measurement
    instances: int | None = None  # how many are in the picture
    tags: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()  # (kind, the message): image, mask, size, other


def look(item: Item, splits: tuple[str, ...], source: Format | None) -> Look:
    """Read an item; `source` None: picture and mask alone, without a label table."""
    seen = Look(item, splits, tags=item.tags)
    if item.image is not None:
        _note_content(seen, item.image)
    whole = False
    if source is not None:
        try:
            sample = source.read(item)
        except DataError as error:
            seen.problems = (("other", str(error)),)
        else:
            whole = True
            _note_image(seen, sample.image)
            _note_arrays(seen, sample.depth, sample.instances)
            seen.tags = sample.tags or item.tags
            if sample.target is not None:
                seen.mask_size = sample.target.shape[1], sample.target.shape[0]
                seen.ids = _bincount(sample.target)
    if not whole:
        _read_apart(seen)
    _note_raw(seen, source.labels if source else None, whole)
    return seen


def _read_apart(seen: Look) -> None:
    """The picture alone, after reading all failed or could not be tried."""
    if seen.item.image is not None and not any(kind == "image" for kind, _ in seen.problems):
        try:
            _note_image(seen, read_image(seen.item.image))
        except DataError as error:
            seen.problems = (("image", str(error)),)


def _note_content(seen: Look, path: Path) -> None:
    try:
        seen.content = blake2b(path.read_bytes(), digest_size=12).digest()
    except OSError as error:
        seen.problems = (("image", f"{path}: cannot be read ({error.strerror})"),)


def _note_image(seen: Look, image: UInt8) -> None:
    seen.size = image.shape[1], image.shape[0]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    thumb = np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)
    seen.mark = Mark((small[:, 1:] > small[:, :-1]).ravel(), thumb)


def _note_arrays(seen: Look, depth: Float32 | None, instances: Int32 | None) -> None:
    if depth is not None:
        measured = depth[depth > 0]
        ends = (float(measured.min()), float(measured.max())) if measured.size else (0.0, 0.0)
        seen.depth = (*ends, 1 - measured.size / depth.size)
    if instances is not None:
        seen.instances = np.unique(instances[instances > 0]).size


def _note_raw(seen: Look, labels: Labels | None, whole: bool) -> None:
    """Values as they stand in the mask; kept beside class ids only where the table makes these of them."""
    path = seen.item.target
    if path is None or path.suffix.lower() not in SUFFIXES:
        return
    try:
        raw = read_raw(path)
    except DataError as error:
        if not whole:
            seen.problems = (*(p for p in seen.problems if p[0] != "other"), ("mask", str(error)))
        return
    seen.mask_kind, seen.palette = raw.kind, raw.palette
    values, counts = histogram(raw.values)
    colours = raw.values.ndim == 3
    made = by_class(values, counts, labels, colours=colours) if labels else None
    if seen.ids is not None and made is not None and not np.array_equal(made, seen.ids):
        return  # the format reads this file in a way of its own: its class ids count
    most = np.argsort(-counts, kind="stable")[:MOST_COLOURS]
    seen.values, seen.counts, seen.distinct, seen.ids = values[most], counts[most], values.size, None
    seen.mask_size = raw.values.shape[1], raw.values.shape[0]
    if not whole and seen.size and seen.mask_size != seen.size and all(kind != "mask" for kind, _ in seen.problems):
        text = f"{path} is {_by(seen.mask_size)}, its picture {_by(seen.size)}"
        seen.problems = (*(p for p in seen.problems if p[0] != "other"), ("size", text))


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _bincount(target: UInt8) -> Numbers:
    return np.bincount(target.ravel(), minlength=256)


def histogram(mask: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Distinct raw values of a mask in rising order, colours packed as 0xrrggbb, and the pixels of each."""
    if mask.ndim == 2 and mask.dtype in (np.uint8, np.uint16):
        counts = np.bincount(mask.ravel())
        values = np.flatnonzero(counts)
        return values, counts[values]
    if mask.ndim == 3:
        wide = mask.astype(np.int64)
        mask = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    flat = mask.ravel().astype(np.int64)
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))  # of runs of one value: far fewer to sort
    lengths = np.diff(starts, append=flat.size)
    values, place = np.unique(flat[starts], return_inverse=True)
    return values, np.bincount(place.ravel(), weights=lengths).astype(np.int64)


def by_class(values: Numbers, counts: Numbers, labels: Labels, *, colours: bool = False) -> Numbers:
    """(256,) pixels by class id; values outside the table are left out."""
    table = {packed(colour): index for colour, index in labels.colours} if colours else dict(labels.values)
    ids = np.array([table.get(int(value), -1) for value in values], np.int64)
    return np.bincount(ids[ids >= 0], weights=counts[ids >= 0], minlength=256).astype(np.int64)


def packed(colour: Colour) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]
