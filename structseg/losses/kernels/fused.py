"""The affinity sums and their gradients in one pass of plain torch operations: no graph, bounded memory, any device.

Flattened to a line, the neighbour at (dy, dx) of every pixel lies dy w + dx places on; pairs that wrap round a border
do not count and have weight 0. Each unordered pair is visited once and serves both centres. With q = (p, n), which is
P and 1 - P clipped, a weight a of the divergence KL(j || i) = sum over q of q_j log(q_j / q_i) gives

    d/dq_j = a (log(q_j / q_i) + 1)        d/dq_i = -a q_j / q_i

The interior is dense, with one weight for all channels of a pixel (`_interior`). The edge elements are the channels of
the two classes of a pair, 2 of C: they are gathered, and their slopes scattered back (`_edges`).
The work goes in blocks of some images and channels: of cache size on the CPU, large on accelerators.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from structseg.losses.kernels.pairs import CLIP, one_hot, valid_pairs
from structseg.losses.kernels.weights import table_sums, weight_maps
from structseg.neighbours import HALF, reach

CPU_BLOCK = 2**17  # numbers in a block: some 5 MB with all its temporaries
ACCELERATOR_BLOCK = 2**23
FEW = 4  # channels: so many images go together that at least these of them fill a block


@dataclass(frozen=True)
class _Pairs:
    """The pairs (i, i + step) of a line of pixels, for one kernel and one direction; each end may be the centre."""

    kernel: int
    ends: tuple[slice, slice]  # all i, all i + step
    valid: Tensor  # (2,B,1,N-step) does the pair count with the centre i, with the centre i + step? as 0. or 1.


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
    tables, shape = (edge.detach(), interior.detach()), probabilities.shape
    probabilities = probabilities.detach().flatten(2)  # (B,C,N)
    edges, interiors = (weight_maps(table, labels, weight_by).flatten(3) for table in tables)
    gradient = torch.zeros_like(probabilities, memory_format=torch.contiguous_format)
    sums = torch.zeros_like(edges), torch.zeros_like(interiors)
    images, channels = _block_shape(probabilities)
    classes = one_hot(labels, probabilities.shape[1]).flatten(2)
    for block in _slices(len(labels), images):
        pairs = list(_all_pairs(labels[block], kernel_sizes, pair_rule, probabilities.dtype))
        for some in _slices(probabilities.shape[1], channels):
            _interior(
                probabilities[block, some],
                classes[block, some],
                _narrow(interiors, block, some),
                pairs,
                gradient[block, some],
                _narrow(sums[1], block, some),
            )
        _edges(
            probabilities[block],
            labels[block].flatten(1),
            _narrow(edges, block),
            _narrow(interiors, block),
            pairs,
            margin,
            gradient[block],
            _narrow(sums[0], block),
        )
    value = (edges * sums[0]).sum() + (interiors * sums[1]).sum()
    edge_sums, interior_sums = (
        table_sums(found, table, labels, weight_by) for found, table in zip(sums, tables, strict=True)
    )
    return value, gradient.reshape(shape), edge_sums, interior_sums


def _block_shape(probabilities: Tensor) -> tuple[int, int]:
    """How many images, how many channels of these at once."""
    batch, channels, pixels = probabilities.shape
    block = CPU_BLOCK if probabilities.device.type == "cpu" else ACCELERATOR_BLOCK
    images = max(1, min(batch, block // (min(channels, FEW) * pixels)))
    return images, max(1, min(channels, block // (images * pixels)))


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _narrow(maps: Tensor, images: slice, channels: slice | None = None) -> Tensor:
    """The part of (K, B or 1, C or 1, N or 1) that belongs to a block."""
    maps = maps[:, images] if maps.shape[1] > 1 else maps
    return maps[:, :, channels] if channels is not None and maps.shape[2] > 1 else maps


def _all_pairs(labels: Tensor, sizes: tuple[int, ...], pair_rule: str, dtype: torch.dtype) -> Iterator[_Pairs]:
    _, height, width = labels.shape
    for kernel, size in enumerate(sizes):
        for dy, dx in HALF:
            dy, dx = dy * reach(size), dx * reach(size)
            step = dy * width + dx
            if dy < height and abs(dx) < width:
                ends = slice(0, height * width - step), slice(step, None)
                both = zip(ends, ((dy, dx), (-dy, -dx)), strict=True)
                valid = [valid_pairs(labels, offset, pair_rule).flatten(1)[:, None, end] for end, offset in both]
                yield _Pairs(kernel, ends, torch.stack(valid).to(dtype))


def _interior(
    probabilities: Tensor, classes: Tensor, weights: Tensor, pairs: list[_Pairs], gradient: Tensor, sums: Tensor
) -> None:
    """Add the interior elements of a block (B,C,N) to the unweighted `sums`, and their slopes to `gradient`.

    An edge element adds nothing to `sums`, but a - a q_j / q_i to the slopes, which saves a mask; `_edges` removes it.
    """
    raw = torch.stack((probabilities, 1 - probabilities))  # (2,B,C,N)
    q = raw.clamp(min=CLIP)
    log = q.log()
    weights = weights.expand(-1, len(probabilities), -1, q.shape[-1])
    logs, ratios, weight = torch.zeros_like(q), torch.zeros_like(q), torch.zeros_like(weights[0])
    for pair in pairs:
        lower, upper = pair.ends
        change = log[..., upper] - log[..., lower]
        change *= (classes[..., lower] == classes[..., upper]).to(change.dtype)
        for centre, neighbour, valid, sign in (
            (lower, upper, pair.valid[0], 1),
            (upper, lower, pair.valid[1], -1),
        ):
            a = weights[pair.kernel, ..., centre] * valid
            kl = (q[0, ..., neighbour] * change[0]).addcmul_(q[1, ..., neighbour], change[1])
            _collect(sums[pair.kernel], centre, kl, sign * valid)
            logs[..., neighbour].addcmul_(a, change, value=sign)
            ratios[..., centre].addcmul_(a, q[..., neighbour])
            weight[..., neighbour] += a
    slope = (logs + weight - ratios / q) * (raw >= CLIP)
    gradient += slope[0] - slope[1]


def _collect(sums: Tensor, centre: slice, values: Tensor, valid: Tensor) -> None:
    """Add values (B,C,n) * valid (B,1,n) to (B or 1, C or 1, N or 1), summed over what is 1 there."""
    if sums.shape[1] == 1:
        values = values.sum(1, keepdim=True)
    values = values * valid
    if sums.shape[0] == 1:
        values = values.sum(0, keepdim=True)
    if sums.shape[2] == 1:
        sums += values.sum(2, keepdim=True)
    else:
        sums[..., centre] += values


def _edges(
    probabilities: Tensor,
    labels: Tensor,
    edge: Tensor,
    interior: Tensor,
    pairs: list[_Pairs],
    margin: float,
    gradient: Tensor,
    sums: Tensor,
) -> None:
    """Add the edge elements of a block to the unweighted `sums`, and their slopes to `gradient`.

    There it also takes out what `_interior` left for them.
    """
    edge, interior = (maps.expand(-1, len(labels), -1, labels.shape[1]) for maps in (edge, interior))
    for pair in pairs:
        channel = torch.stack([labels[:, end].clamp(min=0) for end in pair.ends], dim=1)  # (B,2,n)
        valid = pair.valid * (channel[:, :1] != channel[:, 1:])  # (2,B,1,n), first axis: the end that is the centre
        if probabilities.shape[1] == 1:
            channel = torch.zeros_like(channel[:, :1])
        chosen = torch.stack([probabilities[..., end].gather(1, channel) for end in pair.ends])
        raw = torch.stack((chosen, 1 - chosen))  # (2,2,B,2,n)
        q = raw.clamp(min=CLIP)
        ratio = q.flip(1) / q  # neighbour over centre
        change = ratio.log()
        kl = (q.flip(1) * change).sum(0)  # (2,B,2,n)
        a, b = (
            valid * torch.stack([_choose(maps[pair.kernel][..., end], channel) for end in pair.ends])
            for maps in (edge, interior)
        )
        a = a * (kl < margin)
        slope = ((b + a) * ratio - (b + a * (change + 1)).flip(1)) * (raw >= CLIP)
        hinge = (margin - kl).relu()
        for end, side in enumerate(pair.ends):
            _collect(sums[pair.kernel], side, _spread(hinge[end], channel, sums.shape[2]), valid[end])
            gradient[..., side].scatter_add_(1, channel, slope[0, end] - slope[1, end])


def _choose(values: Tensor, channel: Tensor) -> Tensor:
    """values (B, C or 1, n) at the channels (B,2,n) -> (B, 2 or 1, n)."""
    return values.gather(1, channel) if values.shape[1] > 1 else values


def _spread(values: Tensor, channel: Tensor, channels: int) -> Tensor:
    """values (B,2,n) of the channels (B,2,n) -> (B,C,n); as they are where there is one for all."""
    if channels == 1:
        return values
    return values.new_zeros(len(values), channels, values.shape[2]).scatter_add_(1, channel, values)
