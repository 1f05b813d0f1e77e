"""What does a run folder hold? `read` makes a `Run` of it: configuration, log, scores, counts by picture, pictures.

A folder without metrics.json is a run that failed or still goes on: it has no scores, and `Run.stopped` says why.
Counts by picture are what paired intervals are made of; without them a run can only be compared by its numbers.
Everything read here was written by somebody else, so it is checked before it is believed; a mistake is one line
that names the file.
"""

from __future__ import annotations

import json
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg import runs
from structseg.errors import CheckpointError, DataError
from structseg.types import Labels

PLAIN_REGIME = "supervised"
Counts64 = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Counts of N pictures, C classes, T distances, pictures in the order of their names."""

    names: tuple[str, ...]
    groups: tuple[str, ...]
    confusion: Counts64  # (N,C,C) row = truth
    boundary: Counts64 | None  # (N,C,4) predicted border, matched predicted, true border, matched true
    trimap: Counts64 | None  # (N,T,C,C)
    matched: Counts64 | None = None  # (N,C,4) as boundary, one to one; None: not counted, or `boundary` is of this form
    instances: Counts64 | None = None  # (N,C) how many

    @property
    def truth(self) -> Counts64:
        """(N,C) labelled pixels of each class."""
        pixels: Counts64 = self.confusion.sum(2)
        return pixels


@dataclass(frozen=True)
class Picture:
    """One picture that a run saved for looking: three files of one size."""

    name: str
    image: Path  # JPEG
    target: Path  # 8-bit grey PNG of class ids
    prediction: Path  # 8-bit grey PNG of class ids
    scale: float | None = None  # its width / that of the picture that was scored; None = unknown


@dataclass(frozen=True)
class Run:
    """A run folder as the report sees it."""

    path: Path
    config: dict[str, Any]
    log: tuple[dict[str, Any], ...]
    metrics: dict[str, Any] = field(default_factory=dict)  # empty: no scores
    meta: dict[str, Any] = field(default_factory=dict)
    labels: Labels | None = None
    counts: Counts | None = None
    pictures: tuple[Picture, ...] = ()
    stopped: str = ""  # why there are no scores

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def finished(self) -> bool:
        return bool(self.metrics)

    @property
    def methods(self) -> tuple[str, ...]:
        """What it was trained with: its losses in the order of the configuration, and a regime beyond the plain one."""
        losses = tuple(str(loss.get("name", "")) for loss in self.config.get("losses", ()))
        regime = str(self.config.get("regime", PLAIN_REGIME))
        return losses if regime == PLAIN_REGIME else (*losses, regime)

    @property
    def seed(self) -> int | None:
        seed = self.meta.get("seed", self.config.get("seed"))
        return seed if isinstance(seed, int) else None


def read(path: Path) -> Run:
    """The run in the folder `path`; raises `CheckpointError` where a file is missing or damaged."""
    if not runs.is_run(path):
        raise CheckpointError(f"{path} is not a run folder ({runs.CONFIG} is missing); give the --out folder of a run")
    config = _config(path / runs.CONFIG)
    log = tuple(row for row in runs.read_log(path) if isinstance(row, dict))
    meta = _object(path / runs.META) if (path / runs.META).exists() else {}
    labels = _labels(path / runs.META, meta)
    if not (path / runs.METRICS).exists():
        return Run(path, config, log, meta=meta, labels=labels, stopped=_reason(log))
    metrics = _metrics(path / runs.METRICS)
    if labels is None:
        raise CheckpointError(f"{path / runs.META}: the label table is missing; evaluate the run again")
    if list(metrics["iou"]) != list(labels.names):
        raise CheckpointError(
            f"{path / runs.METRICS}: the classes of iou are not those of {runs.META}; evaluate the run again"
        )
    counts = _counts(path / runs.PER_IMAGE, labels.num_classes) if (path / runs.PER_IMAGE).exists() else None
    return Run(path, config, log, metrics, meta, labels, counts, _pictures(path / runs.PICTURES))


def _config(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); train again or restore the file") from None


def _object(path: Path) -> dict[str, Any]:
    value = runs.read_json(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, not an object; evaluate the run again")
    return value


def _labels(path: Path, meta: dict[str, Any]) -> Labels | None:
    if "labels" not in meta:
        return None
    try:
        return Labels.from_dict(meta["labels"])
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise CheckpointError(f"{path}: the key labels is damaged ({error}); train or evaluate again") from None


def _metrics(path: Path) -> dict[str, Any]:
    metrics = _object(path)
    if missing := [key for key in ("miou", "iou", "pixel_accuracy") if key not in metrics]:
        raise CheckpointError(f"{path}: the key {missing[0]} is missing; evaluate the run again")
    if not isinstance(metrics["miou"], (int, float)) or not isinstance(metrics["iou"], dict):
        raise CheckpointError(f"{path}: miou must be a number and iou a table; evaluate the run again")
    for key in ("boundary", "boundary_matched", "trimap"):
        if not isinstance(metrics.get(key) or {}, dict):
            raise CheckpointError(f"{path}: {key} must be a table; evaluate the run again")
    limits = metrics.get("ci95") or [None, None]
    if not isinstance(limits, list) or len(limits) != 2:
        raise CheckpointError(f"{path}: ci95 must be two numbers; evaluate the run again")
    return metrics


def _reason(log: tuple[dict[str, Any], ...]) -> str:
    """Why a run has no scores, as far as its log knows."""
    for row in reversed(log):
        if row.get("kind") == "stop":
            return f"stopped at step {row.get('step', '?')}: {row.get('reason', 'no reason given')}"
    steps = [row["step"] for row in log if isinstance(row.get("step"), int)]
    return f"not finished: last seen at step {max(steps)}" if steps else "not finished: nothing in its log"


def _counts(path: Path, classes: int) -> Counts:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged ({error}); evaluate the run again") from None
    if missing := [key for key in ("names", "groups", "confusion") if key not in arrays]:
        raise CheckpointError(f"{path}: the array {missing[0]} is missing; evaluate the run again")
    total = len(arrays["names"])
    shapes = {
        "groups": (total,),
        "confusion": (total, classes, classes),
        "boundary": (total, classes, 4),
        "boundary_matched": (total, classes, 4),
        "instances": (total, classes),
    }
    for key, shape in shapes.items():
        if key in arrays and arrays[key].shape != shape:
            raise CheckpointError(f"{path}: {key} has the shape {arrays[key].shape}, not {shape}; evaluate again")
    if "trimap" in arrays and (arrays["trimap"].ndim != 4 or arrays["trimap"].shape[2:] != (classes, classes)):
        raise CheckpointError(f"{path}: trimap has the shape {arrays['trimap'].shape}; evaluate the run again")
    order = np.argsort(arrays["names"], kind="stable")
    sorted_counts = {
        key: arrays[key][order].astype(np.int64)
        for key in ("confusion", "boundary", "trimap", "boundary_matched", "instances")
        if key in arrays
    }
    return Counts(
        tuple(str(name) for name in arrays["names"][order]),
        tuple(str(group) for group in arrays["groups"][order]),
        sorted_counts["confusion"],
        sorted_counts.get("boundary"),
        sorted_counts.get("trimap"),
        sorted_counts.get("boundary_matched"),
        sorted_counts.get("instances"),
    )


def _scale(row: dict[str, Any]) -> float | None:
    return float(row["scale"]) if "scale" in row else None


def _pictures(folder: Path) -> tuple[Picture, ...]:
    index = folder / "index.json"
    if not index.exists():
        return ()
    try:
        rows = runs.read_json(index)
        found = tuple(
            Picture(row["name"], folder / row["image"], folder / row["target"], folder / row["prediction"], _scale(row))
            for row in rows
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{index} is damaged ({error!r}); evaluate the run again") from None
    for picture in found:
        for file in (picture.image, picture.target, picture.prediction):
            if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
                raise CheckpointError(f"{index}: the file {json.dumps(file.name)} is not in the folder; evaluate again")
    return found
