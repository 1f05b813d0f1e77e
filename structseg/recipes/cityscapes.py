"""Recipes on Cityscapes, for Tables 6 to 11 of the AAF paper: `structseg train cityscapes_pspnet_aaf --out RUN`.

The 2,975 pictures of train, 90,000 steps of eight 720x720 crops from ImageNet as in the paper's appendix, the affinity
terms at 0.6; scored on val in tiles of 720 at stride 480, over six scales and their mirror pictures. The main tables
are 30,000 steps from the PSPNet authors' model, and Table 9 is a score on GTA5 (docs/tables.md). Networks are the sane
forms on torchvision's ResNet-101, from its ImageNet file; the authors' own: `released_cityscapes_*`.
None of these was run here, for want of a GPU. Numbers are the paper's: those of Table 6 are PSPNet's from its authors'
model, those of the appendix from ImageNet.
"""

from __future__ import annotations

from structseg.config import Config, DataConfig, EvaluationConfig, InferenceConfig, ModelConfig, OptimConfig
from structseg.recipes._methods import aaf, adversarial, affinity, embedding, random

FIELD, KERNELS = 0.6, (3, 5)  # weight and sizes as in the paper; its scripts have 1.0 and 3, 5, 7


def _config(net: str) -> Config:
    """Cross-entropy alone."""
    return Config(
        log_every=50,
        save_every=2000,
        data=DataConfig(format="cityscapes", root="data/cityscapes", crop=(720, 720), scale=(0.5, 2.0), workers=4),
        model=ModelConfig(name=net, weights="weights/resnet101-63fe2227.pth"),
        optim=OptimConfig(steps=90000, batch=8, lr=1e-3, weight_decay=5e-4),
        evaluation=EvaluationConfig(select="last", split="val"),
        inference=InferenceConfig(tile=720, stride=480, scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75), mirror=True),
    )


def cityscapes_fcn_ce() -> Config:
    """FCN, cross-entropy. Published: 66.77 mIoU on val (Table 6); not run here."""
    return _config("fcn")


def cityscapes_fcn_affinity() -> Config:
    """FCN, affinity field. Published: 68.65 mIoU on val (Table 6); not run here."""
    return affinity(_config("fcn"), weight=FIELD)


def cityscapes_fcn_aaf() -> Config:
    """FCN, AAF 3x3, 5x5. Published: 69.14 mIoU on val (Table 6); not run here."""
    return aaf(_config("fcn"), kernel_sizes=KERNELS, weight=FIELD)


def cityscapes_fcn_random() -> Config:
    """FCN, random projection. Published: no number; not run here."""
    return random(_config("fcn"))


def cityscapes_fcn_adversarial() -> Config:
    """FCN, adversarial projection. Published: no number; not run here."""
    return adversarial(_config("fcn"))


def cityscapes_fcn_embedding() -> Config:
    """FCN, embedding contrast. Published: no number; not run here."""
    return embedding(_config("fcn"))


def cityscapes_pspnet_ce() -> Config:
    """PSPNet, cross-entropy. Published: 75.05 mIoU on val (Table 6), from ImageNet 76.72; not run here."""
    return _config("pspnet")


def cityscapes_pspnet_affinity() -> Config:
    """PSPNet, affinity field. Published: 77.33 mIoU on val (Table 6); not run here."""
    return affinity(_config("pspnet"), weight=FIELD)


def cityscapes_pspnet_aaf() -> Config:
    """PSPNet, AAF 3x3, 5x5. Published: 77.69 mIoU on val (Table 6), from ImageNet 79.24; not run here."""
    return aaf(_config("pspnet"), kernel_sizes=KERNELS, weight=FIELD)


def cityscapes_pspnet_random() -> Config:
    """PSPNet, random projection. Published: 76.39 mIoU on val (Table 6); not run here."""
    return random(_config("pspnet"))


def cityscapes_pspnet_adversarial() -> Config:
    """PSPNet, adversarial projection. Published: 76.18 mIoU on val (Table 6); not run here."""
    return adversarial(_config("pspnet"))


def cityscapes_pspnet_embedding() -> Config:
    """PSPNet, embedding contrast. Published: no number; not run here."""
    return embedding(_config("pspnet"))


def cityscapes_deeplab_ce() -> Config:
    """DeepLab, cross-entropy. Published: no number; not run here."""
    return _config("deeplabv2")


def cityscapes_deeplab_affinity() -> Config:
    """DeepLab, affinity field. Published: no number; not run here."""
    return affinity(_config("deeplabv2"), weight=FIELD)


def cityscapes_deeplab_aaf() -> Config:
    """DeepLab, AAF 3x3, 5x5. Published: no number; not run here."""
    return aaf(_config("deeplabv2"), kernel_sizes=KERNELS, weight=FIELD)


def cityscapes_deeplab_random() -> Config:
    """DeepLab, random projection. Published: no number; not run here."""
    return random(_config("deeplabv2"))


def cityscapes_deeplab_adversarial() -> Config:
    """DeepLab, adversarial projection. Published: no number; not run here."""
    return adversarial(_config("deeplabv2"))


def cityscapes_deeplab_embedding() -> Config:
    """DeepLab, embedding contrast. Published: no number; not run here."""
    return embedding(_config("deeplabv2"))
