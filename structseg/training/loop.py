"""The loop: batches -> regime.step -> state.update -> hooks.

It knows no regime, no loss and no data set. The batch with number n is a pure function of the seed and n, so going on
after a kill is going on at `state.step`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from structseg.errors import UserError
from structseg.training.state import State
from structseg.types import Batch, Step

Group = dict[str, Batch]  # stream name -> batch


class Regime(Protocol):
    """How batches become losses."""

    needs: tuple[str, ...]  # names of the streams

    def trained(self) -> dict[str, nn.Module]:
        """Optimizer name -> what it trains."""

    def totals(self, groups: Sequence[Group]) -> Any:
        """What the losses of these micro-batches are divided by, so that they add up to the loss of the whole."""

    def step(self, group: Group, progress: float, totals: Any = None) -> Step:
        """The losses of one micro-batch."""


class Hook(Protocol):
    def __call__(self, state: State, record: Record) -> bool | None:
        """Called after each step; True stops the loop."""


class Record:
    """What is known of the step that was just made."""

    def __init__(self, logs: Mapping[str, float], seconds: float, waited: float, pictures: int) -> None:
        self.logs = logs
        self.seconds = seconds  # the whole step
        self.waited = waited  # of it, waiting for data
        self.pictures = pictures


def run(
    state: State,
    regime: Regime,
    streams: Mapping[str, Iterator[Batch]],
    *,
    device: torch.device,
    hooks: Sequence[Hook] = (),
    stop: int | None = None,
) -> None:
    """Train to step `stop` (None: the whole budget) or until a hook says stop.

    Raises UserError with the pictures' names where a loss is not finite.
    """
    last = state.config.steps if stop is None else min(stop, state.config.steps)
    low = state.config.precision == "bfloat16"
    while state.step < last:
        start = time.perf_counter()
        groups = [
            {name: next(streams[name]).to(device) for name in regime.needs} for _ in range(state.config.accumulate)
        ]
        waited = time.perf_counter() - start
        totals = regime.totals(groups)
        logs: dict[str, float] = {}

        def steps(
            groups: Sequence[Group] = groups, totals: Any = totals, logs: dict[str, float] = logs
        ) -> Iterator[Step]:
            for group in groups:
                with torch.autocast(device.type, torch.bfloat16, enabled=low):
                    step = regime.step(group, state.progress, totals)
                _check(step, group, state.step)
                for name, value in step.logs.items():
                    logs[name] = logs.get(name, 0.0) + value
                yield step

        state.update(steps())
        pictures = sum(len(batch.names) for group in groups for batch in group.values())
        record = Record(logs, time.perf_counter() - start, waited, pictures)
        stops = [bool(hook(state, record)) for hook in hooks]  # each is called, whatever the others say
        if any(stops):
            return


def _check(step: Step, group: Group, number: int) -> None:
    """Raise UserError for a loss that is not finite or that nothing can learn from."""
    for name, loss in step.losses.items():
        if not loss.requires_grad:
            raise UserError(f"the loss of '{name}' has no gradient: does its network detach it, or run under no_grad?")
    for name, value in step.logs.items():
        if not math.isfinite(value):
            pictures = ", ".join(name for batch in group.values() for name in batch.names)
            raise UserError(
                f"step {number}: {name} is not finite (pictures {pictures}); lower optim.lr, or set optim.clip=1.0"
            )
