"""Several scales and the mirrored picture, their probabilities averaged at the picture's size.

Pictures are brought to a scale, and probabilities back from it, bilinearly by half-pixel places (pixels are areas, as
in training's augmentation); what a model does at its own stride is settled before, in `whole.py`. Versions are made
one after the other from the smallest on, so that the order in which scales are given changes no bit, and added up in
place: beside the sum there is one version in memory, at its own size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Forward = Callable[[Tensor], Tensor]  # RGB (B,3,H,W) float, 0..255 -> probabilities (B,C,H,W), a tensor of its own
Rescale = Callable[[Tensor, float], Tensor]  # RGB (B,3,H,W) float and a scale -> the picture at that scale


def rescale(image: Tensor, scale: float) -> Tensor:
    """RGB (B,3,H,W) float at the nearest size to `scale`, by half-pixel places."""
    height, width = image.shape[-2:]
    return _resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))


def probabilities(
    forward: Forward,
    image: Tensor,
    *,
    scales: Sequence[float] = (1.0,),
    mirror: bool = False,
    rescale: Rescale = rescale,
) -> Tensor:
    """RGB (B,3,H,W) float -> mean over scales (and both mirrorings) of `forward`, (B,C,H,W). At least one scale."""
    height, width = image.shape[-2:]
    total = torch.empty(0)  # made when the number of classes is known
    for scale in sorted(scales):
        scaled = rescale(image, scale)
        for version in (scaled, scaled.flip(-1)) if mirror else (scaled,):
            found = _resize(forward(version), (height, width))
            found = found if version is scaled else found.flip(-1)
            total = total.add_(found) if total.numel() else found
    return total.div_(len(scales) * (1 + mirror))


def _resize(array: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(array.shape[-2:]) == size:
        return array
    return F.interpolate(array, size, mode="bilinear", align_corners=False)
