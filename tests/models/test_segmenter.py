"""Backbone + head, modules from outside, and what `build` makes of a config."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from structseg import models
from structseg.config import ModelConfig
from structseg.errors import CheckpointError, ConfigError
from structseg.inference.whole import probabilities
from structseg.models.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone
from structseg.models.backbones.efficientnet_lite import EfficientNetLite
from structseg.models.heads.fcn import FCN
from structseg.models.heads.top_down import TopDown
from structseg.models.segmenter import Outside, Segmenter, as_output
from structseg.types import Output

TINY = ModelConfig(backbone_options={"depth": 10, "width": 8}, head="top_down", head_options={"width": 8})


def tiny(num_classes: int = 5, **changes: Any) -> Segmenter:
    model = models.build(replace(TINY, **changes), num_classes)
    assert isinstance(model, Segmenter)
    return model


@torch.no_grad()
def test_any_size_and_dtype() -> None:
    model = tiny().eval()
    for height, width in ((1, 1), (3, 70), (65, 97)):
        image = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
        output = model(image)
        assert isinstance(output, Output)
        assert output.logits.shape == (2, 5, -(-height // 4), -(-width // 4))
        assert output.features is not None
        assert output.features.shape[2:] == output.logits.shape[2:]
        assert output.aux == ()
        assert torch.equal(model(image.float()).logits, output.logits)
        last = model(image.to(memory_format=torch.channels_last)).logits
        torch.testing.assert_close(last, output.logits, rtol=1e-4, atol=1e-5)
    assert model.stride == 4
    assert model.double()(image).logits.dtype == torch.float64


@torch.no_grad()
def test_pictures_are_normalised_here() -> None:
    model = tiny().eval()
    image = torch.rand(1, 3, 64, 64) * 255
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (IMAGENET_MEAN, IMAGENET_STD))
    expected, _ = model.head(model.backbone((image - mean) / std))
    torch.testing.assert_close(model(image).logits, expected)
    assert not [key for key in model.state_dict() if "mean" in key.split(".")[0] or key == "std"]


def test_head_modules_hold_the_head_and_no_more() -> None:
    model = tiny()
    head = {id(one) for module in model.head_modules for one in module.parameters()}
    assert head == {id(one) for one in model.head.parameters()}
    assert not head & {id(one) for one in model.backbone.parameters()}


@pytest.mark.parametrize("freeze_norm", [True, False])
def test_freeze_norm(freeze_norm: bool) -> None:
    model = tiny(freeze_norm=freeze_norm)
    assert model.training
    before = {key: value.clone() for key, value in model.state_dict().items()}
    image = torch.rand(2, 3, 64, 64) * 255
    model(image).logits.square().mean().backward()
    after = model.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert any(key.startswith("head.") for key in moved)
    assert any(key.startswith("backbone.") for key in moved) is not freeze_norm
    scale = model.backbone.get_parameter("bn1.weight")
    assert scale.requires_grad
    assert scale.grad is not None
    model.eval().train()
    assert model.backbone.get_submodule("bn1").training is not freeze_norm
    assert model.head.get_submodule("mix").training


def test_frozen_norms_make_a_step_independent_of_the_batch() -> None:
    model = tiny(freeze_norm=True)
    first, second = torch.rand(2, 1, 3, 64, 64) * 255
    features = model.backbone(model.normalise(torch.cat([first, second])))
    for whole, alone in zip(features, model.backbone(model.normalise(first)), strict=True):
        torch.testing.assert_close(whole[:1], alone, rtol=1e-4, atol=1e-5)


def states(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


@pytest.mark.parametrize("freeze_stages", range(6))
def test_frozen_stages_stay_and_record_no_graph(freeze_stages: int) -> None:
    """A step moves every weight above the frozen stages and nothing in them, running statistics included."""
    model = tiny(freeze_stages=freeze_stages)
    stages = model.backbone.stages()
    fixed, free = (
        nn.ModuleList(part for stage in side for part in stage)
        for side in (stages[:freeze_stages], stages[freeze_stages:])
    )
    before = states(fixed), states(free)
    image = torch.rand(2, 3, 64, 64) * 255
    features = model.backbone(model.normalise(image))
    assert [feature.requires_grad for feature in features] == [level >= freeze_stages for level in range(5)]
    trained = [one for one in model.parameters() if one.requires_grad]
    assert {id(one) for one in trained} == {id(one) for part in (free, model.head) for one in part.parameters()}
    optimizer = torch.optim.SGD(trained, lr=0.1)
    model(image).logits.square().mean().backward()
    assert not [one for one in fixed.parameters() if one.grad is not None]
    optimizer.step()
    assert all(torch.equal(value, before[0][key]) for key, value in fixed.state_dict().items())
    assert all(freeze_stages == 5 or not torch.equal(value, before[1][key]) for key, value in free.state_dict().items())
    for _ in range(2):
        assert not any(module.training for module in fixed.modules() if not isinstance(module, nn.ModuleList))
        model.eval().train()
    assert all(module.training for module in free.modules())


def test_frozen_stages_of_a_copy_are_its_own() -> None:
    model = tiny(freeze_stages=2)
    copied = copy.deepcopy(model)
    own = {id(module) for module in copied.modules()}
    assert copied.frozen
    assert all(id(module) in own for module in copied.frozen)
    assert set(copied.state_dict()) == set(tiny().state_dict())


def test_freeze_stages_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"model\.freeze_stages: 6 is not a number from 0 to 5"):
        tiny(freeze_stages=6)
    with pytest.raises(ConfigError, match=r"model\.freeze_stages is for a backbone and head"):
        models.build(ModelConfig(name="my_nets:Net", freeze_stages=1), 3)
    plain = Backbone()
    plain.channels, plain.strides = (3,), (1,)
    with pytest.raises(ConfigError, match=r"model\.freeze_stages: Backbone does not name its stages"):
        Segmenter(plain, FCN(channels=(3,), strides=(1,), num_classes=2), freeze_stages=1)


# ------------------------------------------------------------------------------------------------ from outside

WRAPS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda logits: logits,
    "out": lambda logits: OrderedDict(out=logits, aux=logits[:, :1]),
    "logits": lambda logits: {"loss": torch.zeros(()), "logits": logits},
    "first value": lambda logits: {"masks": logits, "more": None},
    "object": lambda logits: SimpleNamespace(loss=None, logits=logits),
    "tuple": lambda logits: (logits, None),
    "list": lambda logits: [logits],
    "output": lambda logits: Output(logits, aux=(logits,)),
}


class Returns(nn.Module):
    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.wrap = wrap

    def forward(self, image: Tensor) -> Any:
        return self.wrap(self.conv(image))


@pytest.mark.parametrize("kind", WRAPS)
def test_outside(kind: str) -> None:
    module = Returns(WRAPS[kind])
    model = Outside(module, (10.0, 20.0, 30.0), (2.0, 4.0, 8.0))
    image = torch.randint(0, 256, (1, 3, 4, 6), dtype=torch.uint8)
    columns = (torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1), torch.tensor([2.0, 4.0, 8.0]).view(3, 1, 1))
    output = model(image)
    assert isinstance(output, Output)
    torch.testing.assert_close(output.logits, module.conv((image - columns[0]) / columns[1]))
    assert len(output.aux) == (kind == "output")
    assert set(model.state_dict()) == {"module.conv.weight", "module.conv.bias"}


class Joined(nn.Module):
    """A decoder that joins what it enlarged with what came before, as U-Nets do: it fails on sides that are odd."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride_of_logits = stride

    def forward(self, image: Tensor) -> Tensor:
        small = image[..., ::2, ::2]
        joined = torch.cat([small.repeat_interleave(2, -1).repeat_interleave(2, -2), image], 1)
        return joined[..., :: self.stride_of_logits, :: self.stride_of_logits]


