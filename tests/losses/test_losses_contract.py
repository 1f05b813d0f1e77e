"""What every loss of structseg/losses promises, file by file: `forward`, and `counts` and `parts` where it decomposes.

A loss of features (`takes = "features"`) gets in the place of logits what has as many channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from structseg import build
from structseg.losses.sampling import sample_target

NAMES = tuple(build.names("losses"))
CLASSES, IGNORE = 4, 255
WHOLE = ("active_boundary", "boundary_dou", "cl_dice", "dice", "lovasz", "ohem", "tversky")  # these do not decompose
DECOMPOSING = tuple(name for name in NAMES if name not in WHOLE)


def make(name: str, *, num_classes: int = CLASSES, **options: Any) -> Any:
    entry = build.find("losses", name)
    if "num_classes" in build.options(entry):
        options["num_classes"] = num_classes
    loss = entry(**options)
    for parameter in loss.parameters():  # away from the symmetric start
        nn.init.normal_(parameter)
    return loss


def problem(batch: int = 3, size: int = 12, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Logits and a target of blocks with single pixels changed, some ignored."""
    logits = 2 * torch.randn(batch, CLASSES, size, size, dtype=dtype)
    blocks = torch.randint(0, CLASSES, (batch, -(-size // 4), -(-size // 4)))
    target = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :size, :size].contiguous()
    noise = torch.rand(target.shape)
    target[noise < 0.1] = IGNORE
    target[noise > 0.95] = CLASSES + 2  # no class: to be ignored too
    return logits.requires_grad_(), target


def slopes(loss: nn.Module, logits: Tensor, target: Tensor, **more: Tensor) -> tuple[Tensor, ...]:
    """The value and its gradients in the logits and in the loss's own parameters."""
    value = loss(logits, target, **more)
    return (value.detach(), *torch.autograd.grad(value, (logits, *loss.parameters())))


def close(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...], **tolerance: Any) -> None:
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted, **tolerance)


def test_the_losses() -> None:
    assert {"cross_entropy", "affinity_field", "adaptive_affinity_field", *WHOLE} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_says_whether_it_decomposes(name: str) -> None:
    loss = make(name)
    for method in ("counts", "parts"):
        assert hasattr(loss, method) == (name in DECOMPOSING)
    assert ("does not decompose" in " ".join((loss.__doc__ or "").split())) == (name in WHOLE)


