"""Class maps for pictures that need no masks: files or arrays in, `Prediction`s out, one after the other.

A prediction is named after its file: the path below the folder that all given files and folders share, without the
suffix; arrays are numbered. Results have the picture's own size, upright as its EXIF orientation says.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import nn

from structseg.config import InferenceConfig
from structseg.data.formats.pairs import files_below
from structseg.data.read import SUFFIXES, read_image
from structseg.data.reading import Reading, reading
from structseg.errors import ConfigError, DataError, did_you_mean
from structseg.inference.classes import most_probable
from structseg.inference.device import pick_device
from structseg.inference.predictor import Predictor
from structseg.types import Item, Labels, Prediction, UInt8

Given = Path | str | UInt8
Named = tuple[str, UInt8]  # name and picture
T = TypeVar("T")


def predict(
    model: nn.Module,
    pictures: Given | Iterable[Given],
    *,
    labels: Labels | None = None,
    probabilities: bool = False,
    device: str | None = None,
    **options: Any,
) -> Iterator[Prediction]:
    """Predict files, folders of files, or RGB arrays (H,W,3) uint8, all of one kind.

    `options` are those of `InferenceConfig` (scales, mirror, tile, stride ...); what is not given is as the
    model's configuration says. A module that is not from `load` takes RGB 0..255 and needs `labels`. `device` None
    = where the model is. Arrays may come from an endless iterator. Raises ConfigError, and DataError for a picture
    that cannot be read, when its turn comes.
    """
    known = vars(model)
    labels = labels or known.get("labels")
    if labels is None:
        raise ConfigError("this model has no labels of its own; give labels=Labels(...) or load it with structseg.load")
    names = [field.name for field in dataclasses.fields(InferenceConfig)]
    if stray := sorted(set(options) - set(names)):
        raise ConfigError(f"predict has no option '{stray[0]}'{did_you_mean(stray[0], names)}")
    inference = known["config"].inference if "config" in known else InferenceConfig()
    inference = dataclasses.replace(inference, **options)
    chosen = None if device is None else pick_device(device)
    predictor = Predictor.from_config(model, labels, inference, chosen)
    return _run(predictor, _named(pictures, _limits(model)), probabilities=probabilities)


def predict_files(
    model: nn.Module,
    items: Sequence[Item],
    inference: InferenceConfig,
    *,
    probabilities: bool = False,
    device: str = "auto",
) -> Iterator[Prediction]:
    """Predict what `find_pictures` found with a loaded model."""
    predictor = Predictor.from_config(model, vars(model)["labels"], inference, pick_device(device))
    return _run(predictor, _read(items, _limits(model)), probabilities=probabilities)


def find_pictures(given: Iterable[Path | str], *, without: Path | None = None) -> tuple[Item, ...]:
    """The picture files among `given` files and below `given` folders, in the given order, each once; links are
    followed, and hidden files and what lies below `without`, where earlier results are, left out.

    Raises DataError for what is not there, a folder without pictures, and two files of one name.
    """
    paths = [Path(path).absolute() for path in given]
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
    if not paths:
        raise DataError("no picture to predict; give files or folders")
    root = Path(os.path.commonpath([path if path.is_dir() else path.parent for path in paths]))
    named: dict[str, Path] = {}
    for path in chain.from_iterable(_below(path, without) for path in paths):
        name = path.relative_to(root).with_suffix("").as_posix()
        if named.setdefault(name, path) != path:
            raise DataError(f"{path} and {named[name]} would both be saved as {name}; predict them one by one")
    return tuple(Item(name, path, index=index) for index, (name, path) in enumerate(named.items()))


def _below(path: Path, without: Path | None) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in files_below(path) if file.suffix.lower() in SUFFIXES)
    if without and path.resolve() in (own := without.resolve()).parents:
        found = [file for file in found if not file.resolve().is_relative_to(own)]
    if not found:
        raise DataError(f"{path}: no picture in it or below (looked for {' '.join(sorted(SUFFIXES))})")
    return found


def _limits(model: nn.Module) -> Reading:
    """The largest picture, as the model's configuration says."""
    known = vars(model)
    return Reading(max_pixels=known["config"].data.max_pixels) if "config" in known else Reading()


def _read(items: Iterable[Item], limits: Reading) -> Iterator[Named]:
    for item in items:
        if item.image is None:
            raise DataError(f"'{item.name}' names no picture file")
        with reading(limits):
            image = read_image(item.image)
        yield item.name, image


def _named(pictures: Given | Iterable[Given], limits: Reading) -> Iterator[Named]:
    """Names and arrays of whatever was given."""
    if isinstance(pictures, Path | str) or (isinstance(pictures, np.ndarray) and pictures.ndim == 3):
        pictures = [pictures]
    given: Iterator[Any] = iter(pictures)
    first = next(given, None)
    if isinstance(first, Path | str):
        return _read(find_pictures([first, *given]), limits)
    return iter(()) if first is None else _numbered(chain([first], given))


def _numbered(arrays: Iterable[Any]) -> Iterator[Named]:
    for place, array in enumerate(arrays):
        if not isinstance(array, np.ndarray):
            raise DataError(f"picture {place} is a {type(array).__name__}; give files only, or arrays only")
        yield f"{place:06d}", array


def _run(predictor: Predictor, pictures: Iterator[Named], *, probabilities: bool) -> Iterator[Prediction]:
    for group in _groups(pictures, predictor.batch):
        images = [image for _, image in group]
        if not probabilities:
            for (name, image), classes in zip(group, predictor.classes(images), strict=True):
                yield Prediction(name, classes, predictor.labels, image)
            continue
        for (name, image), found in zip(group, predictor.predict(images), strict=True):
            (classes,) = most_probable(found[None])
            yield Prediction(name, classes, predictor.labels, image, found.cpu().numpy())


def _groups(values: Iterator[T], size: int) -> Iterator[list[T]]:
    while group := list(islice(values, size)):
        yield group
