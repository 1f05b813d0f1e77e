"""Score any two folders of masks, ours or anyone's.

Masks are PNGs: class ids as grey or palette, or the label table's colours as RGB. Truth holds the table's raw values;
a prediction holds class ids 0..C-1, as `structseg predict` writes them, or with `raw` the table's values, too. A
prediction's place in its folder without the suffix, with each `a` replaced by `b`, is the place of its truth:
("_leftImg8bit", "_gtFine_labelIds").

Masks of instances, for instance-wise IoU, are found by the truth's place in the same way. Their numbers are ids, 0 is
none; in files named `...instanceIds`, as Cityscapes publishes them, none is below 1000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np

from structseg.data.formats.pairs import files_below
from structseg.data.read import read_instances, read_mask
from structseg.data.reading import Reading, reading
from structseg.errors import DataError
from structseg.inference.counts import Counter, Form, describe, summarise
from structseg.metrics.trimap import DISTANCES
from structseg.types import Int32, Labels, UInt8

_FIRST_THING = 1000  # of Cityscapes: label id * 1000 + number; smaller ones are regions without instances


def score_folders(
    predictions: Path,
    target: Path,
    labels: Labels,
    *,
    instances: Path | None = None,
    replace: Sequence[tuple[str, str]] = (),
    raw: bool = False,
    tolerance: float = 0.0075,
    boundary: Form = "distance",
    thin: bool = False,
    fill: float = 0.0,
    distances: tuple[int, ...] = DISTANCES,
    draws: int = 2000,
    progress: Callable[[int, int], None] = lambda done, whole: None,
) -> dict[str, Any]:
    """The content of metrics.json (without seconds) for all masks below two folders.

    `predictions` may be what `structseg predict --out` wrote: then its `index` folder is meant. `instances` is a folder
    of masks of instances. Raises DataError for a mask without partner, two sizes, a value or colour outside the table.
    """
    if (predictions / "index").is_dir():
        predictions = predictions / "index"
    pairs = _pairs(_masks(predictions), _masks(target), predictions, target, replace)
    written = labels if raw else _written(labels)
    things = {} if instances is None else _things(instances, pairs, replace)
    counter = Counter(
        labels,
        tolerance=tolerance,
        size=len(pairs),
        distances=distances,
        boundary=boundary,
        thin=thin,
        fill=fill,
    )
    for done, (name, (first, second)) in enumerate(pairs.items(), 1):
        with reading(Reading(max_pixels=0)):  # files that were named one and all
            prediction, truth = read_mask(first, written), read_mask(second, labels)
        if prediction.shape != truth.shape:
            sizes = " and ".join(f"{width}x{height}" for height, width in (prediction.shape, truth.shape))
            raise DataError(f"{first} and its truth {second} differ in size ({sizes}); predict at the picture's size")
        if (missing := (prediction == labels.ignore_index) & (truth != labels.ignore_index)).any():
            raise DataError(
                f"{first}: {int(missing.sum())} labelled pixels have no predicted class "
                f"(value {labels.ignore_index} or an ignored colour); predict a class for every pixel"
            )
        ids = _read_things(things[name], second, truth) if name in things else None
        counter.add(name, "", prediction, truth, instances=ids)
        progress(done, len(pairs))
    counts = counter.counts()
    metrics = summarise(counts, labels, draws=draws)
    del metrics["seconds"]
    kind = "the table's raw values" if raw else f"class ids 0-{labels.num_classes - 1}"
    parts = [f"{len(pairs)} masks of two folders", f"predictions read as {kind} or colours", "scored at mask size"]
    parts += describe(counts, draws=draws)
    return {**metrics, "protocol": " · ".join(parts)}


def nearby_labels(target: Path) -> Path:
    """The label table in a folder of true masks or in one of the three above it."""
    names = ("labels.toml", "classes.toml", "classes.txt", "labels.txt")
    folders = (target.absolute(), *target.absolute().parents)[:4]
    for path in (folder / name for folder in folders for name in names):
        if path.is_file():
            return path
    raise DataError(f"{target}: no label table ({', '.join(names)}) in it or above; name one with --labels")


def _masks(folder: Path) -> dict[str, Path]:
    """Relative place without suffix -> file, of every PNG below a folder; links are followed, hidden files left out."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of masks")
    found: dict[str, Path] = {}
    for path in sorted(path for path in files_below(folder) if path.suffix.lower() == ".png"):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{path} and {found[name].name} differ only in their ending; keep one of them")
        found[name] = path
    if not found:
        raise DataError(f"{folder}: no PNG in it or below; masks are PNG files")
    return found


def _pairs(
    predicted: dict[str, Path], true: dict[str, Path], first: Path, second: Path, replace: Sequence[tuple[str, str]]
) -> dict[str, tuple[Path, Path]]:
    """Name of each truth -> both files."""
    pairs: dict[str, tuple[Path, Path]] = {}
    for name, path in predicted.items():
        wanted = _replaced(name, replace)
        if wanted not in true:
            raise DataError(f"{path} has no truth {second / wanted}.png; say how names differ with --replace A=B")
        if wanted in pairs:
            raise DataError(f"{path} and {pairs[wanted][0]} both belong to {true[wanted]}; see --replace")
        pairs[wanted] = (path, true[wanted])
    if missing := sorted(set(true) - set(pairs)):
        raise DataError(f"{true[missing[0]]} has no prediction in {first} ({len(missing)} of {len(true)} missing)")
    return pairs


def _replaced(name: str, replace: Sequence[tuple[str, str]]) -> str:
    for a, b in replace:
        name = name.replace(a, b)
    return name


def _things(folder: Path, names: Iterable[str], replace: Sequence[tuple[str, str]]) -> dict[str, Path]:
    """Name of each truth -> its mask of instances. There may be more masks than truths."""
    masks = {_replaced(name, replace): path for name, path in _masks(folder).items()}
    for name in names:
        if name not in masks:
            raise DataError(f"{folder / name}.png: no such mask of instances; say how names differ with --replace A=B")
    return masks


def _read_things(path: Path, target: Path, truth: UInt8) -> Int32:
    ids = read_instances(path)
    if ids.shape != truth.shape:
        sizes = " and ".join(f"{width}x{height}" for height, width in (ids.shape, truth.shape))
        raise DataError(f"{path} and the truth {target} differ in size ({sizes}); instances are of the truth's size")
    return np.where(ids < _FIRST_THING, 0, ids) if path.stem.endswith("instanceIds") else ids


def _written(labels: Labels) -> Labels:
    """The table by which predictions are read: class ids as they are, and every colour that draws a class."""
    own = {colour: index for index, colour in enumerate(labels.palette)}
    ids = tuple((index, index) for index in (*range(labels.num_classes), labels.ignore_index))
    colours = {**own, **dict(labels.colours)}
    return changed(labels, values=ids, colours=tuple(colours.items()))
