"""The comparison as Markdown tables, to be kept with results: every score, every class, every seed.

First table: each row's mean and, over several seeds, ± the sample standard deviation. Second: the difference of each
row from A, with the mean and deviation of the differences seed by seed, the 95 % interval over pictures (bootstrap over
groups, seeds averaged), and how many seeds gained. Third: the IoU of every class, and where borders were counted the
share of its borders that was found. Last: precision and recall of borders, and what it cost. Points out of 100.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from structseg.report.compare import Comparison, Row, protocols, values
from structseg.report.table import columns
from structseg.report.verdict import points, signed, signed_ends, spread

_COSTS = ("seconds of training", "seconds a picture", "parameters")


def markdown(comparison: Comparison) -> str:
    """Tables of all rows with scores, then the protocol."""
    keys = columns(comparison)
    rows = [row for row in comparison.ordered if row.finished]
    names = comparison.b.classes
    lines = list(_table(["run", "seeds", *keys.values()], (_scores(row, keys) for row in rows)))
    others = [row for row in rows if comparison.a and row is not comparison.a]
    if comparison.a and others:
        a = comparison.a
        changes = ([f"{row.title} − {a.title}", *_differences(comparison, a, row, keys)] for row in others)
        lines += ["", *_table(["difference", *keys.values()], changes)]
    classes = {f"iou:{place}": name for place, name in enumerate(names)}
    lines += ["", *_table(["IoU", "seeds", *names], (_scores(row, classes) for row in rows))]
    if any((run.metrics.get("boundary") or {}).get("by_class") for row in rows for run in row.runs):
        lines += ["", *_table(["border recall", "seeds", *names], (_recalls(row, names) for row in rows))]
    lines += ["", *_table(["cost", "border precision", "border recall", *_COSTS], map(_costs, rows))]
    for line in protocols(rows):
        lines += ["", line]
    return "\n".join([*lines, ""])


def _table(titles: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    for cells in (list(titles), ["---"] * len(titles), *rows):
        yield "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _scores(row: Row, keys: Mapping[str, str]) -> list[str]:
    return [row.title, _seeds(row), *(_mean(_by_seed(row, key).values()) for key in keys)]


def _recalls(row: Row, names: Sequence[str]) -> list[str]:
    borders = [(run.metrics.get("boundary") or {}).get("by_class") or {} for run in row.runs]
    each = ([found[name]["recall"] for found in borders if name in found] for name in names)
    return [row.title, _seeds(row), *(_mean(share for share in shares if share is not None) for shares in each)]


def _costs(row: Row) -> list[str]:
    borders = [run.metrics.get("boundary") or {} for run in row.runs]
    shares = (_mean(b[key] for b in borders if b.get(key) is not None) for key in ("precision", "recall"))
    training = [run.meta["train_seconds"] for run in row.runs if "train_seconds" in run.meta]
    scored = [run.metrics["seconds"] for run in row.runs if run.metrics.get("seconds")]
    parameters = row.run.meta.get("parameters")
    return [
        row.title,
        *shares,
        f"{statistics.fmean(training):.0f}" if training else "–",
        f"{statistics.fmean(scored):.2g}" if scored else "–",
        f"{parameters / 1e6:.2f} M" if parameters else "–",
    ]


def _seeds(row: Row) -> str:
    return " ".join(str(run.config.get("seed", "?")) for run in row.runs)


def _by_seed(row: Row, key: str) -> dict[str, float]:
    """Value of each run of a row by its seed; what is unknown is left out."""
    found = {str(run.config.get("seed", run.path)): values(run).get(key, math.nan) for run in row.runs}
    return {seed: value for seed, value in found.items() if not math.isnan(value)}


def _differences(comparison: Comparison, a: Row, row: Row, keys: Mapping[str, str]) -> Iterator[str]:
    pair = comparison.pairs[a.index, row.index]
    for key in keys:
        first, second = _by_seed(a, key), _by_seed(row, key)
        changes = [second[seed] - first[seed] for seed in first if seed in second]
        if pair.state == "incomparable" or not changes:
            yield "–"
            continue
        limits = signed_ends(pair.get(key).low, pair.get(key).high)
        over = f" ({limits})" if limits else ""
        gained = f", {sum(change > 0 for change in changes)} of {len(changes)}" if len(changes) > 1 else ""
        yield f"{_mean(changes, say=signed)}{over}{gained}"


def _mean(given: Iterable[float], *, say: Callable[[float], str] = points) -> str:
    numbers = list(given)
    if not numbers:
        return "–"
    return spread(say(statistics.fmean(numbers)), statistics.stdev(numbers) if len(numbers) > 1 else math.nan)
