"""A large picture in overlapping tiles, blended without seams.

Along an axis of length L, n = ceil((L - tile) / stride) + 1 tiles are spread evenly from end to end, so the last one is
shifted inward, not padded. A tile's weight w falls off linearly from its middle to its rim and is never 0. The blend is
kept as a running mean, with W the sum of weights so far:

    W <- W + w        mean <- mean + (part - mean) w / W

so that where tiles agree the result is exactly what they agree on, and beside one mean of the picture's size only a
batch of tiles is held.
"""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor

from structseg.inference.scales import Forward


def starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of the tiles along an axis; neighbours share at least `overlap` (0 to below 1) of a tile."""
    return spread(length, tile, stride_for(tile, overlap))


def stride_for(tile: int, overlap: float) -> int:
    """The largest stride in pixels at which tiles share at least `overlap` of their side."""
    return max(1, math.floor(tile * (1 - overlap)))


def spread(length: int, tile: int, stride: int) -> list[int]:
    """First pixels of as few tiles as a stride of at most `stride` (1 to tile) needs, evenly from end to end."""
    if length <= tile:
        return [0]
    gaps = -(-(length - tile) // stride)
    return [(length - tile) * place // gaps for place in range(gaps + 1)]


def probabilities(
    forward: Forward, image: Tensor, *, tile: int, overlap: float = 0.25, stride: int | None = None, batch: int = 1
) -> Tensor:
    """RGB (B,3,H,W) float -> probabilities (B,C,H,W) from tiles of at most tile x tile pixels, `batch` at a time.

    A picture that fits into one tile goes through `forward` as it is. `stride` in pixels instead of `overlap`.
    """
    height, width = image.shape[-2:]
    if height <= tile and width <= tile:
        return forward(image)
    rows, columns = min(tile, height), min(tile, width)
    weight = (_ramp(rows)[:, None] * _ramp(columns)).to(image.device)
    weights = torch.zeros(height, width, device=image.device)
    mean = torch.empty(0)  # made when the number of classes is known
    stride = stride or stride_for(tile, overlap)
    corners = list(product(spread(height, tile, stride), spread(width, tile, stride)))
    for first in range(0, len(corners), batch):
        windows = [(..., slice(y, y + rows), slice(x, x + columns)) for y, x in corners[first : first + batch]]
        parts = forward(torch.cat([image[window] for window in windows]))
        if not mean.numel():
            mean = parts.new_zeros(len(image), parts.shape[1], height, width)
        for window, part in zip(windows, parts.view(len(windows), -1, *parts.shape[1:]), strict=True):
            weights[window] += weight
            mean[window] += (part - mean[window]) * (weight / weights[window])
    return mean


def _ramp(length: int) -> Tensor:
    """Weight of a tile along one axis, (length,): up to 1 in the middle, above 0 at the rim."""
    place = torch.arange(length, dtype=torch.float32) + 0.5
    return torch.minimum(place, length - place) / (length / 2)
