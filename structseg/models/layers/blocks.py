"""Which small blocks do heads share: convolution + norm, depthwise-separable convolution, enlarging, classifier.

`enlarge` keeps cells where they belong. Backbones here give ceil(H / stride) rows, and cell i of a stride-s feature
stands for pixels i s and on; so a coarse feature is enlarged by the exact ratio of the strides and cut to the finer
one's size. Stretching it to that size would shift the last cells of a 360-row picture by 22 pixels at stride 32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(
    inputs: int, outputs: int, kernel_size: int = 1, *, dilation: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution that keeps the size, BatchNorm and (unless `relu` is False) ReLU."""
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(inputs, outputs, kernel_size, padding=padding, dilation=dilation, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def separable_conv_norm(inputs: int, outputs: int, kernel_size: int = 3) -> nn.Sequential:
    """Depthwise then pointwise convolution, each with BatchNorm and ReLU."""
    return nn.Sequential(conv_norm(inputs, inputs, kernel_size, groups=inputs), conv_norm(inputs, outputs))


class Classifier(nn.Conv2d):
    """1x1 convolution to logits, never in half precision: rounded to 8 bits, the logits of two classes meet along
    borders, and a pixel's label is then decided by their order."""

    def forward(self, feature: Tensor) -> Tensor:
        kind = feature.device.type
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            return super().forward(feature)
        with torch.autocast(kind, enabled=False):
            return super().forward(feature.to(self.weight.dtype))


def classifier(inputs: int, num_classes: int) -> Classifier:
    """1x1 convolution to logits; starts near zero, so that the first loss is about log(num_classes)."""
    conv = Classifier(inputs, num_classes, 1)
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.get_parameter("bias"))
    return conv


def enlarge(feature: Tensor, ratio: int, like: Tensor) -> Tensor:
    """(B,D,h,w) -> (B,D,H,W) bilinear by `ratio`, cut to the size of `like` (B,*,H,W); needs ceil(H / ratio) = h."""
    if ratio > 1:
        feature = F.interpolate(feature, scale_factor=ratio, mode="bilinear", align_corners=False)
    return feature[:, :, : like.shape[2], : like.shape[3]]
