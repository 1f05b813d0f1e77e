"""What a loss is for: the truth costs least, errors more, noise most, and following its gradient leads there."""

from __future__ import annotations

import pytest
import torch
from test_losses_contract import IGNORE, NAMES, make
from torch import Tensor

CLASSES = 4
# What they say of the class itself is little: they need cross-entropy beside them.
NEED_A_PIXEL_LOSS = {
    "active_boundary",
    "adaptive_affinity_field",
    "affinity_field",
    "embedding_contrast",
    "random_projection",
}


def truth(size: int = 24) -> Tensor:
    """Two pictures of blocks of all classes, some pixels ignored."""
    target = torch.randint(0, CLASSES, (2, 4, 4)).repeat_interleave(size // 4, 1).repeat_interleave(size // 4, 2)
    target[:, ::7, ::5] = IGNORE
    return target


def sure(labels: Tensor) -> Tensor:
    """Logits (B,C,h,w) that are nearly sure of `labels`, and of something where these are ignored."""
    one_hot = torch.nn.functional.one_hot(labels.clamp(max=CLASSES - 1), CLASSES)
    return 8.0 * one_hot.movedim(-1, 1).float() + 0.1 * torch.randn(labels.shape[0], CLASSES, *labels.shape[1:])


@pytest.mark.parametrize("name", NAMES)
def test_truth_costs_less_than_errors_than_noise(name: str) -> None:
    target = truth()
    wrong = torch.randint(0, CLASSES, target.shape)
    few = wrong.where(torch.rand(target.shape) < 0.1, target)
    values = [float(make(name)(sure(labels), target).detach()) for labels in (target, few, wrong)]
    if name == "active_boundary":  # which asks how far borders are, not how many pixels are wrong
        assert values[0] < 0.5 * values[2]
        return
    assert values[0] < values[1] < values[2]
    assert values[0] < 0.3 * values[2]


@pytest.mark.parametrize("name", NAMES)
def test_its_gradient_leads_to_the_truth(name: str) -> None:
    target = truth(12)
    known = target != IGNORE
    logits = (torch.randn(2, CLASSES, 12, 12) + 0.3 * sure(target) / 8).requires_grad_()
    loss = make(name)
    start = float(loss(logits, target).detach())
    right = float((logits.argmax(1) == target)[known].float().mean())
    optimizer = torch.optim.Adam([logits], lr=0.2)
    for _ in range(40):
        optimizer.zero_grad()
        loss(logits, target).backward()
        optimizer.step()
    assert float(loss(logits, target).detach()) < 0.7 * start
    if name not in NEED_A_PIXEL_LOSS:
        assert float((logits.argmax(1) == target)[known].float().mean()) > right + 0.15
