"""How fast, and in how little memory, is the affinity loss next to the usual one of unfold, stack and gather?

    python benchmarks/affinity.py [--problem 8,21,60 --problem 1,21,480 --rounds 3]

A problem is batch, classes, height = width of the logits. All forms compute the adaptive affinity loss of kernel sizes
3, 5, 7 with all gradients, on the CPU with one thread, in turn in one process; the time is process time, the least of
the rounds, compilation left out. Memory is the growth of the peak resident size (Linux: VmHWM) of a fresh process for
each, over the peak before the loss, in multiples of the probabilities. Op by op, the problem of 480 takes 8 GB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from structseg.losses import AdaptiveAffinityField
from structseg.losses.kernels import cpu, fused

CLIP = 1e-4


def op_by_op(logits: Tensor, target: Tensor, loss: AdaptiveAffinityField) -> Tensor:
    """The loss as ports of the released code write it: eight neighbours stacked, clip, log, boolean selection."""
    classes = logits.shape[1]
    probabilities = logits.softmax(1)
    one_hot = F.one_hot(target.clamp(max=classes), classes + 1).movedim(-1, 1)[:, :classes]
    total = logits.new_zeros(())
    for kernel, size in enumerate(loss.kernel_sizes):
        neighbours = _stack(probabilities, size, 0)
        near = _stack(one_hot, size, 0)
        dropped = _stack((target >= classes)[:, None].long(), size, 1).bool()
        dropped = dropped | dropped.flip(-1) | (target >= classes)[:, None, :, :, None]
        keep = ~dropped.expand_as(near)
        edge = (near != one_hot[..., None]) & keep
        interior = (near == one_hot[..., None]) & keep
        centre = probabilities[..., None].expand_as(neighbours)
        kl = torch.zeros_like(centre)
        for there, here in ((neighbours, centre), (1 - neighbours, 1 - centre)):
            there, here = there.clamp(CLIP, 1), here.clamp(CLIP, 1)
            kl = kl + there * (there / here).log()
        for chosen, values, table in (
            (edge, (loss.margin - kl).relu(), loss.edge_logits),
            (interior, kl, loss.interior_logits),
        ):
            weight = table.softmax(1)[target.clamp(max=classes - 1), kernel][:, None, :, :, None].expand_as(kl)
            total = total + (weight[chosen] * values[chosen]).mean()
    return total


def _stack(values: Tensor, size: int, outside: int) -> Tensor:
    """(B,C,h,w) -> (B,C,h,w,8): the eight neighbours at the distance of the kernel."""
    distance, (height, width) = size // 2, values.shape[-2:]
    padded = F.pad(values, [distance] * 4, value=outside)
    starts = [
        (y, x) for y in (0, distance, 2 * distance) for x in (0, distance, 2 * distance) if y != x or x != distance
    ]
    return torch.stack([padded[..., y : y + height, x : x + width] for y, x in starts], dim=-1)


def problem(batch: int, classes: int, size: int) -> tuple[Tensor, Tensor, AdaptiveAffinityField]:
    """Random logits over a target of square objects ten cells wide, some cells ignored."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, classes, (batch, size // 10 + 1, size // 10 + 1), generator=generator)
    target = target.repeat_interleave(10, 1).repeat_interleave(10, 2)[:, :size, :size].contiguous()
    target[:, ::17, ::13] = 255
    logits = torch.randn(batch, classes, size, size, generator=generator).requires_grad_()
    return logits, target, AdaptiveAffinityField(num_classes=classes, ascent=False)


def compiled(logits: Tensor, target: Tensor, loss: AdaptiveAffinityField) -> Tensor:
    value: Tensor = loss(logits, target)
    return value


def in_torch(logits: Tensor, target: Tensor, loss: AdaptiveAffinityField) -> Tensor:
    """The loss as it runs on other devices: the sums by torch in place of the compiled loops."""
    form, cpu.affinity = cpu.affinity, fused.affinity
    try:
        return compiled(logits, target, loss)
    finally:
        cpu.affinity = form


FORMS: dict[str, Callable[[Tensor, Tensor, AdaptiveAffinityField], Tensor]] = {
    "op by op": op_by_op,
    "torch": in_torch,
    "compiled": compiled,
}
CALLS = {
    "op by op": 1,
    "torch": 2,
    "compiled": 5,
}  # in a round: the slow one leaves the memory of the process in disorder


def peak_memory(form: str, shape: str) -> int:
    """Bytes by which the peak of a fresh process grows in one forward and backward."""
    command = [sys.executable, __file__, "--problem", shape, "--memory-of", form]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure_own_memory(form: str, shape: str) -> int:
    batch, classes, size = map(int, shape.split(","))
    torch.autograd.backward(FORMS[form](*problem(1, classes, 20)))  # loads code and sets up the threads
    logits, target, loss = problem(batch, classes, size)
    before = _peak()
    torch.autograd.backward(FORMS[form](logits, target, loss))
    return _peak() - before


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def compare(shape: str, rounds: int) -> None:
    """Time all forms in turn, then their memory, and print both."""
    batch, classes, size = map(int, shape.split(","))
    logits, target, loss = problem(batch, classes, size)
    seconds, values = dict.fromkeys(FORMS, float("inf")), {}
    torch.autograd.backward(compiled(*problem(1, classes, 20)))
    for _ in range(rounds):
        for name, form in FORMS.items():
            for _ in range(CALLS[name]):
                start = time.process_time()
                value = form(logits, target, loss)
                torch.autograd.backward(value)
                seconds[name] = min(seconds[name], time.process_time() - start)
            values[name] = value.item()
    memory = {name: peak_memory(name, shape) for name in FORMS}
    probabilities = logits.numel() * logits.element_size()
    print(f"adaptive affinity loss with gradients, logits {tuple(logits.shape)}, one CPU thread")
    for name in FORMS:
        print(
            f"  {name:9} {1e3 * seconds[name]:9.1f} ms {memory[name] / 2**20:9.1f} MB = "
            f"{memory[name] / probabilities:6.1f} x probabilities, loss {values[name]:.7f}"
        )
    for name, other in (("compiled", "op by op"), ("compiled", "torch"), ("torch", "op by op")):
        print(
            f"  {name} is {seconds[other] / seconds[name]:.1f} x faster than {other} "
            f"and takes {memory[other] / max(memory[name], 1):.1f} x less memory"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", action="append", metavar="B,C,S")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-of", choices=FORMS)
    arguments = parser.parse_args()
    problems = arguments.problem or ["8,21,60", "1,21,480"]
    torch.set_num_threads(1)
    if arguments.memory_of:
        print(_measure_own_memory(arguments.memory_of, problems[0]))
        return
    for shape in problems:
        compare(shape, arguments.rounds)


if __name__ == "__main__":
    main()
