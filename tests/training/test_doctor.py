"""The machine's checks, and learning one batch by heart."""

from __future__ import annotations

import pytest
import torch

from structseg.errors import ConfigError
from structseg.recipes import read
from structseg.training import machine
from structseg.training.overfit import GOOD, Overfit, overfit

SCENES = ("data.options={size=[48,64],train=6,val=2,test=2}", "data.crop=[48,64]", "optim.batch=2")


def test_every_check_of_the_machine_gives_a_line() -> None:
    found = {check.name: check for check in machine.checks()}
    assert list(found)[:3] == ["python", "torch", "numba"]
    assert torch.__version__ in found["torch"].text
    assert all(check.text for check in found.values())
    assert all(check.advice for check in found.values() if check.state != machine.OK)
    assert not [check for check in found.values() if check.state == machine.BROKEN]


def test_a_check_that_fails_is_broken_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> int:
        raise OSError("no threads here")

    monkeypatch.setattr(torch, "get_num_threads", fails)
    found = {check.name: check for check in machine.checks()}
    assert found["threads"].state == machine.BROKEN
    assert "no threads here" in found["threads"].text
    assert found["disk"].state != machine.BROKEN


def test_too_many_threads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    (check,) = (check for check in machine.checks() if check.name == "threads")
    assert check.state == machine.CAUTION
    assert "OMP_NUM_THREADS=" in check.advice


@pytest.mark.smoke
def test_one_batch_is_learned() -> None:
    config = read("scenes_ce", SCENES)
    lines: list[str] = []
    result = overfit(config, device="cpu", say=lines.append)
    assert result.state == "ok"
    assert result.accuracy >= GOOD
    assert result.losses[1] < result.losses[0]
    assert result.causes(config) == []
    assert len(lines) == -(-result.steps // 10)
    assert 0.5 < result.labelled <= 1


@pytest.mark.smoke
def test_a_run_of_few_steps_does_not_make_the_batch_unlearned() -> None:
    assert overfit(read("scenes_ce", [*SCENES, "optim.steps=5"]), device="cpu").state == "ok"


@pytest.mark.smoke
def test_steps_that_are_too_small_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("structseg.training.overfit.STEPS", 10)
    config = read("scenes_ce", [*SCENES, "optim.lr=1e-9"])
    result = overfit(config, device="cpu")
    assert result.state == "broken"
    assert "optim.lr=1e-08" in result.causes(config)[0]


def test_causes_fit_what_happened() -> None:
    config = read("scenes_ce")
    diverged = Overfit(3, (2.0, 9.0), 0.1, 0.9, 1.0, "step 2: loss is not finite")
    assert diverged.state == "broken"
    assert diverged.text() == "step 2: loss is not finite"
    assert "too large" in diverged.causes(config)[0]
    slow = Overfit(150, (2.0, 1.0), 0.7, 0.9, 40.0)
    assert slow.state == "caution"
    assert "slowly" in slow.causes(config)[0]
    bare = Overfit(150, (2.0, 1.9), 0.7, 0.01, 40.0)
    assert "only 1.0 % of the pixels have a label" in bare.causes(config)[0]
    with pytest.raises(ConfigError):
        overfit(read("scenes_ce", ["data.options={size=[2,2]}"]))
