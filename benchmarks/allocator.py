"""What keeping freed memory is worth: prediction and training steps with glibc's defaults and with `keep_memory`.

    python benchmarks/allocator.py

Each form runs in processes of its own, turn by turn; CPU time of one thread, median over the turns, and peak memory.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

TURNS = 3


def measure(keep: bool) -> None:
    """Seconds a picture and a step, and GiB at the peak, as JSON on one line."""
    import torch

    from structseg.cli import keep_memory
    from structseg.config import override
    from structseg.inference.predictor import Predictor
    from structseg.recipes import recipe
    from structseg.training.loop import run
    from structseg.training.parts import prepare, streams

    if keep:
        keep_memory()
    torch.set_num_threads(1)
    differences = ["data.options={size=[360,480],train=16,val=2,test=2}", "data.crop=[256,320]", "data.workers=0"]
    model = ["model.backbone=efficientnet_lite", "model.backbone_options={}", "model.head_options={width=64}"]
    parts = prepare(override(recipe("scenes_aaf"), [*differences, *model]))
    predictor = Predictor(parts.regime.model, parts.dataset.labels, scales=(0.75, 1.0, 1.25), mirror=True)
    sample = parts.dataset.read(parts.dataset.items("test")[0])

    def train() -> None:
        run(parts.state, parts.regime, streams(parts), device=parts.device, stop=parts.state.step + 1)

    found = {"predict": seconds(lambda: predictor.predict([sample.image]), 6), "train": seconds(train, 6)}
    found["gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(found))


def seconds(do: Callable[[], object], times: int) -> float:
    do()
    began = time.process_time()
    for _ in range(times):
        do()
    return (time.process_time() - began) / times


def main() -> None:
    results: dict[str, list[dict[str, float]]] = {"default": [], "kept": []}
    for _ in range(TURNS):
        for form in results:
            done = subprocess.run([sys.executable, __file__, form], capture_output=True, text=True, check=True)
            results[form].append(json.loads(done.stdout.splitlines()[-1]))
    for key in ("predict", "train", "gib"):
        default, kept = (statistics.median(row[key] for row in results[form]) for form in ("default", "kept"))
        print(f"{key:8} default {default:.3f}  kept {kept:.3f}  ratio {default / kept:.2f}")


if __name__ == "__main__":
    measure(sys.argv[1] == "kept") if len(sys.argv) > 1 else main()
