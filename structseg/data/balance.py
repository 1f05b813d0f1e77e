"""Class-balanced sampling: a share of the places of a stream is drawn for a class instead of in order.

For such a place a class is drawn, each of those that occur equally often, then one of the items that have it, then a
crop with a pixel of it. All are pure functions of (seed, stream, place), like the rest of the loader. An item with a
class that few have comes up often; at a share of 1/2 with C classes, one that alone has a class makes 1/2C of all
samples. The idea of drawing for rare classes: Hoyer, Dai, Van Gool, "DAFormer", CVPR 2022, section 3.2 (there the rarer
classes are drawn more often; here all alike).

Which item has which class is counted once, before the first step: the masks are read for it, unless `data.cache` keeps
the result of an earlier run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from structseg.data.fingerprint import read_target
from structseg.data.formats import Format, as_set
from structseg.data.label_cache import keep
from structseg.data.transforms import Focus
from structseg.errors import DataError
from structseg.types import Item, UInt8

LIMIT = 20_000  # masks looked at; of more items an even spread, and only those are drawn for a class


@dataclass(frozen=True)
class Balance:
    """Which share of the places is drawn for a class, and which items have which class."""

    share: float
    classes: tuple[int, ...]  # those that occur
    places: tuple[NDArray[np.int32], ...]  # of each, the places of the items that have it

    def draw(self, rng: np.random.Generator) -> tuple[int, Focus] | None:
        """The place of an item and what to show of it; None where the item comes in order."""
        chosen, *share = rng.random(4)
        if chosen >= self.share:
            return None
        nth = int(share[0] * len(self.classes))
        items = self.places[nth]
        return int(items[int(share[1] * len(items))]), Focus(self.classes[nth], float(share[2]))


def balance(source: Format, items: Sequence[Item], share: float, *, threads: int = 1) -> Balance | None:
    """The balance of `items`; None for a share of 0. Raises DataError for a mask that cannot be used, or no label."""
    if not share:
        return None
    chosen = np.linspace(0, len(items) - 1, min(len(items), LIMIT)).astype(np.int32)
    present = _kept(source, [items[place] for place in chosen], threads)
    classes = tuple(int(index) for index in np.flatnonzero(present.any(axis=0)))
    if not classes:
        raise DataError(f"data.balance: no pixel of {len(items)} masks has a label (table {source.labels.source})")
    return Balance(share, classes, tuple(chosen[present[:, index] > 0] for index in classes))


def _kept(source: Format, items: Sequence[Item], threads: int) -> UInt8:
    """(N,C) 1 where an item has a class, from the cache where there is one."""
    folder = as_set(source).cache
    if not folder:
        return _present(source, items, threads)
    place = Path(folder, f"classes-{_digest(source, items)}.npy")
    try:
        found = np.load(place, allow_pickle=False)
        if found.shape == (len(items), source.labels.num_classes) and found.dtype == np.uint8:
            return np.asarray(found, np.uint8)
    except (OSError, ValueError, EOFError):  # none, or a damaged one
        pass
    present = _present(source, items, threads)
    keep(place, present)
    return present


def _digest(source: Format, items: Sequence[Item]) -> str:
    """Of all that decides which item has which class: label table, and names, sizes and times of the masks."""
    table = source.labels.as_dict()
    rows = [(item.name, item.index, *_stat(item.target)) for item in items]
    text = json.dumps(
        [source.origin, table["values"], table["colours"], table["ignore_index"], len(table["names"]), rows]
    )
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _stat(path: Path | None) -> tuple[str, int, int]:
    try:
        stat = os.stat(path) if path else None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return (os.path.abspath(path), stat.st_size, stat.st_mtime_ns) if path and stat else ("", 0, 0)


def _present(source: Format, items: Sequence[Item], threads: int) -> UInt8:
    def classes(item: Item) -> UInt8:
        counts = cv2.calcHist([read_target(source, item)], [0], None, [256], [0, 256])
        return np.asarray(np.ravel(counts)[: source.labels.num_classes] > 0, np.uint8)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return np.stack(list(pool.map(classes, items)))