@pytest.mark.parametrize(("multiple", "size"), [(14, (28, 42)), (1, (30, 50))])
def test_what_comes_from_outside_may_say_its_own_multiple(multiple: int, size: tuple[int, int]) -> None:
    seen: list[tuple[int, ...]] = []

    class Own(Joined):
        def forward(self, image: Tensor) -> Tensor:
            seen.append(tuple(image.shape[-2:]))
            return super().forward(image)

    module = Own(1)
    module.multiple = multiple
    model = Outside(module, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    model(torch.zeros(1, 3, *size))
    assert seen == [size]


@pytest.mark.parametrize(("stride", "height"), [(8, 361), (16, 361), (32, 360)])
def test_cells_from_outside_stand_where_their_stride_says(stride: int, height: int) -> None:
    """A step at a cell's first row comes back within that cell, however much of the last one is beyond the picture."""
    border = height // stride * stride // 2 // stride * stride + stride * (height // stride // 3)
    image = torch.zeros(1, 3, height, 64)
    image[:, 0, border:] = 1.0
    model = Outside(Joined(stride), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    found = (probabilities(model, image)[0, 3, :, 0] > 1 / 6 + 0.05).nonzero()[0, 0]
    assert model.stride == stride
    assert border - stride <= found <= border


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("size", [(32, 64), (33, 61), (1, 96), (45, 50)])
def test_what_comes_from_outside_takes_any_size(size: tuple[int, int], stride: int) -> None:
    image = torch.rand(1, 3, *size)
    found = Outside(Joined(stride), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(image).logits
    assert torch.equal(found[:, 3:], image[..., ::stride, ::stride])  # every cell where it was


@pytest.mark.parametrize("result", [None, "logits", {}, (), {"x": 3}, (None,), torch.zeros(2, 3), [torch.zeros(3)]])
def test_outside_refuses_the_rest(result: Any) -> None:
    with pytest.raises(ConfigError, match=r"return logits \(B,C,h,w\)"):
        as_output(result)


def test_my_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, *, num_classes, width=3):\n"
        "        super().__init__(nn.Conv2d(3, width, 1), nn.Conv2d(width, num_classes, 1))\n"
        "class Wrong:\n"
        "    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    config = ModelConfig(name="my_nets:Net", options={"width": 7}, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    model = models.build(config, 4)
    assert isinstance(model, Outside)
    image = torch.rand(1, 3, 5, 5)
    torch.testing.assert_close(model(image).logits, model.module(image))
    assert model.module.get_parameter("0.weight").shape[0] == 7
    save_file(model.state_dict(), tmp_path / "run.safetensors")
    again = models.build(ModelConfig(name="my_nets:Net", options={"width": 7}, init_from="run.safetensors"), 4)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    save_file(model.module.state_dict(), tmp_path / "plain.safetensors")
    again = models.build(ModelConfig(name="my_nets:Net", options={"width": 7}, weights="plain.safetensors"), 4)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    with pytest.raises(ConfigError, match="has no option 'widht'; did you mean 'width'"):
        models.build(ModelConfig(name="my_nets:Net", options={"widht": 7}), 4)
    with pytest.raises(ConfigError, match=r"model\.name: my_nets:Wrong gave Wrong"):
        models.build(ModelConfig(name="my_nets:Wrong"), 4)


# ------------------------------------------------------------------------------------------------ build


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'resnet'"):
        tiny(backbone="resnett", backbone_options={})
    with pytest.raises(ConfigError, match="did you mean 'top_down'"):
        tiny(head="topdown", head_options={})
    with pytest.raises(ConfigError, match="no option 'dept'"):
        tiny(backbone_options={"dept": 10})
    with pytest.raises(ConfigError, match="no 'pspnett'"):
        models.create("pspnett", num_classes=3)


def test_weights_go_into_the_backbone(tmp_path: Path) -> None:
    file = tmp_path / "backbone.pth"
    source = tiny()
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.backbone.state_dict().items()}}, file)
    model = tiny(weights=str(file))
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[key], value)
    assert not torch.equal(
        model.head.get_parameter("classifier.weight"), source.head.get_parameter("classifier.weight")
    )


