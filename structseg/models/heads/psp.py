"""PSP, the pyramid pooling head of PSPNet: means over the picture's parts beside each cell.

Zhao et al., Pyramid Scene Parsing Network, CVPR 2017, without its auxiliary branch, as the released adaptive affinity
fields use it: the coarsest feature and its pyramid (layers/pyramid.py), each part narrowed to 1 / len(bins) of the
channels, join in a 3x3 convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

from structseg.models.heads import Head
from structseg.models.layers.blocks import classifier, conv_norm
from structseg.models.layers.checks import counts, within
from structseg.models.layers.pyramid import join_parts, pyramid_branches


class PSP(Head):
    """Logits at the stride of the backbone's coarsest feature."""

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
        self.branches = pyramid_branches(depth, narrow, bins)
        self.mix = conv_norm(depth + narrow * len(bins), width, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = classifier(width, num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        mixed = self.mix(join_parts(features[-1], self.branches, self.bins))
        return self.classifier(self.dropout(mixed)), mixed
