"""Every recipe builds and takes a step; recipes on sets that are not here build on the scenes instead."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import ROOT

from structseg import runs
from structseg.config import Config, DataConfig, ModelConfig
from structseg.recipes import read, recipe, recipes
from structseg.training.loop import Record, run
from structseg.training.parts import prepare, streams
from structseg.training.regimes.supervised import Supervised
from structseg.training.run import train
from structseg.training.state import State

THIN = {"default": {"depth": 10, "width": 8}, "released": {"units": [1, 1, 1, 1], "planes": [1, 2, 2, 3]}}
RELEASED = [name for name in recipes() if name.startswith("released_") and not name.endswith("_stage2")]


def on_scenes(config: Config) -> Config:
    """The recipe on a few built-in pictures: its geometry, losses, regime and optimizer, for 4 steps of 2 crops."""
    side = 56 if config.model.name else 32  # a network of stride 8 needs cells for a 7x7 kernel
    return replace(
        config,
        save_every=0,
        data=DataConfig(
            format="scenes",
            options={"size": [side, 64], "train": 4, "val": 2, "test": 2},
            crop=(side, side),
            scale=config.data.scale,
            geometry=config.data.geometry,
        ),
        model=replace(config.model, weights="", init_from="", freeze_stages=0),  # random weights are not to be kept
        optim=replace(config.optim, batch=2, steps=4, warmup=0),
        evaluation=replace(config.evaluation, every=0, pictures=0, draws=10),
        inference=replace(config.inference, tile=48, stride=32, scales=(1.0, 1.5)),
    )


def thin(model: ModelConfig) -> ModelConfig:
    """A network by name with few channels; others as they are."""
    if not model.name:
        return model
    narrow: dict[str, Any] = {"width": 8} if model.name == "pspnet" else {}
    preset = model.options.get("preset", "default")
    return replace(model, options={**model.options, **narrow, "backbone_options": THIN[preset]})


def marked(name: str) -> Any:
    """PSPNet and what is no paper's in the fast tier; FCN and DeepLab take the same steps in the next one."""
    return pytest.param(name, marks=[pytest.mark.smoke] if "_fcn_" in name or "_deeplab_" in name else [])


@pytest.mark.parametrize("name", [marked(name) for name in recipes()])
def test_every_recipe_steps_once(name: str) -> None:
    config = on_scenes(recipe(name))
    parts = prepare(replace(config, model=thin(config.model)), device="cpu")
    seen: list[float] = []

    def note(state: State, record: Record) -> None:
        seen.append(record.logs["loss"])

    run(parts.state, parts.regime, streams(parts), device=parts.device, hooks=[note], stop=1)
    assert 0 < seen[0] < 20


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_says_what_it_scored(name: str) -> None:
    """As `structseg list recipes` shows it: the paper's number, ours with its date and page, or that there is none."""
    about = recipes()[name].__doc__ or ""
    assert "\n" not in about
    if measured := re.search(
        r"Measured 2\d{3}-\d\d-\d\d(?:, one seed|, half size)?: (.+) \(docs/results\.md\)\.$", about
    ):
        numbers = re.findall(r"\d+\.\d(?: ± \d\.\d)?", measured[1])
        lines = re.findall(rf"^\| `?{name}\b.*$", (ROOT / "docs/results.md").read_text(encoding="utf-8"), re.M)
        assert len(numbers) == 2, about
        assert any(all(number in line for number in numbers) for line in lines), about
    elif name.startswith(("voc_", "cityscapes_", "released_")):
        assert re.search(r"\. Published(, with 3x3, 5x5)?: (\d\d\.\d\d\b.*|no number); not run here\.$", about), about
    else:
        assert re.search(r"\w: not run (here|yet at full size)\.$", about), about


def test_the_active_boundary_stands_beside_lovasz() -> None:
    """As its paper and docs/losses.md advise."""
    names = [term.name for term in recipe("camvid_active_boundary").losses]
    assert names == ["cross_entropy", "lovasz", "active_boundary"]


@pytest.fixture
def stopped_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The second step of this process is the last of a run: SIGTERM comes while it is under way."""
    step, calls = Supervised.step, iter(range(1000))

    def stopping(self: Supervised, *args: Any, **keys: Any) -> Any:
        if next(calls) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args, **keys)

    with monkeypatch.context() as patch:
        patch.setattr(Supervised, "step", stopping)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEASED)
def test_released_recipes_go_on_where_they_stopped(name: str, tmp_path: Path, stopped_once: None) -> None:
    """Stopped after two of four steps and resumed, the network is that of the straight run bit for bit."""
    config = on_scenes(recipe(name))
    config = replace(config, model=thin(config.model))
    with pytest.raises(SystemExit):
        train(config, out=tmp_path / "resumed", quiet=True)
    assert not (tmp_path / "resumed" / runs.METRICS).exists()
    scores = [train(config, out=tmp_path / "resumed", resume=True, quiet=True)["miou"]]
    scores.append(train(config, out=tmp_path / "straight", quiet=True)["miou"])
    first, second = (load_file(tmp_path / run / runs.MODEL) for run in ("resumed", "straight"))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_the_released_network_trains_at_its_full_width(tmp_path: Path, stopped_once: None) -> None:
    """All 65.7 million parameters: a step, a stop, and on."""
    config = on_scenes(recipe("released_voc_pspnet_aaf"))
    config = replace(config, inference=replace(config.inference, scales=(1.0,), mirror=False))
    with pytest.raises(SystemExit):
        train(config, out=tmp_path / "run", quiet=True)
    metrics = train(config, out=tmp_path / "run", resume=True, quiet=True)
    assert runs.read_json(tmp_path / "run" / runs.META)["parameters"] > 65e6
    assert metrics["images"] == 2
    assert [row["step"] for row in runs.read_log(tmp_path / "run") if row["kind"] == "train"][-1] == 4


@pytest.mark.smoke
def test_the_second_stage_starts_from_the_first(tmp_path: Path) -> None:
    first = on_scenes(recipe("released_voc_pspnet_aaf"))
    first = replace(first, model=thin(first.model), optim=replace(first.optim, steps=1))
    train(first, out=tmp_path / "one", quiet=True)
    second = on_scenes(recipe("released_voc_pspnet_aaf_stage2"))
    source = str(tmp_path / "one")
    second = replace(second, model=replace(thin(second.model), init_from=source))
    trained = prepare(second, device="cpu").state.trained
    assert not any(kernel.any() for kernel in trained["losses"].parameters())  # the kernel weights start anew, uniform
    start = trained["model"].state_dict()
    kept: dict[str, torch.Tensor] = load_file(tmp_path / "one" / runs.MODEL)
    assert start.keys() == kept.keys()
    assert all(torch.equal(start[key], value) for key, value in kept.items())
    assert recipe("released_voc_pspnet_aaf_stage2").optim.lr == pytest.approx(first.optim.lr / 10)


def test_the_step_beyond_is_trained_as_released() -> None:
    for name in recipes():
        if name.startswith("released_"):
            steps = 90001 if "cityscapes" in name else 30001
            assert recipe(name).optim.steps == steps, name


def test_a_published_start_is_not_passed_over() -> None:
    """Recipes of papers name the file that they start from: without it they are refused, not trained from scratch."""
    for name in recipes():
        if name.startswith(("voc_", "cityscapes_", "released_")):
            model = read(name).model
            assert bool(model.weights) != bool(model.init_from), name
