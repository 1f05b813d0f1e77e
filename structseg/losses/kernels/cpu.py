"""The affinity sums on the CPU in float32: `loops.py` behind operators that torch knows.

As custom operators (`structseg::affinity`, `structseg::pair_counts`) they stay one node where a model is compiled or
exported. Some channels of one picture at a time are laid out with a rim and their logarithms, so that beside the
gradient little is held. Weights are by pixel, (K,B or 1,1,h or 1,w or 1), or by channel, (K,1,C,1,1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from structseg.losses.kernels.pairs import CLIP
from structseg.neighbours import DIRECTIONS, HALF, reach

ROWS = 4  # of a block
CELLS = 2**20  # of channels that are laid out together


class Layout(NamedTuple):
    """A picture of (h,w) cells with a rim of `pad` all round, as one line of cells with `pad` more at both ends: so far
    a step from a corner of the rim reaches."""

    height: int
    width: int
    pad: int

    @property
    def line(self) -> int:
        return self.width + 2 * self.pad

    @property
    def inner(self) -> tuple[int, int]:
        """The cells of all whole rows of the picture, rim at their ends and all."""
        first = self.pad + self.pad * self.line
        return first, first + self.height * self.line

    def steps(self, reaches: Sequence[int], directions: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        """(K,D) from a cell to its neighbours in `directions`, at each reach."""
        one = np.array([dy * self.line + dx for dy, dx in directions], np.int64)
        return np.array(reaches, np.int64)[:, None] * one

    def blocks(self) -> NDArray[np.int64]:
        """Where blocks of rows start, and where the last one ends."""
        rows = np.append(np.arange(0, self.height, ROWS), self.height)
        return np.asarray(self.inner[0] + rows * self.line, np.int64)

    def lay(self, values: Tensor, rim: float) -> Tensor:
        """(...,h,w) -> (...,n), all beside the picture of this value."""
        laid: Tensor = F.pad(F.pad(values, [self.pad] * 4, value=rim).flatten(-2), [self.pad] * 2, value=rim)
        return laid

    def take(self, laid: Tensor) -> Tensor:
        """(...,n) -> (...,h,w)."""
        whole: Tensor = laid[..., self.pad : laid.shape[-1] - self.pad].unflatten(
            -1, (self.height + 2 * self.pad, self.line)
        )
        inner: Tensor = whole[..., self.pad : self.pad + self.height, self.pad : self.pad + self.width]
        return inner


def layout(size: Sequence[int], kernel_sizes: Sequence[int]) -> tuple[Layout, list[int]]:
    """The layout for the kernels that reach less far than the picture's longer side, and the places of these."""
    used = [place for place, kernel in enumerate(kernel_sizes) if reach(kernel) < max(size)]
    pad = max((reach(kernel_sizes[place]) for place in used), default=0)
    return Layout(size[0], size[1], pad), used


torch.library.define("structseg::pair_counts", "(Tensor labels, int[] kernel_sizes, bool mirrored) -> Tensor")
torch.library.define(
    "structseg::affinity",
    "(Tensor probabilities, Tensor labels, Tensor edge, Tensor interior, int[] kernel_sizes, float margin, "
    "bool mirrored) -> (Tensor, Tensor, Tensor, Tensor)",
)
pair_counts: Any = torch.ops.structseg.pair_counts
affinity: Any = torch.ops.structseg.affinity


@torch.library.impl("structseg::pair_counts", "cpu")
def _pair_counts(labels: Tensor, kernel_sizes: Sequence[int], mirrored: bool) -> Tensor:
    """labels (B,h,w) on the CPU, -1 = none -> (K,2) int64 as `pairs.pair_counts`."""
    from structseg.losses.kernels.loops import count_pairs  # loads Numba

    shape, used = layout(labels.shape[1:], kernel_sizes)
    counts = np.zeros((len(kernel_sizes), 2), np.int64)
    found = np.zeros((len(used), 2), np.int64)
    steps = shape.steps([reach(kernel_sizes[place]) for place in used], DIRECTIONS)
    for line in _lay_labels(shape, labels) if used else ():
        count_pairs(line, steps, mirrored, *shape.inner, found)
    counts[used] = found
    return torch.from_numpy(counts)


def _pair_counts_shape(labels: Tensor, kernel_sizes: Sequence[int], mirrored: bool) -> Tensor:
    return labels.new_empty((len(kernel_sizes), 2), dtype=torch.int64)


