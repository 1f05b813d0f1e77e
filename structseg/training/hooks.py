"""What happens after a step beside training: log, progress, evaluation, checkpoint, safe stop.

The order in `run.py` matters: evaluation before checkpoint, so that a resumed run never repeats a score it has kept.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from torch import nn

from structseg import runs
from structseg.console import duration
from structseg.training.loop import Record
from structseg.training.state import State


class Log:
    """Rows of `log.jsonl`. On resume, rows of steps that will be made again are cut off."""

    def __init__(self, run: Path, *, step: int = 0) -> None:
        self.path = run / runs.LOG
        rows = [row for row in runs.read_log(run) if row["step"] <= step and row["kind"] != "stop"]
        if self.path.exists():
            runs.write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))

    def write(self, kind: str, step: int, **values: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")


class Report:
    """A row in the log and a line for the person, every `every` steps: means since the last row.

    Sums of losses are in the state, so that a resumed run writes the same row; times are of this process.
    """

    def __init__(self, log: Log, *, every: int, show: Callable[[str], None]) -> None:
        self.log, self.every, self.show = log, every, show
        self.seen: list[Record] = []

    def __call__(self, state: State, record: Record) -> None:
        self.seen.append(record)
        for name, value in record.logs.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
        state.summed += 1
        if state.step % self.every and state.step != state.config.steps:
            return
        row = self._row(state)
        self.log.write("train", state.step, **row)
        self.show(self._line(state, row))
        self.seen, state.sums, state.summed = [], {}, 0

    def _row(self, state: State) -> dict[str, Any]:
        means = {name: value / state.summed for name, value in state.sums.items()}
        seconds = sum(record.seconds for record in self.seen)
        return {
            "loss": means.pop("loss", 0.0),
            "losses": means,
            "lr": state.optimizers["model"].param_groups[0]["lr"],
            "rate": len(self.seen) / seconds,
            "pictures": sum(record.pictures for record in self.seen) / seconds,
            "wait": sum(record.waited for record in self.seen) / seconds,
        }

    def _line(self, state: State, row: Mapping[str, Any]) -> str:
        left = (state.config.steps - state.step) / row["rate"]
        parts = "  ".join(f"{name} {value:.3f}" for name, value in row["losses"].items())
        return (
            f"step {state.step}/{state.config.steps}  loss {row['loss']:.3f}  {parts}  "
            f"{row['rate']:.1f} steps/s  data wait {row['wait']:.0%}  {duration(left)} left"
        )


class Evaluate:
    """Score the kept model every `every` steps; keep its weights where the score is the best so far."""

    def __init__(
        self,
        log: Log,
        *,
        every: int,
        select: str,
        score: Callable[[nn.Module], dict[str, float]],
        keep: Callable[[State], None],
        show: Callable[[str], None],
    ) -> None:
        self.log, self.every, self.select, self.score, self.keep, self.show = log, every, select, score, keep, show

    def __call__(self, state: State, record: Record) -> None:
        if not self.every or (state.step % self.every and state.step != state.config.steps):
            return
        start = time.perf_counter()
        scores = self.score(state.kept)
        self.log.write("eval", state.step, **scores, seconds=time.perf_counter() - start)
        if self.select != "last" and scores[self.select] > state.best:
            state.best, state.best_step = scores[self.select], state.step
            self.keep(state)
        shown = "  ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
        self.show(f"step {state.step}/{state.config.steps}  val: {shown}")


class Kernels:
    """Log the learned kernel sizes of adaptive affinity fields at evaluations and at the end."""

    def __init__(self, log: Log, regime: nn.Module, *, every: int) -> None:
        self.log, self.every = log, every
        self.losses = [loss for loss in regime.modules() if hasattr(loss, "effective_kernel_size")]

    def __call__(self, state: State, record: Record) -> None:
        if state.step == state.config.steps or (self.every and state.step % self.every == 0):
            for loss in self.losses:
                self.log.write("kernels", state.step, **kernel_sizes(loss))


def kernel_sizes(loss: Any) -> dict[str, Any]:
    """Kernel sizes and the effective size per class, of edge and interior pairs."""
    return {
        "kernel_sizes": list(loss.kernel_sizes),
        "edge": loss.effective_kernel_size().tolist(),
        "interior": loss.effective_interior_size().tolist(),
    }


class Checkpoint:
    """Save the training state every `every` steps, and whenever `also` says so."""

    def __init__(self, save: Callable[[State], None], *, every: int, also: int) -> None:
        self.save, self.every, self.also = save, every, also

    def __call__(self, state: State, record: Record) -> None:
        due = any(every and state.step % every == 0 for every in (self.every, self.also))
        if due or state.step == state.config.steps:
            self.save(state)


class Stop:
    """SIGTERM or Ctrl-C: finish the step, save, stop. A second Ctrl-C stops at once."""

    def __init__(self, save: Callable[[State], None]) -> None:
        self.save = save
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def __call__(self, state: State, record: Record) -> bool:
        if self.signal:
            self.save(state)
        return bool(self.signal)
