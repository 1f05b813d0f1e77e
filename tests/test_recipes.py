"""Every recipe builds and takes a step; recipes on sets that are not here build on the scenes instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from structseg.config import DataConfig
from structseg.recipes import recipe, recipes
from structseg.training.loop import Record, run
from structseg.training.parts import prepare, streams
from structseg.training.state import State


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_steps_once(name: str) -> None:
    config = recipe(name)
    options = {"size": [32, 48], "train": 4, "val": 2, "test": 2}
    small = replace(
        config,
        data=DataConfig(format="scenes", options=options, crop=(32, 32), scale=config.data.scale),
        model=replace(config.model, weights="", freeze_stages=0),  # random weights are not to be kept
        optim=replace(config.optim, batch=2, steps=10),
    )
    parts = prepare(small, device="cpu")
    seen: list[float] = []

    def note(state: State, record: Record) -> None:
        seen.append(record.logs["loss"])

    run(parts.state, parts.regime, streams(parts), device=parts.device, hooks=[note], stop=1)
    assert 0 < seen[0] < 20
    assert (recipes()[name].__doc__ or "").endswith(".")
