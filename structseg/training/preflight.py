"""What can be known to go wrong before the first step: labels of every split that the run reads, memory of evaluation.

Samples are read in an order that begins with an even spread and is the same for every run: at least `LEAST` of each
split, then more for as long as `SHARE` of the run's estimated time lasts, and never longer than `SECONDS`. Nothing of
it reaches the run: no random number is drawn, nothing is written. Pictures that are drawn when they are read cannot be
broken, and `LEAST` of them are enough.

The memory of evaluation is a lower bound, so that an error is certain and its absence is not: the most that one layer
of the network reads and writes (B,D,h,w), or, where probabilities are made at the picture's own size (tiles, scales,
mirror), COPIES arrays (B,C,H,W) of them: logits, probabilities and one on the way; on accelerators logits alone, else.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from structseg.config import InferenceConfig
from structseg.data.check import SplitCheck
from structseg.data.formats import Format
from structseg.errors import ConfigError

LEAST = 16  # samples of each split
SHARE = 0.05  # of the run's estimated time
SECONDS = 60.0
COPIES = 3
LATTICES = 36  # numbers a pixel: nine corners and their weights, twice while two lattices become one
_AT_ONCE = 16


class Preflight:
    """The samples of `splits`, read a few at a time; raises DataError for what would stop the run."""

    def __init__(self, source: Format, splits: Sequence[str]) -> None:
        self.source = source
        self.checks = {split: SplitCheck(source, split) for split in splits}
        for check in self.checks.values():
            check.look(LEAST)
            check.refuse_unlabelled()

    def go_on(self, run_seconds: float) -> None:
        """Read more, the splits in turn, within the budget of a run that takes `run_seconds`."""
        if self.source.origin:
            return
        until = time.perf_counter() + min(SECONDS, SHARE * run_seconds)
        waiting = list(self.checks.values())
        while waiting and time.perf_counter() < until:
            for check in waiting:
                check.look(_AT_ONCE, until=until)
            waiting = [check for check in waiting if check.looked < len(check.items)]

    def warnings(self, train: str) -> tuple[str, ...]:
        """One line for each thing that will not stop the run and should be known: classes absent from training.

        Only where every mask was looked at, for a rare class is easily missed in a few.
        """
        check, labels = self.checks[train], self.source.labels
        if check.looked < len(check.items):
            return ()
        absent = [name for name, pixels in zip(labels.names, check.pixels.tolist(), strict=False) if not pixels]
        if not absent:
            return ()
        named = ", ".join(absent[:6]) + (f" and {len(absent) - 6} more" if len(absent) > 6 else "")
        return (f"warning: {named}: in no mask of split '{train}', so that nothing is learned of it",)

    def largest(self, splits: Sequence[str]) -> tuple[int, int]:
        """Height and width of the largest picture that was looked at in these splits."""
        return max((self.checks[split].largest for split in splits), key=math.prod)


@contextmanager
def widest_layer(model: nn.Module) -> Iterator[list[int]]:
    """Notes in the list how many values each layer reads and writes in the forward passes made meanwhile."""
    seen: list[int] = []

    def note(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        seen.append(sum(one.numel() for one in (*inputs, output) if isinstance(one, torch.Tensor)))

    layers = [module for module in model.modules() if not any(module.children())]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def refuse_too_large(
    size: tuple[int, int], classes: int, inference: InferenceConfig, device: torch.device, *, per_pixel: float
) -> None:
    """Raise ConfigError where evaluating pictures of this (height, width) cannot fit into the memory that is free.

    `per_pixel`: values that the widest layer reads and writes for a pixel of the picture.
    """
    free = free_memory(device)
    if free is None:
        return

    def need(settings: InferenceConfig) -> int:
        return evaluation_memory(size, classes, settings, device, per_pixel=per_pixel)

    if need(inference) <= free:
        return
    tries = ("inference.batch=1", 1, inference.tile), ("inference.tile=512 inference.batch=1", 1, 512)
    fitting = (text for text, batch, tile in tries if need(replace(inference, batch=batch, tile=tile)) <= free)
    advice = next(fitting, "inference.tile=256 inference.batch=1, and free some memory")
    raise ConfigError(
        f"inference: evaluating a picture of {size[1]}x{size[0]} with {classes} classes needs at least "
        f"{need(inference) / 2**30:.1f} GiB (inference.batch = {inference.batch}, inference.tile = {inference.tile}), "
        f"and {free / 2**30:.1f} GiB are free; set {advice}"
    )


def evaluation_memory(
    size: tuple[int, int], classes: int, inference: InferenceConfig, device: torch.device, *, per_pixel: float
) -> int:
    """Bytes that predicting pictures of this (height, width) takes at least; `per_pixel` as above."""
    first = inference.longest / max(size) if inference.longest else 1.0
    scaled = tuple(round(first * max(inference.scales) * side) for side in size)
    part = tuple(min(inference.tile or side, side) for side in scaled)
    pixels = inference.batch * part[0] * part[1]  # that go through the network at once
    network = int(pixels * per_pixel * (2 if inference.precision == "bfloat16" else 4))
    several = len(inference.scales) > 1 or inference.mirror or inference.crf or inference.longest > 0
    if device.type == "cpu" and not (inference.tile or several):
        return network
    copies = COPIES if inference.tile or several else 1
    beside = 0  # arrays of the whole picture; tiles are put together, and a CRF works, on the CPU
    if device.type == "cpu" or not inference.tile:
        beside += ((inference.tile > 0) + several) * classes * (1 if inference.tile else inference.batch)
    if device.type == "cpu" and inference.crf:
        beside += LATTICES + 3 * classes
    return max(network, copies * 4 * classes * pixels) + beside * 4 * size[0] * size[1]


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where that cannot be known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        return None
    found = [_system_free(), _group_free()]
    return min((value for value in found if value is not None), default=None)


def _system_free() -> int | None:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _group_free() -> int | None:
    """Of a container, where it has a limit; copies of files in memory, which the system gives back, count as free."""
    limit, used = (_text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if not (limit.isdigit() and used.isdigit()):
        return None
    kinds = dict(line.split() for line in _text("/sys/fs/cgroup/memory.stat").splitlines())
    return int(limit) - max(0, int(used) - int(kinds.get("inactive_file", 0)))


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