@torch.library.impl("structseg::affinity", "cpu")
def _affinity(
    probabilities: Tensor,
    labels: Tensor,
    edge: Tensor,
    interior: Tensor,
    kernel_sizes: Sequence[int],
    margin: float,
    mirrored: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sum of `kernels.affinity.affinity`, and its gradients in probabilities, edge and interior."""
    from structseg.compiled import threads

    batch, channels, *size = probabilities.shape
    shape, used = layout(size, kernel_sizes)
    by_channel = edge.shape[2] > 1
    gradient = torch.zeros_like(probabilities, memory_format=torch.contiguous_format)
    kernels = len(kernel_sizes)
    sums = [torch.zeros(kernels, *((1, channels, 1, 1) if by_channel else (batch, 1, *size))) for _ in range(2)]
    if used:
        steps = [shape.steps([reach(kernel_sizes[k]) for k in used], which) for which in (DIRECTIONS, HALF)]
        with threads(torch.get_num_threads()):
            for image, line in enumerate(_lay_labels(shape, labels)):
                weights = [_weights(shape, table[used], image, channels, by_channel) for table in (edge, interior)]
                found = _picture(shape, probabilities[image], line, weights, steps, margin, mirrored, by_channel)
                gradient[image] = found[0]
                for total, own in zip(sums, found[1], strict=True):
                    if by_channel:
                        total[used, 0, :, 0, 0] += own
                    else:
                        total[used, image, 0] = own
    value = (edge * sums[0]).sum() + (interior * sums[1]).sum()
    value = value + 0 * probabilities.sum()  # what is not finite anywhere makes the loss so
    return value, gradient, sums[0].sum_to_size(edge.shape), sums[1].sum_to_size(interior.shape)


def _affinity_shapes(
    probabilities: Tensor,
    labels: Tensor,
    edge: Tensor,
    interior: Tensor,
    kernel_sizes: Sequence[int],
    margin: float,
    mirrored: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    gradient = torch.empty_like(probabilities, memory_format=torch.contiguous_format)
    first, second = (torch.empty_like(table, memory_format=torch.contiguous_format) for table in (edge, interior))
    return probabilities.new_empty(()), gradient, first, second


def _lay_labels(shape: Layout, labels: Tensor) -> NDArray[np.int32]:
    """(B,h,w) -> (B,n) int32, the rim without label."""
    return np.asarray(shape.lay(labels.to(torch.int32), -1).numpy())


def _weights(shape: Layout, table: Tensor, image: int, channels: int, by_channel: bool) -> tuple[Any, Any]:
    """Weights of one picture by pixel (K,n) and by channel (K,C); one of the two is 1."""
    kernels = len(table)
    if by_channel:
        ones = torch.ones(kernels, shape.height, shape.width)
        return shape.lay(ones, 1).numpy(), table.reshape(kernels, channels).contiguous().numpy()
    own = table[:, image if table.shape[1] > 1 else 0, 0].expand(kernels, shape.height, shape.width)
    return shape.lay(own, 0).numpy(), np.ones((kernels, channels), np.float32)


def _picture(
    shape: Layout,
    probabilities: Tensor,  # (C,h,w)
    labels: NDArray[np.int32],  # (n,)
    weights: list[tuple[Any, Any]],
    steps: list[NDArray[np.int64]],
    margin: float,
    mirrored: bool,
    by_channel: bool,
) -> tuple[Tensor, Tensor]:
    """Gradient (C,h,w), and the sums without weights (2,K,h,w) or, by channel, (2,K,C)."""
    from structseg.losses.kernels.loops import affinity_rows, valid_pairs

    valid = np.zeros((steps[0].size, len(labels)), np.float32)
    valid_pairs(labels, steps[0], mirrored, *shape.inner, valid)
    (edge, edge_channel), (interior, interior_channel) = weights
    channels, blocks = len(probabilities), shape.blocks()
    classes = np.arange(channels, dtype=np.int32) if channels > 1 else np.ones(1, np.int32)
    sums = torch.zeros(2, len(steps[0]), len(labels))
    gradients, by_channels = [], []
    together = max(1, CELLS // len(labels))
    for some in (slice(first, first + together) for first in range(0, channels, together)):
        raw = shape.lay(probabilities[some], 0.5)
        gradient, by_block = torch.zeros_like(raw), np.zeros((len(blocks) - 1, 2, len(steps[0]), len(raw)))
        n, inverse_n = _clipped(1 - raw)
        p, inverse_p = _clipped(raw)
        affinity_rows(
            p.numpy(),
            n.numpy(),
            p.log().numpy(),
            n.log().numpy(),
            inverse_p.numpy(),
            inverse_n.numpy(),
            labels,
            classes[some],
            valid,
            edge,
            interior,
            np.ascontiguousarray(edge_channel[:, some]),
            np.ascontiguousarray(interior_channel[:, some]),
            steps[1],
            np.array([DIRECTIONS.index(direction) for direction in HALF], np.int64),
            np.float32(margin),
            blocks,
            by_channel,
            gradient.numpy(),
            sums[0].numpy(),
            sums[1].numpy(),
            by_block,
        )
        gradients.append(shape.take(gradient))
        by_channels.append(torch.from_numpy(by_block.sum(0)).float())
    return torch.cat(gradients), torch.cat(by_channels, -1) if by_channel else shape.take(sums)


def _clipped(values: Tensor) -> tuple[Tensor, Tensor]:
    """The values, clipped in place, and one over them, 0 where clipped."""
    inverse = values.reciprocal().masked_fill_(values < CLIP, 0)
    return values.clamp_(min=CLIP), inverse


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output[1:])


def _backward(ctx: Any, slope: Tensor | None, *others: Tensor | None) -> tuple[Tensor | None, ...]:
    """Slopes of the first result; the others are these slopes themselves, and nobody has a use for their own."""
    if torch.is_grad_enabled():
        raise RuntimeError("the affinity loss is differentiable once: leave out create_graph")
    if slope is None:
        return (None,) * 7
    gradient, edge, interior = ctx.saved_tensors
    return slope * gradient, None, slope * edge, slope * interior, None, None, None


torch.library.register_fake("structseg::pair_counts", _pair_counts_shape)
torch.library.register_fake("structseg::affinity", _affinity_shapes)
torch.library.register_autograd("structseg::affinity", _backward, setup_context=_setup)
