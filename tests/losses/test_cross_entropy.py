"""CrossEntropy: class weights, rules, against torch and against sums by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from structseg.errors import ConfigError
from structseg.losses import CrossEntropy
from structseg.losses.cross_entropy import WEIGHT_RULES, weights_by_rule


def test_weighted_mean_is_that_of_torch() -> None:
    logits, target = torch.randn(2, 3, 5, 5), torch.randint(0, 3, (2, 5, 5))
    target[0, :2] = 255
    weights = (0.5, 0.0, 2.0)
    expected = F.cross_entropy(logits, target, weight=torch.tensor(weights), ignore_index=255)
    torch.testing.assert_close(CrossEntropy(class_weights=weights)(logits, target), expected)


def test_sigmoid_with_weights() -> None:
    logits, target = torch.randn(1, 1, 2, 2), torch.tensor([[[0, 1], [1, 255]]])
    loss = CrossEntropy(class_weights=(1.0, 3.0))
    x = logits.flatten()
    by_hand = (F.softplus(x[0]) + 3 * F.softplus(-x[1]) + 3 * F.softplus(-x[2])) / 7
    torch.testing.assert_close(loss(logits, target), by_hand)
    assert loss.counts(target, (2, 2)).tolist() == [7.0]


@pytest.mark.parametrize("rule", WEIGHT_RULES)
def test_rules(rule: str) -> None:
    frequencies = (70.0, 20.0, 0.0, 10.0)  # any scale
    weights = weights_by_rule(rule, frequencies)
    assert sum(f * w for f, w in zip(frequencies, weights, strict=True)) == pytest.approx(100)
    assert weights[2] == max(weights) == weights[3]
    assert weights[3] / weights[0] == pytest.approx({"inverse_sqrt": 7**0.5, "inverse": 7}[rule])
    assert CrossEntropy(class_weights=rule, class_frequencies=frequencies).weights is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": "inverse_sqr", "class_frequencies": (0.5, 0.5)}, "did you mean 'inverse_sqrt'"),
        ({"class_weights": "inverse"}, "needs class_frequencies"),
        ({"class_weights": "inverse", "class_frequencies": (0.0, 0.0)}, "class_frequencies"),
        ({"class_weights": "inverse", "class_frequencies": (-1.0, 2.0)}, "class_frequencies"),
        ({"class_frequencies": (0.5, 0.5)}, "class_weights"),
        ({"class_weights": (1.0, float("nan"))}, "class_weights"),
        ({"class_weights": 3}, "class_weights 3 are not numbers"),
        ({"ignore_index": "255"}, "ignore_index '255' is not a whole number"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CrossEntropy(**options)


def test_weights_of_another_number_of_classes() -> None:
    with pytest.raises(ConfigError, match="3 classes"):
        CrossEntropy(class_weights=(1.0, 2.0))(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
