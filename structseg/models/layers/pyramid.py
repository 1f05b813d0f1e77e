"""What does the rest of the picture look like? Means over its parts beside each cell: the pyramid of PSPNet.

For each n in `bins` the feature is averaged over n x n parts, narrowed and brought back to the feature's size.
Source: Zhao et al., Pyramid Scene Parsing Network, CVPR 2017.

The parts tile the whole feature, so they are brought back by stretching to its size with pixel centres aligned:
centre of part i at (i + 1/2) h / n cells. This is the same geometry as `blocks.enlarge`, whose exact ratio matters
where a coarse feature reaches past a finer one; here neither reaches past the other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from structseg.models.layers.blocks import conv_norm
from structseg.models.layers.pooling import adaptive_mean


def pyramid_branches(inputs: int, outputs: int, bins: tuple[int, ...]) -> nn.ModuleList:
    """One narrowing convolution for each of `bins`.

    Where a part is the whole picture it has one cell, and no batch norm but a bias: training works on one picture.
    """
    return nn.ModuleList(
        conv_norm(inputs, outputs) if one > 1 else nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True))
        for one in bins
    )


def join_parts(feature: Tensor, branches: nn.ModuleList, bins: tuple[int, ...]) -> Tensor:
    """(B,D,h,w) -> (B, D + outputs * len(bins), h,w): the feature, and its parts from the first of `bins` on."""
    joined = [feature]
    for branch, one in zip(branches, bins, strict=True):
        part = branch(adaptive_mean(feature, one))
        joined.append(F.interpolate(part, size=feature.shape[2:], mode="bilinear", align_corners=False))
    return torch.cat(joined, dim=1)
