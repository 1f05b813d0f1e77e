"""Which pictures should a person look at, and in what form? Those rich in the rarest classes, some spread evenly, and
the pairs that look alike across splits. Small JPEGs as data addresses, so that a page needs no file beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from structseg.data.fingerprint import spread_places
from structseg.data.formats import Format
from structseg.data.inspect.count import class_pixels, is_colour
from structseg.data.inspect.findings import shown
from structseg.data.inspect.look import Look
from structseg.data.labels import apply
from structseg.data.read import SUFFIXES, read_image, read_raw
from structseg.errors import DataError
from structseg.types import Labels, Prediction, UInt8

RAREST, SPREAD, COPIES = 6, 6, 6
WIDTH = 320  # pixels, at most


def contact_sheet(
    looks: Sequence[Look], labels: Labels | None, source: Format | None, root: Path
) -> list[dict[str, Any]]:
    """Pictures with their masks laid over them, and why each was chosen."""
    rows = []
    for place, why in _chosen(looks, labels).items():
        one = looks[place]
        try:
            image, target = _read(one, labels, source)
        except DataError:
            continue  # it is among the findings
        name = shown(one.item.image, root) or one.item.name
        row = {"name": name, "split": ", ".join(one.splits), "why": why, "image": _address(image), "mask": ""}
        if target is not None and labels is not None and target.shape == image.shape[:2]:
            row["mask"] = _address(_drawn(image, target, labels))
        rows.append(row)
    return rows


def alike(looks: Sequence[Look], pairs: NDArray[np.int64], root: Path) -> list[dict[str, Any]]:
    """Up to COPIES pairs side by side."""
    rows = []
    for first, second in pairs[:: max(1, len(pairs) // COPIES)][:COPIES].tolist():
        sides = []
        for place in (first, second):
            path = looks[place].item.image
            if path is None:
                continue
            name = f"{', '.join(looks[place].splits)}: {shown(path, root)}"
            sides.append({"name": name, "image": _address(read_image(path))})
        rows.append({"sides": sides, "exact": looks[first].content == looks[second].content})
    return rows


def _chosen(looks: Sequence[Look], labels: Labels | None) -> dict[int, str]:
    """Place -> why it is shown."""
    good = [place for place, one in enumerate(looks) if one.size and all(kind == "other" for kind, _ in one.problems)]
    chosen: dict[int, str] = {}
    if labels is not None and good:
        table = np.stack([class_pixels(looks[place], labels) for place in good])[:, : labels.num_classes]
        pixels = table.sum(0)
        present = [index for index in np.argsort(pixels, kind="stable").tolist() if pixels[index]]
        for index in present[:RAREST]:
            best = good[int(table[:, index].argmax())]
            chosen[best] = ", ".join([*([chosen[best]] if best in chosen else ["most of"]), labels.names[index]])
        chosen = {place: why.replace("most of, ", "most of ") for place, why in chosen.items()}
    for place in spread_places(len(good), SPREAD):
        chosen.setdefault(good[place], "spread evenly")
    return chosen


def _read(one: Look, labels: Labels | None, source: Format | None) -> tuple[UInt8, UInt8 | None]:
    if source is not None and not one.problems:
        sample = source.read(one.item)
        return sample.image, sample.target
    if one.item.image is None:
        raise DataError(f"'{one.item.name}' names no picture file")
    image, path = read_image(one.item.image), one.item.target
    if labels is None or path is None or path.suffix.lower() not in SUFFIXES:
        return image, None
    try:
        return image, apply(read_raw(path).values, _with_strays(labels, one), path)
    except DataError:
        return image, None


def _with_strays(labels: Labels, one: Look) -> Labels:
    """The table, values of this mask that it lacks ignored, so that a mask with strays can be shown."""
    if is_colour(one):
        return labels
    known = dict(labels.values)
    more = tuple((value, labels.ignore_index) for value in one.values.tolist() if value not in known)
    return replace(labels, values=(*labels.values, *more))


def _drawn(image: UInt8, target: UInt8, labels: Labels) -> UInt8:
    """The classes laid over the picture; pixels without label stay as they are."""
    drawn = Prediction("", np.minimum(target, 255).astype(np.uint8), labels, image).overlay(0.7)
    return np.where((target == labels.ignore_index)[..., None], image // 2, drawn).astype(np.uint8)


def _address(image: UInt8) -> str:
    height, width = image.shape[:2]
    if width > WIDTH:
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
