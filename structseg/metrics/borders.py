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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError
from structseg.metrics.arrays import (
    ClassMap,
    Integers,
    Mask,
    check_class,
    check_num_classes,
    for_loops,
    labelled,
    pictures,
)
from structseg.metrics.scores import boundary_scores

Points = NDArray[np.int64]  # (n,2) rows and columns
Counts = NDArray[np.int64]  # (C,4)
Int32 = NDArray[np.int32]
PREDICTED, TRUE = 1, 2  # bits of `Borders.bits`


class Lines(NamedTuple):
    """The border pixels of one map in the order (class, row, column)."""

    xs: Int32  # (n,) columns
    starts: Int32  # (C,H+1) those of class c in row y stand at starts[c,y] to starts[c,y+1]

    def sizes(self) -> Int32:
        """(C,) how many of each class."""
        sizes: Int32 = self.starts[:, -1] - self.starts[:, 0]
        return sizes


class Borders(NamedTuple):
    """The borders of a prediction and of its target."""

    bits: NDArray[np.uint8]  # (H, W and up to 7 more): PREDICTED, TRUE
    predicted: Lines
    true: Lines


Match = Callable[[Lines, Lines, Int32], tuple[Counts, Counts]]  # predicted, true, widths -> (C,) matched of each


def filled(target: Integers, width: float, *, num_classes: int, ignore_index: int = 255) -> Integers:
    """(H,W) class ids -> the same, where pixels without a label take the nearest label within `width` pixels.

    In sets that draw contours as void, as VOC does over five pixels, the line between two classes is then its middle.
    """
    known = labelled(target, num_classes=num_classes, ignore_index=ignore_index)
    if width <= 0 or known.all() or not known.any():
        return target
    from scipy.ndimage import distance_transform_edt  # for such sets alone: the others need not wait for it

    far, (rows, columns) = distance_transform_edt(~known, return_indices=True)
    return np.where(far <= width, target[rows, columns], target)


def find_borders(
    prediction: Integers,
    target: Integers,
    *,
    num_classes: int,
    ignore_index: int,
    thin: bool = False,
    any_class: bool = False,
) -> Borders:
    """The borders of (H,W) class ids; with `thin` lines are thinned, with `any_class` all are of one class, 0.

    Raises DataError where a prediction at a labelled pixel is no class.
    """
    from structseg.metrics.border_loops import border_bits, find_points

    first, second = for_loops(prediction, target)
    height, width = second.shape
    bits = np.zeros((height, -(-width // 8) * 8), np.uint8)
    lowest, highest = border_bits(first, second, num_classes, ignore_index, bits)
    if highest >= 0 or lowest < 0:
        check_class(highest, num_classes=num_classes)
        check_class(lowest, num_classes=num_classes)
    if any_class:
        first, second, num_classes = np.zeros_like(first), np.zeros_like(second), 1
    if thin:
        from structseg.metrics import thin_loops

        thin_loops.thin(first, bits, PREDICTED)
        thin_loops.thin(second, bits, TRUE)
    lines = (Lines(*find_points(map_, bits, bit, num_classes)) for map_, bit in ((first, PREDICTED), (second, TRUE)))
    return Borders(bits, *lines)


def border_points(classes: Integers, known: Mask, *, num_classes: int) -> list[Points]:
    """(H,W) class ids and labelled pixels -> the border pixels of each class, in row-major order."""
    target = np.where(known, 0, -1)
    lines = find_borders(np.where(known, classes, 0), target, num_classes=num_classes, ignore_index=-1).predicted
    points = []
    for starts in lines.starts:
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        points.append(np.stack([rows, lines.xs[starts[0] : starts[-1]].astype(np.int64)], 1))
    return points


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


def tolerance_widths(tolerance: float, shape: tuple[int, ...]) -> Int32:
    """(R+1,) how many pixels sideways are within the tolerance 0, 1 ... R rows away."""
    height, width = shape
    limit = min(squared_tolerance(tolerance, shape), height**2 + width**2)
    return np.array([math.isqrt(limit - rows * rows) for rows in range(math.isqrt(limit) + 1)], np.int32)


def match_borders(borders: Borders, match: Match, widths: Int32) -> Counts:
    """(C,4) counts, matched by `match`."""
    predicted_matched, true_matched = match(borders.predicted, borders.true, widths)
    columns = (borders.predicted.sizes(), predicted_matched, borders.true.sizes(), true_matched)
    return np.stack([column.astype(np.int64) for column in columns], 1)


def count_borders(
    prediction: Integers,
    target: Integers,
    match: Match,
    *,
    num_classes: int,
    ignore_index: int,
    tolerance: float,
    thin: bool = False,
    any_class: bool = False,
) -> Counts:
    """(H,W) class ids of one picture -> (C,4) counts, matched by `match`; options as in `find_borders`.

    Raises ConfigError where the tolerance is no distance, DataError where a prediction at a labelled pixel is no class.
    """
    check_tolerance(tolerance)
    borders = find_borders(
        prediction, target, num_classes=num_classes, ignore_index=ignore_index, thin=thin, any_class=any_class
    )
    return match_borders(borders, match, tolerance_widths(tolerance, target.shape))


class BorderCounts(ABC):
    """Border counts of many pictures and their scores; `match` says which pixels are matched.

    `counts` is the (C,4) int64 sum; it adds up over ranks. A `tolerance` below 1 is a share of each picture's
    diagonal, from 1 on it is in pixels. `thin` thins the lines of each class before they are matched. `any_class`
    matches a border pixel with any other, so that C is 1; such a border is two pixels wide unless it is thinned.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        tolerance: float = 0.0075,
        *,
        thin: bool = False,
        any_class: bool = False,
    ) -> None:
        check_num_classes(num_classes)
        check_tolerance(tolerance)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.tolerance = tolerance
        self.thin, self.any_class = thin, any_class
        self.counts: Counts = np.zeros((1 if any_class else num_classes, 4), np.int64)

    @staticmethod
    @abstractmethod
    def match(predicted: Lines, true: Lines, widths: Int32) -> tuple[Counts, Counts]:
        """(C,) how many of each side are matched within the tolerance that `widths` describe."""

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
                thin=self.thin,
                any_class=self.any_class,
            )

    def scores(self) -> dict[str, Any]:
        """precision, recall, f (means over classes with a border) and by_class: see `scores.boundary_scores`."""
        return boundary_scores(self.counts)

    def compute(self) -> dict[str, Any]:
        """`scores` under the name that torchmetrics users expect."""
        return self.scores()

    def merge(self, other: BorderCounts) -> None:
        """Add the counts of another score. Raises ValueError where the two do not count the same."""
        mine, theirs = self._kind(), other._kind()
        if mine != theirs:
            raise ValueError(
                f"cannot add counts of {theirs} to counts of {mine}: "
                "class, thin, any_class, num_classes, ignore_index, tolerance differ"
            )
        self.counts += other.counts

    def reset(self) -> None:
        self.counts[:] = 0

    def _kind(self) -> tuple[Any, ...]:
        return type(self), self.thin, self.any_class, self.num_classes, self.ignore_index, self.tolerance
