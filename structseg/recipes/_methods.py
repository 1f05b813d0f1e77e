"""The methods that the AAF paper compares, each as a difference from cross-entropy.

Affinity terms fall to a tenth as in the released code (decay 0.1). What the paper does not state is chosen here: the
weight of the embedding, and that of the random projection, whose published 0.01 is for a scale that it does not give
(docs/losses.md).
"""

from __future__ import annotations

from dataclasses import replace

from structseg.config import Config, LossConfig


def affinity(base: Config, *, weight: float = 1.0) -> Config:
    """The plain affinity field, 3x3."""
    return _plus(base, LossConfig(name="affinity_field", weight=weight, decay=0.1))


def aaf(base: Config, *, kernel_sizes: tuple[int, ...], weight: float = 1.0) -> Config:
    """Adaptive affinity fields."""
    options = {"kernel_sizes": list(kernel_sizes)}
    return _plus(base, LossConfig(name="adaptive_affinity_field", weight=weight, decay=0.1, options=options))


def random(base: Config) -> Config:
    """The random projection (eq. 4)."""
    return _plus(base, LossConfig(name="random_projection"))


def adversarial(base: Config) -> Config:
    """The projection by a GAN (eq. 5 and 6), with the published weight."""
    return replace(base, regime="adversarial_projection", regime_options={"weight": 0.01})


def embedding(base: Config) -> Config:
    """The contrastive loss on the last feature before the classifier."""
    return _plus(base, LossConfig(name="embedding_contrast"))


def _plus(base: Config, term: LossConfig) -> Config:
    return replace(base, losses=(*base.losses, term))
