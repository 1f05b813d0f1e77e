"""Which pictures does the page show, and in what form?

Of the pictures that every row saved with the same truth: the 8 that changed most from A to B, the 4 worst for B, 4 at
random by seed. The page gets the picture and one index mask per row; every view, statistic and order is drawn from
these in the browser.
A mask is written as a grey PNG of class id times `scale`, C = no label, so that a browser which adds noise to what a
script reads back (a fingerprint guard) still gives the right class.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from structseg.errors import CheckpointError
from structseg.report.compare import FEW_ROWS, Comparison, Row
from structseg.report.read import Picture

CHANGED, WORST, RANDOM = 8, 4, 4
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """One picture of the page; data addresses."""

    name: str
    width: int
    height: int
    random: bool  # drawn by seed: the fair sample
    image: str
    target: str
    predictions: dict[int, str]  # row index -> mask


def shown(comparison: Comparison) -> tuple[Shown, ...]:
    """The chosen pictures, ready for the page; empty where no row saved any."""
    rows = _with_pictures(comparison)
    if not rows:
        return ()
    by_row = {row.index: {picture.name: picture for picture in row.run.pictures} for row in rows}
    classes = len(rows[0].classes)
    return tuple(_encode(name, drawn, by_row, classes) for name, drawn in choose(comparison).items())


def choose(comparison: Comparison, *, seed: int = 0) -> dict[str, bool]:
    """Names of the pictures to show -> whether it is one of those drawn at random."""
    rows = _with_pictures(comparison)
    if not rows:
        return {}
    tables = [{picture.name: picture for picture in row.run.pictures} for row in rows]
    names = [name for name in tables[0] if _same_everywhere(name, tables)]
    b = next((place for place, row in enumerate(rows) if row is comparison.b), len(rows) - 1)
    a = next((place for place, row in enumerate(rows) if row is comparison.a), b)
    changed, wrong = {}, {}
    for name in names:
        target, first, second = _masks(tables[a][name], tables[b][name])
        labelled = max(1, int((target < len(rows[b].classes)).sum()))
        changed[name] = float(((first != second) & (target < len(rows[b].classes))).sum()) / labelled
        wrong[name] = float(((second != target) & (target < len(rows[b].classes))).sum()) / labelled
    share = 1 if len(rows) <= FEW_ROWS else 2  # half as many pictures keep the page small
    order = np.random.default_rng(seed).permutation(len(names))
    drawn = {names[place] for place in order[: RANDOM // share]}
    most = sorted(names, key=lambda name: -changed[name])[: CHANGED // share] if a != b else []
    worst = [name for name in sorted(names, key=lambda name: -wrong[name]) if name not in most]
    worst = worst[: (WORST if a != b else WORST + CHANGED) // share]
    return {name: name in drawn for name in dict.fromkeys([*most, *worst, *sorted(drawn)])}


def _with_pictures(comparison: Comparison) -> Sequence[Row]:
    """Rows that saved pictures in the label table of B."""
    return [row for row in comparison.finished if row.run.pictures and row.classes == comparison.b.classes]


def _same_everywhere(name: str, tables: Sequence[dict[str, Picture]]) -> bool:
    """Whether all have a picture of that name with the same truth: other data may have the same names."""
    if not all(name in table for table in tables):
        return False
    first, *others = (read_mask(table[name].target) for table in tables)
    return all(np.array_equal(first, other) for other in others)


def _masks(first: Picture, second: Picture) -> tuple[UInt8, UInt8, UInt8]:
    target, a, b = read_mask(first.target), read_mask(first.prediction), read_mask(second.prediction)
    for path, mask in ((first.prediction, a), (second.prediction, b)):
        if mask.shape != target.shape:
            raise CheckpointError(f"{path} is {mask.shape}, its target {target.shape}; evaluate the run again")
    return target, a, b


def read_mask(path: Path) -> UInt8:
    """(H,W) class ids of a kept mask."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L") if image.mode != "P" else image, np.uint8)
    except (OSError, SyntaxError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); evaluate the run again") from None


def _encode(name: str, drawn: bool, by_row: dict[int, dict[str, Picture]], classes: int) -> Shown:
    any_row = next(iter(by_row.values()))[name]
    target = read_mask(any_row.target)
    predictions = {index: read_mask(pictures[name].prediction) for index, pictures in by_row.items()}
    for index, mask in predictions.items():
        if mask.shape != target.shape:
            path = by_row[index][name].prediction
            raise CheckpointError(f"{path} is {mask.shape}, its target {target.shape}; evaluate the run again")
    height, width = target.shape
    encoded = {index: _png(mask, classes) for index, mask in predictions.items()}
    return Shown(name, width, height, drawn, _jpeg(any_row.image), _png(target, classes), encoded)


def _png(mask: UInt8, classes: int) -> str:
    scaled = (np.minimum(mask, classes) * (255 // classes)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(scaled).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def read_image(path: Path) -> UInt8:
    """(H,W,3) RGB of a kept picture."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.uint8)
    except (OSError, SyntaxError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); evaluate the run again") from None


def _jpeg(path: Path) -> str:
    """The picture, written anew: what a run folder calls a JPEG is not taken into a page unseen."""
    file = io.BytesIO()
    Image.fromarray(read_image(path)).save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
