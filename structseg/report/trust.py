"""Can a difference be trusted? A list of checks of two rows, each yes, caution or unknown.

A paired interval covers the choice of pictures. It does not cover the luck of training (seeds), a step chosen on the
very pictures that are scored, near-copies drawn as if they were independent, or two things changed at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from structseg.metrics import scores
from structseg.report.compare import Pair, Row
from structseg.report.read import Run
from structseg.report.settings import HARMLESS, differing, is_loss

_TOLERANCE = 1e-4  # between the score written and the score of the counts
_ENOUGH_SEEDS = 3


@dataclass(frozen=True)
class Check:
    """One line: `title` is said in bold and comes first, where there is one."""

    state: Literal["yes", "caution", "unknown"]
    text: str
    title: str = ""


def of_pair(pair: Pair) -> tuple[Check, ...]:
    rows = (pair.a, pair.b)
    checks = (
        _same(pair),
        _paired(pair),
        _settings(pair),
        _selection(rows),
        _groups(pair.b),
        _written(rows),
        _seeds(rows),
    )
    return tuple(check for check in checks if check)


def of_row(row: Row) -> tuple[Check, ...]:
    """The checks that need no second row."""
    return tuple(check for check in (_selection((row,)), _groups(row), _written((row,)), _seeds((row,))) if check)


def _same(pair: Pair) -> Check:
    if pair.state == "incomparable":
        return Check("caution", f"{pair.why[0].upper()}{pair.why[1:]}. Evaluate both in the same way.", "Not the same.")
    prints = [_fingerprint(row.run) for row in (pair.a, pair.b)]
    if None in prints:
        return Check("unknown", "Same labels and protocol; whether the pictures are the same is not recorded")
    if prints[0] != prints[1]:
        return Check("caution", "The data fingerprints differ: pictures or masks were changed.", "Not the same data.")
    alike = len({row.run.metrics.get("protocol") for row in (pair.a, pair.b)}) == 1
    return Check("yes", f"Same pictures, labels and protocol{'' if alike else ' but for the CRF'}")


def _fingerprint(run: Run) -> str | None:
    """Of what was scored, which may be other data than the run was trained with."""
    if "fingerprint" in run.metrics:
        return str(run.metrics["fingerprint"])
    prints, split = run.meta.get("data_fingerprint"), run.metrics.get("split")
    return prints.get(split) if isinstance(prints, dict) else None


def _paired(pair: Pair) -> Check | None:
    if pair.state == "incomparable":
        return None
    if pair.state == "unpaired":
        return Check("caution", f"There is no interval of the difference: {pair.why}.", "Not paired.")
    if math.isnan(pair.get("miou").low):
        return Check("caution", "All pictures are one group, so no interval can be made.", "No interval.")
    return Check("yes", "Paired: each picture scored by both runs")


def _settings(pair: Pair) -> Check:
    keys = [key for key in differing([pair.a.run.config, pair.b.run.config]) if key not in HARMLESS]
    count = "1 key" if len(keys) == 1 else f"{len(keys)} keys"
    if not keys:
        return Check("caution", "Both have the same settings, so the difference is chance.", "Nothing differs.")
    if all(is_loss(key) for key in keys):
        return Check("yes", f"Only the loss differs ({count})")
    if len(keys) == 1:
        return Check("yes", f"Only {keys[0]} differs")
    shown = ", ".join(keys[:4]) + (", …" if len(keys) > 4 else "")
    return Check("caution", f"{shown}. Any of them may have made the difference.", f"{count} differ.")


def _selection(rows: tuple[Row, ...]) -> Check:
    splits = [(run.meta.get("selection_split"), run.metrics.get("split")) for row in rows for run in row.runs]
    if any(chosen is not None and chosen == scored for chosen, scored in splits):
        scored = splits[0][1]
        return Check("caution", f"The step was chosen by its score on {scored} itself.", "Chosen on the same pictures.")
    if any("selection_split" not in run.meta for row in rows for run in row.runs):
        return Check("unknown", "How the step was chosen is not recorded")
    if not any(chosen for chosen, _ in splits):
        return Check("yes", "Last step taken, none chosen by its score")
    chosen, scored = next(split for split in splits if split[0])
    return Check(
        "yes", f"Step chosen on {'validation' if chosen == 'val' else chosen}, not on {scored or 'the scored set'}"
    )


def _groups(row: Row) -> Check | None:
    if row.run.counts is None:
        return None
    names = row.run.counts.groups
    count = len({group or (place,) for place, group in enumerate(names)})
    if count == len(names):
        return Check("unknown", "Every picture counts as independent: name groups if some are near-copies")
    return Check("yes", f"Near-copies kept together ({count} groups)")


def _written(rows: tuple[Row, ...]) -> Check | None:
    """Nothing to say where the counts give the score that stands in metrics.json."""
    for run in (run for row in rows for run in row.runs):
        if run.counts is None:
            continue
        counted = float(scores.miou(run.counts.confusion.sum(0)))
        if abs(counted - run.metrics["miou"]) > _TOLERANCE:
            text = f"{run.name}: metrics.json and per_image.npz are of different evaluations; evaluate again."
            return Check("caution", text, "Score and counts disagree.")
    return None


def _seeds(rows: tuple[Row, ...]) -> Check:
    fewest = min(len(row.runs) for row in rows)
    if fewest == 1:
        text = "The intervals cover the choice of pictures, not the luck of training. Run 3 seeds before you publish."
        return Check("caution", text, "One seed per run.")
    if fewest < _ENOUGH_SEEDS:
        return Check("unknown", f"{fewest} seeds per run: 3 or more show the luck of training")
    return Check("yes", f"{fewest} seeds per run")
