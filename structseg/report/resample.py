"""How sure are the scores of several rows, and the differences between them, on the same pictures?

All rows share the draws w of a bootstrap over groups of pictures. With counts n_r[i] of picture i in row r and a vector
of measures s, one pass gives every score's interval and every pair's:

    difference(a, b) = s(sum_i w_i n_b[i]) - s(sum_i w_i n_a[i])

What makes a picture hard is common to both and cancels. The measure of a row of several seeds is the mean over seeds; a
difference is over the seeds that both rows have, where they share any, so that the luck of a start cancels, too.
N pictures, R runs, C classes, T distances, X counts of a picture laid out flat, K measures.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.metrics import scores
from structseg.metrics.bootstrap import Difference, interval_by_class
from structseg.report.read import Counts

DRAWS = 2000
_COLUMNS = 8192  # differences held for all draws at a time: 128 MiB
Values = NDArray[np.float64]
Limits = dict[str, tuple[float, float]]
Changes = dict[str, Difference]


@dataclass(frozen=True)
class Measures:
    """The vector s: from counts of a set of pictures to miou, accuracy, boundary, matched, instance, thin, iou:c,
    boundary:c, trimap:t."""

    classes: int
    thin: tuple[int, ...]
    distances: int

    @property
    def keys(self) -> tuple[str, ...]:
        each = [f"{name}:{c}" for name in ("iou", "boundary") for c in range(self.classes)]
        bands = (f"trimap:{t}" for t in range(self.distances))
        return ("miou", "accuracy", "boundary", "matched", "instance", "thin", *each, *bands)

    def pack(self, counts: Counts) -> Values:
        """(N,X): confusion, border counts of both forms, instance sums and trimap counts of each picture side by side;
        what is absent counts 0."""
        total, square = len(counts.names), self.classes**2
        packed: list[NDArray[Any]] = [counts.confusion.reshape(total, square)]
        for borders in (counts.boundary, counts.matched):
            packed.append(np.zeros((total, 4 * self.classes)) if borders is None else borders.reshape(total, -1))
        instances = np.zeros((total, self.classes)) if counts.instances is None else counts.instances
        packed.append(scores.instance_sums(counts.confusion, instances).reshape(total, -1))
        if counts.trimap is not None and counts.trimap.shape[1] == self.distances:
            packed.append(counts.trimap.reshape(total, -1))
        else:
            packed.append(np.zeros((total, self.distances * square)))
        return np.concatenate(packed, axis=1, dtype=np.float64)

    def __call__(self, packed: NDArray[Any]) -> Values:
        """(...,X) -> (...,K), NaN where there is nothing to measure."""
        lead, square = packed.shape[:-1], self.classes**2
        ends = np.cumsum([square, 4 * self.classes, 4 * self.classes, 2 * self.classes])
        confusion, boundary, matched, instances, trimap = np.split(packed, ends, axis=-1)
        confusion = confusion.reshape(*lead, self.classes, self.classes)
        boundary, matched = (borders.reshape(*lead, self.classes, 4) for borders in (boundary, matched))
        instances = instances.reshape(*lead, self.classes, 2)
        trimap = trimap.reshape(*lead, self.distances, self.classes, self.classes)
        iou, f = scores.iou(confusion), scores.boundary_prf(boundary)[2]
        thin = _mean_present(iou[..., list(self.thin)])
        borders = (scores.boundary_f(boundary), scores.boundary_f(matched))
        whole = (scores.miou(confusion), scores.pixel_accuracy(confusion))
        single = (*whole, *borders, scores.instance_miou(instances), thin)
        return np.concatenate([np.stack(single, -1), iou, f, scores.miou(trimap)], axis=-1)


def resample(
    rows: Sequence[Mapping[Hashable, Counts]], *, classes: int, thin: tuple[int, ...]
) -> tuple[list[Limits], dict[tuple[int, int], Changes]]:
    """Intervals of each row and the differences (a, b), a < b, of every two.

    rows: the counts of each row by seed, all of the same pictures in the same order and groups.
    """
    every = [counts for row in rows for counts in row.values()]
    distances = max((counts.trimap.shape[1] for counts in every if counts.trimap is not None), default=0)
    measures = Measures(classes, thin, distances)
    packed = np.stack([measures.pack(counts) for counts in every], axis=1)  # (N,R,X)
    places = iter(range(len(every)))
    seeds = [{seed: next(places) for seed in row} for row in rows]  # of each row: seed -> place among R

    def by_row(totals: NDArray[Any]) -> Values:  # (...,R,X) -> (...,rows,K)
        found = measures(totals)
        return np.stack([found[..., list(row.values()), :].mean(-2) for row in seeds], axis=-2)

    groups, keys = every[0].groups, measures.keys
    limits = iter(interval_by_class(lambda totals: _flat(by_row(totals)), packed, groups, draws=DRAWS))
    intervals = [{key: next(limits) for key in keys} for _ in rows]
    pairs = list(itertools.combinations(range(len(rows)), 2))
    size = max(1, _COLUMNS // len(keys))
    differences: dict[tuple[int, int], Changes] = {}
    for some in (pairs[start : start + size] for start in range(0, len(pairs), size)):
        chosen = [_common(seeds[a], seeds[b]) for a, b in some]

        def change(totals: NDArray[Any], chosen: list[tuple[list[int], list[int]]] = chosen) -> Values:
            found = measures(totals)
            both = [found[..., second, :].mean(-2) - found[..., first, :].mean(-2) for first, second in chosen]
            return np.concatenate(both, axis=-1)

        values = iter(change(packed.sum(0, dtype=np.float64)).tolist())
        limits = iter(interval_by_class(change, packed, groups, draws=DRAWS))
        for pair in some:
            differences[pair] = {key: Difference(next(values), *next(limits)) for key in keys}
    return intervals, differences


def _common(a: dict[Hashable, int], b: dict[Hashable, int]) -> tuple[list[int], list[int]]:
    """Places of the seeds that both have; of all where they share none."""
    shared = [seed for seed in a if seed in b]
    return [a[seed] for seed in shared or a], [b[seed] for seed in shared or b]


def _flat(values: Values) -> Values:
    """(...,R,K) -> (...,R*K)"""
    return values.reshape(*values.shape[:-2], -1)


def _mean_present(values: Values) -> Values:
    """(...,K) -> (...) mean of what is not NaN; NaN where nothing is left."""
    present = ~np.isnan(values)
    count = present.sum(-1)
    nothing = np.full(count.shape, np.nan)
    mean: Values = np.divide(np.where(present, values, 0.0).sum(-1), count, out=nothing, where=count > 0)
    return mean
