"""Borders: the shared definition, both ways of matching and the trimap, each against slow float64 loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structseg.errors import ConfigError, DataError
from structseg.metrics import (
    BoundaryDistanceScore,
    BoundaryScore,
    boundary_counts,
    boundary_distance_counts,
    trimap_counts,
)
from structseg.metrics.borders import BorderCounts, border_points, squared_tolerance
from structseg.metrics.confusion import confusion

CLASSES = 4
Pixels = list[tuple[int, int]]


def blobs(seed: int, height: int = 24, width: int = 31) -> tuple[np.ndarray, np.ndarray]:
    """Coarse regions with ragged borders, void pixels, a class of the table that never occurs (3, at times)."""
    generator = np.random.default_rng(seed)
    rows, columns = np.arange(height) // 6, np.arange(width) // 7
    target = generator.integers(0, generator.integers(2, CLASSES + 1), (9, 9))[rows][:, columns].astype(np.uint8)
    prediction = np.roll(target, tuple(generator.integers(-2, 3, 2)), (0, 1))
    noise = generator.random((height, width)) < 0.05
    prediction[noise] = generator.integers(0, CLASSES, noise.sum())
    target[generator.random((height, width)) < 0.05] = 255
    target[: generator.integers(0, 6), : generator.integers(0, 12)] = 255
    return prediction, target


def slow_borders(classes: np.ndarray, target: np.ndarray) -> list[Pixels]:
    height, width = target.shape
    points: list[Pixels] = [[] for _ in range(CLASSES)]
    for y in range(height):
        for x in range(width):
            if target[y, x] >= CLASSES:
                continue
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= v < height and 0 <= u < width
                if inside and target[v, u] < CLASSES and classes[v, u] != classes[y, x]:
                    points[classes[y, x]].append((y, x))
                    break
    return points


def slow_pixels(tolerance: float, target: np.ndarray) -> float:
    return tolerance if tolerance >= 1 else tolerance * math.hypot(*target.shape)


def slow_distance(one: Pixels, other: Pixels, pixels: float) -> int:
    return sum(any(math.dist(p, q) <= pixels + 1e-9 for q in other) for p in one)


def slow_matching(one: Pixels, other: Pixels, pixels: float) -> int:
    """Augmenting paths, one point at a time."""
    partner: dict[int, int] = {}
    reach = [[j for j, q in enumerate(other) if math.dist(p, q) <= pixels + 1e-9] for p in one]

    def place(i: int, seen: set[int]) -> bool:
        for j in reach[i]:
            if j not in seen:
                seen.add(j)
                if j not in partner or place(partner[j], seen):
                    partner[j] = i
                    return True
        return False

    return sum(place(i, set()) for i in range(len(one)))


@given(st.integers(0, 2**16))
def test_border_definition(seed: int) -> None:
    prediction, target = blobs(seed)
    for classes in (prediction, target):
        found = border_points(classes, target < CLASSES, num_classes=CLASSES)
        assert [list(map(tuple, points.tolist())) for points in found] == slow_borders(classes, target)


def test_edges_and_void_are_no_borders() -> None:
    target = np.array([[0, 0, 255, 1, 1], [0, 0, 255, 1, 1]], np.uint8)
    prediction = np.array([[0, 0, 1, 1, 1], [0, 0, 0, 1, 1]], np.uint8)
    assert not boundary_counts(prediction, target, num_classes=2).any()
    target[1, 2] = 1  # now 0 and 1 touch at (1,1)-(1,2)
    assert boundary_counts(target, target, num_classes=2).tolist() == [[1] * 4, [1] * 4]


@given(st.integers(0, 2**16), st.sampled_from([0.0, 0.0075, 0.05, 0.1, 1.0, 1.4142, 1.5, 2.0, 2.5, 5.0, 100.0]))
def test_slow_references(seed: int, tolerance: float) -> None:
    prediction, target = blobs(seed)
    mine, truth = slow_borders(prediction, target), slow_borders(target, target)
    pixels = slow_pixels(tolerance, target)
    near = boundary_distance_counts(prediction, target, num_classes=CLASSES, tolerance=tolerance)
    pairs = boundary_counts(prediction, target, num_classes=CLASSES, tolerance=tolerance)
    for c in range(CLASSES):
        sizes = [len(mine[c]), len(truth[c])]
        near_expected = [slow_distance(mine[c], truth[c], pixels), slow_distance(truth[c], mine[c], pixels)]
        matched = slow_matching(mine[c], truth[c], pixels)
        assert near[c].tolist() == [sizes[0], near_expected[0], sizes[1], near_expected[1]]
        assert pairs[c].tolist() == [sizes[0], matched, sizes[1], matched]
    assert (pairs <= near).all()  # one to one is the stricter form


@pytest.mark.parametrize(
    ("tolerance", "shape", "squared"),
    [
        (0.05, (300, 400), 625),
        (0.0075, (1024, 2048), 294),
        (5.0, (9, 9), 25),
        (math.sqrt(2), (9, 9), 2),
        (0, (9, 9), 0),
    ],
)
def test_squared_tolerance(tolerance: float, shape: tuple[int, int], squared: int) -> None:
    assert squared_tolerance(tolerance, shape) == squared


@pytest.mark.parametrize("offset", [(3, 4), (20, 21), (119, 120), (65, 72)])
def test_exactly_at_the_tolerance(offset: tuple[int, int]) -> None:
    """Two lone points at a whole distance: matched at that tolerance, not a hair below."""
    distance = math.hypot(*offset)
    target, prediction = np.zeros((2, 140, 140), np.uint8)
    target[5, 5], prediction[5 + offset[0], 5 + offset[1]] = 1, 1
    for counts in (boundary_counts, boundary_distance_counts):
        assert counts(prediction, target, num_classes=2, tolerance=distance)[1].tolist() == [1, 1, 1, 1]
        assert counts(prediction, target, num_classes=2, tolerance=distance - 1e-3)[1].tolist() == [1, 0, 1, 0]


def test_one_to_one_does_not_forgive_ragged_borders() -> None:
    target = np.zeros((20, 40), np.uint8)
    target[10:] = 1
    prediction = target.copy()
    prediction[8:10, ::2] = 1  # teeth
    near, pairs = BoundaryDistanceScore(2, tolerance=2.0), BoundaryScore(2, tolerance=2.0)
    near.update(prediction, target)
    pairs.update(prediction, target)
    assert near.scores()["f"] == 1
    assert pairs.scores()["recall"] == 1
    assert pairs.scores()["precision"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("score", [BoundaryScore, BoundaryDistanceScore])
def test_score_class(score: Callable[..., BorderCounts]) -> None:
    maps = [blobs(seed) for seed in range(6)]
    predictions, targets = (np.stack(side) for side in zip(*maps, strict=True))
    whole, first, second = score(CLASSES), score(CLASSES), score(CLASSES)
    whole.update(torch.from_numpy(predictions), torch.from_numpy(targets).long())
    for place in (4, 0, 2):
        first.update(*maps[place])
    second.update(predictions[[5, 1, 3]].astype(np.int64), targets[[5, 1, 3]])
    first.merge(second)
    np.testing.assert_array_equal(first.counts, whole.counts)
    assert first.scores() == whole.compute()
    first.reset()
    assert first.scores()["f"] is None
    perfect = score(CLASSES)
    perfect.update(targets, targets)
    assert perfect.scores()["f"] == perfect.scores()["precision"] == perfect.scores()["recall"] == 1
    empty = score(CLASSES)
    empty.update(predictions[0], np.full_like(targets[0], 255))
    assert not empty.counts.any()
    for other in (score(CLASSES, tolerance=2.0), score(CLASSES, ignore_index=0)):
        with pytest.raises(ValueError, match="ignore_index, tolerance differ"):
            first.merge(other)


def test_bad_input() -> None:
    classes = np.zeros((4, 4), np.uint8)
    for tolerance in (-1, math.nan, math.inf):
        with pytest.raises(ConfigError, match=f"tolerance is {tolerance}"):
            BoundaryScore(3, tolerance=tolerance)
        for count in (boundary_counts, boundary_distance_counts):
            with pytest.raises(ConfigError, match=f"tolerance is {tolerance}"):
                count(classes, classes, num_classes=3, tolerance=tolerance)
    with pytest.raises(DataError, match="class 9 at a labelled pixel"):
        boundary_counts(classes + np.uint8(9), classes, num_classes=3)
    with pytest.raises(DataError, match="of one picture"):
        boundary_distance_counts(classes[None], classes[None], num_classes=3)
    with pytest.raises(DataError, match=r"give \(H,W\) or \(B,H,W\)"):
        BoundaryScore(3).update(classes[0], classes[0])
    for distances in ((), (2, 1), (1, 1), (0, 1)):
        with pytest.raises(ConfigError, match="ascending"):
            trimap_counts(classes, classes, num_classes=3, distances=distances)
    with pytest.raises(ConfigError, match="256 trimap distances are given; at most 255"):
        trimap_counts(classes, classes, num_classes=3, distances=tuple(range(1, 257)))


@given(st.integers(0, 2**16))
def test_trimap_slow_reference(seed: int) -> None:
    prediction, target = blobs(seed, 14, 17)
    border = [point for points in slow_borders(target, target) for point in points]
    distances = (1, 1.5, 2, 5, 13)
    expected = np.zeros((len(distances), CLASSES, CLASSES), np.int64)
    for (y, x), t in np.ndenumerate(target):
        if t < CLASSES and border:
            away = min(math.dist((y, x), point) for point in border)
            expected[[away < d - 1e-9 for d in distances], t, prediction[y, x]] += 1
    found = trimap_counts(prediction, target, num_classes=CLASSES, distances=distances)
    np.testing.assert_array_equal(found, expected)
    wide = trimap_counts(torch.from_numpy(prediction), torch.from_numpy(target), num_classes=CLASSES, distances=(99,))
    if border:
        np.testing.assert_array_equal(wide[0], confusion(prediction, target, num_classes=CLASSES))


def test_trimap_without_a_border() -> None:
    target = np.full((8, 8), 2, np.uint8)
    target[0] = 255
    assert trimap_counts(target % 3, target, num_classes=3).shape == (6, 3, 3)
    assert not trimap_counts(target % 3, target, num_classes=3).any()
