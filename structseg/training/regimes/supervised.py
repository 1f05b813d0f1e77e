"""A weighted sum of losses on labelled pictures.

loss(t) = sum_i weight_i * decay_i^t * loss_i(logits, target), t = share of the budget that is spent. A term works on
the logits at the head's stride (as published for affinity fields), or, `at = "target"`, on logits brought to the
target's size. Losses that are means give the counts they divide by, so that micro-batches add up to the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from structseg.inference.predictor import evaluating
from structseg.inference.whole import resize
from structseg.training.loop import Group
from structseg.types import Batch, Output, Step


@dataclass(frozen=True)
class Term:
    """A loss in a sum."""

    name: str
    loss: nn.Module
    weight: float = 1.0
    decay: float = 1.0
    at: str = "head"

    def weight_at(self, progress: float) -> float:
        """The weight when `progress`, 0..1, of the budget is spent."""
        return float(self.weight * self.decay**progress)


class Supervised(nn.Module):
    needs = ("labeled",)

    def __init__(self, *, model: nn.Module, terms: Sequence[Term]) -> None:
        super().__init__()
        self.model = model
        self.terms = tuple(terms)
        self.losses = nn.ModuleList(term.loss for term in terms)
        self._sizes: dict[tuple[int, ...], tuple[int, int]] = {}

    def trained(self) -> dict[str, nn.Module]:
        """Optimizer name -> what it trains; "losses" only where a loss has parameters of its own."""
        own = any(p.requires_grad for p in self.losses.parameters())
        return {"model": self.model, "losses": self.losses} if own else {"model": self.model}

    def totals(self, groups: Sequence[Group]) -> list[Tensor | int] | None:
        """Per term the counts of all micro-batches together; None for a single one."""
        if len(groups) == 1:
            return None
        return [self._total(term, groups) for term in self.terms]

    def _total(self, term: Term, groups: Sequence[Group]) -> Tensor | int:
        count = getattr(term.loss, "counts", None)
        if count is None:
            return len(groups)  # a loss that is no mean: the mean over micro-batches
        counts = []
        for group in groups:
            image, target = group["labeled"].image, target_of(group["labeled"])
            size = self._logits_size(image) if term.at == "head" else tuple(target.shape[-2:])
            counts.append(count(target, size))
        return torch.stack(counts).sum(0)

    def _logits_size(self, image: Tensor) -> tuple[int, int]:
        """Size of the logits for such a picture; one forward without gradients the first time a size is seen."""
        key = tuple(image.shape[-2:])
        if key not in self._sizes:
            with evaluating(self.model), torch.no_grad():
                h, w = Output(*self.model(image[:1])).logits.shape[-2:]
            self._sizes[key] = (h, w)
        return self._sizes[key]

    def step(self, group: Group, progress: float, totals: list[Tensor | int] | None = None) -> Step:
        """Losses of one micro-batch; `logs` holds each term before its weight, and their sum as "loss"."""
        logits = self.model(group["labeled"].image).logits
        loss, logs = self.weighted_sum(logits, group["labeled"], progress, totals)
        return Step(dict.fromkeys(self.trained(), loss), {"loss": float(loss.detach()), **logs})

    def weighted_sum(
        self, logits: Tensor, batch: Batch, progress: float, totals: list[Tensor | int] | None
    ) -> tuple[Tensor, dict[str, float]]:
        """The sum of the terms, and each term before its weight by name."""
        target = target_of(batch)
        loss = logits.new_zeros((), dtype=torch.float32)
        logs: dict[str, float] = {}
        for place, term in enumerate(self.terms):
            at = logits if term.at == "head" else resize(logits.float(), (target.shape[-2], target.shape[-1]))
            value = self._value(term, at, target, None if totals is None else totals[place])
            loss = loss + term.weight_at(progress) * value
            logs[term.name if term.name not in logs else f"{term.name}.{place}"] = float(value.detach())
        return loss, logs

    def _value(self, term: Term, logits: Tensor, target: Tensor, total: Tensor | int | None) -> Tensor:
        value: Tensor
        if total is None:
            value = term.loss(logits, target)
        elif isinstance(total, int):
            value = term.loss(logits, target) / total
        else:
            value = term.loss(logits, target, counts=total)
        return value


def target_of(batch: Batch) -> Tensor:
    """The target of a labelled batch."""
    if batch.target is None:
        raise ValueError("a labelled stream gave a batch without target")
    return batch.target
