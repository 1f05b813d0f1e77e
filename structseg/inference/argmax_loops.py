"""The loop behind `classes.py`: bilinear enlarging and the largest channel, row by row.

Between two rows of cells every channel is brought to the picture's columns once (`_across`); each picture row between
them then blends the two and keeps the largest channel so far, columns innermost, so that they go through vector
registers. Beside the result there are 2C + 2 rows of the picture's width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from structseg.compiled import compiled, uintp


@compiled()
def largest(logits: Any, out: Any, down: Any, right: Any) -> None:
    """logits (B,C,h,w) float32 -> out (B,H,W) uint8, the first largest channel of each pixel.

    Pixel (y, x) reads the cell at (y * down, x * right), float32; the last row and column of cells are held.
    """
    images, channels, rows, _ = logits.shape
    height, width = out.shape[1], out.shape[2]
    upper = np.empty((channels, width), np.float32)
    lower = np.empty((channels, width), np.float32)
    best, which = np.empty(width, np.float32), np.empty(width, np.int32)
    for image in range(images):
        loaded = -1
        for y in range(height):
            place = down * np.float32(y)
            row = min(int(place), rows - 1)
            if row != loaded:
                _across(logits[image, :, row], upper, right)
                _across(logits[image, :, min(row + 1, rows - 1)], lower, right)
                loaded = row
            share = place - np.float32(row)
            best[:], which[:] = -np.inf, 0
            for channel in range(channels):
                for x in range(width):
                    above = upper[uintp(channel), uintp(x)]
                    value = above + share * (lower[uintp(channel), uintp(x)] - above)
                    larger = value > best[uintp(x)]
                    best[uintp(x)] = value if larger else best[uintp(x)]
                    which[uintp(x)] = np.int32(channel) if larger else which[uintp(x)]
            for x in range(width):
                out[uintp(image), uintp(y), uintp(x)] = np.uint8(which[uintp(x)])


@compiled()
def _across(cells: Any, values: Any, right: Any) -> None:
    """A row of cells (C,w) -> values (C,W) at the picture's columns."""
    channels, columns = cells.shape
    for x in range(values.shape[1]):
        place = right * np.float32(x)
        column = min(int(place), columns - 1)
        beside, share = min(column + 1, columns - 1), place - np.float32(column)
        for channel in range(channels):
            near = cells[uintp(channel), uintp(column)]
            far = cells[uintp(channel), uintp(beside)]
            values[uintp(channel), uintp(x)] = near + share * (far - near)
