"""The torch form against autograd of the readable one: every kind of weights, any blocks; and the options."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from structseg.errors import ConfigError
from structseg.losses import AdaptiveAffinityField, AffinityField
from structseg.losses.kernels import fused, reference

KERNELS = (3, 7, 5)


def problem(classes: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Probabilities, some beyond the clip, and labels with holes."""
    logits = 5 * torch.randn(3, classes, 9, 11, dtype=dtype)
    labels = torch.randint(-1, max(classes, 2), (3, 3, 11)).repeat_interleave(3, 1)
    return (logits.softmax(1) if classes > 1 else logits.sigmoid()).requires_grad_(), labels


def tables(kernels: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights of edges and of interiors."""
    edge, interior = torch.rand(2, kernels, columns, dtype=dtype)
    return edge.requires_grad_(), interior.requires_grad_()


def by_autograd(inputs: tuple[Tensor, ...], **options: Any) -> tuple[Tensor, ...]:
    """Value and gradients of the readable form."""
    value = reference.affinity(*inputs, **options)
    return (value.detach(), *torch.autograd.grad(value, (inputs[0], *inputs[2:])))


@pytest.mark.parametrize("block", [2**23, 350, 1], ids=["one block", "some blocks", "plane by plane"])
@pytest.mark.parametrize("pair_rule", ["mirrored", "simple"])
@pytest.mark.parametrize(
    ("classes", "columns", "weight_by"),
    [(3, 1, "label"), (3, 3, "label"), (3, 3, "channel"), (1, 1, "label"), (1, 1, "channel")],
    ids=["alike", "by label", "by channel", "sigmoid", "sigmoid by channel"],
)
def test_fused_is_the_reference(
    classes: int, columns: int, weight_by: str, pair_rule: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "CPU_BLOCK", block)
    inputs = (*problem(classes), *tables(3, columns, torch.float64))
    options = {"kernel_sizes": KERNELS, "margin": 2.5, "pair_rule": pair_rule, "weight_by": weight_by}
    for got, expected in zip(fused.affinity(*inputs, **options), by_autograd(inputs, **options), strict=True):
        assert got.shape == expected.shape
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


def test_confident_predictions_in_float32() -> None:
    """The interior mean of a trained network is tiny beside its edge channels and must not drown in them."""
    labels = torch.randint(0, 5, (2, 4, 4)).repeat_interleave(6, 1).repeat_interleave(6, 2)
    logits = 6 * torch.nn.functional.one_hot(labels, 5).movedim(-1, 1).double() + 0.1 * torch.randn(2, 5, 24, 24)
    loss = AffinityField()
    for (_, sum64, _), (_, sum32, _) in zip(
        loss.parts(logits, labels), loss.parts(logits.float(), labels), strict=True
    ):
        torch.testing.assert_close(sum32.double(), sum64, rtol=1e-4, atol=0)


@pytest.mark.parametrize("form", [AffinityField(), AdaptiveAffinityField(num_classes=3)])
def test_differentiable_once(form: torch.nn.Module) -> None:
    """A second derivative would silently lack the slopes' own: it is refused where it is asked for."""
    logits, target = torch.randn(1, 3, 8, 8).requires_grad_(), torch.randint(0, 3, (1, 8, 8))
    value = form(logits, target)
    (first,) = torch.autograd.grad(value, logits, retain_graph=True)
    value.backward(retain_graph=True)
    value.backward(inputs=[logits])
    torch.testing.assert_close(logits.grad, 2 * first)
    with pytest.raises(RuntimeError, match="differentiable once: leave out create_graph"):
        torch.autograd.grad(form(logits, target), logits, create_graph=True)
    for reentrant in (True, False):
        logits.grad = None
        torch.utils.checkpoint.checkpoint(form, logits, target, use_reentrant=reentrant).backward()
        torch.testing.assert_close(logits.grad, first)


def test_the_compiler_is_not_loaded() -> None:
    """It takes seconds; neither the import nor an ordinary step needs it."""
    script = """
import sys, torch
from structseg.losses import AffinityField
AffinityField()(torch.randn(1, 3, 8, 8).requires_grad_(), torch.ones(1, 8, 8, dtype=torch.int64)).backward()
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


WRONG_NUMBERS: list[tuple[dict[str, Any], str]] = [
    ({"margin": 0.0}, r"margin 0\.0 is not a number above 0"),
    ({"margin": -3}, "margin -3 is not a number above 0"),
    ({"margin": float("inf")}, "margin inf is not a number above 0"),
    ({"margin": "3"}, "margin '3' is not a number above 0"),
    ({"edge_weight": -0.5}, r"edge_weight -0\.5 is not a number from 0 on"),
    ({"interior_weight": float("nan")}, "interior_weight nan is not a number from 0 on"),
]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_sizes": (3, 4)}, "kernel size 4"),
        ({"kernel_sizes": (1,)}, "kernel size 1"),
        ({"kernel_sizes": ()}, "kernel_sizes is empty"),
        ({"pair_rule": "mirored"}, "did you mean 'mirrored'"),
        ({"weight_by": "channels"}, "did you mean 'channel'"),
        ({"num_classes": 0}, "num_classes 0"),
        ({"num_classes": 3.0}, r"num_classes 3\.0 is not a whole number"),
        ({"num_classes": True}, "num_classes True is not a whole number"),
        ({"ignore_index": 2.5}, r"ignore_index 2\.5 is not a whole number"),
        ({"ignore_index": None}, "ignore_index None is not a whole number"),
        ({"kernel_sizes": 3}, "kernel_sizes 3 is not a list of sizes"),
        ({"kernel_sizes": "35"}, "kernel_sizes '35' is not a list of sizes"),
        ({"kernel_sizes": (3, 5, 3)}, r"kernel_sizes \(3, 5, 3\) holds 3 twice"),
        *WRONG_NUMBERS,
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdaptiveAffinityField(**{"num_classes": 3, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 2}, "kernel size 2"),
        ({"pair_rule": "x"}, "known: mirrored, simple"),
        ({"ignore_index": "255"}, "ignore_index '255' is not a whole number"),
        *WRONG_NUMBERS,
    ],
)
def test_options_of_the_single_size(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AffinityField(**options)


def test_numpy_numbers_are_numbers() -> None:
    options: dict[str, Any] = {"num_classes": np.int64(3), "ignore_index": np.uint8(255), "margin": np.float32(2)}
    assert AdaptiveAffinityField(**options)(*problem()).isfinite()


def test_logits_of_another_number_of_classes() -> None:
    with pytest.raises(ConfigError, match="4 channels, but num_classes is 3"):
        AdaptiveAffinityField(num_classes=3)(torch.zeros(1, 4, 5, 5), torch.zeros(1, 5, 5, dtype=torch.int64))
