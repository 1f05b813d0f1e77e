"""DeepLabV3+: atrous spatial pyramid pooling and one skip from stride 4.

Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation, ECCV 2018. The coarsest
feature goes through a 1x1 convolution, three 3x3 ones of rates 6, 12, 18 at output stride 16 (in proportion at others:
12, 24, 36 at 8) and a pooled branch; their mix is enlarged, joined with a narrow stride-4 feature and refined by two
3x3 convolutions. Convolutions are plain ones, not separable.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseg.errors import ConfigError
from structseg.models.heads import Head
from structseg.models.layers.atrous import AtrousPyramid, published_rates
from structseg.models.layers.blocks import classifier, conv_norm, enlarge
from structseg.models.layers.checks import within

SKIP_STRIDE = 4


class DeepLabV3Plus(Head):
    """Logits at stride 4."""

    stride = SKIP_STRIDE

    def __init__(
        self,
        *,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        num_classes: int,
        width: int = 256,
        skip_width: int = 48,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels=channels, strides=strides, num_classes=num_classes)
        if SKIP_STRIDE not in strides:
            raise ConfigError(f"model.head: deeplabv3plus needs a backbone with a stride-{SKIP_STRIDE} feature")
        within("model.head_options.width", width, 1)
        within("model.head_options.skip_width", skip_width, 1)
        within("model.head_options.dropout", dropout, 0, 1)
        self.skip_level = self.strides.index(SKIP_STRIDE)
        self.aspp = AtrousPyramid(channels[-1], width, published_rates(strides[-1]))
        self.skip = conv_norm(channels[self.skip_level], skip_width)
        self.refine = nn.Sequential(conv_norm(width + skip_width, width, 3), conv_norm(width, width, 3))
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = classifier(width, num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        skip = self.skip(features[self.skip_level])
        context = enlarge(self.aspp(features[-1]), self.strides[-1] // SKIP_STRIDE, skip)
        feature = self.refine(torch.cat([context, skip], dim=1))
        return self.classifier(self.dropout(feature)), feature
