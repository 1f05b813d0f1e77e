"""Thin lines: the parallel thinning of Guo and Hall (1989), which MATLAB's `bwmorph(..., "thin")` and so the contour
benchmark of Arbelaez et al. use, on the lines of all classes at once.

Neighbours of a pixel are the eight around it that have its class. One of two sub-steps, in turn, deletes all pixels
that have exactly one neighbouring piece (C = 1), are neither an end nor inside (2 <= N <= 3) and lie on the sub-step's
side (m = 0), until neither deletes any. Lines stay in one piece and keep their ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from structseg.compiled import compiled


@compiled()
def thin(classes: Any, bits: Any, bit: int) -> None:
    """Clear `bit` of the pixels of bits that thinning deletes; classes (H,W) are those of the lines."""
    height, width = classes.shape
    lines = np.full((height + 2, width + 2), -1, np.int32)
    found = np.nonzero(bits[:, :width] & bit)
    rows, columns = found[0] + 1, found[1] + 1
    for place in range(rows.size):
        lines[rows[place], columns[place]] = classes[rows[place] - 1, columns[place] - 1]
    left, quiet, side = rows.size, 0, 0
    doomed = np.empty(left, np.bool_)
    while quiet < 2:
        for place in range(left):
            doomed[place] = _deletable(lines, rows[place], columns[place], side)
        kept = 0
        for place in range(left):
            y, x = rows[place], columns[place]
            if doomed[place]:
                lines[y, x] = -1
                bits[y - 1, x - 1] &= ~bit
            else:
                rows[kept], columns[kept] = y, x
                kept += 1
        quiet = quiet + 1 if kept == left else 0
        left, side = kept, 1 - side


@compiled()
def _deletable(lines: Any, y: int, x: int, side: int) -> bool:
    own = lines[y, x]
    north, south = lines[y - 1, x] == own, lines[y + 1, x] == own
    west, east = lines[y, x - 1] == own, lines[y, x + 1] == own
    north_east, south_east = lines[y - 1, x + 1] == own, lines[y + 1, x + 1] == own
    south_west, north_west = lines[y + 1, x - 1] == own, lines[y - 1, x - 1] == own
    pieces = (
        (not north and (north_east or east))
        + (not east and (south_east or south))
        + (not south and (south_west or west))
        + (not west and (north_west or north))
    )
    if pieces != 1:
        return False
    first = (north_west or north) + (north_east or east) + (south_east or south) + (south_west or west)
    second = (north or north_east) + (east or south_east) + (south or south_west) + (west or north_west)
    if not 2 <= min(first, second) <= 3:
        return False
    if side == 0:
        return not ((north or north_east or not south_east) and east)
    return not ((south or south_west or not north_west) and west)
