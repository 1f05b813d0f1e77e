"""Recipes on PASCAL VOC 2012, for Tables 1 to 5 of the AAF paper: `structseg train voc_pspnet_aaf --out RUN`.

First stage: the 10,582 pictures of VOC and SBD, 30,000 steps of eight 336x336 crops, rate 1e-3; scored on val in tiles
of 480 at stride 320, over six scales and their mirror pictures. The second stage is a grid of its own (docs/tables.md).
Networks are the sane forms on torchvision's ResNet-101, from its ImageNet file; the authors' own: `released_voc_*`.
None of these was run here, for want of a GPU: numbers are the paper's, taken to be those after both stages.
"""

from __future__ import annotations

from structseg.config import Config, DataConfig, EvaluationConfig, InferenceConfig, ModelConfig, OptimConfig
from structseg.recipes._methods import aaf, adversarial, affinity, embedding, random

KERNELS = (3, 5, 7)


def _config(net: str) -> Config:
    """Cross-entropy alone."""
    return Config(
        log_every=50,
        save_every=2000,
        data=DataConfig(
            format="voc", root="data/VOCdevkit", train="train_aug", crop=(336, 336), scale=(0.5, 2.0), workers=4
        ),
        model=ModelConfig(name=net, weights="weights/resnet101-63fe2227.pth"),
        optim=OptimConfig(steps=30000, batch=8, lr=1e-3, weight_decay=5e-4),
        evaluation=EvaluationConfig(select="last", split="val", fill=5.0),
        inference=InferenceConfig(tile=480, stride=320, scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75), mirror=True),
    )


def voc_fcn_ce() -> Config:
    """FCN, cross-entropy. Published: 68.91 mIoU on val (Table 2, stage 2); not run here."""
    return _config("fcn")


def voc_fcn_affinity() -> Config:
    """FCN, affinity field. Published: 71.07 mIoU on val (Table 2, stage 2); not run here."""
    return affinity(_config("fcn"))


def voc_fcn_aaf() -> Config:
    """FCN, AAF 3x3, 5x5, 7x7. Published: 71.95 mIoU on val (Table 2, stage 2); not run here."""
    return aaf(_config("fcn"), kernel_sizes=KERNELS)


def voc_fcn_random() -> Config:
    """FCN, random projection. Published: no number; not run here."""
    return random(_config("fcn"))


def voc_fcn_adversarial() -> Config:
    """FCN, adversarial projection. Published: no number; not run here."""
    return adversarial(_config("fcn"))


def voc_fcn_embedding() -> Config:
    """FCN, embedding contrast. Published: no number; not run here."""
    return embedding(_config("fcn"))


def voc_pspnet_ce() -> Config:
    """PSPNet, cross-entropy. Published: 80.12 mIoU on val (Table 2, stage 2); not run here."""
    return _config("pspnet")


def voc_pspnet_affinity() -> Config:
    """PSPNet, affinity field. Published: 81.80 mIoU on val (Table 2, stage 2); not run here."""
    return affinity(_config("pspnet"))


def voc_pspnet_aaf() -> Config:
    """PSPNet, AAF 3x3, 5x5, 7x7. Published: 82.39 mIoU on val (Table 2, stage 2); not run here."""
    return aaf(_config("pspnet"), kernel_sizes=KERNELS)


def voc_pspnet_random() -> Config:
    """PSPNet, random projection. Published: 80.61 mIoU on val (Table 2, stage 2); not run here."""
    return random(_config("pspnet"))


def voc_pspnet_adversarial() -> Config:
    """PSPNet, adversarial projection. Published: 80.74 mIoU on val (Table 2, stage 2); not run here."""
    return adversarial(_config("pspnet"))


def voc_pspnet_embedding() -> Config:
    """PSPNet, embedding contrast. Published: 81.36 mIoU on val (Table 2, stage 2); not run here."""
    return embedding(_config("pspnet"))


def voc_deeplab_ce() -> Config:
    """DeepLab, cross-entropy. Published: no number; not run here."""
    return _config("deeplabv2")


def voc_deeplab_affinity() -> Config:
    """DeepLab, affinity field. Published: no number; not run here."""
    return affinity(_config("deeplabv2"))


def voc_deeplab_aaf() -> Config:
    """DeepLab, AAF 3x3, 5x5, 7x7. Published: no number; not run here."""
    return aaf(_config("deeplabv2"), kernel_sizes=KERNELS)


def voc_deeplab_random() -> Config:
    """DeepLab, random projection. Published: no number; not run here."""
    return random(_config("deeplabv2"))


def voc_deeplab_adversarial() -> Config:
    """DeepLab, adversarial projection. Published: no number; not run here."""
    return adversarial(_config("deeplabv2"))


def voc_deeplab_embedding() -> Config:
    """DeepLab, embedding contrast. Published: no number; not run here."""
    return embedding(_config("deeplabv2"))
