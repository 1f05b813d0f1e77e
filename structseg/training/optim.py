"""Optimizers, their parameter groups and schedules.

Groups of a model: backbone at the base rate, head at `head_factor` times it; no weight decay on norms and biases. A
loss's own parameters (the kernel weights of adaptive affinity fields) get SGD with momentum 0.9 and no decay, as
released; the sign of their gradient is the loss's business. A discriminator gets Adam with betas 0.9 and 0.99, as in
AdvSemiSeg.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from structseg.config import OptimConfig


def schedule(config: OptimConfig, step: int) -> float:
    """Factor of the learning rate at `step` of 0..steps-1: warm-up times poly, cosine or constant."""
    t = step / config.steps
    warm: float = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "poly":
        return warm * float((1 - t) ** config.power)
    if config.schedule == "cosine":
        return warm * (1 + math.cos(math.pi * t)) / 2
    return warm


def optimizer(name: str, module: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimizer of what a regime trains under `name`; each group carries its base rate as `base_lr`."""
    if name == "losses":
        rate = config.lr if config.loss_lr is None else config.loss_lr
        groups = [{"params": list(module.parameters()), "lr": rate}]
        return _with_base(torch.optim.SGD(groups, lr=rate, momentum=0.9))
    if name == "discriminator":
        return _with_base(torch.optim.Adam(module.parameters(), lr=config.discriminator_lr, betas=(0.9, 0.99)))
    groups = list(_groups(module, config))
    if config.name == "adamw":
        return _with_base(torch.optim.AdamW(groups, lr=config.lr))
    return _with_base(torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum))


def _groups(module: nn.Module, config: OptimConfig) -> Iterator[dict[str, Any]]:
    heads = getattr(module, "head_modules", ())
    in_head = {id(p) for head in heads for p in head.parameters()}
    trained = [p for p in module.parameters() if p.requires_grad]
    for factor, part in (
        (1.0, [p for p in trained if id(p) not in in_head]),
        (config.head_factor, [p for p in trained if id(p) in in_head]),
    ):
        for decay, params in (
            (config.weight_decay, [p for p in part if p.ndim > 1]),
            (0.0, [p for p in part if p.ndim <= 1]),  # biases, scales and shifts of norms
        ):
            if params:
                yield {"params": params, "lr": config.lr * factor, "weight_decay": decay}


def _with_base(made: torch.optim.Optimizer) -> torch.optim.Optimizer:
    for group in made.param_groups:
        group["base_lr"] = group["lr"]
    return made


def set_rate(made: torch.optim.Optimizer, factor: float) -> None:
    for group in made.param_groups:
        group["lr"] = group["base_lr"] * factor


class Average:
    """Exponential moving average of a module's weights (EMA); buffers are copied.

    The decay warms up as min(decay, (1 + n) / (10 + n)) after n updates, so that a short run is not ruled by its start.
    """

    def __init__(self, source: nn.Module, target: nn.Module, decay: float) -> None:
        self.source, self.module, self.decay = source, target.requires_grad_(False).eval(), decay

    @torch.no_grad()
    def update(self, updates: int) -> None:
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for mean, value in zip(self.module.parameters(), self.source.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for kept, now in zip(self.module.buffers(), self.source.buffers(), strict=True):
            kept.copy_(now)
