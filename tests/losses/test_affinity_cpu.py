"""The compiled loops against the readable form; as operators of torch; vectorised; beside loader processes."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit
from support import ROOT
from torch import Tensor

from structseg.losses import AdaptiveAffinityField, AffinityField
from structseg.losses.kernels import affinity, cpu, pair_counts, pairs, reference

SHAPES = {
    "alike": (3, 1, 1, 1, 1),
    "by picture": (3, 2, 1, 1, 1),
    "by pixel": (3, 2, 1, 11, 13),
    "by channel": (3, 1, 4, 1, 1),
    "by element": (3, 2, 4, 11, 13),  # which the loops leave to the form in torch
}


def problem(classes: int = 4, size: tuple[int, int] = (11, 13)) -> tuple[Tensor, Tensor]:
    """Float32 probabilities, some beyond the clip, and labels with holes."""
    logits = 5 * torch.randn(2, classes, *size)
    labels = torch.randint(-1, max(classes, 2), (2, -(-size[0] // 3), size[1])).repeat_interleave(3, 1)[:, : size[0]]
    return (logits.softmax(1) if classes > 1 else logits.sigmoid()).requires_grad_(), labels.contiguous()


def slopes(form: Any, probabilities: Tensor, labels: Tensor, maps: list[Tensor], **options: Any) -> list[Tensor]:
    value = form(probabilities, labels, *maps, **options)
    return [value.detach(), *torch.autograd.grad(3 * value, (probabilities, *maps))]


@pytest.mark.parametrize("pair_rule", ["mirrored", "simple"])
@pytest.mark.parametrize("kernel_sizes", [(3, 5, 7), (7, 3, 29)], ids=str)  # 29 reaches beyond the map
@pytest.mark.parametrize("weights", SHAPES)
@pytest.mark.parametrize("cells", [2**20, 1], ids=["all channels", "channel by channel"])
def test_the_loops_are_the_reference(
    weights: str, kernel_sizes: tuple[int, ...], pair_rule: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "CELLS", cells)
    probabilities, labels = problem()
    maps = [torch.rand(SHAPES[weights]).requires_grad_() for _ in range(2)]
    options: dict[str, Any] = {"kernel_sizes": kernel_sizes, "margin": 2.5, "pair_rule": pair_rule}
    wide = [one.detach().double().requires_grad_() for one in (probabilities, *maps)]
    expected = slopes(reference.affinity, wide[0], labels, wide[1:], **options)
    for got, wanted in zip(slopes(affinity, probabilities, labels, maps, **options), expected, strict=True):
        assert got.dtype == torch.float32
        assert got.shape == wanted.shape
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize(("classes", "size"), [(1, (9, 9)), (2, (1, 12)), (3, (5, 1)), (3, (1, 1)), (21, (16, 40))])
def test_few_channels_and_thin_maps(classes: int, size: tuple[int, int]) -> None:
    probabilities, labels = problem(classes, size)
    maps = [torch.rand(3, 2, 1, *size).requires_grad_() for _ in range(2)]
    options: dict[str, Any] = {"kernel_sizes": (3, 5, 7), "margin": 3.0, "pair_rule": "simple"}
    wide = [one.detach().double().requires_grad_() for one in (probabilities, *maps)]
    expected = slopes(reference.affinity, wide[0], labels, wide[1:], **options)
    for got, wanted in zip(slopes(affinity, probabilities, labels, maps, **options), expected, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("pair_rule", ["mirrored", "simple"])
def test_pairs_are_counted_exactly(pair_rule: str) -> None:
    for size in ((11, 13), (1, 9), (4, 4)):
        labels = problem(size=size)[1]
        options: dict[str, Any] = {"kernel_sizes": (3, 9, 5), "pair_rule": pair_rule}
        torch.testing.assert_close(pair_counts(labels, **options), pairs.pair_counts(labels, **options))


def test_threads_do_not_matter() -> None:
    """Bit for bit: the order of every sum is fixed by the shapes."""
    probabilities, labels = problem(size=(33, 29))
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            for shape in ((3, 2, 1, 33, 29), (3, 1, 4, 1, 1)):
                maps = [torch.full(shape, 0.3).requires_grad_() for _ in range(2)]
                found.append(
                    slopes(
                        affinity, probabilities, labels, maps, kernel_sizes=(3, 5, 7), margin=3.0, pair_rule="simple"
                    )
                )
        finally:
            torch.set_num_threads(1)
    for one, two in zip(found[:2], found[2:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_torch_keeps_its_number_of_threads() -> None:
    """Numba starts its own on the first call of a process."""
    script = """