def test_init_from_another_class_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tiny(5)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    with caplog.at_level(logging.INFO):
        model = tiny(7, init_from=str(tmp_path))  # a run's folder
    ours, theirs = model.state_dict(), source.state_dict()
    left = {key for key in ours if not torch.equal(ours[key], theirs[key])}
    assert left == {"head.classifier.weight", "head.classifier.bias"}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    weights = sum(not key.endswith("num_batches_tracked") for key in ours)
    assert record.getMessage() == (
        f"{tmp_path / 'model.safetensors'}: {weights - 2} of {weights} weights loaded; "
        "new: head.classifier.bias (5 → 7 classes), head.classifier.weight (5 → 7 classes)"
    )
    caplog.clear()
    with caplog.at_level(logging.INFO):
        same = tiny(5, init_from=str(tmp_path / "model.safetensors"))
    assert all(torch.equal(value, theirs[key]) for key, value in same.state_dict().items())
    assert caplog.records[0].levelno == logging.INFO
    with pytest.raises(CheckpointError, match="less than half of the model is in it"):
        tiny(5, init_from=str(tmp_path), backbone_options={"depth": 50, "width": 2}, head="fcn", head_options={})


@pytest.mark.parametrize("where", ["header", "meta.json"])
def test_classes_of_the_same_name_keep_their_rows(where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before, now = ("road", "car", "tree", "sky", "sign"), ("tree", "person", "road", "void", "rail", "car", "x")
    source, table = tiny(5), {"labels": {"names": list(before)}}
    header = {"labels": json.dumps(table["labels"])} if where == "header" else None
    save_file(source.state_dict(), tmp_path / "model.safetensors", header)
    if where == "meta.json":
        (tmp_path / "meta.json").write_text(json.dumps(table))
    model = models.build(replace(TINY, init_from=str(tmp_path)), 7, names=now)
    for key in ("head.classifier.weight", "head.classifier.bias"):
        ours, theirs = model.get_parameter(key), source.get_parameter(key)
        kept = {
            name for name in before if name in now and torch.equal(ours[now.index(name)], theirs[before.index(name)])
        }
        assert kept == {"road", "car", "tree"}
        assert len(ours) == 7
    new = model.get_parameter("head.classifier.weight")[now.index("person")]
    assert not [row for row in source.get_parameter("head.classifier.weight") if torch.equal(row, new)]
    (record,) = caplog.records
    assert "of the classifier, 3 of 7 classes by name (tree, road, car)" in record.getMessage()
    assert "; new:" not in record.getMessage()


def test_the_same_count_of_other_classes_is_not_taken_for_the_same(tmp_path: Path) -> None:
    """Rows go by name, never by place, where names are known; equal tables are taken whole."""
    source = tiny(3)
    nn.init.normal_(source.get_parameter("head.classifier.bias"))
    file = str(tmp_path / "w.safetensors")
    save_file(source.state_dict(), file, {"labels": json.dumps({"names": ["a", "b", "c"]})})
    bias = source.get_parameter("head.classifier.bias")
    for names, order in ((("a", "b", "c"), [0, 1, 2]), (("c", "a", "b"), [2, 0, 1]), ((), [0, 1, 2])):
        model = models.build(replace(TINY, init_from=file), 3, names=names)
        assert torch.equal(model.get_parameter("head.classifier.bias"), bias[order])
    other = models.build(replace(TINY, init_from=file), 3, names=("x", "y", "z"))
    assert not other.get_parameter("head.classifier.bias").any()
    assert torch.equal(other.get_parameter("backbone.conv1.weight"), source.get_parameter("backbone.conv1.weight"))


def test_import_without_pydantic_and_typer() -> None:
    code = (
        "import sys; sys.modules.update(pydantic=None, typer=None)\n"
        "import structseg.models, structseg.models.backbones.resnet, structseg.models.heads.top_down\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_picture_is_read_alike_whatever_its_size() -> None:
    """The cells of a picture's upper left do not move when its right and lower border are cut off."""
    backbone = EfficientNetLite()
    model = Segmenter(backbone, TopDown(channels=backbone.channels, strides=backbone.strides, num_classes=3)).eval()
    image = torch.rand(1, 3, 96, 128).mul(255)
    image[..., 90:, :], image[..., :, 119:] = (
        image[..., 89:90, :],
        image[..., :, 118:119],
    )  # as the padding continues it
    with torch.no_grad():
        whole, cut = model(image).logits, model(image[..., :90, :119]).logits
    assert cut.shape[-2:] == (23, 30)
    torch.testing.assert_close(cut, whole[..., :23, :30], rtol=1e-4, atol=1e-5)
