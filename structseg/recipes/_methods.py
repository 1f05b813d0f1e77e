"""The methods that recipes compare, each as a difference from cross-entropy.

Affinity terms fall to a tenth as in the released code (decay 0.1) unless a recipe says otherwise. What the AAF paper
does not state is chosen here: the weight of the embedding, and that of the random projection, whose published 0.01 is
for a scale that it does not give (docs/losses.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from structseg.config import Config, LossConfig


def affinity(base: Config, *, weight: float = 1.0, decay: float = 0.1) -> Config:
    """The plain affinity field, 3x3."""
    return plus(base, "affinity_field", weight=weight, decay=decay)


def aaf(base: Config, *, kernel_sizes: tuple[int, ...], weight: float = 1.0, decay: float = 0.1) -> Config:
    """Adaptive affinity fields."""
    return plus(base, "adaptive_affinity_field", weight=weight, decay=decay, kernel_sizes=list(kernel_sizes))


def random(base: Config) -> Config:
    """The random projection (eq. 4)."""
    return plus(base, "random_projection")


def adversarial(base: Config, *, weight: float = 0.01) -> Config:
    """The projection by a GAN (eq. 5 and 6), with the published weight unless a recipe says otherwise."""
    return replace(base, regime="adversarial_projection", regime_options={"weight": weight})


def embedding(base: Config) -> Config:
    """The contrastive loss on the last feature before the classifier."""
    return plus(base, "embedding_contrast")


def plus(base: Config, loss: str, *, weight: float = 1.0, decay: float = 1.0, **options: Any) -> Config:
    """One more loss."""
    return replace(base, losses=(*base.losses, LossConfig(name=loss, weight=weight, decay=decay, options=options)))
