"""A discriminator judges label maps: the model is trained to give maps that it takes for true ones.

    model   sum of the terms + weight * bce(D(p), 1)                                        (AAF paper, eq. 5)
    D       bce(D(y), 1) + bce(D(p), 0), each a mean over places                            (eq. 6)

p: probabilities at the head's stride; y: one-hot truth sampled to it; both 0 where there is no label, so that it
cannot tell them by the void. D is fully convolutional and looks at label maps only, after Luc et al. (2016).
The paper gives the weight 0.01 and no architecture; the discriminator is thrown away after training.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from structseg.losses.checks import check_number
from structseg.losses.regions import read_masks
from structseg.models.nets.discriminator import Discriminator
from structseg.training.loop import Group
from structseg.training.regimes.supervised import Supervised, Term
from structseg.types import Output, Step


class AdversarialProjection(Supervised):
    """Options: `weight` of the adversarial term; `width`, `depth` of the discriminator (46 cells at depth 4).

    Raises ConfigError for a negative weight or an empty discriminator.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        terms: Sequence[Term],
        num_classes: int,
        ignore_index: int = 255,
        weight: float = 0.01,
        width: int = 64,
        depth: int = 4,
    ) -> None:
        super().__init__(model=model, terms=terms, ignore_index=ignore_index)
        check_number("regime_options: weight", weight, least=0)
        self.weight = float(weight)
        self.discriminator = Discriminator(num_classes=num_classes, width=width, depth=depth)

    def trained(self) -> dict[str, nn.Module]:
        return {**super().trained(), "discriminator": self.discriminator}

    def totals(self, groups: Sequence[Group]) -> list[Tensor | int] | None:
        counts = super().totals(groups)
        return None if counts is None else [*counts, len(groups)]  # its means are over places, all counted

    def step(self, group: Group, progress: float, totals: list[Tensor | int] | None = None) -> Step:
        batch = group["labeled"]
        output = Output(*self.model(batch.image))
        loss, logs = self.weighted_sum(output, batch, progress, totals)
        predicted, truth = self._maps(output.logits, self.target_of(batch))
        share = 1 / float(totals[-1]) if totals else 1.0
        fools = share * _bce(self.discriminator(predicted), 1.0)
        judges = share * (_bce(self.discriminator(truth), 1.0) + _bce(self.discriminator(predicted.detach()), 0.0))
        loss = loss + self.weight * fools
        losses = {name: judges if name == "discriminator" else loss for name in self.trained()}
        logs = {**logs, "adversarial": float(fools.detach()), "discriminator": float(judges.detach())}
        return Step(losses, {"loss": float(loss.detach()), **logs})

    def _maps(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """(B,C,h,w) twice: probabilities and one-hot truth, both 0 where there is no label."""
        soft, true, _ = read_masks(logits, target, ignore_index=self.ignore_index)
        return soft, true


def _bce(logits: Tensor, truth: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, truth).float())
