"""Boundary precision, recall and F by distance alone: up to .08 higher than the standard F.

A border pixel counts as matched where its distance to the nearest border pixel of its class in the other map is within
the tolerance, however many others lean on that same pixel: the same numbers as comparing an exact Euclidean distance
transform with the tolerance. The contour benchmark instead allows each pixel one partner (`boundary.py`); ragged
borders gain from the leniency here, so the two forms must never be compared with each other.
"""

from __future__ import annotations

from structseg.metrics.arrays import ClassMap, picture
from structseg.metrics.borders import BorderCounts, Counts, Int32, Lines, count_borders


def boundary_distance_counts(
    prediction: ClassMap,
    target: ClassMap,
    *,
    num_classes: int,
    ignore_index: int = 255,
    tolerance: float = 0.0075,
    thin: bool = False,
    any_class: bool = False,
) -> Counts:
    """(H,W) class ids of one picture -> (C,4) counts: predicted, matched predicted, true, matched true border pixels.

    Border, tolerance and options as in `borders.py`; C is 1 with `any_class`. Raises DataError where shapes, types or
    classes do not fit.
    """
    return count_borders(
        *picture(prediction, target),
        match_by_distance,
        num_classes=num_classes,
        ignore_index=ignore_index,
        tolerance=tolerance,
        thin=thin,
        any_class=any_class,
    )


def match_by_distance(predicted: Lines, true: Lines, widths: Int32) -> tuple[Counts, Counts]:
    """(C,) pixels of each side that have one of the other within the tolerance."""
    from structseg.metrics.border_loops import count_near

    return count_near(*predicted, *true, widths), count_near(*true, *predicted, widths)


class BoundaryDistanceScore(BorderCounts):
    """Boundary precision, recall and F by distance alone; not comparable with `BoundaryScore`, which is lower."""

    match = staticmethod(match_by_distance)
