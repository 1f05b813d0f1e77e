"""The compiled form against autograd of the readable one in float64; threads, NaN, vectors in its machine code."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numba
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from structseg.losses import AdaptiveAffinityField, AffinityField
from structseg.losses.kernels import affinity, cpu, loops, pairs, reference
from structseg.losses.kernels.counts import pair_counts

VECTORS = {  # multiply-adds of several float32 at once, by kind of processor
    "x86_64": r"vfn?m(add|sub)\w*ps\s.*%[yz]mm",
    "AMD64": r"vfn?m(add|sub)\w*ps\s.*%[yz]mm",
    "aarch64": r"fml[as]\s.*\.4s",
    "arm64": r"fml[as]\s.*\.4s",
}


def problem(shape: tuple[int, ...], seed: int = 0, spread: float = 4.0) -> tuple[Tensor, Tensor]:
    """Probabilities (B,C,h,w) float32, some beyond the clip, and labels of small blocks with holes."""
    generator = torch.Generator().manual_seed(seed)
    batch, classes, height, width = shape
    logits = spread * torch.randn(shape, generator=generator)
    probabilities = logits.softmax(1) if classes > 1 else logits.sigmoid()
    labels = torch.randint(0, max(classes, 2), (batch, -(-height // 2), -(-width // 3)), generator=generator)
    labels = labels.repeat_interleave(2, 1).repeat_interleave(3, 2)[:, :height, :width].contiguous()
    labels[torch.rand(labels.shape, generator=generator) < 0.1] = -1
    return probabilities, labels


def expected(probabilities: Tensor, labels: Tensor, tables: Tensor, **options: Any) -> tuple[Tensor, ...]:
    """Value and gradients in probabilities, edge and interior by autograd in float64."""
    inputs = [x.double().requires_grad_() for x in (probabilities, *tables)]
    value = reference.affinity(inputs[0], labels, *inputs[1:], **options)
    return (value.detach(), *torch.autograd.grad(value, inputs))


def assert_close(got: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    """To float32's accuracy of the largest number of each result."""
    for result, exact in zip(got, wanted, strict=True):
        assert result.dtype == torch.float32
        assert result.shape == exact.shape
        torch.testing.assert_close(result.double(), exact, rtol=1e-5, atol=2e-6 * exact.abs().max().item())


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    kernel_sizes=st.lists(st.sampled_from([3, 5, 7, 9, 13, 21]), min_size=1, max_size=3, unique=True).map(tuple),
    pair_rule=st.sampled_from(["mirrored", "simple"]),
    weight_by=st.sampled_from(["label", "channel"]),
    alike=st.booleans(),
    margin=st.sampled_from([0.3, 3.0]),
    seed=st.integers(0, 99),
)
def test_every_option(
    shape: tuple[int, ...], kernel_sizes: tuple[int, ...], alike: bool, seed: int, **options: Any
) -> None:
    probabilities, labels = problem(shape, seed)
    generator = torch.Generator().manual_seed(seed)
    tables = torch.rand(2, len(kernel_sizes), 1 if alike else shape[1], generator=generator)
    options["kernel_sizes"] = kernel_sizes
    got = cpu.affinity(probabilities, labels, *tables, **options)
    assert_close(got, expected(probabilities, labels, tables, **options))


