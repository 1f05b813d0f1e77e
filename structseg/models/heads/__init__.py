"""One head a file; the file name is the name in a config.

A head turns a backbone's features into logits at its own `stride`: ceil(H / stride) x ceil(W / stride) cells, for any
H, W >= 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from structseg.models.layers.checks import within


class Head(nn.Module):
    """What every head has; options are further keyword-only parameters of the subclass.

    `channels` and `strides` are the backbone's, from fine to coarse. An option `dropout` is the share of whole channels
    of the last feature that training drops before the classifier.
    """

    stride: int  # of the logits

    def __init__(self, *, channels: tuple[int, ...], strides: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        within("num_classes", num_classes, 1)
        self.channels, self.strides, self.num_classes = tuple(channels), tuple(strides), num_classes

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Features -> logits (B,C,h,w) and the last feature (B,D,h,w) before dropout and classifier."""
        raise NotImplementedError
