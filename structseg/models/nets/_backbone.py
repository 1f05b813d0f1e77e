"""Which backbone does a preset of a published network stand on?

`released`: TF-Slim's ResNet-101 with its trainer's habits. `default`: torchvision's ResNet-101 at output stride 8, for
which ImageNet weights are at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from structseg import build as registry
from structseg.models.backbones import Backbone
from structseg.models.layers.checks import one_of

RELEASED = "released"
PRESETS = ("default", RELEASED)


def backbone_of(preset: str, options: Mapping[str, Any] | None) -> Backbone:
    """The backbone of a preset; `options` are those of `slim_resnet` (released) or of `resnet`. Raises ConfigError."""
    one_of("model.options.preset", preset, PRESETS)
    name = "slim_resnet" if preset == RELEASED else "resnet"
    chosen = {**({} if preset == RELEASED else {"depth": 101, "output_stride": 8}), **(options or {})}
    backbone: Backbone = registry.create("models.backbones", name, chosen, key="model.options.backbone_options")
    return backbone