@pytest.mark.parametrize("block", [1, 300, 2048])
@pytest.mark.parametrize("pair_rule", ["mirrored", "simple"])
@pytest.mark.parametrize("weight_by", ["label", "channel"])
def test_pictures_of_many_blocks(block: int, pair_rule: str, weight_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last block has fewer rows; no cell of one block or picture is left in the next."""
    monkeypatch.setattr(cpu, "BLOCK", block)
    probabilities, labels = problem((3, 4, 53, 37))
    options = {"kernel_sizes": (3, 7), "margin": 3.0, "pair_rule": pair_rule, "weight_by": weight_by}
    tables = torch.rand(2, 2, 4)
    got = cpu.affinity(probabilities, labels, *tables, **options)
    assert_close(got, expected(probabilities, labels, tables, **options))


@pytest.mark.parametrize("weight_by", ["label", "channel"])
def test_the_number_of_threads_changes_no_bit(weight_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "BLOCK", 300)
    probabilities, labels = problem((2, 5, 40, 30))
    options: Any = {"kernel_sizes": (3, 5), "margin": 3.0, "pair_rule": "mirrored", "weight_by": weight_by}
    tables, results = torch.rand(2, 2, 5), []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        before = numba.get_num_threads()
        results.append(cpu.affinity(probabilities, labels, *tables, **options))
        assert numba.get_num_threads() == before
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_ordinary_steps_run_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 on the CPU takes the compiled form, whatever type the logits have; float64 the torch form."""
    ran = []
    form = cpu.affinity
    monkeypatch.setattr(cpu, "affinity", lambda *args, **options: ran.append(args[0].dtype) or form(*args, **options))
    logits, target = torch.randn(1, 3, 8, 8), torch.randint(0, 3, (1, 8, 8))
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        AffinityField()(logits.to(dtype), target)
        AdaptiveAffinityField(num_classes=3)(logits.to(dtype), target)
    assert ran == [torch.float32] * 4


@pytest.mark.parametrize("classes", [1, 3])
def test_a_nan_is_not_hidden(classes: int) -> None:
    """Also where it stands at an ignored pixel and in one channel only."""
    logits, target = torch.randn(2, classes, 9, 9), torch.randint(0, 2, (2, 9, 9))
    target[0, 4, 4] = 255
    logits[0, 0, 4, 4] = float("nan")
    assert AdaptiveAffinityField(num_classes=classes)(logits, target).isnan()
    assert AdaptiveAffinityField(num_classes=classes)(logits[1:], target[1:]).isfinite()


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_saturated_logits(value: float) -> None:
    """Probabilities of exactly 0 and 1: finite, and no slope where both are clipped."""
    logits = torch.zeros(1, 2, 8, 8)
    logits[:, 0, :, ::2] = value
    logits.requires_grad_()
    loss = AffinityField()(logits, torch.zeros(1, 8, 8, dtype=torch.int64))
    loss.backward()
    assert loss > 1
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("labels", "edge", "interior", "message"),
    [
        ((2, 5, 6), (2, 3), (2, 3), r"labels \(2, 5, 6\) are not \(B,h,w\) of probabilities \(2, 3, 6, 6\)"),
        ((2, 6, 6), (2, 2), (2, 2), r"table of weights \(2, 2\) is not \(K,1\) or \(K,C\) = \(2, 3\)"),
        ((2, 6, 6), (1, 3), (2, 3), r"table of weights \(1, 3\)"),
        ((2, 6, 6), (2, 3), (2, 1), r"table of weights \(2, 1\)"),
    ],
)
def test_shapes_that_would_leave_an_array(
    labels: tuple[int, ...], edge: tuple[int, ...], interior: tuple[int, ...], message: str, dtype: torch.dtype
) -> None:
    tensors = [torch.rand(shape, dtype=dtype) for shape in ((2, 3, 6, 6), edge, interior)]
    target = torch.zeros(labels, dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        affinity(tensors[0], target, *tensors[1:], kernel_sizes=(3, 5), margin=3.0, pair_rule="simple")


def test_no_picture() -> None:
    logits = torch.zeros(0, 3, 8, 8, requires_grad=True)
    loss = AdaptiveAffinityField(num_classes=3)(logits, torch.zeros(0, 8, 8, dtype=torch.int64))
    loss.backward()
    assert loss == 0


@pytest.mark.parametrize("pair_rule", ["mirrored", "simple"])
@pytest.mark.parametrize("size", [(9, 14), (1, 6), (4, 3)])
def test_counts_are_those_of_torch(size: tuple[int, int], pair_rule: str) -> None:
    _, labels = problem((3, 4, *size))
    options: Any = {"kernel_sizes": (3, 7, 5, 15), "pair_rule": pair_rule}
    assert torch.equal(pair_counts(labels, **options), pairs.pair_counts(labels, **options))


@pytest.mark.smoke
def test_the_loop_is_vectorised() -> None:
    """Compiled anew, as a function from the cache has no text, and without the logarithms, which are vectorised too."""
    probabilities, labels = problem((1, 2, 8, 8))
    cpu.affinity(
        probabilities,
        labels,
        *torch.rand(2, 1, 2),
        kernel_sizes=(3,),
        margin=3.0,
        pair_rule="mirrored",
        weight_by="label",
    )
    (signature,) = loops.affinity_blocks.signatures
    nothing = numba.njit(lambda *arguments: None)
    body = loops.affinity_blocks.py_func
    bare = types.FunctionType(body.__code__, {**body.__globals__, "lay_channel": nothing}, "bare")
    options = {
        key: loops.affinity_blocks.targetoptions[key] for key in ("parallel", "fastmath", "error_model", "nogil")
    }
    fresh = numba.njit(**options)(bare)
    fresh.compile(signature)
    code = "\n".join(fresh.inspect_asm().values())
    found = re.findall(VECTORS.get(platform.machine(), ""), code)  # on a processor not listed any text will do
    assert len(found) >= 4 * 7  # multiply-adds of four pairs


LOADER = """
import torch
from torch.utils.data import DataLoader, Dataset
from structseg.losses import AdaptiveAffinityField
from structseg.losses.kernels.counts import pair_counts

class Counted(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, place):
        labels = torch.full((1, 8, 8), place)
        return pair_counts(labels, kernel_sizes=(3,), pair_rule="simple")  # a compiled loop in a worker

def step():
    torch.manual_seed(0)
    logits, target = torch.randn(4, 3, 30, 30).requires_grad_(), torch.randint(0, 3, (4, 30, 30))
    loss = AdaptiveAffinityField(num_classes=3)(logits, target)
    loss.backward()
    return loss.item(), logits.grad.sum().item()

if __name__ == "__main__":
    torch.set_num_threads(1)
    step()
    assert torch.get_num_threads() == 1  # Numba started two threads: torch's number is not touched
    torch.set_num_threads(2)
    before = step()
    loader = DataLoader(Counted(), batch_size=None, num_workers=2, multiprocessing_context="forkserver")
    assert [counts[0, 1].item() for counts in loader] == [2 * (2 * 7 * 8 + 2 * 7 * 7)] * 4
    assert step() == before
"""


@pytest.mark.smoke
def test_before_and_after_loader_workers(tmp_path: Path) -> None:
    """Numba's threads do not outlive a fork: the workers come from a server that never had any."""
    script = tmp_path / "step.py"
    script.write_text(LOADER)
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
