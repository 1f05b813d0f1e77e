"""TopDown: the light pyramid head that goes from the coarsest feature down to a fine one.

Every feature of the backbone from `stride` on is brought to `width` channels by a 1x1 convolution; from the coarsest
on, the sum so far is enlarged and added to the next finer one (Lin et al., Feature Pyramid Networks, CVPR 2017, the
top-down path alone); one depthwise-separable 3x3 convolution mixes the result. At stride 4 over EfficientNet-Lite0 it
trains on a laptop's processor. With `bins` the coarsest feature brings the means of the picture's parts along
(layers/pyramid.py), as in SwiftNet (Orsic et al., CVPR 2019).
"""

from __future__ import annotations

from torch import Tensor, nn

from structseg.models.heads import Head
from structseg.models.layers.blocks import classifier, conv_norm, enlarge, separable_conv_norm
from structseg.models.layers.checks import counts, one_of, within
from structseg.models.layers.pyramid import join_parts, pyramid_branches


class TopDown(Head):
    """Logits at `stride`, which is one of the backbone's."""

    def __init__(
        self,
        *,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        num_classes: int,
        width: int = 64,
        stride: int = 4,
        bins: tuple[int, ...] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels=channels, strides=strides, num_classes=num_classes)
        one_of("model.head_options.stride", stride, sorted(set(strides)))
        within("model.head_options.width", width, 1)
        within("model.head_options.dropout", dropout, 0, 1)
        if bins != ():
            counts("model.head_options.bins", bins)
        self.stride, self.bins = stride, bins
        self.first = self.strides.index(stride)
        self.branches = pyramid_branches(channels[-1], width, self.bins)
        depths = (*channels[self.first : -1], channels[-1] + width * len(self.bins))
        self.laterals = nn.ModuleList(conv_norm(depth, width, relu=False) for depth in depths)
        self.mix = separable_conv_norm(width, width)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = classifier(width, num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        features = [*features[:-1], join_parts(features[-1], self.branches, self.bins)]
        laterals = [lateral(feature) for lateral, feature in zip(self.laterals, features[self.first :], strict=True)]
        strides = self.strides[self.first :]
        total: Tensor = laterals[-1]
        for level in range(len(laterals) - 2, -1, -1):
            total = laterals[level] + enlarge(total, strides[level + 1] // strides[level], laterals[level])
        feature = self.mix(total)
        return self.classifier(self.dropout(feature)), feature
