"""How do runs differ on the same pictures? Rows of scores, and the paired difference of every two rows.

Runs whose configurations differ by the seed alone form one row: its score is the mean over seeds, its range and
deviation theirs. Rows scored on the same pictures have paired intervals (`resample`), clear where they leave out 0.
Rows without counts by picture, or scored on other pictures, have differences without an interval; rows with another
protocol (but for the CRF) or label table have none (`Pair.state`). Measures: miou, boundary (F), matched (boundary F
one to one, where it stands beside the form of `boundary`), thin (mean IoU of the thin classes), accuracy, instance,
iou:c and boundary:c of class c, trimap:t within the t-th distance of a border. All numbers are fractions, 0..1; NaN is
unknown. A is the baseline, B what is compared with it.
"""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from structseg.errors import CheckpointError, ConfigError, did_you_mean
from structseg.metrics.bootstrap import Difference
from structseg.report.read import Counts, Run
from structseg.report.resample import Changes, Limits, resample
from structseg.report.settings import without_seed

SUMMARY = ("boundary", "thin", "miou", "accuracy")  # in the order of the page
PLAIN_LOSSES = ("cross_entropy", "ohem", "focal")  # these look at one pixel at a time: no structure
FEW_ROWS = 8  # more are sorted, and folded away on the page
NAN = float("nan")
_METHOD_NAMES = {
    "cross_entropy": ("Cross-entropy", "CE"),
    "affinity_field": ("Affinity field", "Affinity"),
    "adaptive_affinity_field": ("Adaptive (AAF)", "AAF"),
    "random_projection": ("Random projection", "Random"),
    "ohem": ("OHEM", "OHEM"),
    "rmi": ("RMI", "RMI"),
    "adversarial_projection": ("Adversarial", "Adversarial"),
}


@dataclass(frozen=True)
class Score:
    """A measure of a row: its value and its interval (one run) or the range and deviation of its seeds (several)."""

    value: float
    low: float = NAN
    high: float = NAN
    sd: float = NAN  # sample standard deviation


@dataclass(frozen=True)
class Row:
    """One configuration: a run, or runs that differ by the seed alone."""

    index: int
    title: str
    short: str
    runs: tuple[Run, ...]
    scores: dict[str, Score] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        """The run whose pictures, kernels and versions stand for the row."""
        return self.runs[0]

    @property
    def name(self) -> str:
        """Folder name; for several seeds what their names share."""
        if len(self.runs) == 1:
            return self.run.name
        names = {re.sub(r"[-_.]*(seed|s)?[-_.]*\d+$", "", run.name) for run in self.runs}
        return names.pop() if len(names) == 1 and "" not in names else self.run.name

    @property
    def finished(self) -> bool:
        return self.run.finished

    @property
    def classes(self) -> tuple[str, ...]:
        return self.run.labels.names if self.run.labels else ()

    def value(self, key: str) -> float:
        return self.scores[key].value if key in self.scores else NAN


@dataclass(frozen=True)
class Pair:
    """Row b against row a."""

    a: Row
    b: Row
    state: Literal["paired", "unpaired", "incomparable"]
    why: str = ""  # what keeps it from being paired, as a short clause
    differences: dict[str, Difference] = field(default_factory=dict)

    def get(self, key: str) -> Difference:
        """Difference of a measure; NaN where one of the rows lacks it."""
        return self.differences.get(key, Difference(NAN, NAN, NAN))


