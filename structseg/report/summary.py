"""The comparison as plain JSON types, for programs: every score of every row, its seeds and the difference from A.

Fractions 0..1, null where unknown. A difference carries the interval over pictures (bootstrap over groups, seeds
averaged); `sd` is the sample standard deviation over seeds, `by_seed` has the scores in the order of `seeds`.
"""

from __future__ import annotations

import math
from typing import Any

from structseg.report.compare import Comparison, Row, values


def summary(comparison: Comparison) -> dict[str, Any]:
    """Rows in the order of the table; A and B by title."""
    a = comparison.a
    return {
        "baseline": a.title if a else None,
        "protocol": comparison.b.run.metrics.get("protocol"),
        "rows": [_row(comparison, row) for row in comparison.ordered],
    }


def _row(comparison: Comparison, row: Row) -> dict[str, Any]:
    about: dict[str, Any] = {"title": row.title, "runs": [str(run.path) for run in row.runs]}
    if not row.finished:
        return {**about, "stopped": row.run.stopped}
    about |= {"seeds": [run.seed for run in row.runs], "classes": list(row.classes)}
    about["train_seconds"] = [_number(run.meta.get("train_seconds")) for run in row.runs]
    about["scores"] = {key: _number(score.value) for key, score in row.scores.items()}
    about["sd"] = {key: _number(score.sd) for key, score in row.scores.items()}
    about["by_seed"] = {key: [_number(values(run).get(key)) for run in row.runs] for key in row.scores}
    a = comparison.a
    if a is not None and row is not a:
        pair = comparison.pairs[a.index, row.index]
        about["paired"] = {"state": pair.state, "why": pair.why}
        about["difference"] = {
            key: {"value": _number(d.value), "low": _number(d.low), "high": _number(d.high)}
            for key, d in pair.differences.items()
        }
    return about


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
