"""Recipes for your own pictures and masks: `structseg train pairs_aaf data.root=MY_DATA --out runs/first`.

MY_DATA holds images/train, images/val, masks/train, masks/val and a label table (docs/data.md). A ResNet-18 with a
light top-down head; give model.weights=FILE for a pretrained backbone. Scores depend on the data. The field's weight is
the one that CamVid's held-out street chose, constant to the end (docs/results.md).
"""

from __future__ import annotations

from structseg.config import Config, DataConfig, EvaluationConfig, LossConfig, ModelConfig, OptimConfig
from structseg.recipes._methods import aaf


def pairs_ce() -> Config:
    """Class-weighted cross-entropy on your own pictures: not run here."""
    return Config(
        data=DataConfig(format="pairs", crop=(256, 256), scale=(0.5, 2.0)),
        model=ModelConfig(backbone="resnet", backbone_options={"depth": 18}, head="top_down"),
        losses=(LossConfig(name="cross_entropy", options={"class_weights": "inverse_sqrt"}),),
        optim=OptimConfig(name="adamw", lr=5e-4, head_factor=2.0, loss_lr=0.1, weight_decay=1e-2, warmup=50, clip=5.0),
        evaluation=EvaluationConfig(every=1000, split="val"),
    )


def pairs_aaf() -> Config:
    """Class-weighted cross-entropy and 0.5 AAF 3x3, 5x5 on your own pictures: not run here."""
    return aaf(pairs_ce(), kernel_sizes=(3, 5), weight=0.5, decay=1.0)
