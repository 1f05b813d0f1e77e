"""What do the logs say over time? Learning curves, whether a run was still rising, and learned kernel sizes.

Curves of a row of several seeds are the mean over the seeds at the steps that all of them have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from structseg.report.compare import Row
from structseg.report.read import Run

Curve = list[tuple[int, float]]
_BINS = 60  # points of a loss curve; more than a chart can show
_RISING = 0.005  # half a point over the last quarter
_MOVED = 0.05  # share of the range of kernel sizes below which nothing moved


def evaluations(row: Row, key: str) -> Curve:
    """`miou` or `boundary_f` on the validation pictures by step."""
    return _mean([_series(run, "eval", lambda entry: entry.get(key)) for run in row.runs])


def shared_loss(rows: Sequence[Row]) -> str:
    """Name of the first loss that every row logs, so that curves mean the same; empty where there is none."""
    logged = [_loss_names(row.run) for row in rows]
    return next((name for name in logged[0] if all(name in names for names in logged)), "") if logged else ""


def losses(row: Row, name: str) -> Curve:
    """The loss part `name`, or the whole loss where it is empty, averaged to at most 60 points."""
    curve = _mean([_series(run, "train", lambda entry: _part(entry, name)) for run in row.runs])
    size = math.ceil(len(curve) / _BINS) or 1
    bins = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(some[-1][0], sum(value for _, value in some) / len(some)) for some in bins]


def rising(rows: Sequence[Row]) -> str:
    """The note under the learning curves."""
    curves = [(row, curve) for row in rows if len(curve := evaluations(row, "miou")) >= 4]
    still = [row for row, curve in curves if curve[-1][1] - curve[-1 - len(curve) // 4][1] > _RISING]
    if not still:
        return ""
    if len(still) == len(curves) > 1:
        who = "Both runs were" if len(still) == 2 else "All runs were"
    else:
        names = [row.title.removeprefix("+ ") for row in still]
        who = f"{names[0]} was" if len(names) == 1 else f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''} were"
    return f"{who} still rising at the last step: train longer before you call the difference final."


@dataclass(frozen=True)
class Kernels:
    """Effective kernel size of each class, in cells of the loss."""

    sizes: tuple[float, ...]
    edge: tuple[float, ...]
    interior: tuple[float, ...]
    cell: float | None  # pixels of the picture
    note: str

    @property
    def start(self) -> float:
        return sum(self.sizes) / len(self.sizes)


def kernels(row: Row) -> Kernels | None:
    """What an adaptive affinity field learned: from meta.json, else from the last line of the log that has it."""
    found = row.run.meta.get("kernels")
    if not isinstance(found, dict):
        found = next((entry for entry in reversed(row.run.log) if entry.get("kind") == "kernels"), None)
    if found is None or not all(_numbers(found.get(key)) for key in ("kernel_sizes", "edge", "interior")):
        return None
    if not len(found["edge"]) == len(found["interior"]) == len(row.classes) or len(found["kernel_sizes"]) < 2:
        return None
    sizes, edge, interior = (tuple(map(float, found[key])) for key in ("kernel_sizes", "edge", "interior"))
    cell = found.get("cell")
    note = _kernel_note(sizes, edge, interior, row.classes)
    return Kernels(sizes, edge, interior, float(cell) if isinstance(cell, (int, float)) else None, note)


def _kernel_note(
    sizes: Sequence[float], edge: Sequence[float], interior: Sequence[float], classes: Sequence[str]
) -> str:
    start, span = sum(sizes) / len(sizes), max(sizes) - min(sizes)
    sentences = []
    for words, values in (("At the borders", edge), ("Inside regions", interior)):
        moves = [value - start for value in values]
        far = max(range(len(moves)), key=lambda place: abs(moves[place]))
        if abs(moves[far]) < _MOVED * span:
            sentences.append(
                f"{words} nothing moved from {start:.1f}: too few steps, or the sizes make no difference there."
            )
            continue
        way = math.copysign(1, moves[far])
        with_it = sum(move * way > _MOVED * span for move in moves)
        who = "every class" if with_it == len(moves) else f"{with_it} of {len(moves)} classes"
        size = "larger" if way > 0 else "smaller"
        sentences.append(f"{words} {who} turned to {size} kernels, {classes[far]} moved most ({values[far]:.1f}).")
    return " ".join(sentences)


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, (int, float)) for value in values)


def _series(run: Run, kind: str, value: Any) -> Curve:
    found: dict[int, float] = {}
    for entry in run.log:
        number = value(entry) if entry.get("kind") == kind else None
        if isinstance(number, (int, float)) and math.isfinite(number) and isinstance(entry.get("step"), int):
            found[entry["step"]] = float(number)  # a resumed run may log a step twice: the last one counts
    return sorted(found.items())


def _part(entry: dict[str, Any], name: str) -> Any:
    parts = entry.get("losses")
    return parts.get(name) if name and isinstance(parts, dict) else entry.get("loss")


def _loss_names(run: Run) -> Iterable[str]:
    parts = next((entry.get("losses") for entry in run.log if entry.get("kind") == "train"), None)
    return list(parts) if isinstance(parts, dict) else []


def _mean(curves: Sequence[Curve]) -> Curve:
    tables = [dict(curve) for curve in curves]
    steps = sorted(set(tables[0]).intersection(*tables[1:]))
    return [(step, sum(table[step] for table in tables) / len(tables)) for step in steps]
