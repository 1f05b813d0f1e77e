"""Every loss against a slow float64 loop of its formula (slow_losses.py), and what follows from the definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slow_losses as slow
import torch
from torch import Tensor, nn

from structseg import losses
from structseg.errors import ConfigError
from structseg.losses import CrossEntropy

CLASSES, ABSENT, IGNORE = 4, 2, 255


def problem(batch: int = 2, height: int = 9, width: int = 8) -> tuple[Tensor, Tensor]:
    """float64 logits and a target of blocks with single other pixels, some ignored, one class absent."""
    logits = 2 * torch.randn(batch, CLASSES, height, width, dtype=torch.float64)
    target = torch.randint(0, CLASSES - 1, (batch, 3, 2)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    target = target[:, :height, :width].contiguous()
    target[target == ABSENT] = CLASSES - 1
    noise = torch.rand(target.shape)
    target[noise > 0.92] = 0
    target[noise < 0.08] = IGNORE
    return logits, target


def projection(logits: Any, labels: Any) -> float:
    filters = losses.RandomProjection(num_classes=CLASSES, kernel_size=3, seed=5).filters.double().numpy()
    return slow.random_projection(logits, labels, filters)


def contrast(features: Any, labels: Any) -> float:
    loss = losses.EmbeddingContrast(pairs=200, margin=1.2)
    here, there = loss.places(labels.shape[1:], torch.device("cpu"))
    edge, interior = slow.embedding_contrast(features, labels, list(zip(here, there, strict=True)), 1.2)
    return 0.5 * edge + 2 * interior


CASES: dict[str, tuple[nn.Module, Callable[[Any, Any], float]]] = {
    "focal": (losses.Focal(), lambda x, y: slow.focal(x, y, 2.0)),
    "focal below 1": (losses.Focal(gamma=0.5), lambda x, y: slow.focal(x, y, 0.5)),
    "ohem by threshold": (losses.OHEM(threshold=0.4), lambda x, y: slow.ohem(x, y, 0.4, 0)),
    "ohem by number": (losses.OHEM(threshold=0.01, min_kept=50), lambda x, y: slow.ohem(x, y, 0.01, 50)),
    "dice": (losses.Dice(), lambda x, y: slow.tversky(x, y, 0.5, 0.5)),
    "tversky": (losses.Tversky(alpha=0.2, beta=0.9), lambda x, y: slow.tversky(x, y, 0.2, 0.9)),
    "lovasz": (losses.Lovasz(), slow.lovasz),
    "rmi": (losses.RMI(), lambda x, y: slow.rmi(x, y, 3, 5e-4)),
    "rmi of 5": (losses.RMI(kernel_size=5, alpha=0.01), lambda x, y: slow.rmi(x, y, 5, 0.01)),
    "boundary dou": (losses.BoundaryDoU(), slow.boundary_dou),
    "cl_dice": (losses.ClDice(), lambda x, y: slow.cl_dice(x, y, 3)),
    "cl_dice without erosion": (losses.ClDice(iterations=0), lambda x, y: slow.cl_dice(x, y, 0)),
    "active boundary": (
        losses.ActiveBoundary(share=0.1, max_distance=2.0),
        lambda x, y: slow.active_boundary(x, y, 0.1, 2.0, 0.2),
    ),
    "random projection": (losses.RandomProjection(num_classes=CLASSES, kernel_size=3, seed=5), projection),
    "embedding contrast": (
        losses.EmbeddingContrast(pairs=200, margin=1.2, edge_weight=0.5, interior_weight=2.0),
        contrast,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_loop_gives_the_same(case: str) -> None:
    loss, loop = CASES[case]
    for shape in ((2, 9, 8), (3, 7, 7)):
        logits, target = problem(*shape)
        labels = target.where(target != IGNORE, -1).numpy()
        assert float(loss.double()(logits, target)) == pytest.approx(loop(logits.numpy(), labels), rel=1e-6)


def test_a_large_region_has_a_wide_bound() -> None:
    """Every case of the factor of boundary DoU: below 0, between, above 0.8."""
    target = torch.ones(1, 40, 40, dtype=torch.long)
    target[:, 20:24, 3:30] = 0  # 4 wide: length / size is 0.54
    target[:, 2:11, 3:30] = 2  # 9 wide
    logits = torch.randn(1, 3, 40, 40, dtype=torch.float64)
    expected = slow.boundary_dou(logits.numpy(), target.numpy())
    assert float(losses.BoundaryDoU()(logits, target)) == pytest.approx(expected)
    target[:] = 0
    assert float(losses.BoundaryDoU()(logits, target)) == pytest.approx(
        slow.boundary_dou(logits.numpy(), target.numpy())
    )


def hard(labels: Tensor, classes: int = CLASSES, strength: float = 60.0) -> Tensor:
    """Logits that are sure of `labels`."""
    return strength * nn.functional.one_hot(labels, classes).movedim(-1, 1).double()


def test_on_sure_predictions_they_are_the_scores() -> None:
    predicted, target = torch.randint(0, 3, (2, 20, 20)), torch.randint(0, 3, (2, 20, 20))
    both = torch.tensor([((predicted == c) & (target == c)).sum() for c in range(3)]).double()
    sizes = torch.tensor([(predicted == c).sum() + (target == c).sum() for c in range(3)]).double()
    logits = hard(predicted)
    torch.testing.assert_close(losses.Dice()(logits, target), 1 - (2 * both / sizes).mean())
    torch.testing.assert_close(losses.Lovasz()(logits, target), 1 - (both / (sizes - both)).mean())


def test_what_falls_together() -> None:
    logits, target = problem()
    plain = CrossEntropy()(logits, target)
    torch.testing.assert_close(losses.Focal(gamma=0.0)(logits, target), plain)
    torch.testing.assert_close(losses.OHEM(threshold=1.0)(logits, target), plain)
    torch.testing.assert_close(losses.OHEM(min_kept=1.0)(logits, target), plain)
    torch.testing.assert_close(losses.OHEM(min_kept=10**6)(logits, target), plain)
    torch.testing.assert_close(losses.Tversky(alpha=0.5, beta=0.5)(logits, target), losses.Dice()(logits, target))


def test_ohem_counts_hard_pixels_alone() -> None:
    logits, target = problem()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(losses.OHEM(threshold=0.5, min_kept=0.0)(logits, target), logits)
    right = logits.softmax(1).gather(1, target.clamp(max=CLASSES - 1)[:, None])[:, 0]
    assert torch.equal(gradient.abs().sum(1) > 0, (right <= 0.5) & (target != IGNORE))


def test_one_gap_breaks_a_centre_line_that_dice_hardly_sees() -> None:
    target = torch.zeros(1, 40, 40, dtype=torch.long)
    target[:, :, 18:21] = 1  # a pole, 3 wide
    target[:, 30:, :16] = 1  # and a large piece
    gap = target.clone()
    gap[:, 8:12, 18:21] = 0
    thick = target.clone()
    thick[:, 28:30, :16] = 1  # as much error at the large piece, which stays whole
    dice, line = losses.Dice(), losses.ClDice(classes=(1,))
    assert dice(hard(gap), target) < dice(hard(thick), target)
    assert line(hard(gap), target) > 1.5 * line(hard(thick), target)


def test_lines_of_chosen_classes() -> None:
    logits, target = problem()
    apart = [losses.ClDice(classes=(c,))(logits, target) for c in (0, 1)]
    torch.testing.assert_close(losses.ClDice(classes=(0, 1))(logits, target), sum(apart) / 2)
    assert losses.ClDice(classes=(ABSENT,))(logits, target) == 0


def test_a_skeleton_is_the_middle_of_a_bar() -> None:
    target = torch.zeros(1, 11, 31, dtype=torch.long)
    target[:, 3:8, :] = 1  # 5 wide; its middle is row 5
    middle = target.clone()
    middle[:, 3:5], middle[:, 6:8] = 0, 0
    assert losses.ClDice(classes=(1,))(hard(middle), target) < 0.05
    assert losses.Dice()(hard(middle), target) > 0.3


def test_filters_are_those_of_the_seed() -> None:
    one, same, other = (losses.RandomProjection(num_classes=3, seed=seed).filters for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.shape == (3, 3, 5, 5)
    wide = losses.RandomProjection(num_classes=100).filters
    assert float(wide.var() * 100 * 25) == pytest.approx(1, abs=0.02)


def test_pairs_lie_in_the_square() -> None:
    loss = losses.EmbeddingContrast(kernel_size=5, pairs=3000)
    here, there = (places.numpy() for places in loss.places((30, 40), torch.device("cpu")))
    dy, dx = there // 40 - here // 40, there % 40 - here % 40
    found = {(int(y), int(x)) for y, x in zip(dy, dx, strict=True)}
    assert found == {(y, x) for y in range(-2, 3) for x in range(-2, 3)} - {(0, 0)}
    assert 0.8 * 3000 < len(here) < 3000  # those that leave the map are left out
    again, _ = losses.EmbeddingContrast(kernel_size=5, pairs=3000).places((30, 40), torch.device("cpu"))
    other, _ = losses.EmbeddingContrast(kernel_size=5, pairs=3000, seed=1).places((30, 40), torch.device("cpu"))
    assert np.array_equal(here, again)
    assert not np.array_equal(here[:100], other[:100])


def test_the_scale_of_features_does_not_matter() -> None:
    features, target = problem()
    loss = losses.EmbeddingContrast()
    torch.testing.assert_close(loss(1000 * features, target), loss(features, target), rtol=1e-4, atol=0)


def test_dead_features_have_small_gradients() -> None:
    features = torch.zeros(1, 8, 6, 6, requires_grad=True)
    target = torch.randint(0, 2, (1, 6, 6))
    (gradient,) = torch.autograd.grad(losses.EmbeddingContrast()(features, target), features)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1e3


def test_detached_neighbours_change_the_gradient_alone() -> None:
    logits, target = problem()
    logits.requires_grad_()
    values, gradients = [], []
    for detach in (True, False):
        values.append(losses.ActiveBoundary(share=0.1, detach=detach)(logits, target))
        gradients.append(torch.autograd.grad(values[-1], logits)[0])
    assert torch.equal(*values)
    assert 0 < (gradients[0].abs().sum(1) > 0).sum() < (gradients[1].abs().sum(1) > 0).sum()


def test_a_straight_border_pulls_straight() -> None:
    """Three neighbours are equally near to it; taking the one above would tell up from down."""
    target = (torch.arange(9) >= 5).long().expand(1, 8, 9)
    logits = torch.randn(1, 2, 8, 9, dtype=torch.float64)
    loss = losses.ActiveBoundary(share=1.0)
    torch.testing.assert_close(loss(logits.flip(2), target), loss(logits, target))


def test_a_border_may_lie_where_there_are_no_labels() -> None:
    """Two classes with a strip without labels between them, predicted beside it and within it."""
    sides = torch.arange(40).expand(1, 30, 40)
    target = (sides >= 20).long()
    target[:, :, 18:23] = IGNORE
    beside, within = (losses.ActiveBoundary()(hard((sides >= at).long(), 2, 3.0), target) for at in (28, 20))
    assert beside > 0
    assert within == 0


def test_hardly_any_change_is_no_border() -> None:
    target = (torch.arange(12) >= 6).long().expand(1, 12, 12)
    logits = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    assert losses.ActiveBoundary()(logits, target) > 0
    assert losses.ActiveBoundary()(1e-4 * logits, target) == 0


def test_rmi_of_good_predictions_keeps_its_digits() -> None:
    """What they leave of the truth is a small difference of large sums."""
    target = torch.randint(0, CLASSES, (1, 15, 20)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    logits = hard(target, strength=8.0) + 0.3 * torch.randn(1, CLASSES, 120, 160)
    exact = losses.RMI()(logits, target)
    torch.testing.assert_close(losses.RMI()(logits.float(), target), exact.float(), rtol=1e-4, atol=0)
    assert exact < 0.2 * losses.RMI()(logits[:, :, torch.randperm(120)], target)


def test_the_alpha_of_rmi_is_that_of_sums() -> None:
    """As in the authors' code: every window twice goes with twice the alpha."""
    logits, target = problem(1)
    target[:, [0, -1]] = IGNORE  # so that no window counts that lies across two copies
    twice = losses.RMI(alpha=2e-3)(torch.cat((logits, logits), 2), torch.cat((target, target), 1))
    torch.testing.assert_close(twice, losses.RMI(alpha=1e-3)(logits, target))


