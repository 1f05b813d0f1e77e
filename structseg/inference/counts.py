"""What is counted on a set of pictures, and the scores that are made of it.

Between pictures only counts live: confusion, border pixels, confusion in bands around borders, each by picture, for
they are what paired intervals are made of. Bands by picture are kept where they are small; their sum always is.
Shapes: N pictures, C classes, T distances.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.metrics import scores
from structseg.metrics.bootstrap import interval
from structseg.metrics.boundary_distance import boundary_distance_counts
from structseg.metrics.confusion import confusion
from structseg.metrics.trimap import DISTANCES, trimap_counts
from structseg.types import Int32, Labels, UInt8

FORM = "distance transform"  # how borders are matched
MOST = 20_000_000  # numbers of bands kept by picture


class Counter:
    """Counts of the pictures that `add` is given, in their order.

    `tolerance` of borders: below 1 a share of each picture's diagonal, else pixels. `distances` of bands in pixels,
    () = no bands. `size` is how many pictures will come, which decides whether bands are kept by picture.
    """

    def __init__(self, labels: Labels, *, tolerance: float, size: int, distances: tuple[int, ...] = DISTANCES) -> None:
        self.labels, self.tolerance, self.distances = labels, tolerance, distances
        classes = labels.num_classes
        self.bands = np.zeros((len(distances), classes, classes), np.int64)
        self.by_picture = size * self.bands.size <= MOST
        self._parts: list[tuple[str, str, Int32, Int32, Int32 | None]] = []

    def add(self, name: str, group: str, prediction: UInt8, target: UInt8) -> None:
        """Count one picture: (H,W) class ids and (H,W) class ids or ignore index."""
        table = {"num_classes": self.labels.num_classes, "ignore_index": self.labels.ignore_index}
        pixels = confusion(prediction, target, **table).astype(np.int32)
        borders = boundary_distance_counts(prediction, target, **table, tolerance=self.tolerance).astype(np.int32)
        bands = trimap_counts(prediction, target, **table, distances=self.distances) if self.distances else self.bands
        self.bands += bands
        self._parts.append((name, group, pixels, borders, bands.astype(np.int32) if self.by_picture else None))

    def counts(self, *, seconds: float = 0.0) -> Counts:
        """All that was counted; `seconds` is what the model took for it."""
        classes = self.labels.num_classes
        names, groups, pixels, borders, bands = zip(*self._parts, strict=True) if self._parts else ((),) * 5
        return Counts(
            names=names,
            groups=groups,
            confusion=_stack(pixels, (classes, classes)),
            boundary=_stack(borders, (classes, 4)),
            trimap=_stack(bands, self.bands.shape) if self.by_picture else None,
            bands=self.bands,
            distances=self.distances,
            tolerance=self.tolerance,
            seconds=seconds,
        )


@dataclass(frozen=True)
class Counts:
    """Counts by picture. Arrays are row = truth; columns of `boundary` as in `metrics.scores`."""

    names: tuple[str, ...]
    groups: tuple[str, ...]  # pictures of a group are resampled together; "" = a group of its own
    confusion: Int32  # (N,C,C)
    boundary: Int32  # (N,C,4)
    trimap: Int32 | None  # (N,T,C,C) where small
    bands: NDArray[np.int64]  # (T,C,C) sum over pictures
    distances: tuple[int, ...]
    tolerance: float
    seconds: float  # of the model, for all pictures

    def miou(self) -> float:
        """Mean IoU over the set; NaN where no pixel was labelled."""
        return float(scores.miou(self.confusion.sum(0, dtype=np.int64)))

    def boundary_f(self) -> float:
        """Mean boundary F over the set; NaN where there is no border."""
        return float(scores.boundary_f(self.boundary.sum(0, dtype=np.int64)))


def summarise(counts: Counts, labels: Labels, *, draws: int = 2000) -> dict[str, Any]:
    """The scores of metrics.json: fractions, None where there is nothing to score.

    `ci95` comes from `draws` bootstrap draws over groups of pictures; [None, None] where all are one group.
    """
    found = scores.scores(counts.confusion.sum(0, dtype=np.int64))
    limits = interval(scores.miou, counts.confusion, counts.groups, draws=draws)
    names = labels.names
    return {
        "miou": found["miou"],
        "ci95": [_plain(limit) for limit in limits],
        "iou": dict(zip(names, found["iou"], strict=True)),
        "pixel_accuracy": found["pixel_accuracy"],
        "mean_accuracy": found["mean_accuracy"],
        "fwiou": found["fwiou"],
        "boundary": _borders(counts, names),
        "trimap": {
            "distances": list(counts.distances),
            "miou": [_plain(value) for value in scores.miou(counts.bands)],
        },
        "images": len(counts.names),
        "pixels": found["pixels"],
        "seconds": counts.seconds / max(1, len(counts.names)),
    }


def describe(counts: Counts, *, draws: int) -> list[str]:
    """How these counts become scores, in words, for a protocol line."""
    tolerance = counts.tolerance
    reach = f"{tolerance:g} px" if tolerance >= 1 else f"{100 * tolerance:g} % of the diagonal"
    groups = len({group or place for place, group in enumerate(counts.groups)})
    return [
        f"mIoU exact over the set, mean over {counts.confusion.shape[-1]} classes without absent ones",
        f"boundary F by {FORM}, tolerance {reach}",
        f"95 % interval from {draws} bootstrap draws over {groups} groups",
    ]


def _borders(counts: Counts, names: tuple[str, ...]) -> dict[str, Any]:
    found = scores.boundary_scores(counts.boundary.sum(0, dtype=np.int64))
    columns = found.pop("by_class")
    by_class = {name: {key: columns[key][place] for key in columns} for place, name in enumerate(names)}
    return {"form": FORM, "tolerance": counts.tolerance, **found, "by_class": by_class}


def _stack(arrays: Iterable[Int32], shape: tuple[int, ...]) -> Int32:
    listed = list(arrays)
    return np.stack(listed) if listed else np.zeros((0, *shape), np.int32)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
