"""A weighted sum of losses on labelled pictures.

loss(t) = sum_i weight_i * decay_i^t * loss_i(logits, target), t = share of the budget that is spent. A term works on
the logits at the head's stride (as published for affinity fields), or, `at = "target"`, on logits brought to the
target's size. Cell i of the logits stands for pixel i * stride, as in prediction: a target that ends inside the last
cells is continued with no label. A loss whose class says `takes = "features"` gets the last feature before the
classifier in place of the logits. Losses that are means give the counts they divide by, so that micro-batches add up to
the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from structseg.errors import ConfigError
from structseg.inference.predictor import evaluating
from structseg.inference.whole import resize, stride_of
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

    def read(self, output: Output, size: tuple[int, int]) -> Tensor:
        """What the loss takes of `output`: logits, at the head's stride or at `size` of the target, or features.

        Raises ConfigError for features that are not there or shall be enlarged.
        """
        if getattr(self.loss, "takes", "logits") == "logits":
            return output.logits if self.at == "head" else resize(output.logits.float(), size)
        if self.at != "head":
            raise ConfigError('at = "target" is for losses of logits, and this one takes features; set at = "head"')
        if output.features is None:
            raise ConfigError(
                "it takes features, which this model does not return; use model.backbone or a net of ours"
            )
        return output.features


class Supervised(nn.Module):
    needs = ("labeled",)

    def __init__(self, *, model: nn.Module, terms: Sequence[Term], ignore_index: int = 255) -> None:
        super().__init__()
        self.model = model
        self.stride, self.ignore_index = stride_of(model) or 1, ignore_index
        self.terms = tuple(terms)
        self.losses = nn.ModuleList(term.loss for term in terms)
        self._head_sizes: dict[tuple[int, ...], list[tuple[int, int]]] = {}

    def trained(self) -> dict[str, nn.Module]:
        """Optimizer name -> what it trains; "losses" only where a loss has parameters of its own."""
        own = any(p.requires_grad for p in self.losses.parameters())
        return {"model": self.model, "losses": self.losses} if own else {"model": self.model}

    def totals(self, groups: Sequence[Group]) -> list[Tensor | int] | None:
        """Per term the counts of all micro-batches together; None for a single one."""
        if len(groups) == 1:
            return None
        return [self._total(place, groups) for place in range(len(self.terms))]

    def _total(self, place: int, groups: Sequence[Group]) -> Tensor | int:
        term = self.terms[place]
        count = getattr(term.loss, "counts", None)
        if count is None:
            return len(groups)  # a loss that is no mean: the mean over micro-batches
        counts = []
        for group in groups:
            image, target = group["labeled"].image, self.target_of(group["labeled"])
            size = self._sizes(image)[place] if term.at == "head" else tuple(target.shape[-2:])
            counts.append(count(target, size))
        return torch.stack(counts).sum(0)

    def _sizes(self, image: Tensor) -> list[tuple[int, int]]:
        """Size of what each term reads of such pictures; one forward without gradients the first time one is seen."""
        size = (image.shape[-2], image.shape[-1])
        if size not in self._head_sizes:
            with evaluating(self.model), torch.no_grad():
                output = Output(*self.model(image[:1]))
                read = [term.read(output, size) for term in self.terms]
            self._head_sizes[size] = [(one.shape[-2], one.shape[-1]) for one in read]
        return self._head_sizes[size]

    def step(self, group: Group, progress: float, totals: list[Tensor | int] | None = None) -> Step:
        """Losses of one micro-batch; `logs` holds each term before its weight, and their sum as "loss"."""
        output = Output(*self.model(group["labeled"].image))
        loss, logs = self.weighted_sum(output, group["labeled"], progress, totals)
        return Step(dict.fromkeys(self.trained(), loss), {"loss": float(loss.detach()), **logs})

    def weighted_sum(
        self, output: Output, batch: Batch, progress: float, totals: list[Tensor | int] | None
    ) -> tuple[Tensor, dict[str, float]]:
        """The sum of the terms, and each term before its weight by name."""
        target = self.target_of(batch)
        size = (target.shape[-2], target.shape[-1])
        loss = output.logits.new_zeros((), dtype=torch.float32)
        logs: dict[str, float] = {}
        for place, term in enumerate(self.terms):
            value = self._value(term, term.read(output, size), target, None if totals is None else totals[place])
            loss = loss + term.weight_at(progress) * value
            logs[term.name if term.name not in logs else f"{term.name}.{place}"] = float(value.detach())
        return loss, logs

    def _value(self, term: Term, read: Tensor, target: Tensor, total: Tensor | int | None) -> Tensor:
        value: Tensor
        if total is None:
            value = term.loss(read, target)
        elif isinstance(total, int):
            value = term.loss(read, target) / total
        else:
            value = term.loss(read, target, counts=total)
        return value

    def target_of(self, batch: Batch) -> Tensor:
        """(B,H,W) -> the target of a labelled batch, H and W continued to multiples of the model's stride."""
        if batch.target is None:
            raise ValueError("a labelled stream gave a batch without target")
        below, right = (-side % self.stride for side in batch.target.shape[-2:])
        return functional.pad(batch.target, (0, right, 0, below), value=self.ignore_index)
