"""Atrous spatial pyramid pooling (ASPP): one feature seen through several fields of view.

Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017. A 1x1 convolution, a 3x3 one of each
rate and, if wanted, the mean over the picture stand side by side; a 1x1 convolution mixes them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseg.models.layers.blocks import conv_norm


def published_rates(stride: int) -> tuple[int, ...]:
    """6, 12, 18 cells at output stride 16, as published; in proportion at others, so that they span the same pixels."""
    return tuple(max(1, rate * 16 // stride) for rate in (6, 12, 18))


class AtrousPyramid(nn.Module):
    """(B,D,h,w) -> (B,width,h,w).

    The branch of the mean has one cell a picture, so batch norm would fail on a batch of one in training and be noise
    on a small one: it has a bias instead.
    """

    def __init__(self, inputs: int, width: int, rates: tuple[int, ...], *, pool: bool = True) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm(inputs, width)])
        self.branches.extend(conv_norm(inputs, width, 3, dilation=rate) for rate in rates)
        self.pooled = nn.Sequential(nn.Conv2d(inputs, width, 1), nn.ReLU(inplace=True)) if pool else None
        self.mix = conv_norm(width * (len(rates) + 1 + pool), width)

    def forward(self, feature: Tensor) -> Tensor:
        views = [branch(feature) for branch in self.branches]
        if self.pooled is not None:
            views.append(self.pooled(feature.mean((2, 3), keepdim=True)).expand(-1, -1, *feature.shape[2:]))
        mixed: Tensor = self.mix(torch.cat(views, dim=1))
        return mixed
