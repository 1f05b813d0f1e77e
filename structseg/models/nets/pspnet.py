"""PSPNet: a dilated ResNet-101 and the pyramid of the picture's parts.

Zhao et al., Pyramid Scene Parsing Network, CVPR 2017. `released` is the form that the authors of adaptive affinity
fields (ECCV 2018) trained: no auxiliary branch, no dropout, a batch norm in every branch, parts before the feature,
and parts brought back by TensorFlow's legacy bilinear rule. Their code takes square crops of multiples of 48 only;
there the parts here are the same, and at other sizes they are those of adaptive pooling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from structseg.models.heads import Head
from structseg.models.heads.psp import PSP
from structseg.models.layers.blocks import Classifier
from structseg.models.layers.checks import within
from structseg.models.layers.pooling import adaptive_mean
from structseg.models.layers.tf1 import BiasedBatchNorm2d, glorot_start, legacy_resize
from structseg.models.nets._backbone import RELEASED, backbone_of
from structseg.models.segmenter import Segmenter

BINS = (1, 2, 3, 6)


class ReleasedHead(Head):
    """Logits at the stride of the coarsest feature."""

    def __init__(
        self, *, channels: tuple[int, ...], strides: tuple[int, ...], num_classes: int, width: int = 512
    ) -> None:
        super().__init__(channels=channels, strides=strides, num_classes=num_classes)
        within("model.options.width", width, 1)
        self.stride = strides[-1]
        self.branches = nn.ModuleList(_conv_norm(channels[-1], width) for _ in BINS)
        self.mix = _conv_norm(channels[-1] + width * len(BINS), width, 3)
        self.classifier = Classifier(width, num_classes, 1)
        self.apply(glorot_start)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        feature = features[-1]
        size = (feature.shape[2], feature.shape[3])
        parts = [
            legacy_resize(branch(adaptive_mean(feature, one)), size)
            for branch, one in zip(self.branches, BINS, strict=True)
        ]
        mixed = self.mix(torch.cat([*parts, feature], 1))
        return self.classifier(mixed), mixed


def _conv_norm(inputs: int, outputs: int, kernel_size: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, BiasedBatchNorm2d(outputs, eps=1e-3, momentum=0.01), nn.ReLU(inplace=True))


def pspnet(
    *,
    num_classes: int,
    preset: str = "default",
    width: int = 512,
    backbone_options: Mapping[str, Any] | None = None,
) -> Segmenter:
    """Logits at stride 8; `width` is the head's."""
    backbone = backbone_of(preset, backbone_options)
    place: dict[str, Any] = {"channels": backbone.channels, "strides": backbone.strides, "num_classes": num_classes}
    if preset == RELEASED:
        return Segmenter(backbone, ReleasedHead(**place, width=width), pad=False)
    return Segmenter(backbone, PSP(**place, width=width))
