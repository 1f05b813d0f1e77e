"""A run that is not made: everything is checked and built, a few steps are timed, nothing is written."""

from __future__ import annotations

import resource
import sys
import time

import torch

from structseg.config import Config
from structseg.console import duration
from structseg.training.loop import Record, run
from structseg.training.parts import Parts, prepare, quick_scores, split_of, streams
from structseg.training.state import State

_STEPS = 6  # the first one also warms caches up and is not counted


def dry_run(config: Config, *, device: str = "auto") -> str:
    """Steps, memory and a time estimate for `config`, as text."""
    parts = prepare(config, device=device)
    seconds: list[float] = []

    def note(state: State, record: Record) -> None:
        seconds.append(record.seconds)

    run(parts.state, parts.regime, streams(parts), device=parts.device, hooks=[note], stop=_STEPS)
    step = sum(seconds[1:]) / len(seconds[1:]) if len(seconds) > 1 else seconds[0]
    picture = _picture_seconds(parts)
    rounds = -(-config.optim.steps // config.evaluation.every) if config.evaluation.every else 0  # the last step too
    val = len(parts.dataset.items(config.data.val)) if rounds else 0
    final = len(parts.dataset.items(split_of(config)))
    total = step * config.optim.steps + picture * (rounds * val + final)
    size = config.optim.batch * config.optim.accumulate
    lines = [
        f"pictures    {len(parts.items)} to train on, {val} at each of {rounds} evaluations, {final} at the end",
        f"model       {_parameters(parts)} on {parts.device}",
        f"steps       {config.optim.steps} of {size} pictures, {step:.2f} s each",
        f"memory      {_memory(parts.device) / 2**30:.2f} GiB at the peak",
        f"time        about {duration(total)}",
        *parts.warnings,
        "nothing was written (--dry-run)",
    ]
    return "\n".join(lines)


def _parameters(parts: Parts) -> str:
    """Millions of the model, and of what is trained beside it."""
    text = f"{parts.about['parameters'] / 1e6:.2f} M parameters"
    for name, module in parts.state.trained.items():
        if name not in ("model", "losses"):
            text += f", {name} {sum(p.numel() for p in module.parameters()) / 1e6:.2f} M"
    return text


def _picture_seconds(parts: Parts) -> float:
    """Seconds to predict and count one picture, from the first few of the final split."""
    items = parts.dataset.items(split_of(parts.config))[:4]
    start = time.perf_counter()
    quick_scores(parts, parts.state.kept, items)
    return (time.perf_counter() - start) / len(items)


def _memory(device: torch.device) -> float:
    """Peak bytes: of the device where it has its own memory, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
