"""Compiled loops that count pixels: pairs of true and predicted class, and the same by distance to a border.

A pair of bytes (target, prediction) is one number below 65,536, so no pixel needs a test whether it counts: all are
counted, and the rows of the true classes are kept. On a run of equal pixels each count would wait for the one before:
neighbouring pixels go to tables of their own, which are added up at the end. Rows that are not kept hold whatever was
in memory. Tables lie an odd number of cache lines apart, or their hot cells would push each other out of the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.compiled import compiled, uintp

BYTE = 256
MOST = 2**32 - 1  # pixels that fit into one call
_APART = 32
_TABLES = 4
_ONE = np.uint32(1)


@compiled()
def count_pairs(prediction: Any, target: Any, classes: int) -> NDArray[np.int64]:
    """(n,) bytes, n up to MOST -> (classes,256) counts of prediction by true class."""
    size = BYTE * BYTE + _APART
    tables = np.empty((_TABLES, size), np.uint32)
    tables[:, : classes * BYTE] = 0
    whole = target.size // _TABLES * _TABLES
    for first in range(0, whole, _TABLES):
        for table in range(_TABLES):
            place = uintp(first + table)
            tables[uintp(table), (uintp(target[place]) << uintp(8)) | uintp(prediction[place])] += _ONE
    for place in range(whole, target.size):
        tables[0, (uintp(target[uintp(place)]) << uintp(8)) | uintp(prediction[uintp(place)])] += _ONE
    counts = np.zeros(classes * BYTE, np.int64)
    for table in range(_TABLES):
        for cell in range(classes * BYTE):
            counts[cell] += tables[table, cell]
    return counts.reshape(classes, BYTE)


@compiled()
def count_pairs_by_ring(prediction: Any, target: Any, ring: Any, rings: int, classes: int) -> NDArray[np.int64]:
    """(n,) bytes and the ring of each pixel -> (rings,classes,256) counts."""
    size = BYTE * BYTE
    tables = np.empty((2, rings * size + _APART), np.uint32)
    for table in range(2):
        for band in range(rings):
            tables[table, band * size : band * size + classes * BYTE] = 0
    whole = target.size // 2 * 2
    for first in range(0, whole, 2):
        for table in range(2):
            place = uintp(first + table)
            pair = (uintp(target[place]) << uintp(8)) | uintp(prediction[place])
            tables[uintp(table), (uintp(ring[place]) << uintp(16)) | pair] += _ONE
    for place in range(whole, target.size):
        pair = (uintp(target[uintp(place)]) << uintp(8)) | uintp(prediction[uintp(place)])
        tables[0, (uintp(ring[uintp(place)]) << uintp(16)) | pair] += _ONE
    counts = np.zeros((rings, classes * BYTE), np.int64)
    for table in range(2):
        for band in range(rings):
            for cell in range(classes * BYTE):
                counts[band, cell] += tables[table, band * size + cell]
    return counts.reshape(rings, classes, BYTE)


@compiled()
def find_rings(bits: Any, bit: int, limits: Any, ring: Any) -> None:
    """Write for each pixel how many of the ascending `limits` its squared distance to the nearest marked one is above.

    First the distance along the column, up to what the last limit can reach; then along each row the least of
    dx^2 + (distance along the column)^2.
    """
    height, width = ring.shape
    reach = min(int(np.sqrt(limits[-1] + 0.5)), max(height, width))
    column = _along_columns(bits, bit, height, width, reach + 1)
    squared = np.empty(width + 2 * reach, np.int32)
    best = np.empty(width, np.int32)
    far = np.int32(limits[-1] + 1)
    squared[:] = far
    for y in range(height):
        any_near = 0
        for x in range(width):
            away = np.int32(column[y, uintp(x)])
            any_near |= away <= reach
            squared[uintp(x + reach)] = away * away if away <= reach else far
            best[uintp(x)] = far
        if any_near:
            for shift in range(2 * reach + 1):
                aside = np.int32((shift - reach) ** 2)
                for x in range(width):
                    best[uintp(x)] = min(best[uintp(x)], np.int32(squared[uintp(x + shift)] + aside))
        ring[y] = 0
        for limit in limits:
            for x in range(width):
                ring[y, uintp(x)] += np.uint8(best[uintp(x)] > limit)


@compiled()
def _along_columns(bits: Any, bit: int, height: int, width: int, most: int) -> NDArray[np.int32]:
    """(H,W) distance to the nearest marked pixel of the column, `most` at most."""
    column = np.empty((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            before = column[y - 1, uintp(x)] if y else np.int32(most)
            column[y, uintp(x)] = 0 if bits[y, uintp(x)] & bit else min(before + 1, most)
    for y in range(height - 2, -1, -1):
        for x in range(width):
            column[y, uintp(x)] = min(column[y, uintp(x)], column[y + 1, uintp(x)] + 1)
    return column


@compiled()
def count_confidence(confidence: Any, prediction: Any, target: Any, known: Any, bins: int) -> NDArray[np.float64]:
    """(n,) probability of the predicted class, both classes, which pixels count -> (bins,3) of equal widths.

    Columns: pixels, right ones, sum of confidence. A bin holds its lower end, the last one 1, too.
    """
    counts = np.zeros((bins, 3))
    for place in range(target.size):
        if known[place]:
            chance = np.float64(confidence[place])
            cell = max(0, min(int(chance * bins), bins - 1))
            counts[cell, 0] += 1
            counts[cell, 1] += prediction[place] == target[place]
            counts[cell, 2] += chance
    return counts
