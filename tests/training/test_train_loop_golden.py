"""The whole training loop of the released code (golden train_loop.npz), through loop.py and state.update.

The originals' main() functions were run on a three-layer stub network: cross-entropy, + affinity, + AAF, and AAF with
iter-size 2 (which the released code takes as two full updates a step). Every variable after every step must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_files import tf_variable
from torch import Tensor, nn

from structseg.config import OptimConfig
from structseg.losses import AdaptiveAffinityField, AffinityField, CrossEntropy
from structseg.training.loop import run
from structseg.training.regimes.supervised import Supervised, Term
from structseg.training.state import State
from structseg.types import Batch, Output

MEAN = torch.tensor([122.675, 116.669, 104.008]).view(1, 3, 1, 1)


class TF1BatchNorm(nn.Module):
    """Batch norm as in TensorFlow 1: eps 1e-3, moving = decay * moving + (1 - decay) * batch, biased variance."""

    def __init__(self, channels: int, decay: float) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("moving_mean", torch.zeros(channels))
        self.register_buffer("moving_variance", torch.ones(channels))
        self.decay = decay

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        with torch.no_grad():
            self.moving_mean.lerp_(mean, 1 - self.decay)
            self.moving_variance.lerp_(variance, 1 - self.decay)
        return F.batch_norm(x, None, None, self.gamma, self.beta, training=True, eps=1e-3)


class Stub(nn.Module):
    """(x - mean) / 50 -> 9x9 stride 8 -> 3x3 -> 1x1, batch norm and ReLU after the first two."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 9, stride=8, padding=4, bias=False)
        self.norm1 = TF1BatchNorm(8, 0.9997)
        self.conv2 = nn.Conv2d(8, 6, 3, padding=1, bias=False)
        self.norm2 = TF1BatchNorm(6, 0.99)
        self.fc1 = nn.Conv2d(6, 5, 1)
        self.head_modules = (self.conv2, self.norm2, self.fc1)
        for name, value in self.variables().items():
            value.data.copy_(as_torch(tf_variable(name, as_tf(value).shape)))

    def forward(self, image: Tensor) -> Output:
        x = F.relu(self.norm1(self.conv1((image - MEAN) * 0.02)))
        x = F.relu(self.norm2(self.conv2(x)))
        return Output(self.fc1(x))

    def variables(self) -> dict[str, Tensor]:
        """TensorFlow name -> tensor."""
        found = {"net/block5/fc1_voc12/weights": self.fc1.weight, "net/block5/fc1_voc12/biases": self.fc1.bias}
        for scope, conv, norm in (
            ("net/base/conv1", self.conv1, self.norm1),
            ("net/block5/conv2", self.conv2, self.norm2),
        ):
            found[f"{scope}/weights"] = conv.weight
            for leaf in ("gamma", "beta", "moving_mean", "moving_variance"):
                found[f"{scope}/BatchNorm/{leaf}"] = getattr(norm, leaf)
        return found


def as_tf(value: Tensor) -> np.ndarray:
    return (value.permute(2, 3, 1, 0) if value.ndim == 4 else value).detach().numpy()


def as_torch(value: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(value)
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor


FIELD = {"edge_weight": 1.0, "interior_weight": 0.7}
RUNS = {
    "ce": ([], 4, 1),
    "affinity": ([AffinityField(**FIELD)], 4, 1),
    "aaf": ([AdaptiveAffinityField(num_classes=5, **FIELD)], 4, 1),
    "aaf_iter2": ([AdaptiveAffinityField(num_classes=5, **FIELD)], 3, 2),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_variable_after_every_step(golden: Path, name: str) -> None:
    data = np.load(golden / "aaf" / "train_loop.npz")
    image = torch.from_numpy(data["image"]).permute(2, 0, 1).expand(2, 3, 96, 96)
    target = torch.from_numpy(data["label"]).expand(2, 96, 96)

    def batches() -> Iterator[Batch]:
        while True:
            yield Batch(("a", "a"), image, target)

    structure, steps, updates = RUNS[name]
    terms = [Term("cross_entropy", CrossEntropy()), *(Term("field", loss, decay=0.1) for loss in structure)]
    config = OptimConfig(name="sgd", lr=0.05, weight_decay=0.01, head_factor=10.0, steps=steps, batch=2)
    model = Stub()
    regime = Supervised(model=model, terms=terms)
    state = State(regime.trained(), config)
    for step in range(steps):
        for _ in range(updates):  # iter-size: more full updates at the same place of the schedule
            state.step = step
            run(state, regime, {"labeled": batches()}, device=torch.device("cpu"), stop=step + 1)
        if step == 0:  # the released loop writes its first checkpoint after the update of step 1
            continue
        for variable, value in model.variables().items():
            expected = data[f"{name}/step{step}/{variable}"]
            np.testing.assert_allclose(as_tf(value), expected, rtol=0, atol=1e-6, err_msg=f"step {step} {variable}")
        for leaf, own in _kernel_weights(data, f"{name}/step{step}", regime):
            np.testing.assert_allclose(own, data[leaf], rtol=0, atol=1e-6, err_msg=leaf)


def _kernel_weights(data: np.lib.npyio.NpzFile, prefix: str, regime: Supervised) -> Iterator[tuple[str, np.ndarray]]:
    known = {f"{prefix}/{variable}" for variable in Stub().variables()}
    for key in data:
        if key.startswith(f"{prefix}/") and key not in known:
            loss = regime.terms[1].loss
            own = loss.interior_logits if key.endswith("nonedge_w") else loss.edge_logits
            yield key, own.detach().numpy().reshape(data[key].shape)
