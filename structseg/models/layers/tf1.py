"""What TensorFlow does differently from PyTorch: SAME padding.

A convolution with SAME padding gives ceil(H / stride) rows for any H. The padding needed,
`(ceil(H / s) - 1) s + (k - 1) d + 1 - H`, depends on H, and where it is odd the extra row stands at the end: a 3x3
kernel at stride 2 pads (0, 1) on even sizes and (1, 1) on odd ones, where PyTorch pads (1, 1) always. Weights trained
the one way see shifted pictures the other way.
"""

from __future__ import annotations

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
