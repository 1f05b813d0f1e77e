"""The affinity sums and their gradients on the CPU in float32, by compiled loops (`loops.py`).

Here the line of cells is measured and scratch memory is set aside: for each thread some 50 numbers a cell of a block.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from structseg.compiled import threads
from structseg.losses.kernels.loops import CHUNK, affinity_blocks
from structseg.losses.kernels.pairs import directions
from structseg.neighbours import reach

BLOCK = 2048  # cells of a block, about: its scratch memory stays in the second level cache


class _Line(NamedTuple):
    """How a block of rows lies on a line of cells."""

    rows: int  # of the picture in a block, the last may have fewer
    width: int  # cells of a row: its columns, then as many empty ones as the largest reach
    base: int  # the cell of the first row's first column
    own: int  # cells of the block itself, in whole chunks
    cells: int  # with twice the largest reach on all sides


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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Arguments of `kernels.affinity.affinity` -> the value, its gradients in probabilities, edge and interior."""
    height, width = probabilities.shape[2:]
    used = [k for k, size in enumerate(kernel_sizes) if reach(size) < max(height, width)]  # others have no pair inside
    fill = torch.empty_like if used else torch.zeros_like
    gradient = fill(probabilities, memory_format=torch.contiguous_format)
    totals = torch.zeros(2, len(kernel_sizes), edge.shape[1], dtype=torch.float64)
    tables = torch.stack((edge, interior)).detach()
    if used and probabilities.numel():
        sizes = tuple(kernel_sizes[k] for k in used)
        by_channel = weight_by == "channel" and edge.shape[1] > 1
        some = tables[:, used].flatten(0, 1).numpy()
        sums = _run(probabilities, labels, some, gradient, sizes, margin, pair_rule == "mirrored", by_channel)
        totals[:, used] = torch.from_numpy(sums).reshape(2, len(used), -1)
    value = (tables.double() * totals).sum().to(probabilities.dtype)
    return value, gradient, totals[0].to(edge.dtype), totals[1].to(interior.dtype)


def _run(
    probabilities: Tensor,
    labels: Tensor,
    tables: NDArray[np.float32],
    gradient: Tensor,
    kernel_sizes: tuple[int, ...],
    margin: float,
    mirrored: bool,
    by_channel: bool,
) -> NDArray[np.float64]:
    """Fill `gradient`; the unweighted sums (2 K, R) of the edges and the interiors of each kernel."""
    batch, _, height, width = probabilities.shape
    line = _measure(height, width, max(map(reach, kernel_sizes)))
    steps = np.array([dy * line.width + dx for size in kernel_sizes for dy, dx in directions(size)], dtype=np.int64)
    sums = np.zeros((batch * -(-height // line.rows), *tables.shape))
    with threads(min(torch.get_num_threads(), len(sums))) as workers:
        affinity_blocks(
            probabilities.detach().contiguous().numpy(),
            labels.contiguous().numpy(),
            tables,
            steps,
            by_channel,
            int(mirrored),
            np.float32(margin),
            line.rows,
            line.base,
            line.width,
            np.empty((workers, line.cells), np.int32),
            np.empty((workers, len(steps), line.cells), np.float32),
            np.empty((workers, len(tables), line.cells), np.float32),
            np.empty((workers, 6, line.cells), np.float32),
            np.zeros((workers, len(tables), line.own), np.float32),
            np.zeros((workers, line.own), np.float32),
            gradient.numpy(),
            sums,
        )
    total: NDArray[np.float64] = sums.sum(0)
    return total


def _measure(height: int, width: int, farthest: int) -> _Line:
    """The line of blocks of a picture (h,w); `farthest` is the largest reach."""
    width += farthest
    most = min(height, max(BLOCK // width, 2 * farthest))
    rows = -(-height // -(-height // most))  # as even as they can be
    around = 2 * farthest * (width + 1)
    own = -(-rows * width // CHUNK) * CHUNK
    return _Line(rows, width, base=around, own=own, cells=around + own + around)
