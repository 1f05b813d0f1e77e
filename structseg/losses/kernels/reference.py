"""The affinity sums as one reads them in the paper, by autograd: slow, for tests.

For a centre i, its neighbour j = i + d and every class channel c, with p = clip(P, 1e-4, 1), n = clip(1 - P, 1e-4, 1):

    KL_c(j || i) = p_j log(p_j / p_i) + n_j log(n_j / n_i)
    interior:  a_i KL                edge:  e_i max(0, margin - KL)

A channel of a pair is edge where the two labels differ in that channel. Source: Ke et al., ECCV 2018, eq. 5-7, with
the rules of the released code (see `pairs.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from structseg.losses.kernels.pairs import CLIP, directions, one_hot, shifted, valid_pairs
from structseg.losses.kernels.weights import weight_maps


def affinity(
    probabilities: Tensor,
    labels: Tensor,
    edge: Tensor,
    interior: Tensor,
    *,
    kernel_sizes: tuple[int, ...],
    margin: float,
    pair_rule: str,
    weight_by: str,
) -> Tensor:
    """The same as `kernels.affinity.affinity`, by autograd."""
    total = probabilities.new_zeros(())
    edges, interiors = (weight_maps(table, labels, weight_by) for table in (edge, interior))
    classes = one_hot(labels, probabilities.shape[1])
    for kernel, size in enumerate(kernel_sizes):
        for offset in directions(size):
            valid = valid_pairs(labels, offset, pair_rule)[:, None]
            differs = classes != shifted(classes, offset)  # (B,C,h,w)
            kl = divergence(shifted(probabilities, offset), probabilities)
            total = total + (edges[kernel] * (margin - kl).relu() * (valid & differs)).sum()
            total = total + (interiors[kernel] * kl * (valid & ~differs)).sum()
    return total


def divergence(neighbour: Tensor, centre: Tensor) -> Tensor:
    """KL(neighbour || centre) of two Bernoulli distributions, element by element."""
    result = torch.zeros_like(centre)
    for there, here in ((neighbour, centre), (1 - neighbour, 1 - centre)):
        there, here = there.clamp(CLIP, 1), here.clamp(CLIP, 1)
        result = result + there * (there / here).log()
    return result
