"""Do neighbouring pixels agree within a class and differ across its border? The affinity field loss, one kernel size.

For a pixel i and each of its eight neighbours j at the kernel's distance, class channel by class channel,

    edge      mean max(0, margin - KL_c(j || i))     where the labels of i and j differ in channel c
    interior  mean KL_c(j || i)                      elsewhere

with KL of Bernoulli distributions, P and 1 - P each clipped at 1e-4, and the two means taken apart: interior elements
are many times more. loss = edge_weight edge + interior_weight interior.
Source: Ke, Hwang, Liu, Yu, "Adaptive Affinity Field for Semantic Segmentation", ECCV 2018, eq. 5-7, as released.
"""

from __future__ import annotations

from torch import Tensor, nn

from structseg.losses.checks import check_affinity, check_whole
from structseg.losses.kernels import affinity
from structseg.losses.kernels.counts import pair_counts
from structseg.losses.kernels.pairs import check_pairs, element_counts
from structseg.losses.sampling import (
    as_counts,
    inverse,
    keep_labels,
    probabilities_of,
    read_target,
    sample_target,
    without_autocast,
)


class AffinityField(nn.Module):
    """Affinity field loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Options: `ignore_index`; `kernel_size` odd from 3 on; `margin` of the edge term; `edge_weight`, `interior_weight`
    (lambda in the paper); `pair_rule` "mirrored" (released code) or "simple" (paper). Raises ConfigError for others.
    Logits must be finite everywhere, also at ignored pixels: one NaN or +inf makes the loss NaN.
    """

    def __init__(
        self,
        *,
        ignore_index: int = 255,
        kernel_size: int = 3,
        margin: float = 3.0,
        edge_weight: float = 1.0,
        interior_weight: float = 1.0,
        pair_rule: str = "mirrored",
    ) -> None:
        super().__init__()
        check_pairs((kernel_size,), pair_rule)
        check_affinity(margin=margin, edge_weight=edge_weight, interior_weight=interior_weight)
        check_whole("ignore_index", ignore_index)
        self.ignore_index = ignore_index
        self.kernel_size = kernel_size
        self.margin = margin
        self.edge_weight = edge_weight
        self.interior_weight = interior_weight
        self.pair_rule = pair_rule

    def forward(self, logits: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """The two means over this batch, or over a larger one whose summed `counts` are given; 0 for an empty set."""
        with without_autocast(logits):
            labels = read_target(logits, target, ignore_index=self.ignore_index)
            probabilities = probabilities_of(logits)
            pairs = self._pairs(labels) if counts is None else counts.to(logits.device)
            scale = inverse(self._elements(pairs, logits.shape[1])).to(probabilities.dtype)
            return self._total(probabilities, labels, self.edge_weight * scale[0], self.interior_weight * scale[1])

    def counts(self, target: Tensor, size: tuple[int, int], *, num_classes: int | None = None) -> Tensor:
        """(2,) float64: pairs of two classes and all pairs at `size` (h,w), from which both divisors follow.

        `num_classes` is the number of channels of the logits; without it all labels that are no class must be
        `ignore_index`.
        """
        labels = sample_target(target, size)
        return self._pairs(keep_labels(labels, num_classes=num_classes, ignore_index=self.ignore_index))

    def parts(self, logits: Tensor, target: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        """[(weight, sum, count)] of the edge and the interior elements."""
        with without_autocast(logits):
            labels = read_target(logits, target, ignore_index=self.ignore_index)
            probabilities = probabilities_of(logits)
            elements = self._elements(self._pairs(labels), logits.shape[1])
            one, zero = probabilities.new_ones(()), probabilities.new_zeros(())
            return [
                (self.edge_weight, self._total(probabilities, labels, one, zero), elements[0]),
                (self.interior_weight, self._total(probabilities, labels, zero, one), elements[1]),
            ]

    def _pairs(self, labels: Tensor) -> Tensor:
        return as_counts(pair_counts(labels, kernel_sizes=(self.kernel_size,), pair_rule=self.pair_rule))[0]

    def _elements(self, pairs: Tensor, num_classes: int) -> Tensor:
        return element_counts(pairs[None], num_classes)[0]

    def _total(self, probabilities: Tensor, labels: Tensor, edge: Tensor, interior: Tensor) -> Tensor:
        return affinity(
            probabilities,
            labels,
            edge.reshape(1, 1),
            interior.reshape(1, 1),
            kernel_sizes=(self.kernel_size,),
            margin=self.margin,
            pair_rule=self.pair_rule,
        )
