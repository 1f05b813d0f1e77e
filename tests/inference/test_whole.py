"""Logits come to the picture's size where the labels they were trained on stood."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from structseg.data.formats.camvid import CamVid
from structseg.errors import CheckpointError
from structseg.inference.whole import probabilities, resize
from structseg.metrics import ConfusionMatrix
from structseg.types import Output, UInt8

SIZES = st.integers(1, 12)


def slow_resize(logits: Tensor, height: int, width: int) -> Tensor:
    """Pixel by pixel: src = dst in/out, the last cell held."""
    h, w = logits.shape[-2:]
    out = logits.new_zeros(*logits.shape[:2], height, width)
    for y in range(height):
        for x in range(width):
            sy, sx = y * h / height, x * w / width
            top, left = int(sy), int(sx)
            below, right = min(top + 1, h - 1), min(left + 1, w - 1)
            dy, dx = sy - top, sx - left
            upper = logits[..., top, left] * (1 - dx) + logits[..., top, right] * dx
            lower = logits[..., below, left] * (1 - dx) + logits[..., below, right] * dx
            out[..., y, x] = upper * (1 - dy) + lower * dy
    return out


@given(h=SIZES, w=SIZES, height=SIZES, width=SIZES)
def test_resize_is_the_slow_rule(h: int, w: int, height: int, width: int) -> None:
    logits = torch.randn(2, 3, h, w, dtype=torch.float64)
    torch.testing.assert_close(resize(logits, (height, width)), slow_resize(logits, height, width))


def test_resize_is_tensorflows(golden: Path) -> None:
    with np.load(golden / "aaf" / "resize_legacy.npz") as file:
        cases = {key.removesuffix("/x") for key in file if key.endswith("/x")}
        assert len(cases) == 8
        for case in cases:
            wanted = torch.from_numpy(file[f"{case}/bilinear"])
            found = resize(torch.from_numpy(file[f"{case}/x"]).permute(0, 3, 1, 2), (wanted.shape[1], wanted.shape[2]))
            torch.testing.assert_close(found.permute(0, 2, 3, 1), wanted, rtol=0, atol=2e-6)


def test_resize_has_gradients() -> None:
    logits = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resize(x, (7, 5)), (logits,))


def sampled(target: UInt8, stride: int, classes: int) -> Tensor:
    """(1,C,h,w) exact labels at the cells of a stride, by the rule of every loss."""
    height, width = target.shape
    h, w = -(-height // stride), -(-width // stride)
    rows, columns = np.arange(h) * height // h, np.arange(w) * width // w
    cells = torch.from_numpy(target[rows[:, None], columns].astype(np.int64)).clamp(max=classes)
    return F.one_hot(cells, classes + 1)[..., :classes].permute(2, 0, 1)[None].float()


@pytest.mark.parametrize(("stride", "legacy", "half_pixel"), [(4, 0.86, 0.83), (8, 0.77, 0.72)])
def test_exact_labels_come_back_best_this_way(data_root: Path, stride: int, legacy: float, half_pixel: float) -> None:
    camvid = CamVid(root=data_root / "camvid")
    ours, other = ConfusionMatrix(11), ConfusionMatrix(11)
    for item in camvid.items("test")[::24]:
        target = camvid.read(item).target
        assert target is not None
        logits = sampled(target, stride, 11)
        size = (target.shape[0], target.shape[1])
        ours.update(resize(logits, size).argmax(1)[0], target)
        other.update(F.interpolate(logits, size, mode="bilinear", align_corners=False).argmax(1)[0], target)
    assert ours.scores()["miou"] > legacy
    assert other.scores()["miou"] < half_pixel


class Constant(nn.Module):
    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result

    def forward(self, image: Tensor) -> object:
        return self.result


def test_one_logit_is_a_sigmoid() -> None:
    logits = torch.randn(1, 1, 4, 4)
    found = probabilities(Constant(logits), torch.zeros(1, 3, 4, 4))
    torch.testing.assert_close(found[:, 1:], logits.sigmoid())
    torch.testing.assert_close(found.sum(1), torch.ones(1, 4, 4))


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: Output(x), lambda x: {"out": x}, lambda x: (x, None)])
def test_any_kind_of_result(wrap: Callable[[Tensor], object]) -> None:
    logits = torch.randn(2, 3, 2, 2)
    found = probabilities(Constant(wrap(logits)), torch.zeros(2, 3, 5, 3))
    torch.testing.assert_close(found, resize(logits, (5, 3)).softmax(1))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_none_make_no_map(classes: int, number: float) -> None:
    logits = torch.zeros(1, classes, 2, 2)
    logits[0, 0, 1, 1] = number
    with pytest.raises(CheckpointError, match="the model gives NaN or infinity: its training diverged or its weights"):
        probabilities(Constant(logits), torch.zeros(1, 3, 4, 4))


def test_half_precision_ends_in_float32() -> None:
    class Multiply(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            kernel = torch.randn(4, 3, 1, 1, generator=torch.Generator().manual_seed(0))
            found = F.conv2d(image / 255, kernel)
            assert found.dtype == torch.bfloat16
            return found

    image = torch.rand(1, 3, 6, 6) * 255
    found = probabilities(Multiply(), image, precision="bfloat16")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.sum(1), torch.ones(1, 6, 6))
