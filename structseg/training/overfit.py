"""Can a network learn one batch by heart? If not, no amount of training will help, and something is set wrongly.

One batch of the recipe's own pictures, without augmentation, is trained on again and again with the recipe's losses and
learning rate, held constant, until nearly every labelled pixel is right. Normalisation layers stay in training mode
and targets are sampled at the logits' stride, so that what is measured is what the losses see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat

import torch
from torch import Tensor, nn

from structseg.config import Config
from structseg.errors import UserError, first_line
from structseg.training.loop import Record, run
from structseg.training.parts import Parts, prepare, streams
from structseg.training.state import State
from structseg.types import Batch, Output

GOOD = 0.95  # share of right pixels at which the batch is known by heart
STEPS, SECONDS, EVERY = 100, 40.0, 10
BATCH = 4  # pictures, at most


@dataclass(frozen=True)
class Overfit:
    """Loss and share of right pixels before and after."""

    steps: int
    losses: tuple[float, float]
    accuracy: float
    labelled: float  # share of the batch's pixels that have a label
    seconds: float
    error: str = ""  # why it stopped early

    @property
    def state(self) -> str:
        """ok, caution (it learns, slowly) or broken."""
        if not self.error and self.accuracy >= GOOD:
            return "ok"
        fell = not self.error and self.losses[1] < 0.6 * self.losses[0]
        return "caution" if fell else "broken"

    def text(self) -> str:
        if self.error:
            return self.error
        before, after = self.losses
        return (
            f"one batch {'learned' if self.state == 'ok' else 'not learned'} in {self.steps} steps: loss {before:.2f} "
            f"-> {after:.2f}, {100 * self.accuracy:.1f} % of its pixels right, {self.seconds:.0f} s"
        )

    def causes(self, config: Config) -> list[str]:
        """What is likely to be wrong, the most likely first."""
        if self.state == "ok":
            return []
        rate, before, after = config.optim.lr, *self.losses
        found = []
        if self.labelled < 0.05:
            found.append(f"only {100 * self.labelled:.1f} % of the pixels have a label: see structseg inspect")
        if self.error or after > 1.05 * before:
            found.append(f"the steps are too large: optim.lr={rate / 10:g}, optim.clip=1.0")
        if self.state == "broken" and not self.error and after <= 1.05 * before:
            found.append(f"the steps are too small: optim.lr={10 * rate:g}")
        if self.state == "caution":
            found.append(f"it learns, but slowly: try optim.lr={3 * rate:g}, or it needs more steps")
        found.append(
            "masks do not belong to their pictures, or are turned: look at structseg inspect DATA --out page.html"
        )
        return found


def overfit(config: Config, *, device: str = "auto", say: Callable[[str], None] = lambda text: None) -> Overfit:
    """Learn one batch of `config`. Nothing is written. Raises what `prepare` raises."""
    plain = replace(config.optim, schedule="constant", warmup=0, accumulate=1, ema=0.0)
    optim = replace(plain, batch=min(plain.batch, BATCH), steps=max(plain.steps, STEPS))
    data = replace(config.data, scale=(1.0, 1.0), mirror=False, jitter=0.0, workers=0)
    parts = prepare(replace(config, optim=optim, data=data), device=device)
    group = {name: next(stream) for name, stream in streams(parts).items()}
    watch = _Watch(parts, group, say)
    repeated: dict[str, Iterator[Batch]] = {name: repeat(batch) for name, batch in group.items()}
    error = ""
    try:
        run(parts.state, parts.regime, repeated, device=parts.device, hooks=[watch], stop=STEPS)
    except UserError as stopped:
        error = first_line(stopped)
    losses = (watch.losses[0], watch.losses[-1]) if watch.losses else (0.0, 0.0)
    return Overfit(len(watch.losses), losses, watch.accuracy, watch.labelled, time.perf_counter() - watch.began, error)


class _Watch:
    """A hook: notes the losses, measures every few steps, stops when the batch is known or time is up."""

    def __init__(self, parts: Parts, group: dict[str, Batch], say: Callable[[str], None]) -> None:
        self.model: nn.Module = parts.state.trained["model"]
        self.batch = next(iter(group.values())).to(parts.device)
        self.ignore = parts.dataset.labels.ignore_index
        target = _sampled(self.batch, (self.batch.image.shape[-2], self.batch.image.shape[-1]))
        self.say = say
        self.losses: list[float] = []
        self.accuracy = 0.0
        self.labelled = float((target != self.ignore).float().mean())
        self.began = time.perf_counter()

    def __call__(self, state: State, record: Record) -> bool:
        self.losses.append(record.logs["loss"])
        spent = time.perf_counter() - self.began
        if state.step % EVERY and state.step != STEPS and spent < SECONDS:
            return False
        self.accuracy = self._measure()
        self.say(f"step {state.step}  loss {self.losses[-1]:.3f}  {100 * self.accuracy:.1f} % right")
        return self.accuracy >= GOOD or spent >= SECONDS

    def _measure(self) -> float:
        """Share of labelled pixels that are right, at the logits' stride; the network is left as it is."""
        kept = {name: value.clone() for name, value in self.model.named_buffers()}
        with torch.no_grad():
            logits = Output(*self.model(self.batch.image)).logits
            for name, value in self.model.named_buffers():
                value.copy_(kept[name])
        target = _sampled(self.batch, (logits.shape[-2], logits.shape[-1]))
        known = target != self.ignore
        guess = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
        return float((guess == target)[known].float().mean()) if known.any() else 0.0


def _sampled(batch: Batch, size: tuple[int, int]) -> Tensor:
    """The target at the logits' cells: y[floor(i H/h)]."""
    if batch.target is None:
        raise ValueError("a labelled stream gave a batch without target")
    height, width = batch.target.shape[-2:]
    rows = torch.arange(size[0], device=batch.target.device) * height // size[0]
    columns = torch.arange(size[1], device=batch.target.device) * width // size[1]
    return batch.target[:, rows[:, None], columns]
