"""Weights that fit by their shapes and are of another kind of ResNet are refused in a line, in every direction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from structseg import models, runs
from structseg.config import Config, ModelConfig, to_toml
from structseg.errors import CheckpointError
from structseg.inference.load import save_weights
from structseg.models import load_fitting, load_weights
from structseg.models.backbones import Backbone
from structseg.models.backbones.resnet import ResNet
from structseg.models.backbones.slim_resnet import SlimResNet
from structseg.models.origin import check_origin, header
from structseg.models.segmenter import Segmenter

UNITS = (3, 4, 6, 3)  # with TF-Slim's planes and stem: keys and shapes of a ResNet of 50 layers
RELEASED: dict[str, Any] = {"preset": "released", "backbone_options": {"units": UNITS}}
DEFAULT: dict[str, Any] = {"backbone_options": {"depth": 50}}
OWN: dict[str, Any] = {"depth": 101, "width": 2, "stem": "deep", "first_dilation": "own", "output_stride": 8}
LAST: dict[str, Any] = {**OWN, "first_dilation": "last"}
SLIM_FILE = "resnet_v1_50.ckpt, tf, slim_resnet"
CAFFE_FILE = "pspnet101, voc.caffemodel, caffe, resnet"
OTHERS_FILE = "resnet50_v1s.params, mxnet, resnet"
NOT_SLIMS = "neither its header nor config.toml .* structseg convert --source tf"
SLIMS = r'are of TF-Slim\'s ResNet, .* model\.options\.preset="released"'
AUTHORS = r'of PSPNet\'s authors, .* backbone_options=\{stem="deep",first_dilation="own"\}'


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return {key: torch.zeros_like(value) for key, value in ResNet(depth=50).state_dict().items()}


def write(folder: Path, state: Mapping[str, Tensor], converted: str | None, name: str = "net.safetensors") -> Path:
    if name.endswith(".pth"):
        torch.save(state, folder / name)
    else:
        save_file(dict(state), folder / name, {"format": "pt"} if converted is None else {"converted": converted})
    return folder / name


def test_the_two_families_fit_by_shape(tensors: dict[str, Tensor]) -> None:
    shapes = {key: value.shape for key, value in SlimResNet(units=UNITS).state_dict().items()}
    assert shapes == {key: value.shape for key, value in tensors.items()}


@pytest.mark.parametrize(
    ("slim", "converted", "name", "words"),
    [
        (False, SLIM_FILE, "net.safetensors", SLIMS),
        (True, OTHERS_FILE, "net.safetensors", NOT_SLIMS),
        (True, "of somebody", "net.safetensors", NOT_SLIMS),
        (True, None, "net.safetensors", NOT_SLIMS),
        (True, None, "net.pth", NOT_SLIMS),
    ],
)
def test_weights_of_the_other_family_are_refused(
    slim: bool, converted: str | None, name: str, words: str, tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    file = write(tmp_path, tensors, converted, name)
    backbone: Backbone = SlimResNet(units=UNITS) if slim else ResNet(depth=50)
    before = backbone.get_parameter("conv1.weight").clone()
    for load in (load_weights, load_fitting):
        with pytest.raises(CheckpointError, match=rf"{name}: .*{words}") as error:
            load(backbone, file)
        assert "\n" not in str(error.value)
    assert torch.equal(before, backbone.get_parameter("conv1.weight"))


def test_weights_of_the_same_family_are_taken(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    slims, others = write(tmp_path, tensors, SLIM_FILE, "slim.safetensors"), write(tmp_path, tensors, None, "net.pth")
    for load in (load_weights, load_fitting):
        assert load(SlimResNet(units=UNITS), slims).new == ()
        assert load(ResNet(depth=50), others).new == ()
    assert load_fitting(ResNet(depth=50), write(tmp_path, tensors, OTHERS_FILE)).new == ()


def test_weights_of_pspnets_authors_want_their_dilation(tmp_path: Path) -> None:
    """Files of other nets with a deep stem, which are trained with strides, are a start for either."""
    state = ResNet(**OWN).state_dict()
    theirs = write(tmp_path, state, CAFFE_FILE)
    for load in (load_weights, load_fitting):
        assert load(ResNet(**OWN), theirs).new == ()
        with pytest.raises(CheckpointError, match=AUTHORS):
            load(ResNet(**LAST), theirs)
    for other in (write(tmp_path, state, OTHERS_FILE), write(tmp_path, state, None, "net.pth")):
        for options in (OWN, LAST):
            assert load_weights(ResNet(**options), other).new == ()


def run_of(folder: Path, config: ModelConfig, model: nn.Module) -> Path:
    """What of a run folder tells whose weights it holds."""
    (folder / runs.CONFIG).write_text(to_toml(Config(model=config)))
    save_weights(model, folder / runs.MODEL, {"labels": {"names": ["a", "b", "c"]}})
    return folder


def fcn(options: dict[str, Any]) -> Segmenter:
    net = models.create("fcn", num_classes=3, **options)
    assert isinstance(net, Segmenter)
    return net


@pytest.mark.parametrize(
    ("given", "into", "words"), [(RELEASED, DEFAULT, SLIMS), (DEFAULT, RELEASED, NOT_SLIMS)], ids=["slim", "default"]
)
def test_a_run_of_the_other_family_is_refused(
    given: dict[str, Any], into: dict[str, Any], words: str, tmp_path: Path
) -> None:
    run = run_of(tmp_path, ModelConfig(name="fcn", options=given), fcn(given))
    assert load_fitting(fcn(given), run).new == ()
    for source in (run, run / runs.MODEL):
        with pytest.raises(CheckpointError, match=rf"{runs.MODEL}: .*{words}"):
            load_fitting(fcn(into), source)


def test_a_run_on_another_dilation_is_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path, ModelConfig(backbone_options=OWN), ResNet(**OWN))
    assert load_fitting(ResNet(**OWN), run).new == ()
    with pytest.raises(CheckpointError, match=AUTHORS):
        load_fitting(ResNet(**LAST), run)


@pytest.mark.parametrize(
    "settings",
    [
        '[model]\nname = "fcn"\n[model.options]\npreset = "released"\n',
        '[model]\nbackbone = "slim_resnet"\n',
        '[model]\nname = "my_code:Net"\n',  # it cannot be told
    ],
)
def test_what_the_settings_of_a_run_say(settings: str, tmp_path: Path) -> None:
    thin = SlimResNet(units=(1, 1, 1, 1), planes=(1, 1, 1, 1))
    save_weights(thin, tmp_path / runs.MODEL, {"labels": {}})
    for config, taken in ((settings, True), ("model = 3\n", False), ('recipe = "scenes_ce"\n', False)):
        (tmp_path / runs.CONFIG).write_text(config)
        if taken:
            check_origin(thin, tmp_path / runs.MODEL)
        else:
            with pytest.raises(CheckpointError, match=NOT_SLIMS):
                check_origin(thin, tmp_path / runs.MODEL)


def test_a_network_of_no_backbone_of_ours_takes_what_fits(tmp_path: Path) -> None:
    module = nn.Conv2d(3, 4, 1)
    file = write(tmp_path, module.state_dict(), SLIM_FILE)
    assert load_fitting(module, file).new == ()
    assert header(file) == {"converted": SLIM_FILE}
    assert header(write(tmp_path, module.state_dict(), None, "net.pth")) == {}
