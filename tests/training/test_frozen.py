"""Frozen stages in training: no optimizer holds them, the average keeps them, and a resumed run ends where the straight
one does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from structseg import models
from structseg.config import Config, ModelConfig, OptimConfig
from structseg.errors import ConfigError
from structseg.losses import CrossEntropy
from structseg.models.segmenter import Segmenter
from structseg.training.loop import run
from structseg.training.parts import check_names
from structseg.training.regimes.supervised import Supervised, Term
from structseg.training.state import State
from structseg.types import Batch

CPU = torch.device("cpu")
OPTIM = OptimConfig(name="adamw", lr=1e-2, weight_decay=0.1, steps=4, batch=2, ema=0.9)


def fresh(freeze_stages: int) -> tuple[State, Supervised]:
    torch.manual_seed(0)
    config = ModelConfig(
        backbone_options={"depth": 10, "width": 8},
        head="top_down",
        head_options={"width": 8, "dropout": 0.2},
        freeze_stages=freeze_stages,
    )
    regime = Supervised(model=models.build(config, 3), terms=[Term("cross_entropy", CrossEntropy())])
    return State(regime.trained(), OPTIM), regime.train()


def batches(start: int) -> dict[str, Iterator[Batch]]:
    def made() -> Iterator[Batch]:
        for place in range(start, OPTIM.steps):
            generator = torch.Generator().manual_seed(place)
            image = torch.randint(0, 256, (2, 3, 64, 64), generator=generator).float()
            yield Batch(("a", "b"), image, torch.randint(0, 3, (2, 64, 64), generator=generator))

    return {"labeled": made()}


@pytest.mark.parametrize("freeze_stages", [2, 5])
def test_weights_stay_in_the_model_and_its_average(freeze_stages: int) -> None:
    state, regime = fresh(freeze_stages)
    model = regime.model
    assert isinstance(model, Segmenter)
    before = [{key: value.clone() for key, value in module.state_dict().items()} for module in model.frozen]
    held = {id(one) for group in state.optimizers["model"].param_groups for one in group["params"]}
    assert not held & {id(one) for module in model.frozen for one in module.parameters()}
    run(state, regime, batches(0), device=CPU)
    assert isinstance(state.kept, Segmenter)
    assert state.kept is not model
    for one in (model, state.kept):
        for module, values in zip(one.frozen, before, strict=True):
            assert all(torch.equal(value, values[key]) for key, value in module.state_dict().items())


def test_resumed_run_ends_where_the_straight_one_does(tmp_path: Path) -> None:
    straight, regime = fresh(2)
    run(straight, regime, batches(0), device=CPU)
    first, regime = fresh(2)
    run(first, regime, batches(0), device=CPU, stop=2)
    first.save(tmp_path / "state")
    second, regime = fresh(2)
    second.restore(State.read(tmp_path / "state"), tmp_path / "state")
    run(second, regime, batches(2), device=CPU)
    for ended, wanted in ((second.trained["model"], straight.trained["model"]), (second.kept, straight.kept)):
        assert all(torch.equal(value, wanted.state_dict()[key]) for key, value in ended.state_dict().items())


def test_random_weights_are_not_frozen() -> None:
    with pytest.raises(ConfigError, match=r"model\.freeze_stages = 2 would keep random weights; give model\.weights"):
        check_names(Config(model=ModelConfig(freeze_stages=2)))
    check_names(Config(model=ModelConfig(freeze_stages=2, weights="imagenet")))
    check_names(Config(model=ModelConfig(freeze_stages=2, init_from="runs/first")))
