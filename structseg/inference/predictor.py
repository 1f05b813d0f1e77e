"""Pictures of any size -> probabilities or class maps, the one way that validation, prediction and scoring share.

Pictures of equal size go through the model together. What is done to a picture is a chain: scales and mirror, then
tiles, then the whole (part of a) picture; each link is a function of its own file. Last, a dense CRF may refine it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from structseg.errors import ConfigError, DataError
from structseg.inference import released, tiles, whole
from structseg.inference import scales as at_scales
from structseg.inference.classes import enlarged_classes, most_probable
from structseg.models.backbones import IMAGENET_MEAN
from structseg.refine.dense_crf import check_kernels, check_steps, check_widths, dense_crf
from structseg.types import Labels, UInt8

if TYPE_CHECKING:
    from structseg.config import InferenceConfig

PRECISIONS = ("float32", "bfloat16")
TILINGS = ("blended", "released")

T = TypeVar("T")


def refuse_small_widths(size: tuple[int, int], inference: InferenceConfig) -> None:
    """Raise ConfigError where a CRF on top is too narrow for pictures of this (height, width)."""
    if inference.crf:
        check_widths(size, inference.crf_gaussian, inference.crf_bilateral, prefix="inference.crf_")


class Predictor:
    """A model, its labels, and how pictures are predicted.

    `longest` is the side in pixels to which every picture is brought before its `scales`, 0 = none; results have the
    picture's own size. `tile` is a side in pixels, 0 = the whole picture at once; tiles are put together on the CPU, so
    a picture of any size fits beside a small accelerator. They share `overlap` of their side, or start every `stride`
    pixels; `tiling` is "blended" (`tiles.py`) or "released" (`released.py`). With `crf`, probabilities go through
    `refine.dense_crf` on the CPU. The model is moved to `device` (None = where it is) and put into evaluation mode for
    each call only. Raises ConfigError for options that mean nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        labels: Labels,
        *,
        longest: int = 0,
        scales: Sequence[float] = (1.0,),
        mirror: bool = False,
        tile: int = 0,
        tiling: str = "blended",
        overlap: float = 0.25,
        stride: int | None = None,
        batch: int = 4,
        precision: str = "float32",
        crf: bool = False,
        crf_steps: int = 10,
        crf_gaussian: tuple[float, float] = (3.0, 3.0),
        crf_bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0),
        device: torch.device | None = None,
    ) -> None:
        _check(scales, longest=longest, tile=tile, overlap=overlap, stride=stride, batch=batch)
        _one_of("inference.tiling", tiling, TILINGS)
        _one_of("inference.precision", precision, PRECISIONS)
        if tiling == "released" and not tile:
            raise ConfigError(
                "inference.tiling = 'released' needs inference.tile, e.g. 480, and inference.stride = 320"
            )
        self.device = device or _device_of(model)
        self.model = model.to(self.device)
        self.labels = labels
        self.longest, self.scales, self.mirror = longest, tuple(scales), mirror
        self.tile, self.tiling, self.overlap, self.stride = tile, tiling, overlap, stride
        self.batch, self.precision = batch, precision
        check_steps(crf_steps)
        check_kernels(crf_gaussian, crf_bilateral, prefix="inference.crf_")
        self.crf, self.crf_steps, self.crf_gaussian, self.crf_bilateral = crf, crf_steps, crf_gaussian, crf_bilateral

    @classmethod
    def from_config(
        cls, model: nn.Module, labels: Labels, config: InferenceConfig, device: torch.device | None = None
    ) -> Predictor:
        """The predictor that the section [inference] of a configuration describes."""
        return cls(
            model,
            labels,
            longest=config.longest,
            scales=config.scales,
            mirror=config.mirror,
            tile=config.tile,
            tiling=config.tiling,
            overlap=config.overlap,
            stride=config.stride,
            batch=config.batch,
            precision=config.precision,
            crf=config.crf,
            crf_steps=config.crf_steps,
            crf_gaussian=config.crf_gaussian,
            crf_bilateral=config.crf_bilateral,
            device=device,
        )

    def predict(self, images: Sequence[UInt8]) -> list[Tensor]:
        """Pictures (H,W,3) uint8 RGB -> float32 probabilities (C,H,W) of each, at its size and in the given order."""
        found = self._each(images, self._probabilities)
        return [self._refined(*pair) for pair in zip(images, found, strict=True)] if self.crf else found

    def classes(self, images: Sequence[UInt8]) -> list[UInt8]:
        """Pictures (H,W,3) uint8 RGB -> the most probable class id of every pixel, (H,W) uint8 of each.

        Of whole pictures at one scale, nothing of the picture's size but the class ids is made.
        """
        if self.crf:
            return [most_probable(each[None])[0] for each in self.predict(images)]
        plain = not self.longest and self.scales == (1.0,) and not self.mirror and not self.tile
        return self._each(images, self._plain_classes if plain else self._classes)

    def describe(self) -> str:
        """Size, scales, flip, tiles and precision in words, for a protocol line."""
        side = f"longer side {self.longest} px, " if self.longest else ""
        scales = f"{side}scale " + " ".join(f"{scale:g}" for scale in self.scales)
        return f"{scales}, {'flip' if self.mirror else 'no flip'}, {self._describe_tiles()}, {self.precision}"

    def describe_crf(self) -> str:
        """The dense CRF and its parameters in words, for a protocol line."""
        if not self.crf:
            return "no CRF"
        place, both = (
            " ".join(f"{number:g}" for number in kernel) for kernel in (self.crf_gaussian, self.crf_bilateral)
        )
        return f"dense CRF of {self.crf_steps} steps, gaussian {place}, bilateral {both}"

    def _describe_tiles(self) -> str:
        if not self.tile:
            return "whole pictures"
        step = f"with overlap {self.overlap:g}" if self.stride is None else f"every {self.stride} px"
        return f"tiles {self.tile} px {step}{' as released' if self.tiling == 'released' else ''}"

    def _each(self, images: Sequence[UInt8], find: Callable[[Tensor], Iterable[T]]) -> list[T]:
        """What `find` makes of (B,3,H,W) uint8, for each picture in its place; only one size goes into a batch."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise DataError(f"picture {place} is {image.dtype} {image.shape}; give RGB (H,W,3) uint8")
            by_size.setdefault(image.shape, []).append(place)
        size = 1 if self.tile else self.batch  # with tiles it is tiles that are batched
        found: dict[int, T] = {}
        for places in by_size.values():
            for first in range(0, len(places), size):
                group = places[first : first + size]
                stack = torch.from_numpy(np.stack([images[place] for place in group])).permute(0, 3, 1, 2)
                with torch.inference_mode(), evaluating(self.model):
                    found.update(zip(group, find(stack), strict=True))
        return [found[place] for place in range(len(images))]

    def _refined(self, image: UInt8, probabilities: Tensor) -> Tensor:
        """(H,W,3) and (C,H,W) -> (C,H,W) after the dense CRF."""
        kernels: dict[str, Any] = {"gaussian": self.crf_gaussian, "bilateral": self.crf_bilateral}
        found = dense_crf(image, probabilities.cpu().numpy(), steps=self.crf_steps, **kernels)
        return torch.from_numpy(found).to(probabilities.device)

    def _plain_classes(self, image: Tensor) -> UInt8:
        """(B,3,H,W) uint8 -> (B,H,W) uint8, without probabilities."""
        logits = whole.logits(self.model, image.to(self.device).float(), precision=self.precision)
        self._check_classes(logits)
        size = (image.shape[-2], image.shape[-1])
        return enlarged_classes(logits, size, stride=whole.stride_of(self.model))

    def _classes(self, image: Tensor) -> UInt8:
        return most_probable(self._probabilities(image))

    def _probabilities(self, image: Tensor) -> Tensor:
        """(B,3,H,W) uint8 -> (B,C,H,W) float32."""
        image = image.float() if self.tile else image.to(self.device).float()
        first = self.longest / max(image.shape[-2:]) if self.longest else 1.0
        scales = tuple(first * scale for scale in self.scales)
        options: dict[str, Any] = {"scales": scales, "mirror": self.mirror}
        if self.tiling == "released":
            found = released.probabilities(self._whole, image, colour=_colour(self.model), **self._tiles(), **options)
        else:
            found = at_scales.probabilities(self._tiled if self.tile else self._whole, image, **options)
        self._check_classes(found)
        return found

    def _tiled(self, image: Tensor) -> Tensor:
        return tiles.probabilities(self._whole, image, **self._tiles())

    def _tiles(self) -> dict[str, Any]:
        stride = self.stride or tiles.stride_for(self.tile, self.overlap)
        return {"tile": self.tile, "stride": stride, "batch": self.batch}

    def _whole(self, image: Tensor) -> Tensor:
        found = whole.probabilities(self.model, image.to(self.device), precision=self.precision)
        return found.to(image.device)

    def _check_classes(self, found: Tensor) -> None:
        if found.shape[1] != self.labels.num_classes:
            raise ConfigError(
                f"the model gives {found.shape[1]} classes but the label table {self.labels.source} has "
                f"{self.labels.num_classes}; give the labels that it was trained with"
            )


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


def _colour(model: nn.Module) -> Tensor:
    """The mean colour (3,) that a model subtracts; of a model that does not say, ImageNet's."""
    mean = getattr(model, "mean", None)
    return mean.flatten() if isinstance(mean, Tensor) and mean.numel() == 3 else torch.tensor(IMAGENET_MEAN)


def _check(scales: Sequence[float], *, longest: int, tile: int, overlap: float, stride: int | None, batch: int) -> None:
    if longest < 0:
        raise ConfigError(f"inference.longest = {longest}; give a side in pixels, or 0 for pictures as they are")
    if not scales or min(scales) <= 0:
        raise ConfigError(f"inference.scales = {tuple(scales)}; give at least one number above 0, e.g. (1.0,)")
    if tile < 0:
        raise ConfigError(f"inference.tile = {tile}; give a side in pixels, or 0 for whole pictures")
    if not 0 <= overlap < 1:
        raise ConfigError(f"inference.overlap = {overlap}; give a share of a tile from 0 to below 1")
    if stride is not None and (stride < 1 or 0 < tile < stride):
        raise ConfigError(
            f"inference.stride = {stride}; give pixels from 1 to inference.tile = {tile}, or leave it out"
        )
    if batch < 1:
        raise ConfigError(f"inference.batch = {batch}; give at least 1")


def _one_of(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"{key} = '{value}'; choose one of {', '.join(known)}")