import torch
from structseg.losses import AffinityField
torch.set_num_threads(1)
AffinityField()(torch.randn(1, 3, 8, 8), torch.ones(1, 8, 8, dtype=torch.int64))
assert torch.get_num_threads() == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_is_not_finite_shows() -> None:
    """Even where no pair counts."""
    logits = torch.randn(1, 3, 8, 8)
    logits[0, 1, 2, 2] = float("nan")
    for target in (torch.full((1, 8, 8), 255), torch.randint(0, 3, (1, 8, 8))):
        assert AffinityField()(logits, target).isnan()


@pytest.mark.filterwarnings("ignore")  # of torch's own checks
def test_as_operators_of_torch() -> None:
    probabilities, labels = problem()
    for shape in ((3, 2, 1, 11, 13), (3, 1, 4, 1, 1)):
        maps = [torch.rand(shape).requires_grad_() for _ in range(2)]
        tests = ("test_schema", "test_autograd_registration", "test_faketensor")
        given = (probabilities, labels, *maps, [3, 5, 7], 3.0, True)
        assert set(torch.library.opcheck(cpu.affinity.default, given, test_utils=tests).values()) == {"SUCCESS"}
    checked = torch.library.opcheck(
        cpu.pair_counts.default, (labels, [3, 5], True), test_utils=("test_schema", "test_faketensor")
    )
    assert set(checked.values()) == {"SUCCESS"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch.compile's own doing
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_one_graph_of_model_and_loss(backend: str) -> None:
    model, loss = torch.nn.Conv2d(3, 4, 3, padding=1), AdaptiveAffinityField(num_classes=4)
    image, target = torch.randn(2, 3, 12, 12), torch.randint(0, 4, (2, 12, 12))
    parameters = [*model.parameters(), *loss.parameters()]

    def step(image: Tensor) -> Tensor:
        value: Tensor = loss(model(image), target)
        return value

    expected = step(image)
    value = torch.compile(step, backend=backend, fullgraph=True)(image)
    torch.testing.assert_close(value, expected)
    for got, wanted in zip(
        torch.autograd.grad(value, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(got, wanted)


def test_the_inner_loop_is_vectorised() -> None:
    """Multiply-adds on vector registers, in the same source compiled without threads and without the cache."""
    from structseg.losses.kernels import loops

    code = njit(fastmath={"contract"}, error_model="numpy")(loops.affinity_rows.py_func)
    plane, line = np.full((2, 400), 0.5, np.float32), np.zeros((3, 400), np.float32)
    step = np.array([[1, 19, 20, 21]] * 3, np.int64)
    code(
        *(plane,) * 6, np.zeros(400, np.int32), np.arange(2, dtype=np.int32), np.zeros((24, 400), np.float32),
        line, line,
        np.ones((3, 2), np.float32), np.ones((3, 2), np.float32), step, np.array([4, 5, 6, 7]), np.float32(3),
        np.array([100, 200]), False, np.zeros_like(plane), line.copy(), line.copy(), np.zeros((1, 2, 3, 2)),
    )  # fmt: skip
    text = "\n".join(code.inspect_asm().values())
    arm = platform.machine() in ("arm64", "aarch64")
    assert re.search(r"fml[as]\s+v\d+\.4s" if arm else r"vfn?m(add|sub)\w*ps\s.*%[yz]mm", text)


SCRIPT = """
import torch
from structseg.data import open_format
from structseg.data.loader import Augmentation, batches
from structseg.losses import AdaptiveAffinityField
from structseg.recipes import read

def main():
    torch.set_num_threads(2)
    config = read("scenes_aaf", ["data.options={size=[32,48],train=4,val=2,test=2}", "data.crop=[32,32]"])
    source = open_format(config.data)
    loss = AdaptiveAffinityField(num_classes=source.labels.num_classes)
    crops = Augmentation(crop=(32, 32), scale=(0.8, 1.2), mirror=True, jitter=0.0)
    stream = batches(source, source.items("train"), seed=0, stream="labeled", batch=2, start=0, stop=3,
                     augmentation=crops, workers=2)
    logits = torch.randn(2, source.labels.num_classes, 32, 32)
    labels = torch.zeros(2, 32, 32, dtype=torch.int64)
    before = loss(logits, labels)
    for batch in stream:
        assert loss(logits, batch.target.long()).isfinite()
    assert loss(logits, labels) == before
    print("done")

if __name__ == "__main__":
    main()
"""


@pytest.mark.smoke
def test_parallel_loops_before_and_beside_loader_processes(tmp_path: Any) -> None:
    """Forked after a parallel loop, a process aborts in its own: workers come from a clean server."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.returncode) == ("done", 0), done.stderr
