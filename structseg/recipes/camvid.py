"""Recipes on CamVid (480x360, 11 classes): `structseg train camvid_aaf data.root=CAMVID --out runs/camvid_aaf`.

EfficientNet-Lite0 from ImageNet (extra `pretrained`, or model.weights=FILE), its first two stages and all norms frozen,
light top-down head, logits at stride 4, class-weighted cross-entropy, averaged weights; scored over the paper's six
scales and their mirror pictures. The field keeps its full weight to the end: on val that doubles its gain (docs/results.md, where
the trials of these settings are). About 20 minutes on one core; at the full budget not run with all seeds yet.
"""

from __future__ import annotations

from dataclasses import replace

from structseg.config import Config, DataConfig, EvaluationConfig, InferenceConfig, LossConfig, ModelConfig, OptimConfig


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
    field = LossConfig(name="affinity_field")
    return replace(camvid_ce(), losses=(*camvid_ce().losses, field))


def camvid_aaf() -> Config:
    """The baseline and adaptive affinity fields, 3x3 and 5x5 (the paper's best set), at half the weight."""
    field = LossConfig(name="adaptive_affinity_field", weight=0.5, options={"kernel_sizes": [3, 5]})
    return replace(camvid_ce(), losses=(*camvid_ce().losses, field))
