"""Half precision keeps labels and scores, on a network that has learned something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from structseg import build
from structseg.data import open_format
from structseg.inference.evaluate import count
from structseg.inference.load import load
from structseg.inference.predictor import Predictor
from structseg.models.heads import Head
from structseg.recipes import read

SMALL = (
    "data.options={size=[48,64],train=80,val=4,test=40}",
    "data.crop=[48,64]",
    "data.workers=0",
    "model.backbone_options={depth=10,width=16}",
    "model.head_options={width=24}",
    "optim.steps=100",
    "evaluation.every=0",
    "evaluation.draws=20",
    "evaluation.pictures=0",
)


@pytest.mark.smoke
def test_labels_and_scores_of_a_trained_network_stay(tmp_path: Path) -> None:
    from structseg.training.run import train

    assert train(read("scenes_ce", SMALL), out=tmp_path / "run", quiet=True)["miou"] > 0.15
    model = load(tmp_path / "run")
    data = open_format(vars(model)["config"].data)
    items = data.items("test")
    images = [data.read(item).image for item in items]
    full, half = (Predictor(model, data.labels, batch=8, precision=kind) for kind in ("float32", "bfloat16"))
    assert half.describe().endswith("bfloat16")
    equal = [(a == b).mean() for a, b in zip(full.classes(images), half.classes(images), strict=True)]
    assert np.mean(equal) >= 0.995
    first, second = (count(predictor, data, items, distances=()).miou() for predictor in (full, half))
    assert abs(first - second) <= 0.001
    for a, b in zip(full.predict(images[:4]), half.predict(images[:4]), strict=True):
        assert b.dtype == torch.float32
        assert 0 < (a - b).abs().max() < 0.1


@pytest.mark.parametrize("name", sorted(build.names("models.heads")))
def test_the_last_layer_of_every_head_is_in_float32(name: str) -> None:
    strides = (2, 4, 8, 16, 32)
    head: Head = build.create("models.heads", name, {}, channels=(4,) * 5, strides=strides, num_classes=3)
    given = [torch.randn(2, 4, 64 // stride, 64 // stride).bfloat16() for stride in strides]
    with torch.autocast("cpu", torch.bfloat16):
        logits, feature = head(given)
        assert (logits.dtype, feature.dtype) == (torch.float32, torch.bfloat16)
        logits.square().mean().backward()
    assert not [key for key, weight in head.named_parameters() if weight.grad is None]
