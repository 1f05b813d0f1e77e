"""Scores made of counts: IoU, accuracies, boundary F, calibration, over any leading dimensions and without torch.

Counts add up over pictures, crops and ranks; scores do not. So everything upstream counts, and only here are counts
divided. With n[t, p] the pixels of true class t predicted as p (row = truth):

    IoU_c           n_cc / (sum_p n_cp + sum_t n_tc - n_cc)
    mIoU            mean of IoU_c over the classes
    pixel accuracy  sum_c n_cc / n        mean accuracy  mean of n_cc / sum_p n_cp over the classes in the truth
    fwIoU           sum_c (sum_p n_cp / n) IoU_c

All scores are fractions, 0..1. A score of nothing (no pixel at all) is NaN, and None in the dictionaries, which are
meant for JSON. Shapes: C classes; `...` any leading dimensions, e.g. draws of a bootstrap.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[Any]  # integers, or floats where counts were weighted
Values = NDArray[np.float64]


def iou(counts: Counts) -> Values:
    """(...,C,C) -> (...,C) intersection over union; NaN for a class absent from truth and prediction."""
    hits = _hits(counts)
    return _ratio(hits, counts.sum(-1) + counts.sum(-2) - hits)


def miou(counts: Counts, *, absent: Literal["skip", "zero"] = "skip") -> Values:
    """(...,C,C) -> (...) mean IoU.

    A class absent from truth and prediction is left out of the mean (`skip`) or counts as 0 (`zero`: the released
    benchmark of Adaptive Affinity Fields).
    """
    values = iou(counts)
    return _mean(values) if absent == "skip" else np.nan_to_num(values, nan=0.0).mean(-1)


def pixel_accuracy(counts: Counts) -> Values:
    """(...,C,C) -> (...) share of the labelled pixels that are right."""
    return _ratio(_hits(counts).sum(-1), counts.sum((-2, -1)))


def mean_accuracy(counts: Counts) -> Values:
    """(...,C,C) -> (...) mean recall over the classes that stand in the truth."""
    return _mean(_ratio(_hits(counts), counts.sum(-1)))


def fwiou(counts: Counts) -> Values:
    """(...,C,C) -> (...) IoU weighted by the share of each class in the truth."""
    truth = counts.sum(-1)
    return _ratio((truth * np.nan_to_num(iou(counts), nan=0.0)).sum(-1), truth.sum(-1))


def scores(counts: Counts) -> dict[str, Any]:
    """(C,C) -> miou, iou (a list by class, None = absent), pixel_accuracy, mean_accuracy, fwiou, pixels."""
    return {
        "miou": plain(miou(counts)),
        "iou": [plain(value) for value in iou(counts)],
        "pixel_accuracy": plain(pixel_accuracy(counts)),
        "mean_accuracy": plain(mean_accuracy(counts)),
        "fwiou": plain(fwiou(counts)),
        "pixels": int(counts.sum()),
    }


def boundary_prf(counts: Counts) -> tuple[Values, Values, Values]:
    """(...,C,4) -> precision, recall and F of each class, each (...,C).

    Columns: predicted border pixels, matched predicted ones, true border pixels, matched true ones. A class without
    any border is NaN; one with a border in the truth only, or in the prediction only, is 0 in all three.
    """
    predicted, predicted_matched, true, true_matched = np.moveaxis(counts, -1, 0)
    present = (predicted + true) > 0
    precision = np.where(present, np.nan_to_num(_ratio(predicted_matched, predicted), nan=0.0), np.nan)
    recall = np.where(present, np.nan_to_num(_ratio(true_matched, true), nan=0.0), np.nan)
    f = np.where(present, np.nan_to_num(_ratio(2 * precision * recall, precision + recall), nan=0.0), np.nan)
    return precision, recall, f


def boundary_means(counts: Counts) -> tuple[Values, Values, Values]:
    """(...,C,4) -> precision, recall and F, each (...), averaged over the classes with a true or predicted border."""
    precision, recall, f = boundary_prf(counts)
    return _mean(precision), _mean(recall), _mean(f)


def boundary_f(counts: Counts) -> Values:
    """(...,C,4) -> (...) mean F over the classes with a true or predicted border."""
    return boundary_means(counts)[2]


def boundary_scores(counts: Counts) -> dict[str, Any]:
    """(C,4) -> precision, recall, f (means) and by_class: the same three as lists (None = no border)."""
    names = ("precision", "recall", "f")
    means: dict[str, Any] = dict(zip(names, map(plain, boundary_means(counts)), strict=True))
    each = zip(names, boundary_prf(counts), strict=True)
    return means | {"by_class": {name: [plain(value) for value in values] for name, values in each}}


def instance_sums(counts: Counts, instances: Counts) -> Values:
    """(...,C,C) counts of single pictures and (...,C) instances of each class in them -> (...,C,2) sums.

    Columns: IoU weighted by the number of instances, that number. They add up over pictures.
    """
    return np.stack([np.nan_to_num(iou(counts), nan=0.0) * instances, instances.astype(np.float64)], -1)


def instance_iou(sums: Counts) -> Values:
    """(...,C,2) sums as from `instance_sums` -> (...,C) mean IoU of a picture by instance; NaN without any instance."""
    return _ratio(sums[..., 0], sums[..., 1])


def instance_miou(sums: Counts, *, absent: Literal["skip", "zero"] = "skip") -> Values:
    """(...,C,2) -> (...) mean over classes; one without any instance is left out, or counts as 0, as in `miou`."""
    values = instance_iou(sums)
    return _mean(values) if absent == "skip" else np.nan_to_num(values, nan=0.0).mean(-1)


def calibration_error(counts: Counts) -> Values:
    """(...,K,3) -> (...) expected calibration error: mean over pixels of |accuracy - confidence| of their bin.

    Columns of the K bins of confidence: pixels, right ones, sum of confidence.
    """
    return _ratio(np.abs(counts[..., 1] - counts[..., 2]).sum(-1), counts[..., 0].sum(-1))


def calibration_scores(counts: Counts) -> dict[str, Any]:
    """(K,3) -> ece, and by bin of confidence: pixels, accuracy, confidence (None = an empty bin)."""
    pixels = counts[:, 0]
    return {
        "ece": plain(calibration_error(counts)),
        "pixels": pixels.astype(int).tolist(),
        "accuracy": [plain(value) for value in _ratio(counts[:, 1], pixels)],
        "confidence": [plain(value) for value in _ratio(counts[:, 2], pixels)],
    }


def _hits(counts: Counts) -> Counts:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _ratio(part: Counts, whole: Counts) -> Values:
    """part / whole, NaN where `whole` is 0."""
    result: Values = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.greater(whole, 0))
    return result


def _mean(values: Values) -> Values:
    """(...,C) -> (...) mean of what is not NaN; NaN where nothing is left."""
    present = ~np.isnan(values)
    return _ratio(np.where(present, values, 0.0).sum(-1), present.sum(-1))


def plain(value: float | Values) -> float | None:
    """A score for JSON: None where there is none."""
    return None if np.isnan(value) else float(value)
