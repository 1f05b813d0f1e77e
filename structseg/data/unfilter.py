"""The five filters of PNG undone, by one compiled loop over rows.

Inflating a label picture is quick; undoing its filters byte by byte is what other decoders spend their time on, because
a Paeth filter needs the byte on the left. In a label picture the three neighbours are nearly always equal, so branches
on that are guessed right and cost less than the arithmetic they save. Source: PNG specification, section 9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from structseg.compiled import compiled, uintp
from structseg.types import UInt8


@compiled()
def unfilter(rows: UInt8, pixel: int, result: UInt8) -> bool:
    """Fill `result` (H,N) from `rows` (H,1+N): a filter's number, then N filtered bytes; `pixel` bytes are a pixel.

    False where a filter's number is none of 0 to 4.
    """
    height, count = result.shape
    before = np.zeros(count, np.uint8)
    for y in range(height):
        kind, row, out = rows[y, 0], rows[y, 1:], result[y]
        if kind == 0:
            out[:] = row
        elif kind == 1:
            _left(row, pixel, out)
        elif kind == 2:
            for x in range(count):
                out[uintp(x)] = row[uintp(x)] + before[uintp(x)]
        elif kind == 3:
            _average(row, before, pixel, out)
        elif kind == 4 and pixel == 1:
            _paeth_of_labels(row, before, out)
        elif kind == 4:
            _paeth(row, before, pixel, out)
        else:
            return False
        before = out
    return True


@compiled()
def _left(row: UInt8, pixel: int, out: UInt8) -> None:
    for x in range(pixel):
        out[uintp(x)] = row[uintp(x)]
    for x in range(pixel, len(row)):
        out[uintp(x)] = row[uintp(x)] + out[uintp(x - pixel)]


@compiled()
def _average(row: UInt8, before: UInt8, pixel: int, out: UInt8) -> None:
    for x in range(pixel):
        out[uintp(x)] = row[uintp(x)] + (before[uintp(x)] >> 1)
    for x in range(pixel, len(row)):
        middle = (np.int32(out[uintp(x - pixel)]) + np.int32(before[uintp(x)])) >> 1
        out[uintp(x)] = row[uintp(x)] + middle


@compiled()
def _paeth_of_labels(row: UInt8, before: UInt8, out: UInt8) -> None:
    """One byte a pixel; where left = corner the value above is nearest, where above = corner the left one."""
    left, corner = np.int32(0), np.int32(0)
    for x in range(len(row)):
        above = np.int32(before[uintp(x)])
        nearest = above if left == corner else left if above == corner else _nearest(left, above, corner)
        left = np.int32((row[uintp(x)] + nearest) & 255)
        out[uintp(x)] = left
        corner = above


@compiled()
def _paeth(row: UInt8, before: UInt8, pixel: int, out: UInt8) -> None:
    for x in range(pixel):
        out[uintp(x)] = row[uintp(x)] + before[uintp(x)]  # left and corner are 0: the value above is nearest
    for x in range(pixel, len(row)):
        left, above = np.int32(out[uintp(x - pixel)]), np.int32(before[uintp(x)])
        out[uintp(x)] = row[uintp(x)] + _nearest(left, above, np.int32(before[uintp(x - pixel)]))


@compiled()
def _nearest(left: Any, above: Any, corner: Any) -> Any:
    """Which of the three is nearest to left + above - corner; ties in this order."""
    to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
    if to_left <= to_above and to_left <= to_corner:
        return left
    return above if to_above <= to_corner else corner
