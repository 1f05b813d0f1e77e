"""The affinity sums with their gradients: one function, whichever form computes them.

    sum over kernels k, centres i, neighbours j, channels c of
        edge[k,r] max(0, margin - KL_c(j || i))    where the labels of i and j differ in channel c
        interior[k,r] KL_c(j || i)                 elsewhere

over the pairs that count (`pairs.py`); r is the label of i or the channel c (`weights.py`). The tables `edge` and
`interior` hold all factors of an element: lambda, one over the number of elements, the learned weight of a kernel. So
the kernel knows neither means nor how weights are made: learned weights need its gradient in the tables only.

Forms: `cpu.py` (compiled loops; CPU, float32), `fused.py` (torch; all else), `reference.py` (autograd, for tests).
They are one operator to torch, so that torch.compile leaves them whole instead of breaking its graph. It is defined by
`torch.library.Library`, because `torch.library.custom_op` loads the compiler at the first call, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from structseg.losses.kernels import fused

_LIBRARY = torch.library.Library("structseg", "FRAGMENT")
_LIBRARY.define(
    "affinity(Tensor probabilities, Tensor labels, Tensor edge, Tensor interior, int[] kernel_sizes, float margin, "
    "str pair_rule, str weight_by) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)


def affinity(
    probabilities: Tensor,
    labels: Tensor,
    edge: Tensor,
    interior: Tensor,
    *,
    kernel_sizes: tuple[int, ...],
    margin: float,
    pair_rule: str,
    weight_by: str = "label",
) -> Tensor:
    """probabilities (B,C,h,w) float32 or float64, labels (B,h,w) int64 with -1 = none -> scalar.

    `edge` and `interior` (K,R) of the same type: R = C columns, or one for all. Differentiable once in probabilities,
    edge and interior: RuntimeError with create_graph. ValueError for shapes that do not fit together.
    """
    value: Tensor = torch.ops.structseg.affinity(
        probabilities, labels, edge, interior, kernel_sizes, margin, pair_rule, weight_by
    )[0]
    return value


def _compute(
    probabilities: Tensor,
    labels: Tensor,
    edge: Tensor,
    interior: Tensor,
    kernel_sizes: Sequence[int],
    margin: float,
    pair_rule: str,
    weight_by: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The value and its gradients in probabilities, edge and interior, by the form that fits."""
    _check(probabilities, labels, (edge, interior), len(kernel_sizes))
    form = fused.affinity
    if probabilities.device.type == "cpu" and probabilities.dtype == torch.float32:
        from structseg.losses.kernels import cpu  # loads Numba

        form = cpu.affinity
    return form(
        probabilities,
        labels,
        edge,
        interior,
        kernel_sizes=tuple(kernel_sizes),
        margin=margin,
        pair_rule=pair_rule,
        weight_by=weight_by,
    )


def _check(probabilities: Tensor, labels: Tensor, tables: tuple[Tensor, Tensor], kernels: int) -> None:
    """Raise ValueError for shapes with which compiled loops would leave an array."""
    batch, channels, height, width = probabilities.shape
    if labels.shape != (batch, height, width):
        raise ValueError(f"labels {tuple(labels.shape)} are not (B,h,w) of probabilities {tuple(probabilities.shape)}")
    for table in tables:
        if table.shape not in ((kernels, 1), (kernels, channels)) or table.shape != tables[0].shape:
            raise ValueError(f"a table of weights {tuple(table.shape)} is not (K,1) or (K,C) = ({kernels}, {channels})")


def _shapes(
    probabilities: Tensor, labels: Tensor, edge: Tensor, interior: Tensor, *options: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Empty tensors like the results: all that a compiler needs to know."""
    gradient = torch.empty_like(probabilities, memory_format=torch.contiguous_format)
    return probabilities.new_empty(()), gradient, edge.new_empty(edge.shape), interior.new_empty(interior.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*output[1:])


def _backward(ctx: Any, grad: Tensor | None, *others: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 8
    if torch.is_grad_enabled():  # the saved slopes have no graph: a second derivative would silently lack them
        raise RuntimeError("the affinity field is differentiable once: leave out create_graph")
    gradient, edge, interior = ctx.saved_tensors
    return grad * gradient, None, grad * edge, grad * interior, None, None, None, None


_LIBRARY.impl("affinity", _compute, "CompositeExplicitAutograd")
torch.library.register_fake("structseg::affinity", _shapes, lib=_LIBRARY)
torch.library.register_autograd("structseg::affinity", _backward, setup_context=_keep, lib=_LIBRARY)
