"""Objects as COCO writes them, polygons and run lengths, to masks.

A pixel belongs to a polygon when its centre lies inside it by the even-odd rule; coordinates are in pixels, (0, 0) the
top left corner of the picture. Run lengths go down the columns, the first run is background; compressed strings hold
them in groups of five bits, from the fourth on as difference to the one before the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.errors import DataError

Mask = NDArray[np.bool_]


def to_mask(segmentation: Any, size: tuple[int, int], where: str) -> Mask:
    """(H,W) of polygons [[x, y, x, y ...], ...], taken together, or of run lengths {"size": [H, W], "counts": ...}.

    What reaches beyond the picture is cut off. Raises DataError, which begins with `where`, for a polygon wholly
    outside the picture and for what is neither.
    """
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, size, where)
    if not isinstance(segmentation, list) or not segmentation:
        raise DataError(
            f"{where}: a segmentation is a list of polygons or run lengths, not {segmentation!r:.60}; an object with a "
            "box alone has no mask: take it out"
        )
    mask = np.zeros(size, bool)
    for polygon in segmentation:
        fill(_points(polygon, size, where), mask)
    return mask


def _points(polygon: Any, size: tuple[int, int], where: str) -> NDArray[np.float64]:
    """(N,2) x, y."""
    try:
        numbers = np.array(polygon, np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.ndim != 1 or len(numbers) < 6 or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise DataError(f"{where}: a polygon is x, y, x, y ... of at least three points, not {polygon!r:.60}")
    points = numbers.reshape(-1, 2)
    (left, top), (right, below) = points.min(axis=0), points.max(axis=0)
    height, width = size
    if right < 0 or below < 0 or left > width or top > height:
        raise DataError(
            f"{where}: a polygon from ({left:g}, {top:g}) to ({right:g}, {below:g}) lies outside its picture of "
            f"{width}x{height}; is it of another picture, or of another size?"
        )
    return points


def fill(points: NDArray[np.float64], mask: Mask) -> None:
    """Set the pixels of `mask` (H,W) whose centres lie inside the closed outline `points` (N,2) x, y, even-odd."""
    (left, top), (right, below) = _corners(points, mask.shape)
    height, width = below - top, right - left
    if height <= 0 or width <= 0:
        return
    ends = np.roll(points, -1, axis=0)
    upper, lower = np.minimum(points[:, 1], ends[:, 1]), np.maximum(points[:, 1], ends[:, 1])
    first = np.clip(np.ceil(upper - 0.5), top, below).astype(np.intp)  # rows whose centre line y + 1/2 the edge
    counts = np.clip(np.ceil(lower - 0.5), top, below).astype(np.intp) - first  # crosses: upper <= y + 1/2 < lower
    edge = np.repeat(np.arange(len(points)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    (x0, y0), (x1, y1) = points[edge].T, ends[edge].T
    crossing = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    columns = np.clip(np.ceil(crossing - 0.5), left, right).astype(np.intp) - left  # first centre right of the crossing
    flips = np.bincount((rows - top) * (width + 1) + columns, minlength=height * (width + 1))
    odd = flips.reshape(height, width + 1).astype(np.uint8)  # may wrap around: only parity counts
    mask[top:below, left:right] |= (np.cumsum(odd, axis=1, dtype=np.uint8)[:, :width] & 1).view(bool)


def _corners(points: NDArray[np.float64], size: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and one past last x, y of the pixels that an outline may touch, inside the picture."""
    (left, top), (right, below) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    return (max(0, int(left)), max(0, int(top))), (min(size[1], int(right)), min(size[0], int(below)))


def _from_runs(segmentation: dict[str, Any], size: tuple[int, int], where: str) -> Mask:
    counts = segmentation.get("counts")
    runs = decode(counts, where) if isinstance(counts, str) else counts
    if segmentation.get("size") != list(size):
        raise DataError(f"{where}: run lengths of size {segmentation.get('size')}, but the picture has {list(size)}")
    if (
        not isinstance(runs, list)
        or not all(isinstance(run, int) and run >= 0 for run in runs)
        or sum(runs) != size[0] * size[1]
    ):
        raise DataError(f"{where}: the run lengths do not add up to the {size[0] * size[1]} pixels of {list(size)}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(size[::-1]).T


def decode(text: str, where: str) -> list[int]:
    """Run lengths of a compressed string."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise DataError(
                f"{where}: {letter!r} does not occur in compressed run lengths; is the string cut or quoted?"
            )
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more bits of this number follow
            continue
        if bits & 16:  # negative
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise DataError(f"{where}: the compressed run lengths end within a number; the string was cut off")
    return runs
