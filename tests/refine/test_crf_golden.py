"""The dense CRF against the numbers of PSA's and IRN's code with the public C++ build (crf.npz), every array of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from structseg.refine import DenseCRF, dense_crf
from structseg.refine.dense_crf import energy_of_labels
from structseg.types import Float32

TOLERANCE = 1e-4  # of the golden data's README
ALPHAS = (4, 16, 24, 32)
FORMS: dict[str, dict[str, Any]] = {  # what differs from the usual ten steps; all with alpha 4
    "psa_a4_t1": {"steps": 1},
    "psa_a4_sf2": {"steps": 5, "gaussian": (1.5, 3.0), "bilateral": (40.0, 13.0, 10.0)},
    "gauss_only_t1": {"steps": 1, "bilateral": None},
    "bilat_only_t1": {"steps": 1, "gaussian": None},
}
HARD = ("30", "05")  # IRN's hard labels by threshold, in percent
UNSURE = 255


@pytest.fixture(scope="module")
def arrays(golden: Path) -> Iterator[dict[str, Any]]:
    with np.load(golden / "psa" / "crf.npz") as file:
        yield dict(file)


def scores(arrays: dict[str, Any], alpha: int) -> Float32:
    """PSA's scores: background (1 - max CAM)^alpha, then the CAMs; they do not have the sum 1."""
    cams = arrays["cam"]
    return np.concatenate([(1 - cams.max(0, keepdims=True)) ** alpha, cams])


def test_the_forms_are_all_of_the_file(arrays: dict[str, Any]) -> None:
    hard = {f"irn_{kind}{which}" for kind in ("", "lab_", "q_") for which in HARD}
    soft = {f"psa_a{alpha}" for alpha in ALPHAS}
    assert set(arrays) == {"rgb", "cam", "irn_conf", *soft, *FORMS, *hard}


@pytest.mark.parametrize("alpha", ALPHAS)
def test_seeds(arrays: dict[str, Any], alpha: int) -> None:
    found, wanted = dense_crf(arrays["rgb"], scores(arrays, alpha)), arrays[f"psa_a{alpha}"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(found.argmax(0), wanted.argmax(0))
    assert (wanted.argmax(0) != scores(arrays, alpha).argmax(0)).mean() > 0.02  # there was something to do


@pytest.mark.parametrize("name", FORMS)
def test_steps_scales_and_single_kernels(arrays: dict[str, Any], name: str) -> None:
    found = dense_crf(arrays["rgb"], scores(arrays, 4), **FORMS[name])
    np.testing.assert_allclose(found, arrays[name], rtol=0, atol=TOLERANCE)


def test_hard_labels(arrays: dict[str, Any]) -> None:
    """Two maps from one CRF, and the label that IRN makes of both."""
    crf = DenseCRF(arrays["rgb"], gaussian=(3.0, 3.0), bilateral=(50.0, 5.0, 10.0))
    refined = {}
    for which in HARD:
        found = crf.infer(energy_of_labels(arrays[f"irn_lab_{which}"], num_classes=3, confidence=0.7))
        np.testing.assert_allclose(found, arrays[f"irn_q_{which}"], rtol=0, atol=TOLERANCE)
        refined[which] = found.argmax(0)
        np.testing.assert_array_equal(refined[which], arrays[f"irn_{which}"])
    foreground, background = (refined[which] for which in HARD)
    both = np.where(foreground > 0, foreground, np.where(background > 0, UNSURE, 0))
    np.testing.assert_array_equal(both, arrays["irn_conf"])
