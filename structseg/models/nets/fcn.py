"""FCN: a dilated ResNet-101 and one 1x1 convolution.

Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, as the authors of adaptive affinity
fields (ECCV 2018) have it: they call it FCN8s, but it has no skips, only logits at stride 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from structseg.models.heads.fcn import FCN
from structseg.models.layers.tf1 import glorot_start
from structseg.models.nets._backbone import RELEASED, backbone_of
from structseg.models.segmenter import Segmenter


def fcn(*, num_classes: int, preset: str = "default", backbone_options: Mapping[str, Any] | None = None) -> Segmenter:
    """Logits at stride 8."""
    backbone = backbone_of(preset, backbone_options)
    head = FCN(channels=backbone.channels, strides=backbone.strides, num_classes=num_classes)
    if preset == RELEASED:
        head.apply(glorot_start)
    return Segmenter(backbone, head, pad=preset != RELEASED)
