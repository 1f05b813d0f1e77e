"""The affinity sums with their gradients: one function, whichever form computes them.

    sum over kernels k, centres i, neighbours j, channels c of
        edge[k,i,c] max(0, margin - KL_c(j || i))    where the labels of i and j differ in channel c
        interior[k,i,c] KL_c(j || i)                 elsewhere

over the pairs that count (`pairs.py`). The maps `edge` and `interior` hold all factors of an element: lambda, one over
the number of elements, the learned weight of a kernel. So the kernel knows neither means nor how weights are made, and
its gradient in the maps is all that learned weights need.

Forms: `cpu.py` (compiled loops; float32 on the CPU), `fused.py` (any device), `reference.py` (autograd, for tests).
"""

from __future__ import annotations

import torch
from torch import Tensor

from structseg.losses.kernels import cpu, fused, pairs


def affinity(
    probabilities: Tensor,
    labels: Tensor,
    edge: Tensor,
    interior: Tensor,
    *,
    kernel_sizes: tuple[int, ...],
    margin: float,
    pair_rule: str,
) -> Tensor:
    """probabilities (B,C,h,w) float32 or float64, labels (B,h,w) int64 with -1 = none -> scalar.

    `edge` and `interior` have one shape that broadcasts to (K,B,C,h,w): (K,B,1,h,w) weights by pixel, (K,1,C,1,1) by
    channel, (K,1,1,1,1) alike. Differentiable once in probabilities, edge and interior: RuntimeError with create_graph.
    """
    if _compiled(probabilities, edge, interior):
        mirrored = pair_rule == "mirrored"
        value: Tensor = cpu.affinity(probabilities, labels, edge, interior, list(kernel_sizes), margin, mirrored)[0]
        return value
    return fused.affinity(
        probabilities, labels, edge, interior, kernel_sizes=kernel_sizes, margin=margin, pair_rule=pair_rule
    )


def pair_counts(labels: Tensor, *, kernel_sizes: tuple[int, ...], pair_rule: str) -> Tensor:
    """labels (B,h,w), -1 = none -> (K,2) int64: pairs of two classes, all pairs."""
    if labels.device.type == "cpu":
        counts: Tensor = cpu.pair_counts(labels, list(kernel_sizes), pair_rule == "mirrored")
        return counts
    return pairs.pair_counts(labels, kernel_sizes=kernel_sizes, pair_rule=pair_rule)


def _compiled(probabilities: Tensor, edge: Tensor, interior: Tensor) -> bool:
    """Whether the loops of the CPU take this: everything in its float32, weights by pixel or by channel."""
    own = all(one.device.type == "cpu" and one.dtype == torch.float32 for one in (probabilities, edge, interior))
    return own and edge.shape == interior.shape and (edge.shape[2] == 1 or edge.shape[1] == edge[0, 0, 0].numel() == 1)
