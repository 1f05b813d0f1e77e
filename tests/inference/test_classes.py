"""The class of every pixel without logits of the picture's size, against the two steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_stubs import Pointwise, Tiny, paint, squares, table
from test_whole import slow_resize
from torch import Tensor, nn

from structseg.inference import whole
from structseg.inference.classes import enlarged_classes, most_probable
from structseg.inference.predictor import Predictor

SIZES = st.integers(1, 12)


def same(found: Any, wanted: Any) -> float:
    return float(np.mean(np.asarray(found) == np.asarray(wanted)))


@settings(max_examples=20)
@given(classes=st.integers(1, 9), h=SIZES, w=SIZES, height=SIZES, width=SIZES)
def test_the_largest_by_the_slow_rule(classes: int, h: int, w: int, height: int, width: int) -> None:
    logits = torch.randn(2, classes, h, w)
    found = enlarged_classes(logits, (height, width))
    assert (found.shape, found.dtype) == ((2, height, width), np.dtype(np.uint8))
    exact = slow_resize(logits.double(), height, width)
    chosen = exact.gather(1, torch.from_numpy(found.astype(np.int64))[:, None])[:, 0]
    torch.testing.assert_close(chosen, exact.max(1).values, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "size"), [((21, 60, 60), (480, 480)), ((11, 90, 120), (360, 480)), ((5, 47, 63), (375, 500))]
)
@pytest.mark.parametrize("stride", [None, 8])
def test_as_the_two_steps(shape: tuple[int, int, int], size: tuple[int, int], stride: int | None) -> None:
    logits = torch.randn(2, *shape)
    if stride and (shape[1] * stride < size[0] or shape[2] * stride < size[1]):
        stride = 4
    enlarged = whole.enlarge(logits, size, stride=stride)
    found = enlarged_classes(logits, size, stride=stride)
    assert same(found, enlarged.argmax(1)) >= 0.99999
    assert same(found, most_probable(enlarged.softmax(1))) >= 0.99999


def test_the_last_cell_reaches_over_the_border() -> None:
    logits = torch.randn(1, 4, 3, 4)
    full = whole.resize(logits, (24, 32))[..., :17, :30]
    np.testing.assert_array_equal(enlarged_classes(logits, (17, 30), stride=8), full.argmax(1))


def test_the_first_of_equals() -> None:
    assert not enlarged_classes(torch.zeros(1, 3, 4, 5), (9, 11)).any()
    logits = torch.randint(0, 3, (1, 6, 7, 8)).float()
    np.testing.assert_array_equal(enlarged_classes(logits, (7, 8)), logits.argmax(1))
    twice = torch.randn(1, 3, 5, 5).repeat(1, 2, 1, 1)
    assert enlarged_classes(twice, (31, 17)).max() == 2


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float32])
def test_any_kind_of_tensor(kind: torch.dtype) -> None:
    logits = torch.randn(2, 9, 11, 5, requires_grad=True).movedim(-1, 1).to(kind)[..., :-2]
    wanted = enlarged_classes(logits.detach().float().contiguous(), (20, 23))
    np.testing.assert_array_equal(enlarged_classes(logits, (20, 23)), wanted)


class Fixed(nn.Module):
    """Logits that do not depend on the picture."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, image: Tensor) -> Tensor:
        return self.logits.expand(len(image), -1, -1, -1)


def test_one_logit_is_background_and_foreground() -> None:
    predictor = Predictor(Fixed(torch.randn(1, 1, 6, 7)), table(2))
    image = [np.zeros((40, 50, 3), np.uint8)]
    (probabilities,) = predictor.predict(image)
    (classes,) = predictor.classes(image)
    np.testing.assert_array_equal(classes, (probabilities[1] > 0.5).numpy())
    assert 0 < classes.mean() < 1


def test_whole_pictures_need_no_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tiny()
    images = [paint(squares(*size, seed=seed)) for seed, size in enumerate([(33, 41), (16, 16), (33, 41)])]
    predictor = Predictor(model, table())
    wanted = [most_probable(found[None])[0] for found in predictor.predict(images)]
    for name in ("enlarge", "probabilities", "resize"):
        monkeypatch.setattr(whole, name, lambda *_, **__: pytest.fail("made probabilities"))
    for found, target in zip(predictor.classes(images), wanted, strict=True):
        np.testing.assert_array_equal(found, target)


@pytest.mark.parametrize(
    "options",
    [
        {"scales": (0.75, 1.0)},
        {"mirror": True},
        {"tile": 16},
        {"tile": 16, "stride": 8, "tiling": "released"},
        {"scales": (2.0,)},
    ],
)
def test_other_ways_average_probabilities(options: dict[str, Any]) -> None:
    images = [paint(squares(33, 41))]
    predictor = Predictor(Tiny(), table(), **options)
    wanted = [most_probable(found[None])[0] for found in predictor.predict(images)]
    np.testing.assert_array_equal(predictor.classes(images), wanted)


def test_convolutions_get_channels_last() -> None:
    seen: list[bool] = []

    class Look(Pointwise):
        def forward(self, image: Tensor) -> Tensor:
            seen.append(image.is_contiguous(memory_format=torch.channels_last))
            return super().forward(image)

    image = [paint(squares(20, 31))]
    ways: tuple[dict[str, Any], ...] = ({}, {"tile": 8}, {"scales": (0.5, 1.5), "mirror": True})
    for options in ways:
        Predictor(Look(), table(), **options).predict(image)
    assert len(seen) > 5
    assert all(seen)
