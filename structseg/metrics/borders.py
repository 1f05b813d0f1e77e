"""Where classes meet: the border definition that every border metric shares, and the sum of its counts.

A pixel is a border pixel of its class where one of its four neighbours inside the picture has another class and
neither of the two is without a label in the target. So a line between two classes is drawn on both of its sides, the
edge of an unlabelled region is no border, and what was predicted inside one does not count. The same rule makes
the predicted and the true border, from the prediction and from the target.

A border pixel is matched where the other map has a border pixel of the same class within the tolerance; how strictly
is the subject of `boundary.py` and `boundary_distance.py`. Distances are compared as squared whole numbers, so no
rounding decides a match. The counts of a class are four: predicted border pixels, matched predicted ones, true border
pixels, matched true ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError
from structseg.metrics.arrays import (
    ClassMap,
    Integers,
    check_num_classes,
    check_prediction,
    labelled,
    pictures,
)
from structseg.metrics.scores import boundary_scores

Mask = NDArray[np.bool_]
Points = NDArray[np.int64]  # (n,2) rows and columns
Counts = NDArray[np.int64]  # (C,4)
Match = Callable[[Points, Points, int], tuple[int, int]]  # predicted, true, squared tolerance -> matched of each


def border_mask(classes: Integers, known: Mask) -> Mask:
    """(H,W) class ids and labelled pixels -> (H,W) border pixels, whatever their class."""
    border = np.zeros(classes.shape, bool)
    for here, there in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        meet = (classes[here] != classes[there]) & known[here] & known[there]
        border[here] |= meet
        border[there] |= meet
    return border


def border_points(classes: Integers, known: Mask, *, num_classes: int) -> list[Points]:
    """(H,W) class ids and labelled pixels -> the border pixels of each class, in row-major order."""
    points = np.argwhere(border_mask(classes, known))
    owner = classes[points[:, 0], points[:, 1]]
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(1, num_classes))
    return np.split(points[order], starts)


def check_tolerance(tolerance: float) -> None:
    """Raise ConfigError unless the tolerance is a finite number from 0 on."""
    if not 0 <= tolerance < math.inf:
        raise ConfigError(
            f"tolerance is {tolerance}; give a share of the diagonal (0.0075) or a number of pixels (3.0)"
        )


def squared_tolerance(tolerance: float, shape: tuple[int, ...]) -> int:
    """The largest squared distance, in pixels, that is within the tolerance.

    Below 1 the tolerance is a share of the diagonal of a picture of `shape` (H,W), from 1 on it is in pixels.
    """
    height, width = shape
    squared = tolerance**2 * (1 if tolerance >= 1 else height**2 + width**2)
    return math.floor(squared * (1 + 1e-9))  # 0.05 of a diagonal of 500 is 25 pixels, not 24.999999


def count_borders(
    prediction: Integers, target: Integers, match: Match, *, num_classes: int, ignore_index: int, tolerance: float
) -> Counts:
    """(H,W) class ids of one picture -> (C,4) counts, matched by `match`.

    Raises ConfigError where the tolerance is no distance, DataError where a prediction at a labelled pixel is no class.
    """
    check_tolerance(tolerance)
    known = labelled(target, num_classes=num_classes, ignore_index=ignore_index)
    check_prediction(prediction[known], num_classes=num_classes)
    predicted = border_points(prediction, known, num_classes=num_classes)
    true = border_points(target, known, num_classes=num_classes)
    limit = squared_tolerance(tolerance, target.shape)
    counts = np.zeros((num_classes, 4), np.int64)
    for row, mine, theirs in zip(counts, predicted, true, strict=True):
        row[0], row[2] = len(mine), len(theirs)
        if len(mine) and len(theirs):
            row[1], row[3] = match(mine, theirs, limit)
    return counts


class BorderCounts(ABC):
    """Border counts of many pictures and their scores; `match` says which pixels are matched.

    `counts` is the (C,4) int64 sum; it adds up over ranks. A `tolerance` below 1 is a share of each picture's
    diagonal, from 1 on it is in pixels.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, tolerance: float = 0.0075) -> None:
        check_num_classes(num_classes)
        check_tolerance(tolerance)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.tolerance = tolerance
        self.counts: Counts = np.zeros((num_classes, 4), np.int64)

    @staticmethod
    @abstractmethod
    def match(predicted: Points, true: Points, limit: int) -> tuple[int, int]:
        """How many of each side are matched within the squared distance `limit`."""

    def update(self, prediction: ClassMap, target: ClassMap) -> None:
        """Add (H,W) or (B,H,W) class ids. Raises DataError where shapes, types or classes do not fit."""
        for one, truth in zip(*pictures(prediction, target), strict=True):
            self.counts += count_borders(
                one,
                truth,
                self.match,
                num_classes=self.num_classes,
                ignore_index=self.ignore_index,
                tolerance=self.tolerance,
            )

    def scores(self) -> dict[str, Any]:
        """precision, recall, f (means over classes with a border) and by_class: see `scores.boundary_scores`."""
        return boundary_scores(self.counts)

    def compute(self) -> dict[str, Any]:
        """`scores` under the name that torchmetrics users expect."""
        return self.scores()

    def merge(self, other: BorderCounts) -> None:
        """Add the counts of another score. Raises ValueError where the two do not count the same."""
        mine = (type(self), self.num_classes, self.ignore_index, self.tolerance)
        theirs = (type(other), other.num_classes, other.ignore_index, other.tolerance)
        if mine != theirs:
            raise ValueError(
                f"cannot add counts of {theirs} to counts of {mine}: class, num_classes, ignore_index, tolerance differ"
            )
        self.counts += other.counts

    def reset(self) -> None:
        self.counts[:] = 0
