"""All that is counted of one picture, in few passes: confusion, bands near borders, both forms of border counts.

Borders are found once for all of them, and pixels are counted once, by their ring around the true border: bands are
sums of rings, and the confusion matrix is the sum of all. The numbers are those of `confusion`, `trimap_counts`,
`boundary_distance_counts` and `boundary_counts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from structseg.metrics.arrays import ClassMap, picture
from structseg.metrics.borders import check_tolerance, filled, find_borders, match_borders, tolerance_widths
from structseg.metrics.boundary import match_one_to_one
from structseg.metrics.boundary_distance import match_by_distance
from structseg.metrics.confusion import confusion
from structseg.metrics.trimap import check_distances, ring_counts

Counts = NDArray[np.int64]


class Survey(NamedTuple):
    """Counts of one picture; row = truth, columns of borders as in `scores.boundary_prf`."""

    confusion: Counts  # (C,C)
    bands: Counts  # (T,C,C)
    distance: Counts | None  # (C,4) matched by distance
    matched: Counts | None  # (C,4) matched one to one


def survey(
    prediction: ClassMap,
    target: ClassMap,
    *,
    num_classes: int,
    ignore_index: int = 255,
    tolerance: float = 0.0075,
    distances: Sequence[float] = (),
    distance: bool = True,
    matched: bool = True,
    thin: bool = False,
    fill: float = 0.0,
) -> Survey:
    """(H,W) class ids of one picture -> its counts; `distance` and `matched` say which border counts are wanted, `thin`
    whether their lines are thinned.

    `distances` of bands ascend, () = none. `fill` is for sets that draw contours as void (`filled`). Raises ConfigError
    for distances and a tolerance that are none, DataError where shapes, types or classes do not fit.
    """
    check_tolerance(tolerance)
    maps = picture(prediction, target)
    table: dict[str, Any] = {"num_classes": num_classes, "ignore_index": ignore_index}
    lined = maps[0], filled(maps[1], fill, **table)
    borders = find_borders(*lined, **table)
    if distances:
        check_distances(distances)
        rings = ring_counts(*maps, borders, distances, **table)
        pixels, bands = rings.sum(0), rings[:-1].cumsum(0)
    else:
        pixels, bands = confusion(*maps, **table), np.zeros((0, num_classes, num_classes), np.int64)
    if thin:
        borders = find_borders(*lined, **table, thin=True)
    widths = tolerance_widths(tolerance, maps[1].shape)
    return Survey(
        pixels,
        bands,
        match_borders(borders, match_by_distance, widths) if distance else None,
        match_borders(borders, match_one_to_one, widths) if matched else None,
    )
