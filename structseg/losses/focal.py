"""Is every pixel's class right, easy pixels counting less?

    mean_i -(1 - P_i[y_i])^gamma log P_i[y_i]        over the pixels with a label

gamma = 0 is cross-entropy. The published loss also weighs the classes (alpha); `cross_entropy` has weights by class.
Source: Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection", ICCV 2017, eq. 4; gamma 2 is their
best. Theirs is of sigmoids, divided by the boxes with an object; P of several classes is the softmax here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseg.losses.checks import check_number, check_whole
from structseg.losses.sampling import (
    as_counts,
    inverse,
    keep_labels,
    pixel_cross_entropy,
    read_target,
    sample_target,
    without_autocast,
)


class Focal(nn.Module):
    """Focal loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Options: `ignore_index`; `gamma` from 0 on. Raises ConfigError for others. It decomposes: `parts`, `counts`.
    """

    def __init__(self, *, ignore_index: int = 255, gamma: float = 2.0) -> None:
        super().__init__()
        check_whole("ignore_index", ignore_index)
        check_number("gamma", gamma, least=0)
        self.ignore_index = ignore_index
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """The mean over the labelled pixels: over these, or divided by `counts` (1,) of a larger batch."""
        with without_autocast(logits):
            labels = read_target(logits, target, ignore_index=self.ignore_index)
            total = self._sum(logits, labels)
            counts = _count(labels) if counts is None else counts.to(total.device)
            return (total * inverse(counts).to(total.dtype)).sum()

    def counts(self, target: Tensor, size: tuple[int, int], *, num_classes: int | None = None) -> Tensor:
        """(1,) float64: the number of labelled pixels at `size` (h,w); `num_classes` as in `CrossEntropy.counts`."""
        labels = sample_target(target, size)
        return _count(keep_labels(labels, num_classes=num_classes, ignore_index=self.ignore_index))

    def parts(self, logits: Tensor, target: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        """[(1, sum, number of labelled pixels)]."""
        with without_autocast(logits):
            labels = read_target(logits, target, ignore_index=self.ignore_index)
            return [(1.0, self._sum(logits, labels), _count(labels)[0])]

    def _sum(self, logits: Tensor, labels: Tensor) -> Tensor:
        surprise = pixel_cross_entropy(logits, labels)  # (B,h,w)
        wrong = -torch.expm1(-surprise)  # 1 - P
        tiny = torch.finfo(wrong.dtype).tiny  # below 1, the power has no slope at 0
        return (wrong.clamp(min=tiny) ** self.gamma * surprise).sum()


def _count(labels: Tensor) -> Tensor:
    return as_counts(labels >= 0).sum().reshape(1)