@dataclass(frozen=True)
class Comparison:
    """Everything the table and the page show."""

    rows: tuple[Row, ...]
    pairs: dict[tuple[int, int], Pair]  # (index of a, index of b): every ordered pair of finished rows
    a: Row | None  # None where only one row has scores
    b: Row

    @property
    def finished(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.finished)

    @property
    def ordered(self) -> tuple[Row, ...]:
        """As given; by mIoU where there are many."""
        if len(self.rows) <= FEW_ROWS:
            return self.rows
        return tuple(sorted(self.rows, key=lambda row: -row.value("miou") if row.finished else math.inf))

    @property
    def pair(self) -> Pair | None:
        return self.pairs[self.a.index, self.b.index] if self.a else None

    def mark(self, row: Row, key: str) -> Literal["best", "highest", ""]:
        """`best` where the row is clearly above every other one, `highest` where its number only is the largest."""
        others = [other for other in self.finished if other is not row and not math.isnan(other.value(key))]
        pairs = [self.pairs[other.index, row.index] for other in others]
        if not pairs or math.isnan(row.value(key)) or any(other.value(key) > row.value(key) for other in others):
            return ""
        if any(pair.state == "incomparable" for pair in pairs):
            return ""
        clear = all(pair.get(key).clear == "gain" for pair in pairs)
        return "best" if clear else "highest"


def compare_runs(runs: Sequence[Run], *, baseline: str | None = None) -> Comparison:
    """Rows and pairs of `runs`; `baseline` names A by folder or title.

    Raises `CheckpointError` where no run has scores, `ConfigError` for an unknown baseline.
    """
    if not any(run.finished for run in runs):
        first = f"{runs[0].path}: {runs[0].stopped}" if runs else "no run is given"
        raise CheckpointError(
            f"{first}; at least one run with metrics.json is needed: structseg evaluate RUN writes it"
        )
    rows = _rows(runs, [_configuration(run) if run.finished else place for place, run in enumerate(runs)])
    intervals, differences = _resampled([row for row in rows if row.finished])
    rows = [replace(row, scores=_scores(row, intervals.get(row.index, {}))) for row in rows]
    finished = [row for row in rows if row.finished]
    pairs = {(a.index, b.index): _pair(a, b, differences) for a, b in itertools.permutations(finished, 2)}
    a, b = _roles(finished, baseline)
    return Comparison(tuple(rows), pairs, a, b)


def planned_row(runs: Sequence[Run], name: str) -> Row:
    """The row that `name` means once `runs`, which were not begun, have scores. Raises `ConfigError` for none."""
    return _find(_rows(runs, map(_configuration, runs)), name, among="the runs of the grid")


# rows


def _rows(runs: Sequence[Run], configurations: Iterable[Hashable]) -> list[Row]:
    """Runs of the same configuration together, in the order given; one folder counts once."""
    groups: dict[Hashable, dict[Path, Run]] = {}
    for run, configuration in zip(runs, configurations, strict=True):
        groups.setdefault(configuration, {}).setdefault(run.path.resolve(), run)
    made = [tuple(group.values()) for group in groups.values()]
    return [Row(place, *names, group) for place, (group, names) in enumerate(zip(made, _names(made), strict=True))]


def _configuration(run: Run) -> Hashable:
    """What runs of one row share: everything but the seed, and how they were scored."""
    keys = tuple(sorted(without_seed(run.config).items()))
    return keys, run.metrics.get("protocol"), run.metrics.get("split"), run.labels and run.labels.names


def _names(groups: list[tuple[Run, ...]]) -> list[tuple[str, str]]:
    """Title and short name of each row: its methods where these tell the rows apart, else its folder."""
    by_method = [_method_names(group[0].methods) for group in groups]
    refined = {_crf(group[0].metrics) for group in groups if group[0].finished}
    if (
        len(refined) < 2
        and all(title for title, _ in by_method)
        and len({title for title, _ in by_method}) == len(by_method) > 1
    ):
        return by_method
    folders = [Row(0, "", "", group).name for group in groups]
    paths = [str(group[0].path) for group in groups]
    chosen = folders if len(set(folders)) == len(folders) else paths
    return [(name, name) for name in chosen]


def _method_names(methods: tuple[str, ...]) -> tuple[str, str]:
    words = [_METHOD_NAMES.get(method, (method.replace("_", " ").capitalize(),) * 2) for method in methods]
    if len(words) > 1 and methods[0] in PLAIN_LOSSES:
        return "+ " + " + ".join(title for title, _ in words[1:]), " + ".join(short for _, short in words[1:])
    return " + ".join(title for title, _ in words), " + ".join(short for _, short in words)


