"""Tiles, scales and mirror as the released code of adaptive affinity fields puts them together, for its numbers.

Ke et al., Adaptive Affinity Fields for Semantic Segmentation, ECCV 2018, scripts of the authors. It differs from
`scales.py` and `tiles.py`, which are the default, in this:

- a picture smaller than a tile is continued below and to the right with the mean colour;
- every tile counts alike: a pixel has the mean over the tiles that see it;
- a picture of length L is brought to floor(L * scale), reading at src = dst in/out ("legacy" bilinear), probabilities
  back by half-pixel places: the two do not fit, and each version is shifted by up to half a pixel of the other.

Tiles stand at the same places. The scripts' sums begin at 255 for every class, which costs float32 digits and changes
no label; here they begin at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from structseg.inference import scales as at_scales
from structseg.inference.scales import Forward
from structseg.inference.tiles import spread
from structseg.inference.whole import resize


def probabilities(
    forward: Forward,
    image: Tensor,
    *,
    tile: int,
    stride: int,
    colour: Tensor,
    scales: Sequence[float] = (1.0,),
    mirror: bool = False,
    batch: int = 1,
) -> Tensor:
    """RGB (B,3,H,W) float -> mean probabilities over all versions, (B,C,H,W).

    `stride` from 1 to `tile`; `colour` (3,) is the mean that the model subtracts; `batch` tiles at a time.
    """

    def mean(version: Tensor) -> Tensor:
        sums, visits = slide(forward, version, tile=tile, stride=stride, colour=colour, batch=batch)
        return sums.div_(visits)

    return at_scales.probabilities(mean, image, scales=scales, mirror=mirror, rescale=rescale)


def rescale(image: Tensor, scale: float) -> Tensor:
    """RGB (B,3,H,W) float at the size below `scale`, reading at src = dst in/out."""
    height, width = image.shape[-2:]
    return resize(image, (max(1, int(height * scale)), max(1, int(width * scale))))


def slide(
    forward: Forward, image: Tensor, *, tile: int, stride: int, colour: Tensor, batch: int = 1
) -> tuple[Tensor, Tensor]:
    """RGB (B,3,H,W) float -> sums over tiles (B,C,H,W), and how many tiles see each pixel (H,W)."""
    height, width = image.shape[-2:]
    rows, columns = max(height, tile), max(width, tile)
    padded = colour.to(image).view(3, 1, 1).expand(len(image), 3, rows, columns).clone()
    padded[..., :height, :width] = image
    sums = torch.empty(0)
    visits = torch.zeros(rows, columns, device=image.device)
    corners = list(product(spread(rows, tile, stride), spread(columns, tile, stride)))
    for first in range(0, len(corners), batch):
        windows = [(..., slice(y, y + tile), slice(x, x + tile)) for y, x in corners[first : first + batch]]
        parts = forward(torch.cat([padded[window] for window in windows]))
        if not sums.numel():
            sums = parts.new_zeros(len(image), parts.shape[1], rows, columns)
        for window, part in zip(windows, parts.view(len(windows), -1, *parts.shape[1:]), strict=True):
            sums[window] += part
            visits[window] += 1
    return sums[..., :height, :width], visits[:height, :width]
