"""The affinity sums with their gradients: one function, whichever form computes them.

    sum over kernels k, centres i, neighbours j, channels c of
        edge[k,i,c] max(0, margin - KL_c(j || i))    where the labels of i and j differ in channel c
        interior[k,i,c] KL_c(j || i)                 elsewhere

over the pairs that count (`pairs.py`). The maps `edge` and `interior` hold all factors of an element: lambda, one over
the number of elements, the learned weight of a kernel. So the kernel knows neither means nor how weights are made, and
its gradient in the maps is all that learned weights need.

Forms: `fused.py` (any device), `reference.py` (autograd, for tests).
"""

from __future__ import annotations

from torch import Tensor

from structseg.losses.kernels import fused


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
    return fused.affinity(
        probabilities, labels, edge, interior, kernel_sizes=kernel_sizes, margin=margin, pair_rule=pair_rule
    )
