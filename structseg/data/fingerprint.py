"""A short name for the exact data of a split, and the class shares of its masks.

The fingerprint changes with the names, number and contents of the files and with the meaning of the label table; it
does not change when the folder is moved or touched. Contents are sampled, so that 10,000 PNGs or JPEGs take about a
second. Of a PNG, JPEG or WebP the size and the last 64 bytes count: when a pixel changes, compressed data nearly always
changes in length or at its end (a PNG's checksum is there, unless text follows the pixels). Other files, which may be
uncompressed, count whole up to 1 MiB; of longer ones the size, the head, the tail and blocks spread evenly between
them. So an edit that keeps the size of a file and lies between what is read goes unseen: the fingerprint tells one
state of a data set from another, and is no proof that nothing was changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np

from structseg.data.formats import Format, as_set
from structseg.data.read import read_mask
from structseg.data.reading import reading
from structseg.errors import DataError
from structseg.types import Item, UInt8

COMPRESSED = frozenset((".png", ".jpg", ".jpeg", ".webp"))
TAIL = 64  # bytes read of each compressed file
BLOCK, BLOCKS = 4096, 256  # bytes of a block and blocks read of each other file; 1 MiB together


def fingerprint(source: Format, split: str) -> str:
    """16 hexadecimal digits of BLAKE2b."""
    table = source.labels.as_dict()
    del table["source"]  # where the table lies says nothing about the data
    digest = blake2b(json.dumps([source.origin, table], sort_keys=True).encode(), digest_size=8)
    marks: dict[Path | None, bytes] = {}  # a file with the masks of all pictures is read once
    for item in source.items(split):
        digest.update(f"{item.name}\0{item.index}\0".encode(errors="surrogateescape"))  # names that are no UTF-8
        for path in (item.image, item.target, *filter(None, (item.instances, item.depth))):
            if path not in marks:
                marks[path] = _mark(path)
            digest.update(marks[path])
    return digest.hexdigest()


def _mark(path: Path | None) -> bytes:
    """Size and end, or blocks, of a file."""
    if path is None:
        return b"-"
    try:
        with path.open("rb", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if path.suffix.lower() not in COMPRESSED:
                return size.to_bytes(8, "little") + _blocks(file, size)
            file.seek(max(0, size - TAIL))
            return size.to_bytes(8, "little") + file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _blocks(file: BinaryIO, size: int) -> bytes:
    """Digest of a whole file of up to BLOCK * BLOCKS bytes; of a longer one's head, tail and blocks between them."""
    digest = blake2b(digest_size=16)
    for start in np.linspace(0, max(0, size - BLOCK), min(BLOCKS, -(-size // BLOCK)), dtype=np.int64):
        file.seek(int(start))
        digest.update(file.read(BLOCK))
    return digest.digest()


def spread(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """At most `limit` items, evenly over the whole sequence, the first and the last among them."""
    return tuple(items[place] for place in spread_places(len(items), limit))


def spread_places(count: int, limit: int) -> tuple[int, ...]:
    """At most `limit` of the places 0 to count - 1, evenly, the first and the last among them."""
    if count <= limit:
        return tuple(range(count))
    return tuple(int(place) for place in np.linspace(0, count - 1, limit))


def frequencies(source: Format, items: Sequence[Item], *, limit: int = 2000) -> tuple[float, ...]:
    """Share of each class among the labelled pixels of at most `limit` masks, spread evenly.

    Raises DataError where no pixel has a label.
    """
    counts = np.zeros(256, np.int64)
    for item in spread(items, limit):
        counts += np.bincount(read_target(source, item).ravel(), minlength=256)
    classes = counts[: source.labels.num_classes]
    if not classes.sum():
        raise DataError(f"no pixel of {len(items)} masks has a label (table {source.labels.source}); see data.ignore")
    return tuple(float(share) for share in classes / classes.sum())


def read_target(source: Format, item: Item) -> UInt8:
    """(H,W) class ids of an item, without its picture where that is in another file."""
    with reading(as_set(source)):
        return _target(source, item)


def _target(source: Format, item: Item) -> UInt8:
    own = getattr(source, "read_target", None)  # of formats whose masks are not what `read_mask` reads
    target = own(item) if own else read_mask(item.target, source.labels) if item.target else source.read(item).target
    if target is None:
        raise DataError(f"'{item.name}' has no mask to count classes in")
    return target
