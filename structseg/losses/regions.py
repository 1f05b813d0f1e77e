"""What losses of regions read: a soft mask and a true mask for each class, both empty where there is no label."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from structseg.losses.kernels.pairs import one_hot
from structseg.losses.sampling import probabilities_of, read_target


class Masks(NamedTuple):
    """Of a batch, at the size of the logits; one channel (sigmoid) is the mask of label 1."""

    soft: Tensor  # (B,C,h,w) probabilities, 0 where there is no label
    true: Tensor  # (B,C,h,w) 0 or 1 in the same type, 0 where there is no label
    labels: Tensor  # (B,h,w), -1 where there is none


def read_masks(logits: Tensor, target: Tensor, *, ignore_index: int) -> Masks:
    """logits (B,C,h,w), target (B,H,W) -> Masks. Raises ValueError for shapes that do not fit together."""
    labels = read_target(logits, target, ignore_index=ignore_index)
    probabilities = probabilities_of(logits)
    soft = probabilities.masked_fill((labels < 0)[:, None], 0)
    return Masks(soft, one_hot(labels, logits.shape[1]).to(soft), labels)


def mean_of_present(values: Tensor, true_sizes: Tensor) -> Tensor:
    """values (...,C) -> (...): the mean over the classes whose true size is not 0; 0 where there is none."""
    present = (true_sizes > 0).to(values)
    return (values * present).sum(-1) / present.sum(-1).clamp(min=1)


def above_zero(sizes: Tensor) -> Tensor:
    """Divisors: 1 in place of the 0 of an absent class, whose value is not used."""
    return sizes.where(sizes > 0, 1)
