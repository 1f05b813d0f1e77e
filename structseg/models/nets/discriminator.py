"""A fully convolutional discriminator of label maps: is this place of the map a truth or a prediction?

Convolutions of 4x4, stride 2, leaky ReLU between them, no norm; the last gives one logit a place. Five of them are the
network of AdvSemiSeg (Hung et al., BMVC 2018); the idea on label maps is of Luc et al. (2016). It judges maps of any
size: a map too small for all the strides is continued by its border.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional

from structseg.errors import ConfigError

DEEPEST, WIDEST = 8, 1024


class Discriminator(nn.Module):
    """(B,C,H,W) probabilities or one-hot labels -> (B,1,h,w) logits, h = H / 2^depth, at least 1; high = truth.

    `width` channels after the first convolution, doubled by each further one up to 512 (or `width`, if that is more).
    Raises ConfigError for no layer, and ValueError for maps of another class count.
    """

    def __init__(self, *, num_classes: int, width: int = 64, depth: int = 5) -> None:
        super().__init__()
        for option, value, most in (("depth", depth, DEEPEST), ("width", width, WIDEST)):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ConfigError(f"discriminator: {option} = {value!r} is not a whole number from 1 to {most}")
        self.num_classes, self.smallest = num_classes, 2**depth
        most = max(512, width)
        sizes = [num_classes, *(min(width * 2**level, most) for level in range(depth - 1)), 1]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(sizes))

    def forward(self, maps: Tensor) -> Tensor:
        if maps.shape[1] != self.num_classes:
            raise ValueError(f"the discriminator judges {self.num_classes} classes, but the map has {maps.shape[1]}")
        down, right = (max(0, self.smallest - side) for side in maps.shape[-2:])
        x = functional.pad(maps, (0, right, 0, down), mode="replicate") if down or right else maps
        for place, conv in enumerate(self.convs):
            x = conv(x if place == 0 else functional.leaky_relu(x, 0.2))
        return x
