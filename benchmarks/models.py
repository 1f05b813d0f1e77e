"""A training step of two networks: bfloat16 against float32, channels last against first, stages frozen or not.

    OMP_NUM_THREADS=1 python benchmarks/models.py

ResNet-18 at output stride 8 with pyramid pooling, four crops of 224x224, is ruled by its convolutions;
EfficientNet-Lite0 with the top-down head, eight of 256x320, by memory. Random weights and pictures. The ways take turns
step by step; printed are the least processor seconds of each and how often it fits into the first one's. bfloat16 pays
where the processor has instructions for it (avx512_bf16 or amx in lscpu), and is left out where torch has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from structseg import models
from structseg.config import ModelConfig
from structseg.losses import CrossEntropy

ROUNDS = 4
CLASSES = 11
RESNET = ModelConfig(backbone_options={"depth": 18, "output_stride": 8}, head="psp")
LITE = ModelConfig(backbone="efficientnet_lite", head="top_down", head_options={"width": 64}, freeze_norm=True)


def stepper(
    config: ModelConfig, size: tuple[int, int, int], *, last: bool = True, low: bool = False, freeze: int = 0
) -> Callable[[], float]:
    """A function that makes one step and returns its processor seconds; `size` is batch, height, width."""
    torch.manual_seed(0)
    batch, height, width = size
    whole: Any = models.build(config, CLASSES)
    model = models.Segmenter(whole.backbone, whole.head, freeze_norm=config.freeze_norm, freeze_stages=freeze).train()
    if last:
        model.to(memory_format=torch.channels_last)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9)
    image = torch.randint(0, 256, (batch, 3, height, width)).float()
    target = torch.randint(0, CLASSES, (batch, height, width))
    loss = CrossEntropy()

    def step() -> float:
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            value = loss(model(image).logits, target)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - began

    return step


def compare(title: str, ways: dict[str, Callable[[], float]]) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, step in ways.items():
            spent = step()
            if turn:  # the first one warms up
                seconds[name].append(spent)
    base = min(next(iter(seconds.values())))
    print(title)
    for name, values in seconds.items():
        print(f"  {name:34} {min(values):7.3f} s   {base / min(values):5.2f}x")


def has_bfloat16() -> bool:
    has: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not has:
        print("bfloat16 is left out: this processor has no instructions for it")
    return has


def main() -> None:
    for title, config, size in (
        ("ResNet-18, stride 8, psp, 4 x 224x224", RESNET, (4, 224, 224)),
        ("EfficientNet-Lite0, top_down, 8 x 256x320", LITE, (8, 256, 320)),
    ):
        ways = {
            f"{kind}, {order}": stepper(config, size, last=order == "channels last", low=kind == "bfloat16")
            for kind in (("float32", "bfloat16") if has_bfloat16() else ("float32",))
            for order in ("channels first", "channels last")
        }
        compare(title, ways)
    frozen = {f"{count} stages frozen": stepper(LITE, (8, 256, 320), freeze=count) for count in (0, 1, 2, 3, 5)}
    compare("EfficientNet-Lite0, top_down, float32, channels last", frozen)


if __name__ == "__main__":
    main()
