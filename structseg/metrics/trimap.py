"""Confusion near borders: the same counts within 1, 2, 4 ... pixels of a true border.

A band (trimap) holds the labelled pixels whose Euclidean distance to the nearest true border pixel is below d. A
border pixel is at distance 0 and its four neighbours at 1, so d = 1 is the border itself, on both of its sides, and
d = 2 adds a line (the diagonal, at 1.41, included) on each. Bands are nested: each ring is counted once and summed up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError
from structseg.metrics.arrays import ClassMap, Integers, for_loops, picture
from structseg.metrics.borders import TRUE, Borders, find_borders
from structseg.metrics.confusion import BYTE, confusion

DISTANCES = (1, 2, 4, 8, 16, 32)
MOST = 255  # distances; a ring is a byte
Counts = NDArray[np.int64]


def trimap_counts(
    prediction: ClassMap,
    target: ClassMap,
    *,
    num_classes: int,
    ignore_index: int = 255,
    distances: Sequence[float] = DISTANCES,
) -> Counts:
    """(H,W) class ids of one picture -> (T,C,C) counts, row = truth, for each of T ascending distances in pixels.

    Border as in `borders.py`. Raises ConfigError where distances do not ascend, DataError where maps do not fit.
    """
    check_distances(distances)
    maps = picture(prediction, target)
    table: dict[str, Any] = {"num_classes": num_classes, "ignore_index": ignore_index}
    return ring_counts(*maps, find_borders(*maps, **table), distances, **table)[:-1].cumsum(0)


def check_distances(distances: Sequence[float]) -> None:
    """Raise ConfigError unless distances ascend from above 0."""
    if not distances or list(distances) != sorted(set(distances)) or distances[0] <= 0:
        raise ConfigError(f"trimap distances are {tuple(distances)}; give ascending pixels above 0, e.g. {DISTANCES}")
    if len(distances) > MOST:
        raise ConfigError(f"{len(distances)} trimap distances are given; at most {MOST} are counted at once")


def ring_counts(
    prediction: Integers,
    target: Integers,
    borders: Borders,
    distances: Sequence[float],
    *,
    num_classes: int,
    ignore_index: int,
) -> Counts:
    """(H,W) class ids and their borders -> (T+1,C,C) counts from each distance to the next; the last: all the rest."""
    from structseg.metrics.count_loops import count_pairs_by_ring, find_rings

    first, second = for_loops(prediction, target)
    most = min(sum(size * size for size in target.shape), 2**29)  # farther apart no two pixels are, or it matters not
    limits = [min(math.ceil(distance**2) - 1, most) for distance in distances]
    ring = np.empty(target.shape, np.uint8)
    find_rings(borders.bits, TRUE, np.array(limits, np.int32), ring)
    if first.dtype == np.uint8 and num_classes <= BYTE:
        maps = (first.ravel(), second.ravel(), ring.ravel())
        counts = count_pairs_by_ring(*maps, len(limits) + 1, num_classes)[..., :num_classes]
        if 0 <= ignore_index < num_classes:
            counts[:, ignore_index] = 0
        return counts
    masks = [ring == place for place in range(len(limits) + 1)]
    return np.stack(
        [
            confusion(first[mask][None], second[mask][None], num_classes=num_classes, ignore_index=ignore_index)
            for mask in masks
        ]
    )
