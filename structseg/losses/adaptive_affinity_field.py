"""How far should neighbours be compared, class by class? Affinity fields of several sizes, adversarially weighted.

    loss = sum_k  edge_weight mean_E_k( w_e[r, k] max(0, margin - KL) )  +  interior_weight mean_I_k( w_i[r, k] KL )

w_e and w_i are softmaxes over the kernels k of the parameters `edge_logits` and `interior_logits`. The model minimises
the loss, the weights maximise it (eq. 9-11): without that they would run to the kernel that is already easy. The row r
is the label of the centre pixel for all channels (weight_by="label", released code) or the channel (weight_by=
"channel", eq. 10). Each mean divides by the number of its elements, not by their weights.
Source: Ke, Hwang, Liu, Yu, "Adaptive Affinity Field for Semantic Segmentation", ECCV 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseg.errors import ConfigError, did_you_mean
from structseg.losses.checks import check_affinity, check_whole
from structseg.losses.kernels import affinity
from structseg.losses.kernels.counts import pair_counts
from structseg.losses.kernels.pairs import check_pairs, element_counts
from structseg.losses.kernels.weights import WEIGHTS_BY
from structseg.losses.sampling import (
    as_counts,
    inverse,
    keep_labels,
    probabilities_of,
    read_target,
    sample_target,
    without_autocast,
)


class AdaptiveAffinityField(nn.Module):
    """Adaptive affinity field loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w).

    Options: `num_classes` (1 = sigmoid); `ignore_index`; `kernel_sizes` odd from 3 on; `margin` of the edge term;
    `edge_weight`, `interior_weight` (lambda); `weight_by` "label" or "channel"; `pair_rule` "mirrored" or "simple";
    `ascent`: reverse the gradient of the kernel weights here, so that an optimizer that minimises lets them climb;
    False leaves it to an optimizer with maximize=True. Give the two parameters no weight decay.
    Raises ConfigError for options that are unknown or do not fit the logits.
    Logits must be finite everywhere, also at ignored pixels: one NaN or +inf makes the loss NaN.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        ignore_index: int = 255,
        kernel_sizes: tuple[int, ...] = (3, 5, 7),
        margin: float = 3.0,
        edge_weight: float = 1.0,
        interior_weight: float = 1.0,
        weight_by: str = "label",
        pair_rule: str = "mirrored",
        ascent: bool = True,
    ) -> None:
        super().__init__()
        check_pairs(kernel_sizes, pair_rule)
        check_affinity(margin=margin, edge_weight=edge_weight, interior_weight=interior_weight)
        check_whole("ignore_index", ignore_index)
        check_whole("num_classes", num_classes)
        if num_classes < 1:
            raise ConfigError(f"num_classes {num_classes} is less than 1; 1 means sigmoid")
        if weight_by not in WEIGHTS_BY:
            raise ConfigError(f"weight_by '{weight_by}' is unknown{did_you_mean(weight_by, WEIGHTS_BY)}")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.kernel_sizes = tuple(kernel_sizes)
        self.margin = margin
        self.edge_weight = edge_weight
        self.interior_weight = interior_weight
        self.weight_by = weight_by
        self.pair_rule = pair_rule
        self.ascent = ascent
        self.edge_logits = nn.Parameter(torch.zeros(num_classes, len(kernel_sizes)))
        self.interior_logits = nn.Parameter(torch.zeros(num_classes, len(kernel_sizes)))

    def forward(self, logits: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """The weighted means over this batch, or divided by the summed `counts` of a larger one; 0 for an empty set."""
        with without_autocast(logits):
            probabilities, labels = self._read(logits, target)
            counts = self._counts(labels) if counts is None else counts.to(logits.device)
            scale = inverse(counts).to(probabilities.dtype).reshape(-1, 2, 1)
            edge, interior = self._tables(probabilities.dtype)
            edge, interior = self.edge_weight * scale[:, 0] * edge, self.interior_weight * scale[:, 1] * interior
            return self._total(probabilities, labels, edge, interior, self.kernel_sizes)

    def counts(self, target: Tensor, size: tuple[int, int], *, num_classes: int | None = None) -> Tensor:
        """(2 K,) float64: the numbers of edge and interior elements of each kernel at `size` (h,w).

        `num_classes`, which other losses need here, is an option of this one: the argument is not read.
        """
        labels = sample_target(target, size)
        return self._counts(keep_labels(labels, num_classes=self.num_classes, ignore_index=self.ignore_index))

    def parts(self, logits: Tensor, target: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        """[(weight, sum, count)] of the edge and the interior elements of each kernel; sums hold the kernel weights."""
        with without_autocast(logits):
            probabilities, labels = self._read(logits, target)
            counts = self._counts(labels).reshape(-1, 2)
            parts = []
            for (edge, interior), (edges, interiors), size in zip(
                zip(*self._tables(probabilities.dtype), strict=True), counts, self.kernel_sizes, strict=True
            ):
                nothing = torch.zeros_like(edge[None])
                edge_sum = self._total(probabilities, labels, edge[None], nothing, (size,))
                interior_sum = self._total(probabilities, labels, nothing, interior[None], (size,))
                parts += [(self.edge_weight, edge_sum, edges), (self.interior_weight, interior_sum, interiors)]
            return parts

    def effective_kernel_size(self) -> Tensor:
        """(num_classes,): the mean kernel size under the edge weights of each class."""
        return self._mean_size(self.edge_logits)

    def effective_interior_size(self) -> Tensor:
        """(num_classes,): the mean kernel size under the interior weights of each class."""
        return self._mean_size(self.interior_logits)

    def _mean_size(self, logits: Tensor) -> Tensor:
        weights = logits.detach().softmax(1)
        return weights @ torch.tensor(self.kernel_sizes).to(weights)

    def _read(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        labels = read_target(logits, target, ignore_index=self.ignore_index)
        if logits.shape[1] != self.num_classes:
            raise ConfigError(f"the logits have {logits.shape[1]} channels, but num_classes is {self.num_classes}")
        return probabilities_of(logits), labels

    def _counts(self, labels: Tensor) -> Tensor:
        pairs = pair_counts(labels, kernel_sizes=self.kernel_sizes, pair_rule=self.pair_rule)
        return as_counts(element_counts(pairs, self.num_classes)).flatten()

    def _tables(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The kernel weights (K,C) of edges and of interiors."""
        edge, interior = (_reverse(x) if self.ascent else x for x in (self.edge_logits, self.interior_logits))
        return edge.to(dtype).softmax(1).T, interior.to(dtype).softmax(1).T

    def _total(
        self, probabilities: Tensor, labels: Tensor, edge: Tensor, interior: Tensor, kernel_sizes: tuple[int, ...]
    ) -> Tensor:
        return affinity(
            probabilities,
            labels,
            edge,
            interior,
            kernel_sizes=kernel_sizes,
            margin=self.margin,
            pair_rule=self.pair_rule,
            weight_by=self.weight_by,
        )


def _reverse(values: Tensor) -> Tensor:
    """The same values, exactly, with the gradient -1."""
    return 2 * values.detach() - values