@pytest.mark.parametrize("name", NAMES)
class TestEveryLoss:
    def test_finite_scalar(self, name: str) -> None:
        value, *gradients = slopes(make(name), *problem())
        assert value.shape == ()
        assert value > 0
        assert value.dtype == torch.float32
        assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients)

    def test_ignored_pixels_do_nothing(self, name: str) -> None:
        logits, target = problem()
        target[:, 3:8, 2:9] = IGNORE
        other = logits.detach().clone()
        other[:, :, 3:8, 2:9] = 7 * torch.randn(3, CLASSES, 5, 7)
        loss = make(name)
        value, gradient, *rest = slopes(loss, logits, target)
        close((value, gradient, *rest), slopes(loss, other.requires_grad_(), target))
        assert not gradient[:, :, 3:8, 2:9].any()

    def test_labels_that_are_no_class_are_ignored(self, name: str) -> None:
        logits, target = problem()
        loss = make(name)
        clean = torch.where((target >= 0) & (target < CLASSES), target, IGNORE)
        close(slopes(loss, logits, target), slopes(loss, logits, clean))
        close(slopes(loss, logits, torch.where(clean == IGNORE, -1, clean)), slopes(loss, logits, clean))

    def test_ignore_index_may_be_a_class(self, name: str) -> None:
        logits, target = problem()
        value = slopes(make(name, ignore_index=0), logits, target)
        assert all(gradient.isfinite().all() for gradient in value)
        assert not value[1].movedim(1, -1)[target == 0].any()

    def test_empty_set(self, name: str) -> None:
        logits, target = problem()
        for result in slopes(make(name), logits, torch.full_like(target, IGNORE)):
            assert not result.any()  # neither a number nor NaN

    @pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (4, 5), (3, 1)])
    def test_smaller_than_the_kernels(self, name: str, shape: tuple[int, int]) -> None:
        logits = torch.randn(2, CLASSES, *shape).requires_grad_()
        target = torch.randint(0, CLASSES, (2, *shape))
        assert all(result.isfinite().all() for result in slopes(make(name), logits, target))

    def test_one_class_is_sigmoid(self, name: str) -> None:
        logits, target = problem()
        loss = make(name, num_classes=1)
        channels = 1 if getattr(loss, "takes", "logits") == "logits" else CLASSES
        single, binary = (
            logits[:, :channels].detach().requires_grad_(),
            target.clamp(max=1).where(target < CLASSES, target),
        )
        value, gradient, *_ = slopes(loss, single, binary)
        assert value > 0
        assert gradient.isfinite().all()
        assert gradient.movedim(1, -1)[binary == 0].any()
        assert gradient.movedim(1, -1)[binary == 1].any()
        assert not gradient.movedim(1, -1)[binary > 1].any()

    def test_memory_format_and_target_type(self, name: str) -> None:
        logits, target = problem()
        loss = make(name)
        expected = slopes(loss, logits, target)
        nhwc = logits.detach().to(memory_format=torch.channels_last).requires_grad_()
        close(slopes(loss, nhwc, target), expected)
        for dtype in (torch.uint8, torch.int16, torch.int32):
            close(slopes(loss, logits, target.to(dtype)), expected, rtol=0, atol=0)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, name: str, dtype: torch.dtype) -> None:
        logits, target = problem()
        loss = make(name)
        half = logits.detach().to(dtype).requires_grad_()
        value, gradient, *rest = slopes(loss, half, target)
        assert gradient.dtype == dtype
        value32, gradient32, *rest32 = slopes(loss, half.detach().float().requires_grad_(), target)
        close((value, *rest), (value32, *rest32), rtol=0, atol=0)  # computed in float32
        assert torch.equal(gradient, gradient32.to(dtype))
        torch.testing.assert_close(value, loss(logits, target).detach(), rtol=0.02, atol=0)

    def test_autocast_changes_nothing(self, name: str) -> None:
        logits, target = problem()
        loss = make(name)
        expected = slopes(loss, logits, target)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            close(slopes(loss, logits, target), expected, rtol=0, atol=0)

    def test_gradients(self, name: str) -> None:
        logits, target = problem(batch=1, size=5, dtype=torch.float64)
        plain = {"ascent": False, "detach": False}  # what makes the gradient another than that of the value
        options = {key: plain[key] for key in plain if key in build.options(build.find("losses", name))}
        loss = make(name, **options).double()
        parameters = dict(loss.named_parameters())

        def value(logits: Tensor, *values: Tensor) -> Tensor:
            named = dict(zip(parameters, values, strict=True))
            result: Tensor = torch.func.functional_call(loss, named, (logits, target))
            return result

        assert torch.autograd.gradcheck(value, (logits, *parameters.values()), fast_mode=True)

    @pytest.mark.parametrize("break_it", [lambda x, y: (x[0], y), lambda x, y: (x, y[:2]), lambda x, y: (x, y.float())])
    def test_shapes_that_do_not_fit(
        self, name: str, break_it: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> None:
        loss = make(name)
        for method in (loss.forward, loss.parts) if name in DECOMPOSING else (loss.forward,):
            with pytest.raises(ValueError, match=r"\(B,"):
                method(*break_it(*problem()))

    def test_order_of_the_batch(self, name: str) -> None:
        logits, target = problem()
        loss = make(name)
        order = torch.tensor([2, 0, 1])
        value, gradient, *rest = slopes(loss, logits, target)
        close(slopes(loss, logits[order], target[order])[:1], (value,))
        permuted = slopes(loss, logits.detach()[order].requires_grad_(), target[order])
        close(permuted, (value, gradient[order], *rest))

    def test_saved_state_is_the_parameters(self, name: str) -> None:
        loss = make(name)
        assert set(loss.state_dict()) == set(dict(loss.named_parameters()))

    @pytest.mark.parametrize("size", [(12, 12), (24, 36), (31, 17), (7, 5)])
    def test_target_of_another_size(self, name: str, size: tuple[int, int]) -> None:
        logits, _ = problem()
        target = torch.randint(0, CLASSES, (3, *size))
        loss = make(name)
        small = torch.tensor(
            [
                [[row[j * size[1] // 12] for j in range(12)] for row in (t[i * size[0] // 12] for i in range(12))]
                for t in target.tolist()
            ]
        )
        close(slopes(loss, logits, target), slopes(loss, logits, small), rtol=0, atol=0)
        if name in DECOMPOSING:
            assert torch.equal(loss.counts(target, (12, 12)), loss.counts(small, (12, 12)))


@pytest.mark.parametrize("name", DECOMPOSING)
class TestEveryLossThatDecomposes:
    def test_counts_and_parts(self, name: str) -> None:
        logits, target = problem()
        loss = make(name)
        expected = slopes(loss, logits, target)
        counts = loss.counts(target, (12, 12), num_classes=CLASSES)
        assert torch.equal(counts, loss.counts(target.where(target < CLASSES, IGNORE), (12, 12)))
        assert counts.ndim == 1
        assert counts.dtype == torch.float64
        close(slopes(loss, logits, target, counts=counts), expected, rtol=0, atol=0)
        parts = loss.parts(logits, target)
        total = sum((weight * s / n.to(s.dtype) for weight, s, n in parts if n > 0), torch.zeros(()))
        close((total.detach(), *torch.autograd.grad(total, (logits, *loss.parameters()))), expected)
        assert all(n == 0 for _, _, n in loss.parts(logits, torch.full_like(target, IGNORE)))

    def test_micro_batches_add_up(self, name: str) -> None:
        logits, target = problem(batch=4, dtype=torch.float64)
        target[1] = IGNORE  # a mean of means would count this picture as 0
        loss = make(name).double()
        counts = sum(loss.counts(part, (12, 12), num_classes=CLASSES) for part in target.split(1))
        assert isinstance(counts, Tensor)
        results = [
            slopes(loss, part.detach().requires_grad_(), labels, counts=counts)
            for part, labels in zip(logits.split(1), target.split(1), strict=True)
        ]
        values, gradients, *own = zip(*results, strict=True)
        summed = (sum(values), torch.cat(gradients), *(sum(each) for each in own))
        close(summed, slopes(loss, logits, target), rtol=1e-12, atol=1e-14)


def test_unsigned_targets_of_every_width() -> None:
    target = torch.tensor([[[0, 1, 255], [2, 3, 4]]])
    for dtype in (torch.uint8, torch.uint16, torch.int8, torch.int64):
        sampled = sample_target(target.clamp(max=127).to(dtype), (4, 2))
        assert sampled.tolist() == [[[0, 1], [0, 1], [2, 3], [2, 3]]]
