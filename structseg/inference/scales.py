"""Several scales and the mirrored picture, their probabilities averaged at the picture's size.

Pictures are brought to a scale, and probabilities back from it, bilinearly by half-pixel places (pixels are areas, as
in training's augmentation); what a model does at its own stride is settled before, in `whole.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

Forward = Callable[[Tensor], Tensor]  # RGB (B,3,H,W) float, 0..255 -> probabilities (B,C,H,W)


def probabilities(forward: Forward, image: Tensor, *, scales: Sequence[float] = (1.0,), mirror: bool = False) -> Tensor:
    """RGB (B,3,H,W) float -> mean over scales (and both mirrorings) of `forward`, (B,C,H,W). At least one scale."""
    found = (_at_scale(forward, image, scale, mirror) for scale in scales)  # one at a time in memory
    return reduce(torch.add, found) / len(scales)


def _at_scale(forward: Forward, image: Tensor, scale: float, mirror: bool) -> Tensor:
    height, width = image.shape[-2:]
    scaled = _resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    found = forward(scaled)
    if mirror:
        found = (found + forward(scaled.flip(-1)).flip(-1)) / 2
    return _resize(found, (height, width))


def _resize(array: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(array.shape[-2:]) == size:
        return array
    return F.interpolate(array, size, mode="bilinear", align_corners=False)
