"""The affinity kernel as an operator of torch: its contract, and torch.compile of a model with its loss, unbroken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from structseg.losses import AdaptiveAffinityField, AffinityField

pytestmark = pytest.mark.smoke  # the compiler takes seconds to load

CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")


@pytest.mark.parametrize("weight_by", ["label", "channel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [1, 3])
def test_contract(dtype: torch.dtype, columns: int, weight_by: str) -> None:
    probabilities = torch.randn(2, 3, 6, 7, dtype=dtype).softmax(1).requires_grad_()
    labels = torch.randint(-1, 3, (2, 6, 7))
    edge, interior = (torch.rand(2, columns, dtype=dtype).requires_grad_() for _ in range(2))
    arguments = (probabilities, labels, edge, interior, (3, 5), 3.0, "mirrored", weight_by)
    torch.library.opcheck(torch.ops.structseg.affinity.default, arguments, test_utils=CHECKS)


def test_contract_of_the_counts() -> None:
    labels = torch.randint(-1, 3, (2, 6, 7))
    torch.library.opcheck(torch.ops.structseg.pair_counts.default, (labels, (3, 5), "simple"), test_utils=CHECKS)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch.compile's own doing
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("loss", [AffinityField(), AdaptiveAffinityField(num_classes=3)], ids=["single", "adaptive"])
def test_a_compiled_step_is_one_graph(loss: nn.Module, backend: str) -> None:
    torch.compiler.reset()
    model = nn.Conv2d(2, 3, 3, padding=1)
    images, target = torch.randn(2, 2, 8, 8), torch.randint(0, 3, (2, 16, 16))
    parameters = (*model.parameters(), *loss.parameters())

    def step(images: Tensor, target: Tensor) -> Any:
        return loss(model(images), target)

    expected, value = step(images, target), torch.compile(step, backend=backend, fullgraph=True)(images, target)
    torch.testing.assert_close(value, expected)
    for got, wanted in zip(
        torch.autograd.grad(value, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(got, wanted)
