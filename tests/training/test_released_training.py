"""Networks by name train on the built-in scenes, as released and in their default form; what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from structseg import models, recipes
from structseg.config import Config, ModelConfig
from structseg.errors import ConfigError
from structseg.inference.load import load
from structseg.models.convert import from_torch
from structseg.models.layers.tf1 import BiasedBatchNorm2d
from structseg.models.segmenter import Segmenter
from structseg.training.parts import prepare
from structseg.training.run import train

THIN = "{units=[1,1,1,1],planes=[1,2,2,3]}"
RELEASED = (
    "model.name=pspnet",
    "model.options.preset=released",
    "model.options.width=8",
    f"model.options.backbone_options={THIN}",
    "model.backbone_options={}",
    "model.head_options={}",
    "data.geometry=released",
    "data.crop=[48,48]",
    "losses.adaptive_affinity_field.options={kernel_sizes=[3,5]}",  # 6x6 cells
    "data.workers=0",
    "data.options={size=[48,64],train=2,val=1,test=1}",
    "inference.tiling=released",
    "inference.tile=48",
    "inference.overlap=0.33",
    "optim.steps=1",
    "optim.batch=2",
    "optim.name=sgd",
    "optim.warmup=0",
    "evaluation.every=0",
    "evaluation.draws=20",
    "evaluation.pictures=0",
)


def config(*changes: str) -> Config:
    return recipes.read("scenes_aaf", [*RELEASED, *changes])


@pytest.mark.smoke
def test_the_released_pspnet_trains_a_step_and_is_loaded_again(tmp_path: Path) -> None:
    train(config(), out=tmp_path / "run", quiet=True)
    model = load(tmp_path / "run")
    assert isinstance(model, Segmenter)
    norms = [module for module in model.modules() if isinstance(module, BiasedBatchNorm2d)]
    assert len(norms) == 1 + 4 * 4 + 5
    assert all(int(one.get_buffer("num_batches_tracked")) == 1 for one in norms)
    (log,) = (line for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines() if "adaptive_affinity" in line)
    assert "NaN" not in log


@pytest.mark.parametrize(
    "changes",
    [
        ("data.crop=[56,72]",),  # where the published code stops
        ("data.crop=[41,57]",),
        ("optim.batch=1",),
        ("model.name=fcn", f"model.options={{preset='released',backbone_options={THIN}}}"),
        ("model.name=deeplabv2", f"model.options={{preset='released',backbone_options={THIN}}}"),
        ("model.name=pspnet", "model.options={width=8,backbone_options={depth=10,width=8}}", "data.geometry=default"),
    ],
    ids=["crop", "odd crop", "one picture", "fcn", "deeplabv2", "default"],
)
def test_what_can_be_trained_is_built(changes: tuple[str, ...]) -> None:
    parts = prepare(config(*changes), device="cpu")
    groups = parts.state.optimizers["model"].param_groups
    rates = {round(group["base_lr"] / parts.config.optim.lr, 6) for group in groups}
    assert rates == {1.0}  # head_factor of the scenes
    assert parts.about["labels"]["names"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("model.options.num_classes=3",), "model.name: pspnet has no option 'num_classes'"),
        (("model.options.preset=sane",), "model.options.preset: 'sane' is not one of default, released"),
        (("model.options.backbone_options=5",), "model.name: pspnet: "),
        (("model.freeze_stages=1",), "model.freeze_stages"),
        (("data.jitter=0.1",), "data.jitter = 0.1 is not for data.geometry = 'released'"),
        (("data.balance=0.5",), "data.balance"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(changes: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        prepare(config(*changes), device="cpu")
    assert "\n" not in str(caught.value)


def test_keys_of_the_backbone_are_those_of_a_net_by_name_too(tmp_path: Path) -> None:
    """`model.weights` fills its backbone, `model.freeze_norm` stops its norms; neither is passed over in silence."""
    options: dict[str, Any] = {"width": 8, "backbone_options": {"depth": 10, "width": 8}}
    source = models.create("pspnet", num_classes=3, **options)
    assert isinstance(source, Segmenter)
    torch.save(source.backbone.state_dict(), tmp_path / "backbone.pth")
    given = ModelConfig(name="pspnet", options=options, weights=str(tmp_path / "backbone.pth"), freeze_norm=True)
    model = models.build(given, 5)
    assert isinstance(model, Segmenter)
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[key], value)
    assert not model.backbone.get_submodule("bn1").training  # as training finds it: nothing there calls train()
    assert model.head.get_submodule("mix.1").training
    with pytest.raises(ConfigError, match=r"model\.freeze_norm is for a backbone and head"):
        models.build(replace(given, name="torch.nn:Identity", options={}, weights=""), 5)
    assert from_torch(source.backbone, source.backbone.state_dict(), source="timm").new == ()
