"""All that must survive a kill: weights, EMA, optimizers, schedule, random state, place and best score.

`update` is one step of training: all backwards first, each into its own optimizer's parameters only, then clipping per
optimizer, then all optimizers. So minimax weights, critics and two-student methods need no retained graphs, no toggled
`requires_grad`, and no gradient sees another's update. `save` writes one file with plain types, atomically.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from structseg.errors import CheckpointError, first_line
from structseg.runs import write_file
from structseg.training.optim import Average, optimizer, schedule, set_rate
from structseg.types import Step

if TYPE_CHECKING:
    from structseg.config import OptimConfig

_VERSION = 1


class State:
    """What training changes. `trained` maps optimizer names to modules; "model" is the one that is kept."""

    def __init__(self, trained: dict[str, nn.Module], config: OptimConfig) -> None:
        self.config = config
        self.trained = trained
        self.optimizers = {name: optimizer(name, module, config) for name, module in trained.items()}
        self.step = 0
        self.best = -1.0  # best score on the selection split
        self.best_step = -1
        self.sums: dict[str, float] = {}  # of the logs since the last row of log.jsonl
        self.summed = 0
        model = trained["model"]
        self.average = Average(model, copy.deepcopy(model), config.ema) if config.ema else None

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0..1."""
        return self.step / self.config.steps

    @property
    def kept(self) -> nn.Module:
        """The model to score: the averaged one where there is one."""
        return self.average.module if self.average else self.trained["model"]

    def update(self, steps: Iterable[Step]) -> None:
        """One optimisation step from one or several micro-batches, whose losses add up."""
        factor = schedule(self.config, self.step)
        for step in steps:
            self._backward(step)
        for made in self.optimizers.values():
            set_rate(made, factor)
            if self.config.clip:
                nn.utils.clip_grad_norm_(_parameters(made), self.config.clip)
        for made in self.optimizers.values():
            made.step()
            made.zero_grad(set_to_none=True)
        self.step += 1
        if self.average:
            self.average.update(self.step)

    def _backward(self, step: Step) -> None:
        """Each loss into the parameters of its optimizers; names that share a loss tensor share a pass."""
        shared: dict[int, tuple[Tensor, list[Tensor]]] = {}
        for name, loss in step.losses.items():
            shared.setdefault(id(loss), (loss, []))[1].extend(_parameters(self.optimizers[name]))
        for loss, parameters in shared.values():
            loss.backward(inputs=parameters)

    # ------------------------------------------------------------------------------------------ checkpoint

    def save(self, path: Path, **about: Any) -> None:
        """Write everything to `path`; `about` holds plain types that `read` gives back."""
        content = {
            "version": _VERSION,
            "step": self.step,
            "best": self.best,
            "best_step": self.best_step,
            "sums": self.sums,
            "summed": self.summed,
            "trained": {name: module.state_dict() for name, module in self.trained.items()},
            "average": self.average.module.state_dict() if self.average else None,
            "optimizers": {name: made.state_dict() for name, made in self.optimizers.items()},
            "rng": torch.get_rng_state(),
            "device_rng": self._device_rng(),
            "about": about,
        }
        whole = io.BytesIO()  # torch's writer hides what the disk says, e.g. that it is full
        torch.save(content, whole)
        write_file(path, lambda file: file.write(whole.getbuffer()))

    @staticmethod
    def read(path: Path) -> dict[str, Any]:
        """The content of a checkpoint file."""
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a cut or foreign file
            raise CheckpointError(
                f"{path} is damaged ({type(error).__name__}); delete {path.parent} to train from the start"
            ) from error
        if not isinstance(content, dict) or content.get("version") != _VERSION:
            raise CheckpointError(f"{path} is not a training state of this version; train from the start")
        return content

    def restore(self, content: dict[str, Any], path: Path) -> None:
        """Go on from `content`, as if nothing had happened."""
        try:
            for name, module in self.trained.items():
                module.load_state_dict(content["trained"][name])
            if self.average:
                self.average.module.load_state_dict(content["average"])
            for name, made in self.optimizers.items():
                made.load_state_dict(content["optimizers"][name])
            for name in ("step", "best", "best_step", "sums", "summed"):
                setattr(self, name, content[name])
            torch.set_rng_state(content["rng"])
            if content["device_rng"] is not None and self._device_rng() is not None:
                getattr(torch, self._device().type).set_rng_state(content["device_rng"], *self._number())
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            what = self._difference(content.get("trained", {})) or first_line(error)
            raise CheckpointError(
                f"{path} does not fit this configuration ({what}); go on with the code and the classes that the run "
                "began with, or train from the start in another --out"
            ) from error

    def _difference(self, saved: dict[str, dict[str, Any]]) -> str:
        """The first tensor that is another one in `saved`, or not there: torch names these in lines of their own."""
        for name, module in self.trained.items():
            before, now = saved.get(name, {}), module.state_dict()
            for key in {**now, **before}:
                shapes = [
                    tuple(getattr(each[key], "shape", ())) if key in each else "missing" for each in (before, now)
                ]
                if shapes[0] != shapes[1]:
                    return f"{name}.{key} is {shapes[0]}, here {shapes[1]}"
        return ""

    def _device(self) -> torch.device:
        return next(self.trained["model"].parameters()).device

    def _device_rng(self) -> Tensor | None:
        """State of the accelerator's own generator, from which its dropout draws."""
        kind = self._device().type
        state: Tensor | None = None if kind == "cpu" else getattr(torch, kind).get_rng_state(*self._number())
        return state

    def _number(self) -> tuple[torch.device, ...]:
        """Which of several devices, each of which has a generator; there is one of mps, and it takes no number."""
        return () if self._device().type == "mps" else (self._device(),)


def _parameters(made: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in made.param_groups for parameter in group["params"]]