def _roles(finished: list[Row], baseline: str | None) -> tuple[Row | None, Row]:
    """A: the one asked for, else the first of plain losses alone, else the first. B: the last other one."""
    if baseline is None:
        plain = [row for row in finished if row.run.methods and set(row.run.methods) <= set(PLAIN_LOSSES)]
        first = (plain or finished)[0]
    else:
        first = _find(finished, baseline, among="the runs with scores")
    others = [row for row in finished if row is not first]
    return (first, others[-1]) if others else (None, first)


def _find(rows: list[Row], name: str, *, among: str) -> Row:
    known = {called: row for row in rows for called in _called(row)}
    if name.rstrip("/") not in known:
        raise ConfigError(f"baseline '{name}' is not among {among}{did_you_mean(name, known)}")
    return known[name.rstrip("/")]


def _called(row: Row) -> Iterator[str]:
    yield from (row.title, row.short, row.name)
    for run in row.runs:
        yield from (run.name, str(run.path))


# scores


def thin_classes(row: Row) -> tuple[int, ...]:
    labels = row.run.labels
    return tuple(labels.names.index(name) for name in labels.thin) if labels else ()


def _scores(row: Row, intervals: Limits) -> dict[str, Score]:
    each = [values(run) for run in row.runs if run.finished]
    found = {}
    for key in each[0] if each else ():
        seeds = [measured.get(key, NAN) for measured in each]
        limits = (min(seeds), max(seeds)) if len(seeds) > 1 else intervals.get(key, (NAN, NAN))
        if key == "miou" and len(seeds) == 1 and row.run.metrics.get("ci95"):
            low, high = row.run.metrics["ci95"]
            limits = (NAN if low is None else low, NAN if high is None else high)
        known = len(seeds) > 1 and not any(map(math.isnan, seeds))
        found[key] = Score(sum(seeds) / len(seeds), *limits, sd=statistics.stdev(seeds) if known else NAN)
    return found


def values(run: Run) -> dict[str, float]:
    """Measures of one finished run as metrics.json has them, by the keys above."""
    metrics, labels = run.metrics, run.labels
    assert labels is not None  # read() refuses scores without a label table
    found: dict[str, Any] = {"miou": metrics["miou"], "accuracy": metrics["pixel_accuracy"]}
    found["instance"] = metrics.get("instance_miou")
    found["seconds"] = metrics.get("seconds")
    found |= {f"iou:{place}": metrics["iou"][name] for place, name in enumerate(labels.names)}
    thin = [found[f"iou:{labels.names.index(name)}"] for name in labels.thin]
    thin = [value for value in thin if value is not None]
    found["thin"] = sum(thin) / len(thin) if thin else None
    found["matched"] = (metrics.get("boundary_matched") or {}).get("f")
    if boundary := metrics.get("boundary"):
        found["boundary"] = boundary.get("f")
        by_class = boundary.get("by_class") or {}
        found |= {f"boundary:{i}": (by_class.get(name) or {}).get("f") for i, name in enumerate(labels.names)}
    if trimap := metrics.get("trimap"):
        found |= {f"trimap:{place}": value for place, value in enumerate(trimap["miou"])}
    return {key: float(value) for key, value in found.items() if isinstance(value, (int, float))}


# pairs


