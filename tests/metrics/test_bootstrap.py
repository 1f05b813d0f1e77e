"""Bootstrap: exact small cases, groups, pairing, blocks, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structseg.metrics import bootstrap, scores


def run_of(seed: int, pictures: int = 40, classes: int = 4) -> np.ndarray:
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 30, (pictures, classes, classes))
    return counts + np.eye(classes, dtype=int) * generator.integers(20, 400, (pictures, 1, 1))


def slow_interval(counts: np.ndarray, groups: list[str], draws: int, seed: int) -> tuple[float, float]:
    """Draw lists of groups one at a time, from the same multinomial weights, and sum their pictures in a loop."""
    names = list(dict.fromkeys(groups))
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        weights = generator.multinomial(len(names), [1 / len(names)] * len(names))
        total = np.zeros(counts.shape[1:])
        for picture, group in zip(counts, groups, strict=True):
            total += weights[names.index(group)] * picture
        values.append(float(scores.miou(total)))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def test_slow_reference() -> None:
    counts = run_of(0)
    groups = [f"drive {place // 7}" for place in range(len(counts))]
    expected = slow_interval(counts, groups, 200, 3)
    assert bootstrap.interval(scores.miou, counts, groups, draws=200, seed=3) == pytest.approx(expected, abs=1e-12)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, groups = run_of(1), [""] * 40
    whole = bootstrap.interval(scores.miou, counts, groups, draws=300)
    monkeypatch.setattr(bootstrap, "_BLOCK", 700)
    assert bootstrap.interval(scores.miou, counts, groups, draws=300) == pytest.approx(whole, abs=1e-12)


def test_empty_group_is_its_own() -> None:
    counts = run_of(2)
    alone = bootstrap.interval(scores.miou, counts, [""] * 40)
    assert alone == bootstrap.interval(scores.miou, counts, list(range(40)))
    together = bootstrap.interval(scores.miou, np.repeat(counts[:8], 5, 0), [str(i // 5) for i in range(40)])
    copies = bootstrap.interval(scores.miou, np.repeat(counts[:8], 5, 0), [""] * 40)
    assert together[1] - together[0] > copies[1] - copies[0]  # near-copies taken as independent look too sure


def test_single_group_says_nothing() -> None:
    counts = run_of(3)
    assert all(map(math.isnan, bootstrap.interval(scores.miou, counts, ["one"] * 40)))
    difference = bootstrap.paired(scores.miou, counts, counts + 1, ["one"] * 40)
    assert difference.value < 0
    assert math.isnan(difference.low)
    assert difference.clear == "unclear"
    by_class = bootstrap.interval_by_class(scores.iou, counts, ["one"] * 40)
    assert len(by_class) == 4
    assert all(math.isnan(low) for low, _ in by_class)


@given(st.integers(0, 2**16), st.integers(8, 30), st.booleans())
def test_interval_contains_the_value(seed: int, pictures: int, grouped: bool) -> None:
    counts = run_of(seed, pictures)
    groups = [str(place // 2) if grouped else "" for place in range(pictures)]
    low, high = bootstrap.interval(scores.pixel_accuracy, counts, groups, draws=400, seed=seed)
    assert low <= scores.pixel_accuracy(counts.sum(0)) <= high


@given(st.integers(0, 2**16))
def test_a_run_against_itself_is_exactly_nothing(seed: int) -> None:
    counts = run_of(seed)
    difference = bootstrap.paired(scores.miou, counts, counts.copy(), [""] * 40, draws=100)
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert difference.clear == "unclear"


@given(st.integers(0, 2**16))
def test_paired_is_antisymmetric(seed: int) -> None:
    a, b = run_of(seed), run_of(seed + 1)
    there = bootstrap.paired(scores.miou, a, b, [""] * 40, draws=200)
    back = bootstrap.paired(scores.miou, b, a, [""] * 40, draws=200)
    assert back.value == -there.value
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    assert {there.clear, back.clear} in ({"gain", "loss"}, {"unclear"})


def test_pairing_cancels_what_makes_a_picture_hard() -> None:
    a = run_of(5)
    b = a + 2 * np.eye(4, dtype=int)  # slightly better everywhere
    difference = bootstrap.paired(scores.pixel_accuracy, a, b, [""] * 40)
    low, high = bootstrap.interval(scores.pixel_accuracy, a, [""] * 40)
    assert difference.clear == "gain"
    assert difference.high - difference.low < (high - low) / 10


def test_by_class_equals_one_by_one() -> None:
    a, b = run_of(6), run_of(7)
    a[:, 2], a[:, :, 2], b[:, 2], b[:, :, 2] = 0, 0, 0, 0  # an absent class
    each = bootstrap.paired_by_class(scores.iou, a, b, [""] * 40, draws=200)
    one = bootstrap.paired(lambda counts: scores.iou(counts)[..., 1], a, b, [""] * 40, draws=200)
    assert each[1] == one
    assert math.isnan(each[2].value)
    assert each[2].clear == "unclear"
    borders = np.random.default_rng(0).integers(1, 9, (40, 4, 4))
    f = bootstrap.interval_by_class(lambda counts: scores.boundary_prf(counts)[2], borders, [""] * 40, draws=200)
    assert len(f) == 4


def test_coverage() -> None:
    """A 90 % interval holds the true accuracy in about 90 % of samples."""
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        hits = generator.binomial(200, generator.beta(8, 2, 60))  # true accuracy 0.8
        counts = np.stack([hits, 200 - hits, np.zeros(60, int), np.zeros(60, int)], -1).reshape(60, 2, 2)
        low, high = bootstrap.interval(scores.pixel_accuracy, counts, [""] * 60, draws=300, level=0.9)
        inside += low <= 0.8 <= high
    assert 0.83 <= inside / 200 <= 0.96


def test_wrong_lengths() -> None:
    with pytest.raises(ValueError, match="40 pictures but 39 groups"):
        bootstrap.interval(scores.miou, run_of(0), [""] * 39)
    with pytest.raises(ValueError, match="differ in shape"):
        bootstrap.paired(scores.miou, run_of(0), run_of(0)[:39], [""] * 40)
