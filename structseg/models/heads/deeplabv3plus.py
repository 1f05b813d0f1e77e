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
from structseg.models.layers.blocks import classifier, conv_norm, enlarge
from structseg.models.layers.checks import within

RATES = (6, 12, 18)  # at output stride 16
SKIP_STRIDE = 4


class ASPP(nn.Module):
    """(B,D,h,w) -> (B,width,h,w) from several fields of view.

    The pooled branch has one cell a picture, so batch norm would fail on a batch of one in training and be noise on a
    small one: it has a bias instead.
    """

    def __init__(self, inputs: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm(inputs, width)])
        self.branches.extend(conv_norm(inputs, width, 3, dilation=rate) for rate in rates)
        self.pooled = nn.Sequential(nn.Conv2d(inputs, width, 1), nn.ReLU(inplace=True))
        self.mix = conv_norm(width * (len(rates) + 2), width)

    def forward(self, feature: Tensor) -> Tensor:
        pooled = self.pooled(feature.mean((2, 3), keepdim=True)).expand(-1, -1, *feature.shape[2:])
        mixed: Tensor = self.mix(torch.cat([*(branch(feature) for branch in self.branches), pooled], dim=1))
        return mixed


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
        self.aspp = ASPP(channels[-1], width, tuple(max(1, rate * 16 // strides[-1]) for rate in RATES))
        self.skip = conv_norm(channels[self.skip_level], skip_width)
        self.refine = nn.Sequential(conv_norm(width + skip_width, width, 3), conv_norm(width, width, 3))
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = classifier(width, num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        skip = self.skip(features[self.skip_level])
        context = enlarge(self.aspp(features[-1]), self.strides[-1] // SKIP_STRIDE, skip)
        feature = self.refine(torch.cat([context, skip], dim=1))
        return self.classifier(self.dropout(feature)), feature
