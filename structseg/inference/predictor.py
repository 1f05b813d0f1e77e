"""Pictures of any size -> probabilities or class maps, the one way that validation, prediction and scoring share.

Pictures of equal size go through the model together. What is done to a picture is a chain: scales and mirror, then
tiles, then the whole (part of a) picture; each link is a function of its own file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from structseg.errors import ConfigError, DataError
from structseg.inference import scales as at_scales
from structseg.inference import tiles, whole
from structseg.types import Labels, UInt8

if TYPE_CHECKING:
    from structseg.config import InferenceConfig

PRECISIONS = ("float32", "bfloat16")


class Predictor:
    """A model, its labels, and how pictures are predicted.

    `tile` is a side in pixels, 0 = the whole picture at once; tiles are blended on the CPU, so a picture of any size
    fits beside a small accelerator. The model is moved to `device` (None = where it is) and put into evaluation mode
    for each call only. Raises ConfigError for options that mean nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        labels: Labels,
        *,
        scales: Sequence[float] = (1.0,),
        mirror: bool = False,
        tile: int = 0,
        overlap: float = 0.25,
        batch: int = 4,
        precision: str = "float32",
        device: torch.device | None = None,
    ) -> None:
        _check(scales, tile=tile, overlap=overlap, batch=batch, precision=precision)
        self.device = device or _device_of(model)
        self.model = model.to(self.device)
        self.labels = labels
        self.scales, self.mirror = tuple(scales), mirror
        self.tile, self.overlap = tile, overlap
        self.batch, self.precision = batch, precision

    @classmethod
    def from_config(
        cls, model: nn.Module, labels: Labels, config: InferenceConfig, device: torch.device | None = None
    ) -> Predictor:
        """The predictor that the section [inference] of a configuration describes."""
        return cls(
            model,
            labels,
            scales=config.scales,
            mirror=config.mirror,
            tile=config.tile,
            overlap=config.overlap,
            batch=config.batch,
            precision=config.precision,
            device=device,
        )

    def predict(self, images: Sequence[UInt8]) -> list[Tensor]:
        """Pictures (H,W,3) uint8 RGB -> float32 probabilities (C,H,W) of each, at its size and in the given order."""
        found: dict[int, Tensor] = {}
        for places, probabilities in self._batches(images):
            found.update(zip(places, probabilities, strict=True))
        return [found[place] for place in range(len(images))]

    def classes(self, images: Sequence[UInt8]) -> list[UInt8]:
        """Pictures (H,W,3) uint8 RGB -> the most probable class id of every pixel, (H,W) uint8 of each."""
        found: dict[int, UInt8] = {}
        for places, probabilities in self._batches(images):
            found.update(zip(places, most_probable(probabilities), strict=True))
        return [found[place] for place in range(len(images))]

    def describe(self) -> str:
        """Size, scales, flip, tiles and precision in words, for a protocol line."""
        scales = "scale " + " ".join(f"{scale:g}" for scale in self.scales)
        tiles = f"tiles {self.tile} px with overlap {self.overlap:g}" if self.tile else "whole pictures"
        return f"{scales}, {'flip' if self.mirror else 'no flip'}, {tiles}, {self.precision}"

    def _batches(self, images: Sequence[UInt8]) -> Iterator[tuple[list[int], Tensor]]:
        """Places in `images` of up to `batch` pictures of one size, and their probabilities (B,C,H,W)."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise DataError(f"picture {place} is {image.dtype} {image.shape}; give RGB (H,W,3) uint8")
            by_size.setdefault(image.shape, []).append(place)
        size = 1 if self.tile else self.batch  # with tiles it is tiles that are batched
        for places in by_size.values():
            for first in range(0, len(places), size):
                group = places[first : first + size]
                stack = torch.from_numpy(np.stack([images[place] for place in group])).permute(0, 3, 1, 2)
                yield group, self._probabilities(stack)

    def _probabilities(self, image: Tensor) -> Tensor:
        """(B,3,H,W) uint8 -> (B,C,H,W) float32."""
        image = image.float() if self.tile else image.to(self.device).float()
        with torch.inference_mode(), evaluating(self.model):
            found = at_scales.probabilities(self._tiled, image, scales=self.scales, mirror=self.mirror)
        if found.shape[1] != self.labels.num_classes:
            raise ConfigError(
                f"the model gives {found.shape[1]} classes but the label table {self.labels.source} has "
                f"{self.labels.num_classes}; give the labels that it was trained with"
            )
        return found

    def _tiled(self, image: Tensor) -> Tensor:
        if not self.tile:
            return self._whole(image)
        return tiles.probabilities(self._whole, image, tile=self.tile, overlap=self.overlap, batch=self.batch)

    def _whole(self, image: Tensor) -> Tensor:
        found = whole.probabilities(self.model, image.to(self.device), precision=self.precision)
        return found.to(image.device)


def most_probable(probabilities: Tensor) -> UInt8:
    """(B,C,H,W) -> (B,H,W) class ids on the CPU; the first of equals."""
    best = probabilities.max(1).indices  # argmax is the same and six times slower on a CPU
    return np.asarray(best.to(torch.uint8).cpu().numpy(), np.uint8)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards every part is in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _device_of(model: nn.Module) -> torch.device:
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def _check(scales: Sequence[float], *, tile: int, overlap: float, batch: int, precision: str) -> None:
    if not scales or min(scales) <= 0:
        raise ConfigError(f"inference.scales = {tuple(scales)}; give at least one number above 0, e.g. (1.0,)")
    if tile < 0:
        raise ConfigError(f"inference.tile = {tile}; give a side in pixels, or 0 for whole pictures")
    if not 0 <= overlap < 1:
        raise ConfigError(f"inference.overlap = {overlap}; give a share of a tile from 0 to below 1")
    if batch < 1:
        raise ConfigError(f"inference.batch = {batch}; give at least 1")
    if precision not in PRECISIONS:
        raise ConfigError(f"inference.precision = '{precision}'; choose one of {', '.join(PRECISIONS)}")
