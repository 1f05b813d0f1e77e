"""ASPP, the head of DeepLabV3: atrous spatial pyramid pooling and a classifier.

Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017. Meant for a backbone of output stride
8 or 16; DeepLabV3+ (`deeplabv3plus`) adds a skip from stride 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from structseg.models.heads import Head
from structseg.models.layers.atrous import AtrousPyramid, published_rates
from structseg.models.layers.blocks import classifier
from structseg.models.layers.checks import counts, within


class ASPP(Head):
    """Logits at the stride of the backbone's coarsest feature.

    `rates` are in cells of that feature; none = the published 6, 12, 18 at stride 16, in proportion at others. `pool`
    adds the branch of the picture's mean.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        num_classes: int,
        rates: tuple[int, ...] = (),
        width: int = 256,
        pool: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels=channels, strides=strides, num_classes=num_classes)
        rates = published_rates(strides[-1]) if rates == () else rates
        counts("model.head_options.rates", rates)
        within("model.head_options.width", width, 1)
        within("model.head_options.dropout", dropout, 0, 1)
        self.stride = strides[-1]
        self.pyramid = AtrousPyramid(channels[-1], width, rates, pool=pool)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = classifier(width, num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        feature = self.pyramid(features[-1])
        return self.classifier(self.dropout(feature)), feature
