"""Cross-entropy + decayed adaptive affinity field + L2 as the released training adds them (train_objective.npz)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from structseg.losses import AdaptiveAffinityField, CrossEntropy

ATOL = 1e-6  # float32, as the golden files state


@pytest.mark.parametrize("step", ["s0", "s500"])
def test_objective_and_three_ascent_steps(golden: Path, step: str) -> None:
    with np.load(golden / "aaf" / "train_objective.npz") as file:
        arrays = {name.removeprefix(f"{step}/"): file[name] for name in file}
    target = torch.tensor(arrays["labels_full"])  # 96 x 96: the losses sample it at 12 x 12
    logits = torch.tensor(arrays["logits"]).permute(0, 3, 1, 2).contiguous().requires_grad_()
    kernel = torch.tensor(arrays["kernel_weights"]).requires_grad_()
    decay = 10 ** (-int(arrays["step"]) / int(arrays["num_steps"]))
    unary = CrossEntropy()
    affinity = AdaptiveAffinityField(num_classes=6, interior_weight=0.8)

    ce, aaf, l2 = unary(logits, target), decay * affinity(logits, target), 5e-4 * 0.5 * kernel.square().sum()
    for name, value in (("ce", ce), ("aaf", aaf), ("l2", l2), ("total", ce + aaf + l2)):
        np.testing.assert_allclose(value.item(), arrays[name], rtol=0, atol=ATOL)
    (ce + aaf + l2).backward()
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.permute(0, 2, 3, 1), arrays["grad_logits"], rtol=0, atol=ATOL)
    assert kernel.grad is not None
    np.testing.assert_allclose(kernel.grad.numpy(), arrays["grad_kernel"], rtol=0, atol=ATOL)
    parameters = [affinity.edge_logits, affinity.interior_logits]
    for parameter, name in zip(parameters, ("grad_edge_w", "grad_nonedge_w"), strict=True):
        assert parameter.grad is not None
        np.testing.assert_allclose(-parameter.grad, arrays[name].reshape(6, 3), rtol=0, atol=ATOL)

    optimizer = torch.optim.SGD(parameters, lr=0.5, momentum=0.9)  # plain: the loss itself turns descent into ascent
    for expected in arrays["w_after_1_2_3_ascent_steps"]:
        optimizer.zero_grad()
        (decay * affinity(logits, target)).backward()
        optimizer.step()
        np.testing.assert_allclose(
            torch.stack((affinity.edge_logits, affinity.interior_logits)).detach(), expected, rtol=0, atol=ATOL
        )