def _picture_sets(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that can be paired: the same pictures with the same truth in the same groups, the same classes."""
    sets: dict[object, list[Row]] = {}
    for row in rows:
        keys = {(c.names, c.groups, row.classes, c.truth.tobytes()) for run in row.runs if (c := run.counts)}
        if len(keys) == 1 and all(run.counts for run in row.runs):
            sets.setdefault(keys.pop(), []).append(row)
    return list(sets.values())


def _resampled(rows: Sequence[Row]) -> tuple[dict[int, Limits], dict[tuple[int, int], Changes]]:
    """Intervals by row and differences by pair of rows, for all that have counts of the same pictures."""
    intervals: dict[int, Limits] = {}
    differences: dict[tuple[int, int], Changes] = {}
    for members in _picture_sets(rows):
        counts = [_by_seed(row) for row in members]
        thin = thin_classes(members[0])
        limits, changes = resample(counts, classes=len(members[0].classes), thin=thin)
        intervals |= {row.index: found for row, found in zip(members, limits, strict=True)}
        differences |= {(members[a].index, members[b].index): found for (a, b), found in changes.items()}
    return intervals, differences


def _by_seed(row: Row) -> dict[Hashable, Counts]:
    """Counts by seed, and by place among the runs of that seed."""
    found: dict[Hashable, Counts] = {}
    seen: Counter[int | None] = Counter()
    for run in row.runs:
        if run.counts:
            found[run.seed, seen[run.seed]] = run.counts
            seen[run.seed] += 1
    return found


def _pair(a: Row, b: Row, differences: dict[tuple[int, int], Changes]) -> Pair:
    if why := _incomparable(a, b):
        return Pair(a, b, "incomparable", why)
    shared = a.scores.keys() & b.scores.keys()
    plain = {key: Difference(b.value(key) - a.value(key), NAN, NAN) for key in shared}
    if (a.index, b.index) in differences:
        found = differences[a.index, b.index]
    elif (b.index, a.index) in differences:
        found = {key: Difference(-d.value, -d.high, -d.low) for key, d in differences[b.index, a.index].items()}
    else:
        counted = all(run.counts for row in (a, b) for run in row.runs)
        why = (
            "the runs were scored on different pictures or masks"
            if counted
            else "counts by picture (per_image.npz) are missing"
        )
        return Pair(a, b, "unpaired", why, plain)
    return Pair(a, b, "paired", differences=plain | {key: d for key, d in found.items() if not math.isnan(d.value)})


def _incomparable(a: Row, b: Row) -> str:
    """What makes the scores of two rows different things; empty where nothing does."""
    if a.classes != b.classes:
        return f"the label tables differ ({len(a.classes)} and {len(b.classes)} classes)"
    first, second = (_parts(row.run.metrics) for row in (a, b))
    if first == second:
        return ""
    alone = ([part for part in first if part not in second], [part for part in second if part not in first])
    left, right = (", ".join(parts) or "nothing" for parts in alone)
    return f"the protocol differs: {left} in A, {right} in B"


def _parts(metrics: dict[str, Any]) -> list[str]:
    """What a score is a score of: the parts of the protocol line, and how borders were matched. A CRF is no part: it
    refines the answer, as a method does, not how the answer is scored."""
    boundary = metrics.get("boundary") or {}
    parts = [part for part in _protocol(metrics) if part != _crf(metrics)]
    return parts + [f"border {key} {boundary[key]}" for key in ("form", "tolerance") if key in boundary]


def _protocol(metrics: dict[str, Any]) -> list[str]:
    return [part.strip() for part in re.split(r"·|;", str(metrics.get("protocol", "")))]


def _crf(metrics: dict[str, Any]) -> str:
    """What the protocol says of a dense CRF."""
    return next((part for part in _protocol(metrics) if part.startswith(("no CRF", "dense CRF"))), "")


def protocol_of(row: Row) -> str:
    return str(row.run.metrics.get("protocol", ""))


def protocols(rows: Iterable[Row], say: Callable[[Row], str] = protocol_of) -> list[str]:
    """What `say` says of all rows, or where that differs a line for each, with the rows that it holds for."""
    held: dict[str, list[str]] = {}
    for row in rows:
        held.setdefault(say(row), []).append(row.title.removeprefix("+ "))
    if len(held) == 1:
        return [line for line in held if line]
    return [f"{', '.join(titles)}: {line or 'not recorded'}" for line, titles in held.items()]
