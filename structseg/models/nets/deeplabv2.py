"""DeepLabV2: a dilated ResNet-101 and the sum of four 3x3 convolutions of rates 6, 12, 18, 24.

Chen et al., DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected
CRFs, TPAMI 2018. `released` is the form in the code of adaptive affinity fields (ECCV 2018), which no script of theirs
uses: its head has names that their optimizer does not know as a head's, so it learns at the backbone's rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from structseg.models.heads import Head
from structseg.models.layers.checks import counts
from structseg.models.layers.tf1 import glorot_start
from structseg.models.nets._backbone import RELEASED, backbone_of
from structseg.models.segmenter import Segmenter


class AtrousSum(Head):
    """Logits at the stride of the coarsest feature; `rates` are in its cells."""

    def __init__(
        self, *, channels: tuple[int, ...], strides: tuple[int, ...], num_classes: int, rates: tuple[int, ...]
    ) -> None:
        super().__init__(channels=channels, strides=strides, num_classes=num_classes)
        counts("model.options.rates", rates)
        self.stride = strides[-1]
        self.classifier = nn.ModuleList(
            nn.Conv2d(channels[-1], num_classes, 3, padding=rate, dilation=rate) for rate in rates
        )
        for one in self.classifier:  # near zero, so that the first loss is about log(num_classes)
            nn.init.normal_(one.get_parameter("weight"), std=0.01)
            nn.init.zeros_(one.get_parameter("bias"))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        with torch.autocast(features[-1].device.type, enabled=False):  # logits keep their digits
            feature = features[-1].to(self.classifier[0].get_parameter("weight").dtype)
            return torch.stack([one(feature) for one in self.classifier]).sum(0), feature


class Released(Segmenter):
    @property
    def head_modules(self) -> tuple[nn.Module, ...]:
        return ()


def deeplabv2(
    *,
    num_classes: int,
    preset: str = "default",
    rates: tuple[int, ...] = (6, 12, 18, 24),
    backbone_options: Mapping[str, Any] | None = None,
) -> Segmenter:
    """Logits at stride 8."""
    backbone = backbone_of(preset, backbone_options)
    head = AtrousSum(channels=backbone.channels, strides=backbone.strides, num_classes=num_classes, rates=rates)
    if preset == RELEASED:
        head.apply(glorot_start)
        return Released(backbone, head, pad=False)
    return Segmenter(backbone, head)
