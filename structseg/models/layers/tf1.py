"""What TensorFlow 1 does differently from PyTorch: SAME padding, bilinear resizing, running variances, fresh weights.

A convolution with SAME padding gives ceil(H / stride) rows for any H. The padding needed,
`(ceil(H / s) - 1) s + (k - 1) d + 1 - H`, depends on H, and where it is odd the extra row stands at the end: a 3x3
kernel at stride 2 pads (0, 1) on even sizes and (1, 1) on odd ones, where PyTorch pads (1, 1) always. Weights trained
the one way see shifted pictures the other way.

`legacy_resize` reads at src = dst in/out, which is neither of PyTorch's rules: not half-pixel, not corner to corner.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def same_padding(size: int, *, kernel_size: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros to put before and after an axis of length `size`."""
    cells = -(-size // stride)
    total = max((cells - 1) * stride + (kernel_size - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A square convolution, odd kernel, SAME padding: (B,D,H,W) -> (B,E,ceil(H/stride),ceil(W/stride))."""

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel_size, stride=stride, dilation=dilation, groups=groups, bias=False)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        kernel_size, stride, dilation = self.kernel_size[0], self.stride[0], self.dilation[0]
        if stride == 1:  # as much before as after, whatever the size
            return F.conv2d(input, weight, bias, 1, (kernel_size - 1) * dilation // 2, dilation, self.groups)
        rows = same_padding(input.shape[2], kernel_size=kernel_size, stride=stride, dilation=dilation)
        columns = same_padding(input.shape[3], kernel_size=kernel_size, stride=stride, dilation=dilation)
        return F.conv2d(F.pad(input, columns + rows), weight, bias, stride, 0, dilation, self.groups)


def legacy_resize(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """(B,D,h,w) -> (B,D,*size), bilinear at src = dst h/H, the last cell held; differentiable."""
    return legacy_resize_and_more(feature, size)[..., : size[0], : size[1]]


def legacy_resize_and_more(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """The same with a row and a column more, which mean nothing, where the size changes.

    With one more cell held to the border this is interpolation between corners, (h+1)-1 to (H+1)-1.
    """
    height, width = size
    if tuple(feature.shape[-2:]) == (height, width):
        return feature
    held = F.pad(feature, (0, 1, 0, 1), mode="replicate")
    return F.interpolate(held, (height + 1, width + 1), mode="bilinear", align_corners=True)


class BiasedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm as TF-Slim trains it: the running variance is that of the batch, divided by n, not by n - 1.

    One value a channel (one picture of one cell) has variance 0 and gives the shift, where PyTorch refuses it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B,D,H,W) -> the same."""
        running, momentum = self.running_var, self.momentum
        if not self.training or running is None or momentum is None:
            return super().forward(input)
        count = input.numel() // input.shape[1]
        if count == 1:
            return super().forward(torch.cat([input, input]))[:1]
        rest = running * (1 - momentum)
        normalised = super().forward(input)
        learned = running.data  # not `running`: autograd has noted its version for the backward pass
        learned.sub_((learned - rest) / count)
        return normalised


def glorot_start(module: nn.Module) -> None:
    """TensorFlow's fresh weights of a convolution: Glorot-uniform kernels, zero biases. For `module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
