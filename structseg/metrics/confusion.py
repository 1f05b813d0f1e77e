"""How many pixels of true class t were predicted as p: the confusion matrix, counted exactly.

    counts[t, p] = #{pixels: target = t and prediction = p}        row = truth

Pixels whose target is no class (the ignore index, or anything outside 0..C-1) are dropped. Maps of bytes, the common
case, need no mask at all: the pair (target, prediction) is one 16-bit number, all pairs are counted (`count_loops.py`),
and the C x C corner is kept; what lies right of it in a kept row is a prediction that is no class. Two maps on a CUDA
device are counted there, and only the counts travel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.metrics.arrays import (
    ClassMap,
    Integers,
    check_class,
    check_num_classes,
    check_prediction,
    for_loops,
    is_tensor,
    labelled,
    pictures,
)
from structseg.metrics.scores import scores

Counts = NDArray[np.int64]

BYTE = 256


def confusion(prediction: ClassMap, target: ClassMap, *, num_classes: int, ignore_index: int = 255) -> Counts:
    """(H,W) or (B,H,W) integer class ids -> (C,C) counts, row = truth.

    Raises DataError where shapes differ or are not these, where maps are not integers and where a prediction at a
    labelled pixel is outside 0..C-1.
    """
    check_num_classes(num_classes)
    if _on_one_device(prediction, target):
        return _of_tensors(prediction, target, num_classes=num_classes, ignore_index=ignore_index)
    maps = pictures(prediction, target)
    if num_classes <= BYTE and maps[0].dtype == maps[1].dtype == np.uint8:
        return _of_bytes(*maps, num_classes=num_classes, ignore_index=ignore_index)
    return _of_integers(*maps, num_classes=num_classes, ignore_index=ignore_index)


class ConfusionMatrix:
    """Counts of many pictures and their scores.

        matrix = ConfusionMatrix(num_classes=21)
        matrix.update(logits.argmax(1), target)
        matrix.scores()["miou"]

    `counts` is the (C,C) int64 sum, row = truth; it adds up over ranks.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        check_num_classes(num_classes)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.counts: Counts = np.zeros((num_classes, num_classes), np.int64)

    def update(self, prediction: ClassMap, target: ClassMap) -> None:
        """Add (H,W) or (B,H,W) class ids; errors as in `confusion`."""
        self.counts += confusion(prediction, target, num_classes=self.num_classes, ignore_index=self.ignore_index)

    def scores(self) -> dict[str, Any]:
        """miou, iou (by class, None = absent), pixel_accuracy, mean_accuracy, fwiou, pixels: see `metrics.scores`."""
        return scores(self.counts)

    def compute(self) -> dict[str, Any]:
        """`scores` under the name that torchmetrics users expect."""
        return self.scores()

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix. Raises ValueError where the two do not count the same."""
        mine, theirs = (self.num_classes, self.ignore_index), (other.num_classes, other.ignore_index)
        if mine != theirs:
            raise ValueError(f"cannot add counts of {theirs} to counts of {mine}: num_classes, ignore_index differ")
        self.counts += other.counts

    def reset(self) -> None:
        self.counts[:] = 0


def _of_bytes(prediction: Integers, target: Integers, *, num_classes: int, ignore_index: int) -> Counts:
    from structseg.metrics.count_loops import MOST, count_pairs

    first, second = (values.ravel() for values in for_loops(prediction, target))
    every = np.zeros((num_classes, BYTE), np.int64)
    for start in range(0, first.size, MOST):
        every += count_pairs(first[start : start + MOST], second[start : start + MOST], num_classes)
    if 0 <= ignore_index < num_classes:
        every[ignore_index] = 0
    strays = np.flatnonzero(every[:, num_classes:].any(0))
    for stray in strays:
        check_class(num_classes + int(stray), num_classes=num_classes)
    return every[:, :num_classes]


def _of_integers(prediction: Integers, target: Integers, *, num_classes: int, ignore_index: int) -> Counts:
    known = labelled(target, num_classes=num_classes, ignore_index=ignore_index)
    predicted, true = prediction[known], target[known]
    check_prediction(predicted, num_classes=num_classes)
    pairs = true.astype(np.int64) * num_classes + predicted.astype(np.int64)
    counts: Counts = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    return counts


def _of_tensors(prediction: Any, target: Any, *, num_classes: int, ignore_index: int) -> Counts:
    """The same in tensor operations: one pass over the maps, two small copies to the host."""
    known = (target >= 0) & (target < num_classes) & (target != ignore_index)
    predicted, true = prediction[known].long(), target[known].long()
    if predicted.numel():
        low, high = predicted.aminmax()
        check_class(int(high), num_classes=num_classes)
        check_class(int(low), num_classes=num_classes)
    pairs = true * num_classes + predicted
    counts: Counts = pairs.bincount(minlength=num_classes**2).cpu().numpy().reshape(num_classes, num_classes)
    return counts


def _on_one_device(prediction: ClassMap, target: ClassMap) -> bool:
    """Whether both are integer CUDA tensors of one (H,W) or (B,H,W); anything else takes the checks of the CPU path."""
    if not is_tensor(prediction) or not is_tensor(target) or prediction.ndim not in (2, 3):
        return False
    same = prediction.shape == target.shape and prediction.device == target.device
    return same and prediction.is_cuda and not (prediction.is_floating_point() or target.is_floating_point())
