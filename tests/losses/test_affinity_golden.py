"""The affinity kernel, its three forms, and AffinityField against the numbers of the released code (affinity.npz)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affinity_cases import ALL, CASES, DTYPES, IGNORE, INTERIOR_WEIGHT, MARGIN, SIZES, check, known, tensors
from torch import Tensor

from structseg.losses import AffinityField
from structseg.losses.kernels import cpu, fused, reference
from structseg.losses.kernels.counts import pair_counts
from structseg.losses.kernels.pairs import CLIP, directions, element_counts, valid_pairs
from structseg.losses.sampling import inverse

FORMS = {"cpu": cpu.affinity, "fused": fused.affinity}
KINDS = ("edge", "not_edge")


def test_the_cases_are_all_of_the_file(golden: Path) -> None:
    meta = json.loads((golden / "aaf" / "losses_meta.json").read_text())
    assert sorted(meta["cases"]) == sorted(ALL)
    assert (meta["margin"], meta["lambda_not_edge"], meta["ignore"]) == (MARGIN, INTERIOR_WEIGHT, IGNORE)
    assert meta["eps"] == CLIP


@pytest.mark.parametrize("case", CASES)
def test_pairs_and_counts(golden: Path, case: str) -> None:
    logits, target = tensors(golden, case, torch.float64)
    labels = known(logits, target)
    pairs = pair_counts(labels, kernel_sizes=SIZES, pair_rule="mirrored")
    elements = element_counts(pairs, logits.shape[1])
    with np.load(golden / "aaf" / "affinity.npz") as arrays:
        for s, size in enumerate(SIZES, start=1):
            ignored = torch.stack([~valid_pairs(labels, d, "mirrored") for d in directions(size)], dim=-1)
            np.testing.assert_array_equal(ignored.numpy(), arrays[f"{case}/s{s}_ignore8"])
            counts = [arrays[f"{case}/s{s}_{kind}_count"] for kind in KINDS]
            np.testing.assert_array_equal(elements[s - 1].numpy(), counts)


def value_and_slope(form: str, probabilities: Tensor, *rest: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """The sum and its gradient in the probabilities."""
    if form in FORMS:
        return FORMS[form](probabilities, *rest, **options)[:2]
    total = reference.affinity(probabilities, *rest, **options)
    return total.detach(), torch.autograd.grad(total, probabilities, retain_graph=True)[0]


@pytest.mark.parametrize(
    ("form", "dtype"), [("cpu", "f32"), *((form, dtype) for form in ("fused", "reference") for dtype in DTYPES)]
)
@pytest.mark.parametrize("case", CASES)
def test_sums_means_and_gradients(golden: Path, case: str, form: str, dtype: str) -> None:
    logits, target = tensors(golden, case, DTYPES[dtype])
    labels, probabilities = known(logits, target), logits.softmax(1)
    counts = element_counts(pair_counts(labels, kernel_sizes=SIZES, pair_rule="mirrored"), logits.shape[1])
    one, zero = logits.new_ones(1, 1), logits.new_zeros(1, 1)
    with np.load(golden / "aaf" / "affinity.npz") as arrays:
        for s, size in enumerate(SIZES, start=1):
            options = {"kernel_sizes": (size,), "margin": MARGIN, "pair_rule": "mirrored", "weight_by": "label"}
            for k, (kind, tables) in enumerate(zip(KINDS, ((one, zero), (zero, one)), strict=True)):
                total, slope_probabilities = value_and_slope(form, probabilities, labels, *tables, **options)
                divided = inverse(counts[s - 1, k].to(total.dtype))
                mean, slope_probabilities = total * divided, slope_probabilities * divided
                (slope,) = torch.autograd.grad(probabilities, logits, slope_probabilities, retain_graph=True)
                check(total, arrays[f"{case}/{dtype}/s{s}_{kind}_sum"], dtype)
                check(mean, arrays[f"{case}/{dtype}/s{s}_{kind}_mean"], dtype)
                if dtype == "f64" or case != "saturated":  # there 1 - P is 1e-4 give or take float32's 6e-8
                    check(slope, arrays[f"{case}/f64/s{s}_{kind}_grad_logits"], dtype)
                if (name := f"{case}/f64/s{s}_{kind}_grad_probs") in arrays and dtype == "f64":
                    check(slope_probabilities, arrays[name], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_affinity_field(golden: Path, case: str, dtype: str) -> None:
    logits, target = tensors(golden, case, DTYPES[dtype])
    loss = AffinityField(interior_weight=INTERIOR_WEIGHT)
    total = loss(logits, target)
    total.backward()
    means = [s * inverse(n).to(s.dtype) for _, s, n in loss.parts(logits, target)]
    with np.load(golden / "aaf" / "affinity.npz") as arrays:
        prefix = f"{case}/{dtype}/orig_"
        expected = [arrays[f"{prefix}{kind}_mean"] for kind in KINDS]
        for mean, value in zip(means, expected, strict=True):
            check(mean, value, dtype)
        check(total, np.nan_to_num(expected[0]) + INTERIOR_WEIGHT * np.nan_to_num(expected[1]), dtype)
        if not np.isnan(arrays[f"{prefix}total"]):
            check(total, arrays[f"{prefix}total"], dtype)
        assert isinstance(logits.grad, Tensor)
        check(logits.grad, arrays[f"{prefix}grad_logits"], dtype)
