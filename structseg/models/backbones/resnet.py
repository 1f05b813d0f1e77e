"""ResNet: plain and bottleneck residual networks, dilated on demand.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016. Layout and names are torchvision's (conv1, bn1,
layer1.0.conv1 ..., the stride of a bottleneck on its 3x3), so its weights and timm's plain `resnet*` load unchanged.
For `output_stride` 16 or 8 the strides of the last one or two stages become dilations, as torchvision's
`replace_stride_with_dilation` does: in a stage's first block the convolution that would stride still has the dilation
of the stage before. So a dilated net gives the strided one's features at every second cell. Basic blocks, which
torchvision does not dilate, follow the same rule, as in timm.

The authors of PSPNet (Zhao et al., CVPR 2017) have it otherwise: a stem of three 3x3 convolutions, twice as wide at its
end (`stem="deep"`, with timm's names conv1.0, conv1.1 ...), and in the first block of a stage its own dilation, too
(`first_dilation="own"`). So are their nets of 101 layers; that of 50 strides on a 1x1, as He et al. did.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from structseg.models.backbones import Backbone
from structseg.models.layers.checks import one_of, within


def conv3x3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)


class Block(nn.Module):
    """What both kinds of residual block share: the shortcut."""

    expansion: int
    downsample: nn.Module | None

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def residual(self, feature: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, feature: Tensor) -> Tensor:
        shortcut = feature if self.downsample is None else self.downsample(feature)
        summed: Tensor = self.relu(self.residual(feature) + shortcut)
        return summed


class BasicBlock(Block):
    """Two 3x3 convolutions: (B,inputs,h,w) -> (B,width,ceil(h/stride),ceil(w/stride)).

    `first` is the dilation of the convolution that may stride, `inner` that of the stage.
    """

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, first: int, inner: int) -> None:
        super().__init__(inputs, width, stride)
        self.conv1 = conv3x3(inputs, width, stride, first)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, 1, inner)
        self.bn2 = nn.BatchNorm2d(width)

    def residual(self, feature: Tensor) -> Tensor:
        feature = self.relu(self.bn1(self.conv1(feature)))
        result: Tensor = self.bn2(self.conv2(feature))
        return result


class Bottleneck(Block):
    """1x1, 3x3, 1x1: (B,inputs,h,w) -> (B,4*width,ceil(h/stride),ceil(w/stride)); only `first` matters."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, first: int, inner: int) -> None:
        super().__init__(inputs, width, stride)
        self.conv1 = conv1x1(inputs, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride, first)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)

    def residual(self, feature: Tensor) -> Tensor:
        feature = self.relu(self.bn1(self.conv1(feature)))
        feature = self.relu(self.bn2(self.conv2(feature)))
        result: Tensor = self.bn3(self.conv3(feature))
        return result


DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def deep_stem(width: int) -> nn.Sequential:
    """Three 3x3 convolutions in place of a 7x7: (B,3,H,W) -> (B,2*width,ceil(H/2),ceil(W/2)); the last norm is bn1."""
    layers: list[nn.Module] = []
    for inputs, stride in ((3, 2), (width, 1)):
        layers += [conv3x3(inputs, width, stride), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, conv3x3(width, 2 * width))


class ResNet(Backbone):
    """ResNet of a depth in `DEPTHS`; features at strides 2, 4, 8, 16, 32 or, dilated, less.

    `width` is that of the first stage; depth 10 with width 16 is the tiny net of demos and tests. `stem` "plain" or
    "deep"; `first_dilation` of a dilated stage's first block: that of the "last" stage or its "own".
    """

    def __init__(
        self,
        *,
        depth: int = 50,
        output_stride: int = 32,
        width: int = 64,
        stem: str = "plain",
        first_dilation: str = "last",
    ) -> None:
        super().__init__()
        one_of("model.backbone_options.depth", depth, DEPTHS)
        one_of("model.backbone_options.output_stride", output_stride, (8, 16, 32))
        within("model.backbone_options.width", width, 1)
        one_of("model.backbone_options.stem", stem, ("plain", "deep"))
        one_of("model.backbone_options.first_dilation", first_dilation, ("last", "own"))
        block, counts = DEPTHS[depth]
        deep = stem == "deep"
        if first_dilation == "own":
            self.origins = ("", "caffe")
        self.as_pspnet = deep and first_dilation == "own" and depth == 101
        self.conv1 = deep_stem(width) if deep else nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        channels, strides, dilation = [2 * width if deep else width], [2], 1
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.relu = nn.ReLU(inplace=True)
        for number, count in enumerate(counts, start=1):
            reduction = 1 if number == 1 else 2
            stride = 1 if strides[-1] * reduction > output_stride else reduction
            inner = dilation * reduction // stride
            first = inner if first_dilation == "own" else dilation
            stage_width = width * 2 ** (number - 1)
            outputs = stage_width * block.expansion
            blocks = [block(channels[-1], stage_width, stride, first, inner)]
            blocks += [block(outputs, stage_width, 1, inner, inner) for _ in range(count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            channels.append(outputs)
            strides.append(4 if number == 1 else strides[-1] * stride)
            dilation = inner
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.apply(_start)

    def forward(self, image: Tensor) -> list[Tensor]:
        feature = self.relu(self.bn1(self.conv1(image)))
        features = [feature]
        feature = F.max_pool2d(feature, 3, stride=2, padding=1)
        for number in range(1, 5):
            feature = self.get_submodule(f"layer{number}")(feature)
            features.append(feature)
        return features

    def stages(self) -> list[list[nn.Module]]:
        return [[self.conv1, self.bn1], *([self.get_submodule(f"layer{number}")] for number in range(1, 5))]

    def rename(self, key: str) -> str | None:
        return None if key.startswith("fc.") else key


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
