"""What does the adaptive affinity field add to a training step on the CPU?

    python benchmarks/training_step.py [--rounds 7 --backbone efficientnet_lite --threads 1]

EfficientNet-Lite0 with the top-down head (stride 4), 8 pictures of 256x320, 11 classes, random weights: forward,
cross-entropy, backward and the step of SGD, without and with the field of kernel sizes 3, 5, 7 and its learned weights.
Both run in turn in one process, first the one, then the other first; printed are the medians of process time, the
median of the ratios of neighbours, and the share of the field measured by itself.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from structseg.config import ModelConfig
from structseg.losses import AdaptiveAffinityField, CrossEntropy
from structseg.models.segmenter import build

BATCH, CLASSES, HEIGHT, WIDTH = 8, 11, 256, 320


def step(
    model: nn.Module, losses: list[nn.Module], optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]
) -> float:
    """Process seconds of one training step."""
    start = time.process_time()
    image, target = batch
    logits = model(image).logits
    optimizer.zero_grad()
    torch.stack([loss(logits, target) for loss in losses]).sum().backward()
    optimizer.step()
    return time.process_time() - start


def alone_seconds(field: nn.Module, logits: Tensor, target: Tensor, rounds: int) -> float:
    """Process seconds of the field's value and gradients, the median."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        field(logits, target).backward()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backbone", default="efficientnet_lite")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = build(ModelConfig(backbone=arguments.backbone, head="top_down"), CLASSES).train()
    target = torch.randint(0, CLASSES, (BATCH, HEIGHT // 32, WIDTH // 32))
    target = target.repeat_interleave(32, 1).repeat_interleave(32, 2)
    batch = torch.randint(0, 256, (BATCH, 3, HEIGHT, WIDTH), dtype=torch.uint8), target
    field = AdaptiveAffinityField(num_classes=CLASSES)
    optimizer = torch.optim.SGD([*model.parameters(), *field.parameters()], lr=0.001, momentum=0.9)
    plain: list[nn.Module] = [CrossEntropy()]
    with_field: list[nn.Module] = [*plain, field]
    seconds = []
    for number in range(arguments.rounds + 1):
        order = (plain, with_field) if number % 2 else (with_field, plain)
        times = [step(model, losses, optimizer, batch) for losses in order]
        seconds.append(times if number % 2 else times[::-1])
    without, together = (statistics.median(times) for times in zip(*seconds[1:], strict=True))  # the first one compiles
    ratios = [b / a for a, b in seconds[1:]]
    alone = alone_seconds(field, model(batch[0]).logits.detach().requires_grad_(), target, arguments.rounds)
    print(
        f"training step of {arguments.backbone}, top-down head, {BATCH} pictures of {HEIGHT}x{WIDTH}, {CLASSES} classes"
    )
    print(f"  cross-entropy               {1e3 * without:8.0f} ms")
    print(f"  with adaptive affinity field {1e3 * together:7.0f} ms")
    print(f"  ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")
    print(f"  the field by itself {1e3 * alone:.1f} ms = {alone / without:.3f} of a step")


if __name__ == "__main__":
    main()
