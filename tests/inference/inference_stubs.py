"""Stand-ins for models and data sets, small enough to see through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from structseg.types import Int32, Item, Labels, Sample, UInt8

COLOURS = ((200, 20, 20), (20, 200, 20), (20, 20, 200), (200, 200, 20))


def table(classes: int = 4, ignore: tuple[int, ...] = (255,)) -> Labels:
    """Classes a, b, c ... whose raw values are their ids."""
    values = tuple((index, index) for index in range(classes)) + tuple((raw, 255) for raw in ignore)
    return Labels(
        tuple("abcdefgh"[:classes]),
        COLOURS[:classes],
        values,
        tuple(zip(COLOURS[:classes], range(classes), strict=True)),
    )


def paint(target: UInt8) -> UInt8:
    """(H,W) ids -> (H,W,3) picture of the classes' colours; ignored pixels black."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(COLOURS)] = COLOURS
    return palette[target]


def grey(path: Path) -> UInt8:
    """(H,W) values of a grey PNG."""
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.array(picture)


class Pointwise(nn.Module):
    """Logits of a pixel are minus its distance to each colour, sharp enough to be sure; taken at every `stride`."""

    colours: Tensor

    def __init__(self, classes: int = 4, stride: int = 1) -> None:
        super().__init__()
        self.register_buffer("colours", torch.tensor(COLOURS[:classes], dtype=torch.float32))
        self.stride = stride
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(tuple(image.shape))
        near = image[..., :: self.stride, :: self.stride]
        return -(near[:, None] - self.colours[None, :, :, None, None]).abs().sum(2) / 50


class Tiny(nn.Module):
    """A small convolution with batch norm and dropout, at stride 4."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, classes, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.last(F.dropout(F.relu(self.norm(self.first(image / 255))), 0.5, self.training))
        return found


@dataclass
class Fixed:
    """A data set that lies in memory: pictures, targets and groups."""

    labels: Labels
    samples: list[tuple[UInt8, UInt8 | None]]
    groups: tuple[str, ...] = ()
    origin: str = "fixed"
    instances: tuple[Int32, ...] = ()

    def splits(self) -> tuple[str, ...]:
        return ("test",)

    def items(self, split: str) -> tuple[Item, ...]:
        groups = self.groups or ("",) * len(self.samples)
        return tuple(Item(f"{split}/{k}", group=groups[k], index=k) for k in range(len(self.samples)))

    def read(self, item: Item) -> Sample:
        image, target = self.samples[item.index]
        instances = self.instances[item.index] if self.instances else None
        return Sample(item.name, image, target, instances, group=item.group)


def squares(height: int, width: int, *, cell: int = 5, seed: int = 0, classes: int = 4) -> UInt8:
    """(H,W) ids: a board of `cell`-sized squares of random classes."""
    board = np.random.default_rng(seed).integers(0, classes, (-(-height // cell), -(-width // cell)), dtype=np.uint8)
    return np.ascontiguousarray(board.repeat(cell, 0).repeat(cell, 1)[:height, :width])
