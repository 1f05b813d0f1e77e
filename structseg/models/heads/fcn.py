"""FCN: a classifier on the coarsest feature, the plainest head.

Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015 (its "32s" form; with a dilated backbone
the form of DeepLab's first version). `hidden` > 0 puts a 3x3 convolution of that width before the classifier.
"""

from __future__ import annotations

from torch import Tensor, nn

from structseg.models.heads import Head
from structseg.models.layers.blocks import classifier, conv_norm
from structseg.models.layers.checks import within


class FCN(Head):
    """Logits at the stride of the backbone's coarsest feature."""

    def __init__(
        self,
        *,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        num_classes: int,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels=channels, strides=strides, num_classes=num_classes)
        within("model.head_options.hidden", hidden, 0)
        within("model.head_options.dropout", dropout, 0, 1)
        self.stride = strides[-1]
        self.hidden: nn.Module = conv_norm(channels[-1], hidden, 3) if hidden else nn.Identity()
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = classifier(hidden or channels[-1], num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        feature = self.hidden(features[-1])
        return self.classifier(self.dropout(feature)), feature
