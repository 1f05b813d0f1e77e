"""AdaptiveAffinityField against the numbers of the released code (aaf.npz), uniform and random kernel weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from affinity_cases import CASES, DTYPES, INTERIOR_WEIGHT, check, tensors

from structseg.losses import AdaptiveAffinityField, AffinityField
from structseg.losses.sampling import inverse


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weights", ["zero", "rand"])
@pytest.mark.parametrize("case", CASES)
def test_totals_means_and_gradients(golden: Path, case: str, weights: str, dtype: str) -> None:
    logits, target = tensors(golden, case, DTYPES[dtype])
    loss = AdaptiveAffinityField(num_classes=logits.shape[1], interior_weight=INTERIOR_WEIGHT, ascent=False)
    loss.to(DTYPES[dtype])
    with np.load(golden / "aaf" / "aaf.npz") as arrays, torch.no_grad():
        loss.edge_logits.copy_(torch.tensor(arrays[f"{case}/{weights}/edge_w"]))
        loss.interior_logits.copy_(torch.tensor(arrays[f"{case}/{weights}/nonedge_w"]))
        expected = {name.split("/", 2)[2]: arrays[name] for name in arrays if name.startswith(f"{case}/{weights}/")}
    total = loss(logits, target)
    total.backward()
    means = [s * inverse(n).to(s.dtype) for _, s, n in loss.parts(logits, target)]
    for got, name in ((means[::2], "edge_means"), (means[1::2], "not_edge_means")):
        check(torch.stack(got), np.nan_to_num(expected[f"{dtype}/{name}"]), dtype)
    if not np.isnan(expected[f"{dtype}/total"]):
        check(total, expected[f"{dtype}/total"], dtype)
    assert logits.grad is not None
    assert loss.edge_logits.grad is not None
    assert loss.interior_logits.grad is not None
    check(logits.grad, expected["f64/grad_logits"], dtype)
    check(loss.edge_logits.grad, expected[f"{dtype}/grad_edge_w"], dtype)
    check(loss.interior_logits.grad, expected[f"{dtype}/grad_nonedge_w"], dtype)


def test_uniform_weights_are_a_third_of_three_affinity_fields(golden: Path) -> None:
    logits, target = tensors(golden, CASES[1], torch.float64)
    parts = [AffinityField(kernel_size=size)(logits, target) for size in (3, 5, 7)]
    torch.testing.assert_close(AdaptiveAffinityField(num_classes=logits.shape[1])(logits, target), sum(parts) / 3)
