"""The supervised regime: micro-batches add up to the whole batch, terms are weighted and decay, gradients go home."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from structseg.config import OptimConfig
from structseg.errors import ConfigError, UserError
from structseg.losses import (
    RMI,
    AdaptiveAffinityField,
    AffinityField,
    CrossEntropy,
    EmbeddingContrast,
    Focal,
    Lovasz,
    RandomProjection,
)
from structseg.losses.sampling import sample_for
from structseg.training.loop import run
from structseg.training.regimes.supervised import Supervised, Term
from structseg.training.state import State
from structseg.types import Batch, Output, Step


class Plain(nn.Module):
    """Stride 2, no batch norm, so that micro-batches see what the batch sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, image: torch.Tensor) -> Output:
        return Output(self.conv(image / 255))


def batch(count: int, first: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(5)
    image = torch.randint(0, 256, (8, 3, 12, 14), generator=generator).float()
    target = torch.randint(0, 5, (8, 12, 14), generator=generator)
    target[target == 4] = 255
    target[:2] = 0  # unequal counts of edges between micro-batches
    return Batch(tuple("abcdefgh"[first : first + count]), image[first : first + count], target[first : first + count])


def terms(at: str) -> list[Term]:
    return [
        Term("cross_entropy", CrossEntropy(class_weights=(1.0, 2.0, 0.5, 1.0)), at=at),
        Term("affinity_field", AffinityField(), weight=0.5, decay=0.1),
        Term("adaptive_affinity_field", AdaptiveAffinityField(num_classes=4, kernel_sizes=(3, 5)), decay=0.1),
    ]


@pytest.mark.parametrize("at", ["head", "target"])
def test_micro_batches_add_up_to_the_batch(at: str) -> None:
    results = []
    for pieces in (1, 2, 4):
        torch.manual_seed(0)
        regime = Supervised(model=Plain(), terms=terms(at)).double()
        size = 8 // pieces
        groups = [{"labeled": batch(size, piece * size)} for piece in range(pieces)]
        for group in groups:
            group["labeled"].image = group["labeled"].image.double()
        totals = regime.totals(groups)
        steps = [regime.step(group, 0.5, totals) for group in groups]
        loss = sum(step.losses["model"] for step in steps)
        loss.backward()
        results.append((loss, [p.grad.clone() for p in regime.parameters()]))
    for loss, gradients in results[1:]:
        torch.testing.assert_close(loss, results[0][0], rtol=1e-6, atol=0)
        for one, other in zip(gradients, results[0][1], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def test_the_sum_is_weighted_and_decays() -> None:
    regime = Supervised(model=Plain(), terms=terms("head"))
    step = regime.step({"labeled": batch(8)}, 0.25)
    logs = step.logs
    factor = 0.1**0.25
    expected = logs["cross_entropy"] + 0.5 * factor * logs["affinity_field"] + factor * logs["adaptive_affinity_field"]
    assert math.isclose(logs["loss"], expected, rel_tol=1e-6)


def test_kernel_weights_climb_through_the_loop() -> None:
    torch.manual_seed(0)
    regime = Supervised(model=Plain(), terms=terms("head"))
    state = State(regime.trained(), OptimConfig(lr=1e-9, loss_lr=1.0, steps=5, batch=8, schedule="constant"))
    field = regime.terms[2].loss
    torch.manual_seed(0)
    reference = Plain()
    with torch.no_grad():
        before = float(field(reference(batch(8).image).logits, batch(8).target))
    run(state, regime, {"labeled": iter([batch(8)] * 5)}, device=torch.device("cpu"))
    with torch.no_grad():
        after = float(field(reference(batch(8).image).logits, batch(8).target))
    assert after > before
    assert field.edge_logits.abs().max() > 0


def test_each_loss_reaches_only_its_own_optimizer() -> None:
    """Two optimizers over one graph, opposite losses: neither sees the other's gradient or update."""
    torch.manual_seed(0)
    model, critic = nn.Linear(3, 2), nn.Linear(2, 1)
    start = {name: module.weight.detach().clone() for name, module in (("model", model), ("critic", critic))}
    config = OptimConfig(lr=0.1, momentum=0.0, weight_decay=0.0, steps=4, schedule="constant")
    state = State({"model": model, "critic": critic}, config)
    x = torch.randn(5, 3)
    hidden = model(x)
    state.update([Step({"model": -critic(hidden).mean(), "critic": critic(hidden.detach()).mean()}, {})])

    own_model, own_critic = start["model"].clone().requires_grad_(), start["critic"].clone().requires_grad_()
    hidden = x @ own_model.T + model.bias.detach() + 0 * own_model.sum()
    (gradient,) = torch.autograd.grad(-(hidden @ start["critic"].T).mean(), own_model)
    torch.testing.assert_close(model.weight.detach(), start["model"] - 0.1 * gradient)
    with torch.no_grad():
        features = x @ start["model"].T + _start_bias(model, 0.1, start["critic"])
    (gradient,) = torch.autograd.grad((features @ own_critic.T).mean(), own_critic)
    torch.testing.assert_close(critic.weight.detach(), start["critic"] - 0.1 * gradient)


def _start_bias(model: nn.Linear, rate: float, critic: torch.Tensor) -> torch.Tensor:
    """The model's bias before its update: its gradient was minus the critic's weight."""
    return model.bias.detach() - rate * critic[0]


def test_a_loss_that_is_not_finite_names_the_pictures() -> None:
    from structseg.errors import UserError

    class Broken(nn.Module):
        def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return logits.sum() * float("nan")

    regime = Supervised(model=Plain(), terms=[Term("broken", Broken())])
    state = State(regime.trained(), OptimConfig(steps=1, batch=8))
    with pytest.raises(UserError, match=r"loss is not finite \(pictures a, b, c"):
        run(state, regime, {"labeled": iter([batch(8)])}, device=torch.device("cpu"))


class WithFeatures(Plain):
    """The last feature beside the logits, at the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(4, 4, 1)

    def forward(self, image: torch.Tensor) -> Output:
        feature = self.conv(image / 255)
        return Output(self.classifier(feature), features=feature)


def test_a_loss_may_take_features() -> None:
    torch.manual_seed(0)
    model, loss = WithFeatures(), EmbeddingContrast(num_classes=4, pairs=100)
    step = Supervised(model=model, terms=[Term("embedding_contrast", loss)]).step({"labeled": batch(8)}, 0.0)
    expected = loss(model(batch(8).image).features, batch(8).target)
    assert torch.equal(step.losses["model"], expected)
    gradients = torch.autograd.grad(step.losses["model"], list(model.parameters()), allow_unused=True)
    assert [gradient is not None for gradient in gradients] == [True, True, False, False]  # the classifier is behind


def test_micro_batches_of_features_and_pictures_add_up() -> None:
    losses = {
        "embedding_contrast": EmbeddingContrast(num_classes=4, pairs=100),
        "random_projection": RandomProjection(num_classes=4, kernel_size=3),
        "rmi": RMI(),
        "focal": Focal(),
    }
    results = []
    for size in (8, 2):
        torch.manual_seed(0)
        regime = Supervised(model=WithFeatures(), terms=[Term(name, loss) for name, loss in losses.items()])
        groups = [{"labeled": batch(size, first)} for first in range(0, 8, size)]
        groups[-1]["labeled"].target[-1] = 255  # one picture fewer in the last
        totals = regime.totals(groups)
        results.append(sum(regime.step(group, 0.0, totals).losses["model"] for group in groups))
    torch.testing.assert_close(*results)


def test_a_loss_that_does_not_decompose_is_averaged() -> None:
    torch.manual_seed(0)
    regime = Supervised(model=Plain(), terms=[Term("lovasz", Lovasz())])
    groups = [{"labeled": batch(4, first)} for first in (0, 4)]
    totals = regime.totals(groups)
    found = sum(regime.step(group, 0.0, totals).losses["model"] for group in groups)
    alone = [regime.step(group, 0.0).losses["model"] for group in groups]
    torch.testing.assert_close(found, sum(alone) / 2)


@pytest.mark.parametrize(
    ("model", "at", "message"),
    [(Plain(), "head", "model does not return"), (WithFeatures(), "target", 'set at = "head"')],
)
def test_features_that_cannot_be_had(model: nn.Module, at: str, message: str) -> None:
    regime = Supervised(model=model, terms=[Term("embedding_contrast", EmbeddingContrast(num_classes=4), at=at)])
    with pytest.raises(ConfigError, match=message):
        regime.step({"labeled": batch(2)}, 0.0)


class Strided(Plain):
    """Says its stride, as our models do: 13 columns of pixels become 7 cells, cell i at pixel 2 i."""

    stride = 2


@pytest.mark.parametrize("at", ["head", "target"])
@pytest.mark.parametrize("size", [(11, 13), (12, 13), (11, 14), (12, 14), (1, 1)])
def test_a_crop_may_end_inside_a_cell(size: tuple[int, int], at: str) -> None:
    """Each cell is compared with the pixel that it stands for, wherever the crop ends."""
    seen: list[torch.Tensor] = []

    class Look(nn.Module):
        def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            seen.append(sample_for(logits, target))
            return logits.sum()

    full = batch(2)
    height, width = size
    crop = Batch(full.names, full.image[..., :height, :width], full.target[..., :height, :width])
    regime = Supervised(model=Strided(), terms=[Term("look", Look(), at=at)], ignore_index=255)
    regime.step({"labeled": crop}, 0.0)
    if at == "head":
        assert torch.equal(seen[0], crop.target[:, ::2, ::2])
    else:
        assert torch.equal(seen[0][:, :height, :width], crop.target)
        assert (seen[0][:, height:] == 255).all()
        assert (seen[0][:, :, width:] == 255).all()


def test_a_network_that_detaches_its_logits_is_named() -> None:
    class Detached(Plain):
        def forward(self, image: torch.Tensor) -> Output:
            return Output(super().forward(image).logits.detach())

    regime = Supervised(model=Detached(), terms=[Term("cross_entropy", CrossEntropy())])
    state = State(regime.trained(), OptimConfig(steps=1))
    with pytest.raises(UserError, match="the loss of 'model' has no gradient"):
        run(state, regime, {"labeled": iter([batch(2)])}, device=torch.device("cpu"))
