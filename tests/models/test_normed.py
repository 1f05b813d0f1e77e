"""A frozen norm folded into its convolution gives the same values and gradients as the two in a row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from structseg.models.backbones.efficientnet_lite import EfficientNetLite
from structseg.models.layers.normed import normed
from structseg.models.layers.tf1 import SameConv2d


def scattered(module: nn.Module) -> nn.Module:
    """Norms that are not the identity, float64."""
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            for tensor in (one.weight, one.get_buffer("running_var")):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (one.bias, one.get_buffer("running_mean")):
                nn.init.normal_(tensor, std=0.3)
    return module.double()


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2, bias=False),
        SameConv2d(4, 6, 3, stride=2),
        SameConv2d(4, 4, 5, groups=4),
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [False, True])
def test_values_and_gradients(conv: nn.Conv2d, training: bool) -> None:
    norm = nn.BatchNorm2d(conv.out_channels, eps=1e-3).train(training)
    scattered(nn.ModuleList([conv, norm]))
    image = torch.randn(2, 4, 9, 8, dtype=torch.float64, requires_grad=True)
    wanted = [image, conv.weight, norm.weight, norm.bias]
    results = [norm(conv(image)), normed(conv, norm, image)]
    torch.testing.assert_close(results[1], results[0])
    upstream = torch.randn_like(results[0])
    first, second = (torch.autograd.grad(one, wanted, upstream) for one in results)
    torch.testing.assert_close(second, first)


def test_whole_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """EfficientNet-Lite0 with its norms folded and not: every feature and every gradient."""
    backbone = scattered(EfficientNetLite()).eval()
    image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    weights = list(backbone.parameters())

    def run() -> tuple[Tensor, ...]:
        features = backbone(image)
        total = torch.stack([one.square().mean() for one in features]).sum()
        return (*features, *torch.autograd.grad(total, weights))

    folded = run()
    where = "structseg.models.backbones.efficientnet_lite.normed"
    monkeypatch.setattr(where, lambda conv, norm, feature: norm(conv(feature)))
    for one, other in zip(folded, run(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_norms_that_learn_do_learn() -> None:
    norm = nn.BatchNorm2d(3)
    normed(nn.Conv2d(3, 3, 1, bias=False), norm, torch.randn(4, 3, 5, 5) + 7)
    assert norm.get_buffer("num_batches_tracked").item() == 1
    assert norm.get_buffer("running_mean").any()
