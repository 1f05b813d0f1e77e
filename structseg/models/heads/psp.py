"""PSP, the pyramid pooling head of PSPNet: means over the picture's parts beside each cell.

Zhao et al., Pyramid Scene Parsing Network, CVPR 2017, without its auxiliary branch, as the released adaptive affinity
fields use it. For each n in `bins` the coarsest feature is averaged over n x n parts, narrowed to 1 / len(bins) of its
channels and brought back to the feature's size; the feature and these join in a 3x3 convolution.

The parts tile the whole feature, so they are brought back by stretching to its size with pixel centres aligned:
centre of part i at (i + 1/2) h / n cells. This is the same geometry as `blocks.enlarge`, whose exact ratio matters
where a coarse feature reaches past a finer one; here neither reaches past the other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from structseg.models.heads import Head
from structseg.models.layers.blocks import classifier, conv_norm
from structseg.models.layers.checks import counts, within
from structseg.models.layers.pooling import adaptive_mean


class PSP(Head):
    """Logits at the stride of the backbone's coarsest feature.

    Where a part is the whole picture it has one cell, and no batch norm but a bias: training works on one picture.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        num_classes: int,
        bins: tuple[int, ...] = (1, 2, 3, 6),
        width: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels=channels, strides=strides, num_classes=num_classes)
        counts("model.head_options.bins", bins)
        within("model.head_options.width", width, 1)
        within("model.head_options.dropout", dropout, 0, 1)
        self.stride, self.bins = strides[-1], bins
        depth = channels[-1]
        narrow = max(1, depth // len(bins))
        self.branches = nn.ModuleList(_branch(depth, narrow, norm=one > 1) for one in bins)
        self.mix = conv_norm(depth + narrow * len(bins), width, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = classifier(width, num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        feature, parts = features[-1], []
        for branch, bins in zip(self.branches, self.bins, strict=True):
            part = branch(adaptive_mean(feature, bins))
            parts.append(F.interpolate(part, size=feature.shape[2:], mode="bilinear", align_corners=False))
        mixed = self.mix(torch.cat([feature, *parts], dim=1))
        return self.classifier(self.dropout(mixed)), mixed


def _branch(inputs: int, outputs: int, *, norm: bool) -> nn.Sequential:
    return conv_norm(inputs, outputs) if norm else nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True))
