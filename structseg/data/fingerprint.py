"""A short name for the exact data of a split, and the class shares of its masks.

The fingerprint changes with the names, number and contents of the files and with the meaning of the label table; it
does not change when the folder is moved or touched. The size and last 64 bytes of a file stand for its contents (a
PNG's checksum and a JPEG's last blocks are there), so that 10,000 files take about a second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from structseg.data.formats import Format
from structseg.data.read import read_mask
from structseg.errors import DataError
from structseg.types import Item, UInt8

TAIL = 64  # bytes read of each file


def fingerprint(source: Format, split: str) -> str:
    """16 hexadecimal digits of BLAKE2b."""
    table = source.labels.as_dict()
    del table["source"]  # where the table lies says nothing about the data
    digest = blake2b(json.dumps([source.origin, table], sort_keys=True).encode(), digest_size=8)
    for item in source.items(split):
        digest.update(f"{item.name}\0{item.index}\0".encode() + _mark(item.image) + _mark(item.target))
    return digest.hexdigest()


def _mark(path: Path | None) -> bytes:
    """Size and end of a file."""
    if path is None:
        return b"-"
    try:
        with path.open("rb", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            return size.to_bytes(8, "little") + file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def spread(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """At most `limit` items, evenly over the whole sequence, the first and the last among them."""
    if len(items) <= limit:
        return tuple(items)
    return tuple(items[int(place)] for place in np.linspace(0, len(items) - 1, limit))


def frequencies(source: Format, items: Sequence[Item], *, limit: int = 2000) -> tuple[float, ...]:
    """Share of each class among the labelled pixels of at most `limit` masks, spread evenly.

    Raises DataError where no pixel has a label.
    """
    counts = np.zeros(256, np.int64)
    for item in spread(items, limit):
        counts += np.bincount(_target(source, item).ravel(), minlength=256)
    classes = counts[: source.labels.num_classes]
    if not classes.sum():
        raise DataError(f"no pixel of {len(items)} masks has a label (table {source.labels.source}); see data.ignore")
    return tuple(float(share) for share in classes / classes.sum())


def _target(source: Format, item: Item) -> UInt8:
    target = read_mask(item.target, source.labels) if item.target else source.read(item).target
    if target is None:
        raise DataError(f"'{item.name}' has no mask to count classes in")
    return target
