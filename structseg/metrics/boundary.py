"""Boundary precision, recall and F with one-to-one matching, as in the contour benchmark of Arbelaez et al. 2011.

Each predicted border pixel may be matched with one true border pixel of its class within the tolerance, and each true
one with one predicted: as many pairs as can be, a maximum-cardinality matching of a bipartite graph. (The
benchmark's own tool minimises distance plus an outlier cost of 100 times the tolerance over a thinned graph: the same
count to four digits, and never more.) Without the one-to-one rule a ragged border is forgiven: see
`boundary_distance.py`.
"""

from __future__ import annotations

from structseg.metrics.arrays import ClassMap, picture
from structseg.metrics.borders import BorderCounts, Counts, Int32, Lines, count_borders


def boundary_counts(
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

    Border, tolerance and options as in `borders.py`; both matched columns are the size of the matching; C is 1 with
    `any_class`. Raises DataError where shapes, types or classes do not fit.
    """
    return count_borders(
        *picture(prediction, target),
        match_one_to_one,
        num_classes=num_classes,
        ignore_index=ignore_index,
        tolerance=tolerance,
        thin=thin,
        any_class=any_class,
    )


def match_one_to_one(predicted: Lines, true: Lines, widths: Int32) -> tuple[Counts, Counts]:
    """(C,) the most pairs that can be made within the tolerance, for both sides."""
    from structseg.metrics.border_loops import count_most_pairs

    matched = count_most_pairs(*predicted, *true, widths)
    return matched, matched


class BoundaryScore(BorderCounts):
    """Boundary precision, recall and F of each class and their means, matched one to one."""

    match = staticmethod(match_one_to_one)
