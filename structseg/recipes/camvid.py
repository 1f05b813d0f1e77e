"""Recipes on CamVid (480x360, 11 classes): `structseg train camvid_aaf data.root=CAMVID --out runs/camvid_aaf`.

EfficientNet-Lite0 from ImageNet (extra `pretrained`, or model.weights=FILE), its first two stages and all norms frozen,
light top-down head, logits at stride 4, class-weighted cross-entropy, averaged weights; scored over the paper's six
scales and their mirror pictures. The field keeps its weight to the end. docs/results.md has the trials behind these
settings. About 20 minutes on one core, and 8 for the scores: those below are of test, over three seeds.
"""

from __future__ import annotations

from structseg.config import Config, DataConfig, EvaluationConfig, InferenceConfig, LossConfig, ModelConfig, OptimConfig
from structseg.recipes._methods import aaf, adversarial, affinity, embedding, plus, random


def camvid_ce() -> Config:
    """Baseline: weighted cross-entropy. Measured 2026-11-29: mIoU 62.2 ± 0.6, boundary F 39.4 (docs/results.md)."""
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
    """Baseline and affinity field, 3x3. Measured 2026-11-29: mIoU 62.7 ± 1.2, boundary F 46.4 (docs/results.md)."""
    return affinity(camvid_ce(), decay=1.0)


def camvid_aaf() -> Config:
    """Baseline and 0.5 AAF, 3x3, 5x5. Measured 2026-11-29: mIoU 62.8 ± 1.2, boundary F 46.0 (docs/results.md)."""
    return aaf(camvid_ce(), kernel_sizes=(3, 5), weight=0.5, decay=1.0)


def camvid_random() -> Config:
    """Baseline and random projections, 5x5: not run yet at full size."""
    return random(camvid_ce())


def camvid_adversarial() -> Config:
    """Baseline and a discriminator of label maps at the paper's weight, 0.01: not run yet at full size."""
    return adversarial(camvid_ce())


def camvid_embedding() -> Config:
    """Baseline and a contrastive loss on the last feature: not run yet at full size."""
    return embedding(camvid_ce(), weight=0.5)


def camvid_rmi() -> Config:
    """Baseline and region mutual information, 3x3: not run yet at full size."""
    return plus(camvid_ce(), "rmi")


def camvid_active_boundary() -> Config:
    """Baseline, Lovasz-softmax and active boundary, as its paper has it: not run yet at full size."""
    return plus(camvid_lovasz(), "active_boundary")


def camvid_lovasz() -> Config:
    """Baseline and Lovasz-softmax: not run yet at full size."""
    return plus(camvid_ce(), "lovasz")
