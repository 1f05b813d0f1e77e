"""Calibration against slow loops: error, bins, Brier score, NLL; what is certain and right has none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structseg.errors import ConfigError, DataError
from structseg.metrics import Calibration, scores
from structseg.metrics.calibration import calibration_counts


def guesses(seed: int, pictures: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (pictures, 4, 6, 7))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = generator.integers(0, 4, (pictures, 6, 7)).astype(np.uint8)
    target[generator.random(target.shape) < 0.2] = 255
    return chances.astype(np.float32), target


def slow(chances: np.ndarray, target: np.ndarray, bins: int) -> dict[str, float]:
    rows: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    brier = nll = 0.0
    for n, y, x in np.argwhere(target < 4):
        column, truth = chances[n, :, y, x].astype(float), int(target[n, y, x])
        rows[min(int(column.max() * bins), bins - 1)].append((column.max(), int(column.argmax()) == truth))
        brier += sum((p - (c == truth)) ** 2 for c, p in enumerate(column))
        nll -= math.log(column[truth])
    total = sum(map(len, rows))
    gaps = [abs(sum(right for _, right in row) - sum(p for p, _ in row)) for row in rows]
    return {"ece": sum(gaps) / total, "brier": brier / total, "nll": nll / total}


@given(st.integers(0, 2**16), st.sampled_from([1, 10, 15]))
def test_slow_reference(seed: int, bins: int) -> None:
    chances, target = guesses(seed)
    score = Calibration(4, bins=bins)
    score.update(torch.from_numpy(chances), torch.from_numpy(target).long())
    found = score.scores()
    for name, value in slow(chances, target, bins).items():
        assert found[name] == pytest.approx(value, abs=1e-6)
    assert sum(found["pixels"]) == (target < 4).sum()
    apart = Calibration(4, bins=bins)
    for place in (1, 0):
        one = Calibration(4, bins=bins)
        one.update(chances[place], target[place])
        apart.merge(one)
    np.testing.assert_allclose(apart.counts, score.counts, rtol=0, atol=1e-9)
    assert apart.compute()["nll"] == pytest.approx(found["nll"], abs=1e-9)


def test_certain_and_right() -> None:
    target = np.array([[0, 1, 2, 255]], np.uint8)
    chances = np.stack([(target == c).astype(np.float32) for c in range(3)])
    score = Calibration(3)
    score.update(chances, target)
    found = score.scores()
    assert (found["ece"], found["brier"], found["nll"]) == (0, 0, 0)
    assert found["accuracy"] == [None] * 14 + [1.0]
    assert found["pixels"] == [0] * 14 + [3]
    wrong = calibration_counts(np.ones((1, 4), np.float32), np.roll(target, 1), target, num_classes=3)
    assert scores.calibration_error(wrong) == 1
    score.reset()
    assert score.scores()["ece"] is score.scores()["brier"] is None


def test_bad_input() -> None:
    chances, target = guesses(0)
    with pytest.raises(DataError, match=r"give \(C,H,W\) or \(B,C,H,W\)"):
        Calibration(5).update(chances, target)
    with pytest.raises(DataError, match="prediction has shape"):
        Calibration(4).update(chances, target[:, 1:])
    with pytest.raises(DataError, match="int64; give probabilities"):
        Calibration(4).update(chances.astype(int), target)
    with pytest.raises(DataError, match="give one number a pixel"):
        calibration_counts(chances[:, 0, 1:], target, target, num_classes=4)
    with pytest.raises(ConfigError, match="bins is 0"):
        Calibration(4, bins=0)
    with pytest.raises(ValueError, match="bins differ"):
        Calibration(4).merge(Calibration(4, bins=3))
