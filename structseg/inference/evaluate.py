"""Score a model on a split of a data set, and write what a run folder keeps of it.

Every picture is predicted as `predict` would and scored at its mask's own size, once. `count` goes over the pictures,
`summarise` makes scores of the counts, `write` puts them into a folder; `evaluate` does all three.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from structseg import runs
from structseg.data import open_format
from structseg.data.fingerprint import fingerprint
from structseg.data.formats import Format, read_sample
from structseg.errors import ConfigError, DataError
from structseg.inference.counts import Counter, Counts, Form, Ids, describe, summarise
from structseg.inference.load import check_labels
from structseg.inference.pictures import Pictures
from structseg.inference.predictor import Predictor
from structseg.metrics.trimap import DISTANCES
from structseg.types import Float32, Item, Labels, Sample, UInt8

__all__ = ["Counts", "Pictures", "count", "evaluate", "protocol", "summarise", "write"]

Progress = Callable[[int, int], None]  # pictures done, pictures in all
See = Callable[[Sample, UInt8], None]  # a sample and its prediction


def evaluate(
    model: nn.Module | Predictor,
    data: Format | Path | str | None = None,
    split: str = "",
    *,
    name: str = "",
    tolerance: float = 0.0075,
    boundary: Form = "distance",
    thin: bool = False,
    instances: Ids = "things",
    fill: float = 0.0,
    calibration: bool = False,
    pictures: int = 0,
    draws: int = 2000,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The content of metrics.json (fractions, 0..1) for `model` on a split of `data`.

    `model` is a Predictor, or a loaded model, which is predicted as its configuration says. `data` is a data set, or
    another folder of the layout that the loaded model was trained on; None = the data and split of its run. `name` of
    the data set stands in the protocol line; "" = the name of its format. `boundary` is the form of boundary F: by
    distance, or matched one to one; the other one stands under its own name; both are of thinned lines with `thin`.
    Void within `fill` pixels of a label is that label where borders are found, for sets that draw contours as void.
    `instances` are the things alone, or with background and void as in the released AAF benchmark. `calibration` needs
    the probabilities of whole pictures, which class ids do without. With `folder`, metrics.json, per_image.npz and
    `pictures` small pictures are written into it. Raises CheckpointError where the classes of model and data
    differ, DataError where pictures have no masks.
    """
    predictor = model if isinstance(model, Predictor) else _predictor(model)
    if data is None or isinstance(data, Path | str):
        data, split = _own(predictor.model, data, split)
    split = split or "test"
    check_labels(predictor.labels, data.labels)
    items = data.items(split)
    kept = Pictures(items, pictures)
    options: dict[str, Any] = {
        "tolerance": tolerance,
        "boundary": boundary,
        "thin": thin,
        "instances": instances,
        "fill": fill,
        "calibration": calibration,
    }
    counts = count(predictor, data, items, **options, progress=progress, see=kept.see)
    name = name or type(data).__name__.lower()
    metrics = {
        **summarise(counts, data.labels, draws=draws),
        "seeds": [vars(predictor.model)["about"]["seed"]] if "seed" in vars(predictor.model).get("about", {}) else [],
        "set": name,
        "split": split,
        "fingerprint": fingerprint(data, split),
        "protocol": protocol(counts, predictor, data.labels, name=name, split=split, draws=draws),
    }
    if folder is not None:
        write(folder, metrics, counts, kept)
    return metrics


def count(
    predictor: Predictor,
    data: Format,
    items: Sequence[Item],
    *,
    tolerance: float = 0.0075,
    distances: tuple[int, ...] = DISTANCES,
    boundary: Form = "distance",
    thin: bool = False,
    instances: Ids = "things",
    fill: float = 0.0,
    calibration: bool = False,
    quick: bool = False,
    progress: Progress | None = None,
    see: See | None = None,
) -> Counts:
    """Predict and count `items`, `predictor.batch` of them in memory at a time.

    Bands around borders are counted at `distances` in pixels, () = none; with `calibration`, confidence, too. `quick`
    counts confusion and borders in the form `boundary`, no bands and no instances. `see` is called with every sample
    and its prediction. Raises DataError for a picture without mask.
    """
    counter = Counter(
        data.labels,
        tolerance=tolerance,
        size=len(items),
        distances=() if quick else distances,
        boundary=boundary,
        thin=thin,
        both=not quick,
        instances=instances,
        fill=fill,
    )
    seconds = 0.0
    for first in range(0, len(items), predictor.batch):
        group = items[first : first + predictor.batch]
        samples = [read_sample(data, item) for item in group]
        targets = [_target(sample) for sample in samples]
        began = time.perf_counter()
        images = [sample.image for sample in samples]
        found = (
            _sure_classes(predictor, images) if calibration else [(each, None) for each in predictor.classes(images)]
        )
        seconds += time.perf_counter() - began
        for item, sample, target, (prediction, sure) in zip(group, samples, targets, found, strict=True):
            things = None if quick else sample.instances
            counter.add(item.name, item.group, prediction, target, instances=things, confidence=sure)
            if see:
                see(sample, prediction)
        if progress:
            progress(first + len(group), len(items))
    return counter.counts(seconds=seconds)


def _sure_classes(predictor: Predictor, images: Sequence[UInt8]) -> list[tuple[UInt8, Float32 | None]]:
    """(H,W) class ids of each picture and their probabilities."""
    best = [probabilities.max(0) for probabilities in predictor.predict(images)]  # (C,H,W) each
    return [(each.indices.byte().cpu().numpy(), each.values.cpu().numpy()) for each in best]


def protocol(counts: Counts, predictor: Predictor, labels: Labels, *, name: str, split: str, draws: int) -> str:
    """One line that says what the scores are scores of."""
    raw = [str(value) for value, index in labels.values if index == labels.ignore_index]
    ignored = f"ignored raw values {' '.join(raw)}" if raw else "nothing ignored"
    return " · ".join(
        [
            f"{name} {split}, {len(counts.names)} images",
            "scored at mask size",
            predictor.describe(),
            predictor.describe_crf(),
            ignored,
            *describe(counts, draws=draws),
        ]
    )


def write(folder: Path, metrics: dict[str, Any], counts: Counts, pictures: Pictures | None = None) -> None:
    """per_image.npz, pictures/ and, last, metrics.json, each whole or not at all."""
    arrays: dict[str, Any] = counts.arrays()
    runs.write_file(folder / runs.PER_IMAGE, lambda file: np.savez_compressed(file, **arrays))
    if pictures:
        pictures.write(folder / runs.PICTURES)
    runs.write_json(folder / runs.METRICS, metrics)


def _predictor(model: nn.Module) -> Predictor:
    known = vars(model)
    if "labels" not in known or "config" not in known:
        raise ConfigError("this model has no labels: give structseg.inference.predictor.Predictor(model, labels)")
    return Predictor.from_config(model, known["labels"], known["config"].inference)


def _own(model: nn.Module, root: Path | str | None, split: str) -> tuple[Format, str]:
    """The data set of a loaded model's run, perhaps at another root, and the name of the split to score."""
    if "config" not in vars(model):
        raise ConfigError("this model is of no run: give the data set, e.g. structseg.data.open_format(config.data)")
    config = vars(model)["config"]
    data = config.data if root is None else replace(config.data, root=str(root))
    return open_format(data), split or getattr(data, config.evaluation.split)


def _target(sample: Sample) -> UInt8:
    if sample.target is None:
        raise DataError(
            f"'{sample.name}' has no mask: structseg predict works without masks, scoring needs one for every picture"
        )
    return sample.target
