"""Is every pixel's class right? Cross-entropy, plain or weighted by class.

    sum_i w[y_i] (-log P_i[y_i]) / sum_i w[y_i]        over the pixels with a label

The weights are given, or follow a rule from the classes' shares f of the labelled pixels:

    inverse_sqrt  f^-0.5        inverse  f^-1

and are scaled so that a pixel's mean weight, sum_c f_c w_c, is 1. The loss is a weighted mean, so the scale does not
matter to it, and median frequency balancing, median(f) / f, is "inverse". A class that never occurs (f = 0) gets the
largest weight of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from structseg.errors import ConfigError, did_you_mean
from structseg.losses.checks import check_whole
from structseg.losses.sampling import (
    as_counts,
    inverse,
    keep_labels,
    raise_precision,
    read_target,
    sample_target,
    without_autocast,
)

WEIGHT_RULES: dict[str, Callable[[float], float]] = {  # share -> weight
    "inverse_sqrt": lambda share: share**-0.5,
    "inverse": lambda share: 1 / share,
}


class CrossEntropy(nn.Module):
    """Cross-entropy of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Options: `ignore_index`; `class_weights` = one weight for each class or the name of a rule; `class_frequencies` =
    the pixel share of each class, for a rule. Raises ConfigError for options that do not fit together or the logits.
    """

    weights: Tensor | None

    def __init__(
        self,
        *,
        ignore_index: int = 255,
        class_weights: tuple[float, ...] | str | None = None,
        class_frequencies: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        self.ignore_index = ignore_index
        if isinstance(class_weights, str):
            class_weights = weights_by_rule(class_weights, class_frequencies)
        elif class_frequencies is not None:
            raise ConfigError(f"class_frequencies needs class_weights to name a rule: {', '.join(WEIGHT_RULES)}")
        if class_weights is not None and not _are_weights(class_weights):
            raise ConfigError(f"class_weights {class_weights!r} are not numbers from 0 on, one of them above 0")
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """The weighted mean over the labelled pixels: over these, or divided by `counts` (1,) of a larger batch."""
        with without_autocast(logits):
            labels = self._labels(logits, target)
            total = self._sum(logits, labels)
            counts = self._count(labels) if counts is None else counts.to(total.device)
            return (total * inverse(counts).to(total.dtype)).sum()

    def counts(self, target: Tensor, size: tuple[int, int], *, num_classes: int | None = None) -> Tensor:
        """(1,) float64: the total weight of the labelled pixels at `size` (h,w).

        `num_classes` is the number of channels of the logits; without it, and without weights, all labels that are no
        class must be `ignore_index`.
        """
        classes = num_classes if self.weights is None else len(self.weights)
        return self._count(
            keep_labels(sample_target(target, size), num_classes=classes, ignore_index=self.ignore_index)
        )

    def parts(self, logits: Tensor, target: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        """[(1, weighted sum, total weight)]."""
        with without_autocast(logits):
            labels = self._labels(logits, target)
            return [(1.0, self._sum(logits, labels), self._count(labels)[0])]

    def _labels(self, logits: Tensor, target: Tensor) -> Tensor:
        labels = read_target(logits, target, ignore_index=self.ignore_index)
        classes = max(logits.shape[1], 2)
        if self.weights is not None and len(self.weights) != classes:
            raise ConfigError(f"class_weights has {len(self.weights)} numbers, but there are {classes} classes")
        return labels

    def _count(self, labels: Tensor) -> Tensor:
        known = as_counts(labels >= 0)
        if self.weights is not None:
            known = known * self.weights.to(known)[labels.clamp(min=0)]
        return known.sum().reshape(1)

    def _sum(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = raise_precision(logits)
        weights = None if self.weights is None else self.weights.to(logits)
        if logits.shape[1] > 1:
            return F.cross_entropy(logits, labels, weight=weights, ignore_index=-1, reduction="sum")
        weight = (labels >= 0).to(logits)
        if weights is not None:
            weight = weight * weights[labels.clamp(min=0)]
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits), weight, reduction="sum")


def weights_by_rule(rule: str, frequencies: tuple[float, ...] | None) -> tuple[float, ...]:
    """Class weights from pixel shares (any scale) by the named rule, mean weight of a pixel 1.

    Raises ConfigError for an unknown rule, missing or negative shares.
    """
    if rule not in WEIGHT_RULES:
        raise ConfigError(f"class_weights '{rule}' is not a rule{did_you_mean(rule, WEIGHT_RULES)}")
    if frequencies is None:
        raise ConfigError(f"class_weights '{rule}' needs class_frequencies, the pixel share of each class")
    if not _are_weights(frequencies):
        raise ConfigError(f"class_frequencies {tuple(frequencies)} are not numbers from 0 on, one of them above 0")
    shares = [frequency / sum(frequencies) for frequency in frequencies]
    weights = [WEIGHT_RULES[rule](share) if share > 0 else 0.0 for share in shares]
    mean = sum(share * weight for share, weight in zip(shares, weights, strict=True))
    return tuple((weight or max(weights)) / mean for weight in weights)


def _are_weights(values: Iterable[float]) -> bool:
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):  # not many, or no numbers
        return False
    return all(math.isfinite(value) and value >= 0 for value in found) and any(found)
