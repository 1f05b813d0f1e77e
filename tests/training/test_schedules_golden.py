"""Learning rate and loss decay against the released code's graph (golden schedules.npz)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from structseg.config import OptimConfig
from structseg.training.optim import schedule
from structseg.training.regimes.supervised import Term


@pytest.mark.parametrize("name", ["voc", "cs", "default"])
def test_poly_rate_and_decay(golden: Path, name: str) -> None:
    data = np.load(golden / "aaf" / "schedules.npz")
    base, steps = float(data[f"{name}/base_lr"]), int(data[f"{name}/num_steps"])
    config = OptimConfig(lr=base, steps=steps, schedule="poly", power=float(data[f"{name}/power"]))
    own = [base * schedule(config, int(step)) for step in data[f"{name}/steps"]]
    np.testing.assert_allclose(own, data[f"{name}/lr"], rtol=0, atol=2e-10)
    term = Term("field", nn.Identity(), decay=0.1)
    decay = [term.weight_at(int(step) / steps) for step in data[f"{name}/steps"]]
    np.testing.assert_allclose(decay, data[f"{name}/lambda_decay"], rtol=0, atol=5e-8)
