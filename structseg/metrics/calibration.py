"""Are probabilities what they say? Reliability by bins of confidence, and two proper scores.

The confidence of a pixel is the probability of its predicted class. Pixels are put into 15 bins of confidence of equal
width; in each, the share that is right should be the mean confidence (Guo et al., ICML 2017, eq. 3):

    ECE = sum_b n_b/N |accuracy_b - confidence_b|

Brier = mean of sum_c (p_c - [c = target])^2, NLL = mean of -log p_target. Shapes: K bins, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError, DataError
from structseg.metrics.arrays import ClassMap, check_num_classes, class_maps, for_loops, is_tensor, labelled
from structseg.metrics.scores import calibration_scores

BINS = 15
_LEAST = 1e-12  # of a probability whose logarithm is taken


def calibration_counts(
    confidence: Any,
    prediction: ClassMap,
    target: ClassMap,
    *,
    num_classes: int,
    ignore_index: int = 255,
    bins: int = BINS,
) -> NDArray[np.float64]:
    """Probability of the predicted class, its id and the target, of one shape -> (K,3): pixels, right, confidence.

    Raises DataError where shapes or types do not fit.
    """
    from structseg.metrics.count_loops import count_confidence

    predicted, true = class_maps(prediction, target)
    chances = _floats(confidence, "confidence")
    if chances.shape != true.shape:
        raise DataError(f"confidence has shape {chances.shape} but target {true.shape}; give one number a pixel")
    known = labelled(true, num_classes=num_classes, ignore_index=ignore_index)
    (chances,) = for_loops(chances, kind=np.float32)
    predicted, true = for_loops(predicted, true)
    return count_confidence(chances.ravel(), predicted.ravel(), true.ravel(), known.ravel(), bins)


class Calibration:
    """Expected calibration error, reliability by bin, Brier score and NLL of many pictures.

    `counts` (K,3) and `sums` (2,) of Brier and NLL add up over pictures and ranks.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, *, bins: int = BINS) -> None:
        check_num_classes(num_classes)
        if bins < 1:
            raise ConfigError(f"bins is {bins}; give at least 1")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.counts = np.zeros((bins, 3))
        self.sums = np.zeros(2)

    def update(self, probabilities: Any, target: ClassMap) -> None:
        """Add probabilities (C,H,W) or (B,C,H,W), summing to 1 over C, and class ids (H,W) or (B,H,W)."""
        chances = _floats(probabilities, "probabilities")
        if chances.ndim not in (3, 4) or chances.shape[-3] != self.num_classes:
            raise DataError(f"probabilities have shape {chances.shape}; give (C,H,W) or (B,C,H,W) of C classes")
        predicted = chances.argmax(-3)
        true = class_maps(predicted, target)[1]
        table = {"num_classes": self.num_classes, "ignore_index": self.ignore_index}
        self.counts += calibration_counts(chances.max(-3), predicted, true, **table, bins=len(self.counts))
        known = labelled(true, **table)
        places = np.expand_dims(np.where(known, true, 0).astype(np.int64), -3)
        right = np.take_along_axis(chances, places, -3).squeeze(-3)[known].astype(np.float64)
        squares = np.square(chances, dtype=np.float64).sum(-3)[known]
        self.sums += [float((squares - 2 * right + 1).sum()), float(-np.log(np.maximum(right, _LEAST)).sum())]

    def scores(self) -> dict[str, Any]:
        """ece, brier, nll, and by bin pixels, accuracy, confidence: see `scores.calibration_scores`."""
        pixels = self.counts[:, 0].sum()
        brier, nll = (float(value / pixels) if pixels else None for value in self.sums)
        return {**calibration_scores(self.counts), "brier": brier, "nll": nll}

    def compute(self) -> dict[str, Any]:
        """`scores` under the name that torchmetrics users expect."""
        return self.scores()

    def merge(self, other: Calibration) -> None:
        """Add the counts of another one. Raises ValueError where the two do not count the same."""
        mine = (self.num_classes, self.ignore_index, len(self.counts))
        theirs = (other.num_classes, other.ignore_index, len(other.counts))
        if mine != theirs:
            raise ValueError(
                f"cannot add counts of {theirs} to counts of {mine}: num_classes, ignore_index, bins differ"
            )
        self.counts += other.counts
        self.sums += other.sums

    def reset(self) -> None:
        self.counts[:] = 0
        self.sums[:] = 0


def _floats(values: Any, name: str) -> NDArray[Any]:
    if is_tensor(values) and values.is_floating_point():
        values = values.detach().float().cpu().numpy()
    if isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.floating):
        return values
    kind = getattr(values, "dtype", type(values).__name__)
    raise DataError(f"{name} is {kind}; give probabilities as an array or tensor of floats, e.g. logits.softmax(1)")
