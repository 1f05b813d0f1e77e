"""The number of pairs of each kernel, as a loop that Numba compiles."""

from __future__ import annotations

from typing import Any

from structseg.compiled import compiled, uintp


@compiled()
def count_pairs(labels: Any, offsets: Any, mirrored: int, counts: Any) -> None:
    """labels (B,h,w) int64, -1 = none; offsets (K,8,2) of (dy, dx) -> counts (K,2): pairs of two classes, all pairs."""
    batch, height, width = labels.shape
    for kernel in range(len(offsets)):
        for direction in range(8):
            dy, dx = offsets[kernel, direction]
            back_y, back_x = mirrored * dy, mirrored * dx
            top, left = max(0, -dy, back_y), max(0, -dx, back_x)
            bottom, right = height - max(0, dy, -back_y), width - max(0, dx, -back_x)
            unequal, total = 0, 0
            for image in range(batch):
                for y in range(top, bottom):
                    row, other, mirror = uintp(y), uintp(y + dy), uintp(y - back_y)
                    for x in range(left, right):
                        here, there = labels[image, row, uintp(x)], labels[image, other, uintp(x + dx)]
                        known = (here | there | labels[image, mirror, uintp(x - back_x)]) >= 0
                        total += known
                        unequal += known & (here != there)
            counts[kernel, 0] += unequal
            counts[kernel, 1] += total
