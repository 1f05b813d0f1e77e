"""What does each loss cost? Forward and backward of all of structseg/losses as ratios to cross-entropy.

    python benchmarks/losses.py [--problem 8,11,64,80 --features 64 --rounds 7]

A problem is batch, classes, height, width of the logits: random ones over a target of square objects, some cells
ignored. All run on the CPU with one thread, in turn in one process; the time is process time, the least of the rounds,
compilation left out. A loss of features gets as many channels as `--features` says. Ratios travel between machines,
milliseconds do not.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from torch import Tensor

from structseg import build


def problem(batch: int, classes: int, height: int, width: int, features: int) -> tuple[dict[str, Tensor], Tensor]:
    """What the losses take, and a target."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, classes, (batch, height // 10 + 1, width // 10 + 1), generator=generator)
    target = target.repeat_interleave(10, 1).repeat_interleave(10, 2)[:, :height, :width].contiguous()
    target[:, ::17, ::13] = 255
    channels = {"logits": classes, "features": features}
    inputs = {
        name: torch.randn(batch, depth, height, width, generator=generator).requires_grad_()
        for name, depth in channels.items()
    }
    return inputs, target


def measure(losses: dict[str, Any], inputs: dict[str, Tensor], target: Tensor, rounds: int) -> dict[str, float]:
    """Least seconds of each loss, all in turn; the first round only warms up."""
    seconds = dict.fromkeys(losses, float("inf"))
    for turn in range(rounds + 1):
        for name, loss in losses.items():
            read = inputs[getattr(loss, "takes", "logits")]
            start = time.process_time()
            torch.autograd.grad(loss(read, target), read)
            if turn:
                seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", default="8,11,64,80", metavar="B,C,H,W")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    batch, classes, height, width = map(int, arguments.problem.split(","))
    inputs, target = problem(batch, classes, height, width, arguments.features)
    losses = {name: build.create("losses", name, {}, num_classes=classes) for name in build.names("losses")}
    seconds = measure(losses, inputs, target, arguments.rounds)
    plain = seconds["cross_entropy"]
    print(f"forward and backward, logits ({arguments.problem}), features {arguments.features} deep, one CPU thread")
    print(f"cross_entropy takes {1e3 * plain:.1f} ms; the others, in multiples of it:")
    for name, value in sorted(seconds.items(), key=lambda item: item[1]):
        print(f"  {name:24} {value / plain:6.1f}")


if __name__ == "__main__":
    main()
