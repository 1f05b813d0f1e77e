"""The affinity losses against loops in plain Python, written down from the definition: both rules, both weightings."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from structseg.losses import AdaptiveAffinityField, AffinityField

AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def clipped(value: float) -> float:
    return min(max(value, 1e-4), 1.0)


def kl(there: float, here: float) -> float:
    p, q, not_p, not_q = clipped(there), clipped(here), clipped(1 - there), clipped(1 - here)
    return p * math.log(p / q) + not_p * math.log(not_p / not_q)


def slow(
    logits: Tensor, target: Tensor, loss: AdaptiveAffinityField, edge_table: list[list[float]], inner: list[list[float]]
) -> float:
    """The whole loss, one pair and one channel at a time."""
    batch, classes, height, width = logits.shape
    probabilities = (logits.softmax(1) if classes > 1 else logits.sigmoid()).tolist()
    labels, total = target.tolist(), 0.0

    def valid(b: int, y: int, x: int) -> bool:
        return 0 <= y < height and 0 <= x < width and 0 <= labels[b][y][x] < max(classes, 2)

    def is_class(label: int, channel: int) -> bool:
        return label == (channel if classes > 1 else 1)

    for k, size in enumerate(loss.kernel_sizes):
        edges, interiors = [], []
        for b in range(batch):
            for y in range(height):
                for x in range(width):
                    for dy, dx in AROUND:
                        oy, ox = dy * (size // 2), dx * (size // 2)
                        counted = valid(b, y, x) and valid(b, y + oy, x + ox)
                        if loss.pair_rule == "mirrored":
                            counted = counted and valid(b, y - oy, x - ox)
                        if not counted:
                            continue
                        for c in range(classes):
                            here, there = labels[b][y][x], labels[b][y + oy][x + ox]
                            row = (here if loss.weight_by == "label" else c) if classes > 1 else 0
                            value = kl(probabilities[b][c][y + oy][x + ox], probabilities[b][c][y][x])
                            if is_class(here, c) != is_class(there, c):
                                edges.append(edge_table[row][k] * max(0.0, loss.margin - value))
                            else:
                                interiors.append(inner[row][k] * value)
        total += loss.edge_weight * sum(edges) / max(len(edges), 1)
        total += loss.interior_weight * sum(interiors) / max(len(interiors), 1)
    return total


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)),
    pair_rule=st.sampled_from(["mirrored", "simple"]),
    weight_by=st.sampled_from(["label", "channel"]),
    seed=st.integers(0, 99),
)
def test_loops(size: tuple[int, int, int, int], pair_rule: str, weight_by: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch, classes, height, width = size
    logits = 4 * torch.randn(size, generator=generator, dtype=torch.float64)
    target = torch.randint(0, max(classes, 2), (batch, height, width), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.1] = 255
    target[0, 0, 0] = classes + 1  # no class either
    loss = AdaptiveAffinityField(
        num_classes=classes,
        kernel_sizes=(3, 5),
        margin=2.0,
        edge_weight=0.9,
        interior_weight=0.7,
        weight_by=weight_by,
        pair_rule=pair_rule,
    ).double()
    with torch.no_grad():
        loss.edge_logits.normal_(generator=generator)
        loss.interior_logits.normal_(generator=generator)
    tables = loss.edge_logits.softmax(1).tolist(), loss.interior_logits.softmax(1).tolist()
    assert loss(logits, target).item() == pytest.approx(slow(logits, target, loss, *tables), rel=1e-12, abs=1e-14)

    single = AffinityField(kernel_size=5, margin=2.0, edge_weight=0.9, interior_weight=0.7, pair_rule=pair_rule)
    loss.kernel_sizes = (5,)
    ones = [[1.0]] * classes
    assert single(logits, target).item() == pytest.approx(slow(logits, target, loss, ones, ones), rel=1e-12, abs=1e-14)


def test_sizes_at_the_start_of_training() -> None:
    """Uniform predictions cost the margin at edges and nothing inside; those of a fresh network hardly more or less."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 21, 24, 24, generator=generator)
    target = torch.arange(24).div(6, rounding_mode="floor").expand(2, 24, 24)
    uniform = AffinityField().parts(torch.zeros(2, 21, 24, 24), target)
    assert [float(total / count) for _, total, count in uniform] == pytest.approx([3.0, 0.0], abs=1e-6)
    edge, interior = (float(total / count) for _, total, count in AffinityField().parts(noise, target))
    assert 2.8 < edge < 3.0
    assert 1e-4 < interior < 0.1


def test_effective_sizes() -> None:
    loss = AdaptiveAffinityField(num_classes=2)
    torch.testing.assert_close(loss.effective_kernel_size(), torch.tensor([5.0, 5.0]))
    with torch.no_grad():
        loss.edge_logits[1, 2] = 50
        loss.interior_logits[0, 0] = 50
    torch.testing.assert_close(loss.effective_kernel_size(), torch.tensor([5.0, 7.0]))
    torch.testing.assert_close(loss.effective_interior_size(), torch.tensor([3.0, 5.0]))
