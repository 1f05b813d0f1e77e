"""One plain optimizer over model and loss: the kernel weights climb (ascent=True) or run downhill (ascent=False)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from structseg.losses import AdaptiveAffinityField, CrossEntropy

SIZES = (3, 7)
OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.5, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.05),
}


def picture() -> tuple[Tensor, Tensor]:
    """A noisy picture of three classes: ground, a disc and thin bars."""
    y, x = torch.meshgrid(torch.arange(18), torch.arange(18), indexing="ij")
    target = ((y - 6) ** 2 + (x - 6) ** 2 < 20).long()
    target[:, 12::3] = 2
    image = torch.stack([(target == c).float() for c in range(3)]) + 0.7 * torch.randn(3, 18, 18)
    return image[None], target[None]


def train(ascent: bool, optimizer_name: str) -> tuple[float, float]:
    """The affinity loss after 50 steps: with the weights reached, and with uniform ones, at the same model."""
    image, target = picture()
    model = nn.Conv2d(3, 3, 3, padding=1)
    unary, loss = CrossEntropy(), AdaptiveAffinityField(num_classes=3, kernel_sizes=SIZES, ascent=ascent)
    optimizer = OPTIMIZERS[optimizer_name]([*model.parameters(), *loss.parameters()])
    for _ in range(50):
        optimizer.zero_grad()
        logits = model(image)
        (unary(logits, target) + loss(logits, target)).backward()
        optimizer.step()
    with torch.no_grad():
        logits = model(image)
        return loss(logits, target).item(), AdaptiveAffinityField(num_classes=3, kernel_sizes=SIZES)(
            logits, target
        ).item()


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_weights_climb(optimizer_name: str) -> None:
    reached, uniform = train(ascent=True, optimizer_name=optimizer_name)
    assert reached > uniform


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_without_reversal_they_fall(optimizer_name: str) -> None:
    reached, uniform = train(ascent=False, optimizer_name=optimizer_name)
    assert reached < uniform


def test_only_the_sign_of_the_weights_gradient_changes() -> None:
    image, target = picture()
    slopes = []
    for ascent in (True, False):
        logits = image.clone().requires_grad_()
        loss = AdaptiveAffinityField(num_classes=3, ascent=ascent)
        slopes.append(torch.autograd.grad(loss(logits, target), (logits, loss.edge_logits, loss.interior_logits)))
    (model, edge, interior), (same, down, inner) = slopes
    assert torch.equal(model, same)
    assert torch.equal(edge, -down)
    assert torch.equal(interior, -inner)
    assert edge.abs().sum() > 0
