"""Decoded labels on disk: class ids as a raw .npy file a mask, of which a crop reads only its own pages.

A file's name says what it was made of: a digest of the mask's whole path, of what the label table makes of raw values,
and of how the mask was read; then the mask's size and time of change. So a mask or table that changed is read anew (and
what was kept of the mask before is removed), and an edit that keeps both size and time of change, to the nanosecond,
goes unseen. A file is written beside its place and renamed, so that any number of processes and runs may share a
folder; one of another length than its header says is made anew. Masks with a fault are not kept: they are refused as
without a cache.
"""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Callable
from functools import lru_cache, wraps
from hashlib import blake2b
from pathlib import Path

import numpy as np

from structseg.data.reading import current
from structseg.errors import DataError
from structseg.runs import check_writable, write_file
from structseg.types import Labels, UInt8

Read = Callable[[Path, Labels], UInt8]
# What np.save writes before an (H,W) array of bytes; np.load takes several times as long to say so.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '\|u1', 'fortran_order': False, 'shape': \((\d+), (\d+)\), \} *\n", re.DOTALL
)
_VERSION = 1  # of what is kept; raised where reading a mask gives something else than before


def check_cache(folder: str) -> str:
    """The whole path of `data.cache`, "" for none. Raises DataError where it cannot be a folder."""
    if not folder:
        return ""
    path = Path(folder).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise DataError(f"data.cache: {path} is not a folder; give one, or leave data.cache empty")
    if not path.exists():
        try:
            check_writable(path)
        except DataError as error:
            raise _hint(error) from error
    return str(path)


def cached_labels(read: Read) -> Read:
    """`read`, which makes class ids of a mask's file, with the cache of `data.cache` before it."""

    @wraps(read)
    def cached(path: Path, labels: Labels) -> UInt8:
        folder = current().cache
        if not folder:
            return read(path, labels)
        try:
            before = os.stat(path)
        except OSError:
            return read(path, labels)  # which says what is wrong
        digest = _digest(os.path.abspath(path), labels, read.__name__)
        place = Path(folder, digest[:2], f"{digest}-{before.st_size:x}-{before.st_mtime_ns:x}.npy")
        found = _mapped(place)
        if found is not None:
            return found
        target = read(path, labels)
        after = os.stat(path)
        if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
            keep(place, target, replaces=f"{digest}-*.npy")
        return target

    return cached


def keep(place: Path, array: UInt8, *, replaces: str = "") -> None:
    """Write `array` to `place` and remove other files beside it that the pattern `replaces` names. Raises DataError."""
    try:
        write_file(place, lambda file: np.save(file, array))
    except DataError as error:
        raise _hint(error) from error
    for old in place.parent.glob(replaces) if replaces else ():
        if old != place:
            old.unlink(missing_ok=True)


def _hint(error: DataError) -> DataError:
    return DataError(f"data.cache: {error}; free some space, give another folder, or leave data.cache empty")


def _mapped(place: Path) -> UInt8 | None:
    """(H,W) of a whole file, changes to it private; None where there is none or it is damaged."""
    try:
        with place.open("rb", buffering=0) as file:
            head = _HEADER.match(file.read(256))
            if not head or os.fstat(file.fileno()).st_size != head.end() + int(head[1]) * int(head[2]):
                return None
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError:
        return None
    return np.frombuffer(pages, np.uint8, offset=head.end()).reshape(int(head[1]), int(head[2]))


def _digest(path: str, labels: Labels, way: str) -> str:
    return blake2b(
        f"{_VERSION}/{way}/{_meaning(labels)}/{path}".encode("utf-8", "surrogateescape"), digest_size=16
    ).hexdigest()


@lru_cache(maxsize=16)
def _meaning(labels: Labels) -> str:
    """What a table makes of raw values and colours; names and drawing colours do not count."""
    return json.dumps([labels.values, labels.colours, labels.ignore_index])
