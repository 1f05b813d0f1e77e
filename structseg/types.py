"""The nouns that cross rooms: Labels, Item, Sample, Batch, Output, Step, Prediction.

Shapes everywhere: B batch, C classes, H W picture, h w logits, K kernels or offsets, M sensors.
Pictures are RGB, 0..255. Class ids are 0..C-1; `Labels.ignore_index` marks pixels without a label.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from structseg.errors import DataError

if TYPE_CHECKING:
    import torch

UInt8 = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]
Colour = tuple[int, int, int]
JPEG_SIDE = 65500  # pixels: libjpeg writes no longer side


@dataclass(frozen=True)
class Labels:
    """A label table: raw mask value or colour -> class id -> name -> palette.

    `values` and `colours` map what stands in a mask file to a class id; several raw values may share a class (a merge);
    `ignore_index` as class id means that the pixel has no label. `data/labels.py` reads and applies tables.
    """

    names: tuple[str, ...]  # class id -> name
    palette: tuple[Colour, ...]  # class id -> colour to draw
    values: tuple[tuple[int, int], ...]  # (raw value, class id or ignore_index)
    colours: tuple[tuple[Colour, int], ...] = ()  # (raw RGB colour, class id or ignore_index)
    thin: tuple[str, ...] = ()  # names of classes of thin things: poles, wires, spokes
    ignore_index: int = 255
    source: str = "built in"  # file or name, for messages

    def __post_init__(self) -> None:
        if len(self.names) != len(self.palette):
            raise DataError(f"label table {self.source}: {len(self.names)} names but {len(self.palette)} colours")
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise DataError(f"label table {self.source}: class '{twice}' stands twice; rename or merge one of them")
        if not 1 <= len(self.names) <= self.ignore_index:
            raise DataError(f"label table {self.source}: {len(self.names)} classes; from 1 to {self.ignore_index} fit")
        if stray := set(self.thin) - set(self.names):
            raise DataError(f"label table {self.source}: thin class '{sorted(stray)[0]}' is not a class")

    @property
    def num_classes(self) -> int:
        return len(self.names)

    def raw_values(self) -> tuple[int, ...]:
        """(C,) the first raw value of each class. Raises DataError for a class that has colours only."""
        first: dict[int, int] = {}
        for raw, index in self.values:
            first.setdefault(index, raw)
        if bare := [name for index, name in enumerate(self.names) if index not in first]:
            raise DataError(
                f"label table {self.source}: class '{bare[0]}' has no raw value, only colours; "
                f"take class ids instead of raw ids, or the colours"
            )
        return tuple(first[index] for index in range(self.num_classes))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` reads it back."""
        return {
            "names": list(self.names),
            "palette": [list(colour) for colour in self.palette],
            "values": [list(pair) for pair in self.values],
            "colours": [[list(colour), index] for colour, index in self.colours],
            "thin": list(self.thin),
            "ignore_index": self.ignore_index,
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Labels:
        return cls(
            names=tuple(table["names"]),
            palette=tuple((r, g, b) for r, g, b in table["palette"]),
            values=tuple((raw, index) for raw, index in table["values"]),
            colours=tuple(((r, g, b), index) for (r, g, b), index in table["colours"]),
            thin=tuple(table["thin"]),
            ignore_index=table["ignore_index"],
            source=table["source"],
        )


@dataclass(frozen=True)
class Item:
    """One picture of a split before anything is opened."""

    name: str  # unique in its split, relative, without suffix
    image: Path | None = None
    target: Path | None = None
    instances: Path | None = None  # mask of things: which pixels belong to one
    depth: Path | None = None
    tags: tuple[str, ...] = ()  # classes known to be in the picture
    group: str = ""  # near-copies (frames of one drive) share a group; "" = a group of its own
    index: int = 0  # place in the split; what made-up data is made of


@dataclass
class Sample:
    """One picture with all that belongs to it, read and perhaps augmented."""

    name: str
    image: UInt8  # (H,W,3) RGB
    target: UInt8 | None = None  # (H,W) class ids or ignore_index
    instances: Int32 | None = None  # (H,W), 0 = none
    depth: Float32 | None = None  # (H,W) metres, 0 = no measurement
    tags: tuple[str, ...] = ()
    group: str = ""


@dataclass
class Batch:
    """Samples of one size, stacked."""

    names: tuple[str, ...]
    image: torch.Tensor  # (B,3,H,W) uint8 or float, 0..255
    target: torch.Tensor | None = None  # (B,H,W) uint8 or int64
    extra: dict[str, torch.Tensor] = field(default_factory=dict)  # other arrays of the samples by name

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`, picture as float32, target as int64."""
        image = self.image.to(device, non_blocking=True).float()
        target = None if self.target is None else self.target.to(device, non_blocking=True).long()
        extra = {name: array.to(device, non_blocking=True) for name, array in self.extra.items()}
        return Batch(self.names, image, target, extra)


class Output(NamedTuple):
    """What a segmentation model returns."""

    logits: torch.Tensor  # (B,C,h,w) at the head's stride
    aux: tuple[torch.Tensor, ...] = ()  # more logits, for auxiliary losses
    features: torch.Tensor | None = None  # (B,D,h,w) last feature before the classifier


class Step(NamedTuple):
    """What a regime makes of one batch."""

    losses: dict[str, torch.Tensor]  # optimizer name -> the loss it minimises
    logs: dict[str, float]


@dataclass
class Prediction:
    """The result for one picture, at the picture's own size."""

    name: str
    classes: UInt8  # (H,W) class ids
    labels: Labels
    image: UInt8 | None = None  # (H,W,3), for the overlay
    probabilities: Float32 | None = None  # (C,H,W)

    def colours(self) -> UInt8:
        """(H,W,3) the class map drawn with the palette."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: self.labels.num_classes] = self.labels.palette
        return palette[self.classes]

    def overlay(self, strength: float = 0.55) -> UInt8:
        """(H,W,3) the colours laid over the picture."""
        if self.image is None:
            return self.colours()
        mixed = (1 - strength) * self.image.astype(np.float32) + strength * self.colours().astype(np.float32)
        return (mixed + 0.5).astype(np.uint8)

    def raw(self) -> NDArray[Any]:
        """(H,W) the first raw value of each pixel's class, as uint8 where all classes' values fit, else uint16."""
        values = self.labels.raw_values()
        table: NDArray[Any] = np.array(values, np.uint8 if max(values) < 256 else np.uint16)
        return table[self.classes]

    def save(self, folder: Path | str, *, ids: str = "class") -> None:
        """Write `index/NAME.png`, `colour/NAME.png`, `overlay/NAME.jpg` and, where kept, `probabilities/NAME.npz`
        (float16 (C,H,W) under the key `probabilities`).

        The index PNG holds class ids, or with `ids="raw"` the label table's raw values (`raw`). The overlay of a
        picture that is longer than JPEG allows leaves out every other row and column.
        """
        from PIL import Image

        from structseg.runs import write_file

        folder = Path(folder)
        index = self.raw() if ids == "raw" else self.classes
        step = -(-max(self.classes.shape) // JPEG_SIDE)
        overlay = np.ascontiguousarray(self.overlay()[::step, ::step])
        write_file(folder / "index" / f"{self.name}.png", lambda file: Image.fromarray(index).save(file, "PNG"))
        write_file(
            folder / "colour" / f"{self.name}.png", lambda file: Image.fromarray(self.colours()).save(file, "PNG")
        )
        write_file(
            folder / "overlay" / f"{self.name}.jpg",
            lambda file: Image.fromarray(overlay).save(file, "JPEG", quality=92),
        )
        if self.probabilities is not None:
            half = self.probabilities.astype(np.float16)
            write_file(
                folder / "probabilities" / f"{self.name}.npz",
                lambda file: np.savez_compressed(file, probabilities=half),
            )
