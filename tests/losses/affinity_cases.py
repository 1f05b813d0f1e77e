"""The ten label cases of the golden affinity files, as tensors; two of them where only tests/golden is there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from structseg.losses.sampling import keep_labels

ALL = (
    "c4_ignore",
    "c21_ignore",
    "c19_clean",
    "one_class",
    "all_ignored",
    "label_ge_C",
    "saturated",
    "tiny_4x5",
    "stripe",
    "two_halves_c2",
)
SMALL = ("tiny_4x5", "two_halves_c2")
CASES = ALL if os.environ.get("STRUCTSEG_GOLDEN") else SMALL
SIZES = (3, 5, 7)  # s1, s2, s3 in the golden files
DTYPES = {"f64": torch.float64, "f32": torch.float32}
MARGIN, INTERIOR_WEIGHT, IGNORE = 3.0, 0.7, 255


def tensors(folder: Path, case: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """logits (B,C,h,w), a leaf with a gradient, and target (B,h,w) uint8."""
    with np.load(folder / "aaf" / "affinity.npz") as arrays:
        logits = torch.tensor(arrays[f"{case}/logits"]).permute(0, 3, 1, 2).to(dtype).requires_grad_()
        return logits, torch.tensor(arrays[f"{case}/labels"])


def known(logits: Tensor, target: Tensor) -> Tensor:
    """(B,h,w) labels, -1 = none."""
    return keep_labels(target.long(), num_classes=logits.shape[1], ignore_index=IGNORE)


def check(actual: Tensor, expected: NDArray[np.float64], kind: str) -> None:
    """The tolerances that the golden files state; NCHW against NHWC; an empty mean is NaN there and 0 here."""
    got = actual.detach().numpy()
    if got.ndim == 4:
        got = got.transpose(0, 2, 3, 1)
    if got.ndim == 0 and np.isnan(expected):
        assert got == 0
        return
    relative, absolute = (0.0, 1e-10) if kind == "f64" else (1e-5, 1e-6)
    np.testing.assert_allclose(got, expected, rtol=relative, atol=absolute)
