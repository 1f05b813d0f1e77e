"""What does adaptive affinity fields add to a training step?

    python benchmarks/training_step.py [--rounds 5]

EfficientNet-Lite0 (random weights, frozen norms) with the top-down head at stride 4, eight crops of 256x320, 11
classes, AdamW, one CPU thread: class-weighted cross-entropy alone, and with the fields of 3x3, 5x5 and 7x7, in
turn in one process; the least process time of the rounds. Then with logits at stride 8.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn

from structseg.config import ModelConfig
from structseg.losses import AdaptiveAffinityField, CrossEntropy
from structseg.models import build

CLASSES = 11


def step(
    model: nn.Module, losses: list[nn.Module], image: Tensor, target: Tensor, optimizer: torch.optim.Optimizer
) -> float:
    start = time.process_time()
    logits = model(image).logits
    torch.autograd.backward(sum((loss(logits, target) for loss in losses), logits.new_zeros(())))
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for stride in (4, 8):
        config = ModelConfig(
            backbone="efficientnet_lite", head="top_down", head_options={"stride": stride}, freeze_norm=True
        )
        model = build(config, CLASSES).to(memory_format=torch.channels_last).train()
        image = torch.rand(8, 3, 256, 320).mul(255)
        target = torch.randint(0, CLASSES, (8, 32, 40)).repeat_interleave(8, 1).repeat_interleave(8, 2)
        plain, field = CrossEntropy(), AdaptiveAffinityField(num_classes=CLASSES)
        optimizer = torch.optim.AdamW([*model.parameters(), *field.parameters()], lr=1e-5)
        least = [float("inf")] * 2
        for _ in range(rounds + 1):
            for place, losses in enumerate(([plain], [plain, field])):
                least[place] = min(least[place], step(model, losses, image, target, optimizer))
        print(f"stride {stride}: {least[0]:.3f} s a step, with the field {least[1]:.3f} s: {least[1] / least[0]:.3f} x")


if __name__ == "__main__":
    main()
