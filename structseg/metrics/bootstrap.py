"""How sure is a score? Percentile bootstrap over groups of pictures, for one run or for two on the same pictures.

Frames of one drive are near-copies, so what is drawn with replacement is the group, not the picture. A draw of G
groups out of G is a row of multinomial weights w, and the counts of the drawn set are w @ (counts of each group):
2,000 draws are one matrix product, done in blocks so that memory stays bounded. The statistic is then taken from the
summed counts, as the score itself is. Two runs share their draws, so what makes a picture hard cancels:

    difference = statistic(sum of b) - statistic(sum of a)        clear where the interval leaves out 0

Draws in which a statistic is NaN (a rare class not drawn) are left out. With a single group nothing can be said: the
interval is (nan, nan). Shapes: N pictures, G groups, X counts of a picture; no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Statistic = Callable[[Values], Values]  # counts (...,C,C) or (...,C,4) -> (...), or (...,C) for the *_by_class forms
Group = str | int

_BLOCK = 1 << 21  # numbers held at a time: 16 MiB of float64


@dataclass(frozen=True)
class Difference:
    """Second run minus first, with its interval."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> Literal["gain", "loss", "unclear"]:
        """`gain` or `loss` where the interval leaves out 0."""
        if self.low > 0:
            return "gain"
        return "loss" if self.high < 0 else "unclear"


def interval(
    statistic: Statistic,
    counts: NDArray[Any],
    groups: Sequence[Group],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of `statistic(counts summed over pictures)`.

    counts (N,...) of each picture; groups (N,): pictures of one group are drawn together, "" is a group of its own.
    `statistic` takes any leading dimensions, e.g. `scores.miou`. Raises ValueError where N differs.
    """
    return interval_by_class(_one(statistic), counts, groups, draws=draws, seed=seed, level=level)[0]


def interval_by_class(
    statistic: Statistic,
    counts: NDArray[Any],
    groups: Sequence[Group],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> list[tuple[float, float]]:
    """`interval` for a statistic that gives (...,C), e.g. `scores.iou`: one (low, high) for each class."""
    (values,) = _draw(statistic, (counts,), groups, draws=draws, seed=seed)
    return [_percentiles(column, level) for column in values.T]


def paired(
    statistic: Statistic,
    a: NDArray[Any],
    b: NDArray[Any],
    groups: Sequence[Group],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """`b` minus `a`, both (N,...) counts of the same N pictures in the same order. Raises ValueError where not."""
    return paired_by_class(_one(statistic), a, b, groups, draws=draws, seed=seed, level=level)[0]


def paired_by_class(
    statistic: Statistic,
    a: NDArray[Any],
    b: NDArray[Any],
    groups: Sequence[Group],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Difference]:
    """`paired` for a statistic that gives (...,C), e.g. `scores.iou`: one difference for each class."""
    if a.shape != b.shape:
        raise ValueError(f"counts of two runs on the same pictures differ in shape: {a.shape} and {b.shape}")
    first, second = _draw(statistic, (a, b), groups, draws=draws, seed=seed)
    values = statistic(_total(b)) - statistic(_total(a))  # (C,)
    limits = [_percentiles(column, level) for column in (second - first).T]
    return [Difference(float(value), low, high) for value, (low, high) in zip(values, limits, strict=True)]


def _draw(
    statistic: Statistic, runs: tuple[NDArray[Any], ...], groups: Sequence[Group], *, draws: int, seed: int
) -> list[Values]:
    """The statistic (draws,C) of each run in the same draws; no draws at all (0,C) where there is but one group."""
    codes, size = _codes(groups)
    for counts in runs:
        if len(counts) != len(codes):
            raise ValueError(f"{len(counts)} pictures but {len(codes)} groups")
    if size < 2:
        return [statistic(_total(counts))[None][:0] for counts in runs]
    sums = [_sum_by_group(counts, codes, size) for counts in runs]  # (G,X) each
    generator = np.random.default_rng(seed)
    parts: list[list[Values]] = [[] for _ in runs]
    block = max(1, _BLOCK // max(size, sums[0].shape[1]))
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        weights = generator.multinomial(size, np.full(size, 1 / size), size=rows).astype(np.float64)  # (rows,G)
        for part, counts, by_group in zip(parts, runs, sums, strict=True):
            part.append(statistic((weights @ by_group).reshape(rows, *counts.shape[1:])))
    return [np.concatenate(part) for part in parts]


def _codes(groups: Sequence[Group]) -> tuple[NDArray[np.int64], int]:
    """Group of each picture as 0..G-1, and G."""
    known: dict[object, int] = {}
    keys = (("own", place) if group == "" else group for place, group in enumerate(groups))
    codes = [known.setdefault(key, len(known)) for key in keys]
    return np.array(codes, np.int64), len(known)


def _sum_by_group(counts: NDArray[Any], codes: NDArray[np.int64], size: int) -> Values:
    sums = np.zeros((size, int(np.prod(counts.shape[1:]))))
    np.add.at(sums, codes, counts.reshape(len(counts), -1))
    return sums


def _total(counts: NDArray[Any]) -> Values:
    total: Values = counts.sum(0, dtype=np.float64)
    return total


def _one(statistic: Statistic) -> Statistic:
    """A statistic that gives a number, as one that gives a row of one."""
    return lambda counts: np.asarray(statistic(counts))[..., None]


def _percentiles(values: Values, level: float) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
