"""What do the ways to predict cost? Ratios by processor time of one thread, in turns within one run.

    python benchmarks/inference.py [--rounds 5] [--size 480] [--skip-networks]

1. Class ids straight from logits at the head's stride, against the two steps (enlarge, largest) and the three (with
   softmax), and the share of equal labels. Logits are random: the loop's time does not depend on them.
2. Networks in bfloat16 against float32. Weights are random: what half precision does to labels is tested on trained
   networks (tests/inference/test_precision.py) and printed here for a run folder given with --run.
3. Whole pictures at six scales and mirrored, against one scale, and against the released sliding window at the same
   scales, on a small network.
4. The peak of resident memory (Linux: VmHWM) of a fresh process that predicts one large picture, over that before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from structseg.config import ModelConfig
from structseg.inference.classes import enlarged_classes, most_probable
from structseg.inference.predictor import Predictor
from structseg.inference.whole import enlarge, logits
from structseg.models.segmenter import build
from structseg.types import Labels

CLASSES = 21
LABELS = Labels(tuple(f"c{place}" for place in range(CLASSES)), ((0, 0, 0),) * CLASSES, ())
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
SHAPES = (((21, 60, 60), (480, 480)), ((11, 90, 120), (360, 480)), ((19, 128, 256), (1024, 2048)))
NETWORKS = {
    "ResNet-18, stride 8": ModelConfig(backbone_options={"depth": 18, "output_stride": 8}),
    "ResNet-50, stride 8": ModelConfig(backbone_options={"depth": 50, "output_stride": 8}),
    "EfficientNet-Lite0, light head": ModelConfig(backbone="efficientnet_lite", head="top_down"),
}
SMALL = ModelConfig(backbone_options={"depth": 10, "width": 24}, head="top_down", head_options={"width": 48})
LARGE = (1024, 2048)
WAYS: dict[str, dict[str, Any]] = {
    "one scale": {},
    "six scales, mirror": {"scales": SCALES, "mirror": True},
    "the same, released 480/320": {
        "scales": SCALES,
        "mirror": True,
        "tiling": "released",
        "tile": 480,
        "stride": 320,
        "batch": 1,
    },
}


def in_turns(forms: Mapping[str, Callable[[], Any]], *, rounds: int) -> dict[str, float]:
    """Least processor seconds of each form, one after the other in every round; the first round only warms up."""
    seconds = dict.fromkeys(forms, float("inf"))
    for number in range(rounds + 1):
        for name, form in forms.items():
            start = time.process_time()
            form()
            if number:
                seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


def report(title: str, seconds: Mapping[str, float]) -> None:
    print(title)
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"  {name:<28} {1000 * value:9.1f} ms  {first / value:6.2f}x")


def classes(rounds: int) -> None:
    for shape, size in SHAPES:
        given = torch.randn(1, *shape)
        forms = {
            "softmax, largest": lambda given=given, size=size: most_probable(
                enlarge(given, size, stride=None).softmax(1)
            ),
            "enlarge, largest": lambda given=given, size=size: most_probable(enlarge(given, size, stride=None)),
            "one pass": lambda given=given, size=size: enlarged_classes(given, size),
        }
        equal = float((forms["one pass"]() == forms["enlarge, largest"]()).mean())
        title = f"classes of {shape} logits at {size[0]}x{size[1]}, {100 * equal:.4f} % of labels equal"
        report(title, in_turns(forms, rounds=max(rounds, 5)))


def network(config: ModelConfig) -> nn.Module:
    torch.manual_seed(0)
    layout: dict[str, Any] = {"memory_format": torch.channels_last}
    return build(config, CLASSES).to(**layout).eval()


def precision(rounds: int, size: int) -> None:
    image = torch.rand(1, 3, size, size) * 255
    for name, config in NETWORKS.items():
        model = network(config)
        forms = {
            kind: lambda kind=kind, model=model: logits(model, image, precision=kind)
            for kind in ("float32", "bfloat16")
        }
        with torch.inference_mode():
            report(f"{name}, {size}x{size}", in_turns(forms, rounds=rounds))


def agreement(run: Path) -> None:
    """What half precision does to the labels and scores of a trained run."""
    import structseg
    from structseg.data import open_format
    from structseg.inference.evaluate import count

    model = structseg.load(run)
    config = model.config
    data = open_format(config.data)
    items = data.items(config.data.test)
    images = [data.read(item).image for item in items]
    full, half = (Predictor(model, data.labels, precision=kind) for kind in ("float32", "bfloat16"))
    equal = np.mean([(a == b).mean() for a, b in zip(full.classes(images), half.classes(images), strict=True)])
    first, second = (100 * count(predictor, data, items, distances=()).miou() for predictor in (full, half))
    print(f"{run}: {100 * equal:.3f} % of labels equal, mIoU {first:.2f} in float32, {second:.2f} in bfloat16")


def ways(rounds: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    model = network(SMALL)
    forms = {
        name: lambda options=options: Predictor(model, LABELS, **options).classes([picture])
        for name, options in WAYS.items()
    }
    seconds = in_turns(forms, rounds=rounds)
    print("a picture of 375x500, small network; how many times the whole picture at one scale")
    for name, value in seconds.items():
        print(f"  {name:<28} {1000 * value:9.1f} ms  {value / seconds['one scale']:6.1f}x")
    whole, slid = (seconds[name] for name in list(WAYS)[1:])
    print(f"  whole pictures are {slid / whole:.2f}x faster than the sliding window at the same scales")


def memory() -> None:
    print(f"peak of memory for one picture of {LARGE[0]}x{LARGE[1]}, {CLASSES} classes, small network")
    for form in ("network alone", "classes", "probabilities", "six scales, mirror"):
        command = [sys.executable, __file__, "--memory-of", form]
        bytes_more = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        numbers = bytes_more / (4 * CLASSES * LARGE[0] * LARGE[1])
        print(f"  {form:<28} {bytes_more / 2**20:9.0f} MB = {numbers:5.2f} x probabilities")


def measure_own_memory(form: str) -> int:
    model = network(SMALL)
    options = WAYS.get(form, {})
    predictor = Predictor(model, LABELS, **options)
    predictor.classes([np.zeros((64, 64, 3), np.uint8)])  # loads code
    picture = np.zeros((*LARGE, 3), np.uint8)
    before = peak()
    if form == "network alone":
        with torch.inference_mode():
            logits(model, torch.from_numpy(picture).permute(2, 0, 1)[None].float())
    elif form == "probabilities":
        predictor.predict([picture])
    else:
        predictor.classes([picture])
    return peak() - before


def peak() -> int:
    status = Path("/proc/self/status").read_text()
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=480, help="side of the picture for the networks")
    parser.add_argument("--skip-networks", action="store_true", help="only what takes seconds")
    parser.add_argument("--run", type=Path, help="a trained run to compare both precisions on")
    parser.add_argument("--memory-of")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory_of:
        print(measure_own_memory(arguments.memory_of))
        return
    classes(arguments.rounds)
    if not arguments.skip_networks:
        precision(arguments.rounds, arguments.size)
        ways(arguments.rounds)
        memory()
    if arguments.run:
        agreement(arguments.run)


if __name__ == "__main__":
    main()