def test_a_border_nearby_costs_less() -> None:
    """A straight border, predicted 1, 3 and 6 columns beside it."""
    target = (torch.arange(40) >= 20).long().expand(1, 30, 40)
    loss = losses.ActiveBoundary()
    values = [
        loss(2 * hard((torch.arange(40) >= 20 + by).long().expand(1, 30, 40), 2, 3.0), target) for by in (1, 3, 6)
    ]
    assert values[0] < values[1] < values[2]


WRONG: dict[str, tuple[Callable[..., Any], dict[str, Any], str]] = {
    "even kernel": (losses.RandomProjection, {"num_classes": 3, "kernel_size": 4}, "kernel_size 4 is not an odd"),
    "kernel of 1": (losses.RMI, {"kernel_size": 1}, "kernel_size 1 is not an odd"),
    "kernel of text": (losses.RMI, {"kernel_size": "3"}, "kernel_size '3' is not a whole number"),
    "alpha 0": (losses.RMI, {"alpha": 0.0}, r"alpha 0.0 is not a number above 0"),
    "negative seed": (losses.RandomProjection, {"num_classes": 3, "seed": -1}, "seed -1 is less than 0"),
    "no class": (losses.RandomProjection, {"num_classes": 0}, "num_classes 0 is less than 1"),
    "wide margin": (losses.EmbeddingContrast, {"margin": 2.5}, "margin 2.5 is not a number above 0, up to 2"),
    "negative margin": (losses.EmbeddingContrast, {"margin": -1.0}, "margin -1.0"),
    "negative weight": (losses.EmbeddingContrast, {"edge_weight": -1.0}, "edge_weight -1.0"),
    "no pairs": (losses.EmbeddingContrast, {"pairs": 0}, "pairs 0 is less than 1"),
    "threshold": (losses.OHEM, {"threshold": 1.5}, "threshold 1.5 is not a number above 0, up to 1"),
    "min_kept": (losses.OHEM, {"min_kept": float("nan")}, "min_kept nan is not a number from 0 on"),
    "gamma": (losses.Focal, {"gamma": -0.1}, "gamma -0.1 is not a number from 0 on"),
    "beta": (losses.Tversky, {"beta": 0}, "beta 0 is not a number above 0"),
    "share": (losses.ActiveBoundary, {"share": 0.0}, "share 0.0"),
    "smoothing": (losses.ActiveBoundary, {"smoothing": True}, "smoothing True"),
    "iterations": (losses.ClDice, {"iterations": -1}, "iterations -1"),
    "one class": (losses.ClDice, {"classes": 3}, "classes 3 are no class ids"),
    "seed": (losses.RandomProjection, {"num_classes": 3, "seed": 2**70}, "seed 1180591620717411303424 is not a number"),
    "class id": (losses.ClDice, {"classes": (-1,)}, "classes: id -1"),
    "ignore_index": (losses.Dice, {"ignore_index": 2.0}, "ignore_index 2.0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_options_that_do_not_fit(case: str) -> None:
    entry, options, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        entry(**options)


def test_options_that_do_not_fit_the_logits() -> None:
    logits, target = problem()
    with pytest.raises(ConfigError, match="4 channels, but num_classes is 3"):
        losses.RandomProjection(num_classes=3)(logits, target)
    with pytest.raises(ConfigError, match="id 4 is no class"):
        losses.ClDice(classes=(1, 4))(logits, target)
