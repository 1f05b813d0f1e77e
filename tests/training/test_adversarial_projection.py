"""The adversarial projection: what each network is told, that void says nothing, that micro-batches add up."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from structseg import models
from structseg.config import OptimConfig
from structseg.errors import ConfigError
from structseg.losses import CrossEntropy
from structseg.models.nets.discriminator import Discriminator
from structseg.training.loop import run
from structseg.training.regimes.adversarial_projection import AdversarialProjection
from structseg.training.regimes.supervised import Term
from structseg.training.state import State
from structseg.types import Batch, Output


class Plain(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3, stride=2, padding=1)

    def forward(self, image: torch.Tensor) -> Output:
        return Output(self.conv(image / 255))


def batch(count: int = 4, first: int = 0, *, labels: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(5)
    image = torch.randint(0, 256, (4, 3, 20, 26), generator=generator).float()
    target = torch.randint(0, labels, (4, 20, 26), generator=generator)
    target[target == 4] = 255
    return Batch(tuple("abcd"[first : first + count]), image[first : first + count], target[first : first + count])


def regime(classes: int = 4, weight: float = 0.01) -> AdversarialProjection:
    torch.manual_seed(0)
    terms = [Term("cross_entropy", CrossEntropy())]
    model = Plain(classes)
    return AdversarialProjection(model=model, terms=terms, num_classes=classes, weight=weight, width=4, depth=2)


def test_the_two_objectives() -> None:
    """Against the formulas written out: the model's with the discriminator held, its own with the maps held."""
    made = regime(weight=0.3)
    labeled = batch()
    step = made.step({"labeled": labeled}, 0.0)
    logits = made.model(labeled.image).logits
    sampled = made.target_of(labeled)[:, ::2, ::2]  # 20 -> 10, 26 -> 13
    valid = (sampled != 255)[:, None]
    truth = functional.one_hot(sampled.clamp(max=3), 4).movedim(-1, 1) * valid
    judged, true = made.discriminator(logits.softmax(1) * valid), made.discriminator(truth.float())
    fools = -torch.log(judged.sigmoid()).mean()
    torch.testing.assert_close(step.losses["model"], CrossEntropy()(logits, made.target_of(labeled)) + 0.3 * fools)
    own = -torch.log(true.sigmoid()).mean() - torch.log(1 - judged.sigmoid()).mean()
    torch.testing.assert_close(step.losses["discriminator"], own)
    assert math.isclose(step.logs["adversarial"], float(fools.detach()), rel_tol=1e-5)


def test_no_gradient_of_the_discriminator_reaches_the_model() -> None:
    made = regime()
    step = made.step({"labeled": batch()}, 0.0)
    gradients = torch.autograd.grad(step.losses["discriminator"], list(made.model.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_void_says_nothing() -> None:
    """Pixels without label change neither the maps nor what the model learns."""
    made, labeled = regime(), batch()
    target = made.target_of(labeled)
    target[:, :8] = 255
    logits = made.model(labeled.image).logits.detach()
    other = logits.clone()
    other[:, :, :4] = 5.0
    for one, two in zip(made._maps(logits, target), made._maps(other, target), strict=True):
        torch.testing.assert_close(one, two)
        assert not one[:, :, :4].any()


def test_micro_batches_add_up_to_the_batch() -> None:
    results = []
    for pieces in (1, 2):
        made = regime().double()
        groups = [{"labeled": batch(4 // pieces, piece * 4 // pieces)} for piece in range(pieces)]
        for group in groups:
            group["labeled"].image = group["labeled"].image.double()
        totals = made.totals(groups)
        steps = [made.step(group, 0.5, totals) for group in groups]
        results.append([sum(step.losses[name] for step in steps) for name in ("model", "discriminator")])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_one_class_is_a_sigmoid() -> None:
    made, labeled = regime(classes=1), batch(labels=2)
    logits = made.model(labeled.image).logits
    target = made.target_of(labeled)
    maps, truth = made._maps(logits, target)
    torch.testing.assert_close(maps, logits.sigmoid())
    assert truth.shape == maps.shape
    assert truth.sum() == (target[:, ::2, ::2] == 1).sum()


def test_both_networks_move() -> None:
    made = regime()
    start = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    state = State(made.trained(), OptimConfig(lr=0.01, discriminator_lr=0.01, steps=3, batch=4))
    run(state, made, {"labeled": iter([batch()] * 3)}, device=torch.device("cpu"))
    assert all((parameter != start[name]).any() for name, parameter in made.named_parameters())
    assert set(state.optimizers) == {"model", "discriminator"}


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (7, 7), (31, 33), (60, 60), (64, 80)])
def test_the_discriminator_judges_any_size(size: tuple[int, int]) -> None:
    judged = Discriminator(num_classes=3, width=2)(torch.rand(2, 3, *size))
    assert judged.shape == (2, 1, *(max(1, side // 32) for side in size))
    assert judged.isfinite().all()


def test_the_discriminator_refuses_another_class_count() -> None:
    with pytest.raises(ValueError, match="judges 3 classes, but the map has 5"):
        Discriminator(num_classes=3)(torch.rand(1, 5, 32, 32))


def test_the_discriminator_is_a_net_of_its_name() -> None:
    assert isinstance(models.create("discriminator", num_classes=3, depth=2), Discriminator)
    with pytest.raises(ConfigError, match="discriminator has no option 'preset'"):
        models.create("discriminator", num_classes=3, preset="released")
