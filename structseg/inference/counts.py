"""What is counted on a set of pictures, and the scores that are made of it.

Between pictures only counts live: confusion, border pixels matched by distance and one to one, confusion in bands
around borders, instances, bins of confidence, each by picture, for they are what paired intervals are made of. Bands
by picture are kept where they are small; their sum always is. Shapes: N pictures, C classes, T distances, K bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from structseg.metrics import scores
from structseg.metrics.bootstrap import interval
from structseg.metrics.calibration import BINS, calibration_counts
from structseg.metrics.instance import instance_counts
from structseg.metrics.scores import plain
from structseg.metrics.survey import survey
from structseg.metrics.trimap import DISTANCES
from structseg.types import Float32, Int32, Labels, UInt8

Form = Literal["distance", "matched"]
Ids = Literal["things", "released"]  # which ids count as instances
FORMS: dict[Form, str] = {"distance": "distance transform", "matched": "one to one"}  # how borders are matched
MOST = 20_000_000  # numbers of bands kept by picture


class Counter:
    """Counts of the pictures that `add` is given, in their order.

    `tolerance` of borders: below 1 a share of each picture's diagonal, else pixels; `thin` thins their lines first, and
    void within `fill` pixels of a label is that label for them. `boundary` is the form of border counts that is meant
    by boundary F; with `both` the other one is counted, too. `distances` of bands in pixels, () = no bands. `size` is
    how many pictures will come, which decides whether bands are kept by picture. `instances` says which ids are
    instances: things alone, or all as in the released benchmark.
    """

    def __init__(
        self,
        labels: Labels,
        *,
        tolerance: float,
        size: int,
        distances: tuple[int, ...] = DISTANCES,
        boundary: Form = "distance",
        thin: bool = False,
        both: bool = True,
        instances: Ids = "things",
        fill: float = 0.0,
    ) -> None:
        self.labels, self.tolerance, self.distances, self.boundary = labels, tolerance, distances, boundary
        self.thin, self.instances, self.fill = thin, instances, fill
        self.forms: tuple[Form, ...] = ("distance", "matched") if both else (boundary,)
        classes = labels.num_classes
        self.bands = np.zeros((len(distances), classes, classes), np.int64)
        self.by_picture = size * self.bands.size <= MOST
        self._names: list[tuple[str, str]] = []
        self._parts: dict[str, list[NDArray[Any]]] = {}
        self._instances = self._confidence = False  # whether any picture had them

    def add(
        self,
        name: str,
        group: str,
        prediction: UInt8,
        target: UInt8,
        *,
        instances: Int32 | None = None,
        confidence: Float32 | None = None,
    ) -> None:
        """Count one picture: (H,W) class ids, and class ids or ignore index; ids of instances, 0 = none; the
        probability of each predicted class."""
        table: dict[str, Any] = {"num_classes": self.labels.num_classes, "ignore_index": self.labels.ignore_index}
        wanted: dict[str, Any] = {form: form in self.forms for form in FORMS}
        wanted |= {"tolerance": self.tolerance, "distances": self.distances, "thin": self.thin, "fill": self.fill}
        found = survey(prediction, target, **table, **wanted)
        things, sure = np.zeros(self.labels.num_classes, np.int32), np.zeros((BINS, 3))
        if instances is not None:
            things, self._instances = self._count_instances(target, instances, **table), True
        if confidence is not None:
            sure, self._confidence = calibration_counts(confidence, prediction, target, **table), True
        self.bands += found.bands
        self._names.append((name, group))
        parts = {**found._asdict(), "bands": found.bands if self.by_picture else None, "instances": things}
        for key, counts in parts.items():
            if counts is not None:
                self._parts.setdefault(key, []).append(counts.astype(np.int32))
        self._parts.setdefault("confidence", []).append(sure)

    def counts(self, *, seconds: float = 0.0) -> Counts:
        """All that was counted; `seconds` is what the model took for it."""
        classes = self.labels.num_classes
        return Counts(
            names=tuple(name for name, _ in self._names),
            groups=tuple(group for _, group in self._names),
            confusion=self._stack("confusion", (classes, classes)),
            borders={form: self._stack(form, (classes, 4)) for form in self.forms},
            boundary_form=self.boundary,
            trimap=self._stack("bands", self.bands.shape) if self.by_picture else None,
            bands=self.bands,
            instances=self._stack("instances", (classes,)) if self._instances else None,
            ids=self.instances,
            fill=self.fill,
            confidence=self._stack("confidence", (BINS, 3)) if self._confidence else None,
            distances=self.distances,
            tolerance=self.tolerance,
            thin=self.thin,
            seconds=seconds,
        )

    def _count_instances(self, target: UInt8, instances: Int32, **table: Any) -> Int32:
        """(C,) instances of each class. As released, what has no label is one, too, as in VOC's files."""
        if self.instances == "things":
            return instance_counts(target, instances, **table).astype(np.int32)
        void = self.labels.ignore_index
        everything = np.where(target == void, void, instances)
        return instance_counts(target, everything, **table, preset="released").astype(np.int32)

    def _stack(self, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
        listed = self._parts.get(key)
        return np.stack(listed) if listed else np.zeros((0, *shape), np.int32)


@dataclass(frozen=True)
class Counts:
    """Counts by picture. Arrays are row = truth; columns of borders as in `metrics.scores`."""

    names: tuple[str, ...]
    groups: tuple[str, ...]  # pictures of a group are resampled together; "" = a group of its own
    confusion: Int32  # (N,C,C)
    borders: dict[Form, Int32]  # (N,C,4) of each form that was counted
    boundary_form: Form  # the one that boundary F is made of
    trimap: Int32 | None  # (N,T,C,C) where small
    bands: NDArray[np.int64]  # (T,C,C) sum over pictures
    instances: Int32 | None  # (N,C) how many; None where no picture names any
    ids: Ids  # which they are
    confidence: NDArray[np.float64] | None  # (N,K,3) as in `metrics.calibration`; None where no picture had it
    distances: tuple[int, ...]
    tolerance: float
    thin: bool
    fill: float  # pixels of void beside a label that are it for borders
    seconds: float  # of the model, for all pictures

    @property
    def boundary(self) -> Int32:
        """(N,C,4) in the form that boundary F is made of."""
        return self.borders[self.boundary_form]

    @property
    def other_form(self) -> Form | None:
        """The form of border counts beside it, where there is one."""
        return next((form for form in self.borders if form != self.boundary_form), None)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The content of per_image.npz."""
        found: dict[str, NDArray[Any] | None] = {
            "names": np.array(self.names, str),
            "groups": np.array(self.groups, str),
            "confusion": self.confusion,
            "boundary": self.boundary,
            "trimap": self.trimap,
            "instances": self.instances,
            "confidence": self.confidence,
        }
        if form := self.other_form:
            found[f"boundary_{form}"] = self.borders[form]
        return {key: array for key, array in found.items() if array is not None}

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
        "ci95": [plain(limit) for limit in limits],
        "iou": dict(zip(names, found["iou"], strict=True)),
        "pixel_accuracy": found["pixel_accuracy"],
        "mean_accuracy": found["mean_accuracy"],
        "fwiou": found["fwiou"],
        **_instances(counts, names),
        "boundary": _borders(counts, counts.boundary_form, names),
        **({f"boundary_{form}": _borders(counts, form, names)} if (form := counts.other_form) else {}),
        "trimap": {
            "distances": list(counts.distances),
            "miou": [plain(value) for value in scores.miou(counts.bands)],
        },
        "calibration": None if counts.confidence is None else scores.calibration_scores(counts.confidence.sum(0)),
        "images": len(counts.names),
        "pixels": found["pixels"],
        "seconds": counts.seconds / max(1, len(counts.names)),
    }


def describe(counts: Counts, *, draws: int) -> list[str]:
    """How these counts become scores, in words, for a protocol line."""
    tolerance = counts.tolerance
    reach = f"{tolerance:g} px" if tolerance >= 1 else f"{100 * tolerance:g} % of the diagonal"
    void = f", void filled over {counts.fill:g} px" if counts.fill else ""
    groups = len({group or place for place, group in enumerate(counts.groups)})
    parts = [
        f"mIoU exact over the set, mean over {counts.confusion.shape[-1]} classes without absent ones",
        f"boundary F by {FORMS[counts.boundary_form]}{' of thinned lines' * counts.thin}, tolerance {reach}{void}",
        f"95 % interval from {draws} bootstrap draws over {groups} groups",
    ]
    return [*parts, "instances as in the AAF benchmark"] if counts.ids == "released" else parts


def _borders(counts: Counts, form: Form, names: tuple[str, ...]) -> dict[str, Any]:
    found = scores.boundary_scores(counts.borders[form].sum(0, dtype=np.int64))
    columns = found.pop("by_class")
    by_class = {name: {key: columns[key][place] for key in columns} for place, name in enumerate(names)}
    return {"form": FORMS[form], "tolerance": counts.tolerance, **found, "by_class": by_class}


def _instances(counts: Counts, names: tuple[str, ...]) -> dict[str, Any]:
    """Instance-wise mean IoU and that of each class; nothing where the data name no instances."""
    if counts.instances is None:
        return {"instance_miou": None, "instance_iou": None}
    sums = scores.instance_sums(counts.confusion, counts.instances).sum(0)
    each, mean = scores.instance_iou(sums), scores.instance_miou(sums)
    if counts.ids == "released":
        each, mean = np.nan_to_num(each, nan=0.0), scores.instance_miou(sums, absent="zero")
    return {"instance_miou": plain(mean), "instance_iou": dict(zip(names, map(plain, each), strict=True))}
