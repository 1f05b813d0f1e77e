"""SlimResNet: ResNet v1 as TF-Slim has it, the backbone of the released adaptive affinity fields.

Names are those of `resnet` (layer1.0.conv1 ...), and so are shapes; what is computed is not:

- the stride of a stage is in its last unit, on the 3x3, and the shortcut there takes every second cell; the last stage
  has none;
- from `output_stride` on, strides become dilations of the units that follow: 2 in all of layer3, 4 in all of layer4;
- batch norm has epsilon 1e-3 and running means that move by 0.0003 a step, with biased variances.

So weights of the one family mean nothing in the other, though they fit. Pictures lose the mean colour and are not
divided. Fresh weights are Glorot-uniform. Source: TF-Slim's resnet_v1 and the authors' code of Ke et al., Adaptive
Affinity Fields for Semantic Segmentation, ECCV 2018.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from structseg.errors import ConfigError
from structseg.models.backbones import RGB, Backbone
from structseg.models.layers.checks import counts, one_of
from structseg.models.layers.tf1 import BiasedBatchNorm2d, glorot_start

STAGES = 4
EXPANSION = 4
MEAN: RGB = (122.675, 116.669, 104.008)  # RGB of the authors' reader, which is not what TF-Slim's file was trained with
MOMENTUM = 1 - 0.9997


def norm(width: int) -> BiasedBatchNorm2d:
    return BiasedBatchNorm2d(width, eps=1e-3, momentum=MOMENTUM)


class Unit(nn.Module):
    """1x1, 3x3, 1x1: (B,inputs,h,w) -> (B,4*planes,ceil(h/stride),ceil(w/stride)); the first of a stage projects."""

    downsample: nn.Module | None

    def __init__(self, inputs: int, planes: int, *, stride: int, dilation: int, project: bool) -> None:
        super().__init__()
        outputs = planes * EXPANSION
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = norm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = norm(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = norm(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if project:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))

    def forward(self, feature: Tensor) -> Tensor:
        every = feature[:, :, :: self.stride, :: self.stride]
        shortcut = every if self.downsample is None else self.downsample(feature)
        feature = self.relu(self.bn1(self.conv1(feature)))
        feature = self.relu(self.bn2(self.conv2(feature)))
        summed: Tensor = self.relu(self.bn3(self.conv3(feature)) + shortcut)
        return summed


class SlimResNet(Backbone):
    """ResNet-101 unless `units`, of each stage, say else; features of the stem (stride 2) and of the four stages.

    `planes` are the widths of the stages' 3x3 convolutions. At `output_stride` 8, as released, all four stages end at
    stride 8.
    """

    mean = MEAN
    std = (1.0, 1.0, 1.0)
    origins = ("tf",)

    def __init__(
        self,
        *,
        units: tuple[int, ...] = (3, 4, 23, 3),
        planes: tuple[int, ...] = (64, 128, 256, 512),
        output_stride: int = 8,
    ) -> None:
        super().__init__()
        one_of("model.backbone_options.output_stride", output_stride, (8, 16, 32))
        for key, values in (("units", units), ("planes", planes)):
            counts(f"model.backbone_options.{key}", values)
            if len(values) != STAGES:
                raise ConfigError(f"model.backbone_options.{key}: {list(values)} are not {STAGES} numbers, one a stage")
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(64)
        self.relu = nn.ReLU(inplace=True)
        channels, strides, reached, dilation = [64], [2], 4, 1
        for number, (count, width) in enumerate(zip(units, planes, strict=True), start=1):
            want = 2 if number < STAGES else 1
            stride = want if reached < output_stride else 1
            stage = nn.Sequential()
            for place in range(count):
                last = stride if place == count - 1 else 1
                inputs = channels[-1] if place == 0 else width * EXPANSION
                stage.append(Unit(inputs, width, stride=last, dilation=dilation, project=place == 0))
            self.add_module(f"layer{number}", stage)
            reached, dilation = reached * stride, dilation * want // stride
            channels.append(width * EXPANSION)
            strides.append(reached)
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.apply(glorot_start)

    def forward(self, image: Tensor) -> list[Tensor]:
        features = [self.relu(self.bn1(self.conv1(image)))]
        feature = F.max_pool2d(features[0], 3, stride=2, padding=1)
        for number in range(1, STAGES + 1):
            feature = self.get_submodule(f"layer{number}")(feature)
            features.append(feature)
        return features

    def stages(self) -> list[list[nn.Module]]:
        rest = [[self.get_submodule(f"layer{number}")] for number in range(1, STAGES + 1)]
        return [[self.conv1, self.bn1], *rest]
