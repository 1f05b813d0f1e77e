"""A run that was killed and goes on ends bit for bit where the straight run ends.

Each run happens in a forked process that kills itself (SIGKILL) at a seeded moment: in a forward pass, in saving
before a flush to the disk or between two renames, in evaluation, between steps. Augmentation, EMA, accumulation, bf16,
clipping and the learned kernel weights of AAF are on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from structseg import runs
from structseg.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    InferenceConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    to_toml,
)
from structseg.inference.counts import Counter
from structseg.models.segmenter import Segmenter
from structseg.training.run import train
from structseg.training.state import State


def config(workers: int) -> Config:
    return Config(
        seed=3,
        log_every=2,
        save_every=2,
        data=DataConfig(
            format="scenes",
            options={"size": [32, 48], "train": 7, "val": 2, "test": 2},
            crop=(32, 32),
            jitter=0.2,
            workers=workers,
        ),
        model=ModelConfig(
            backbone="resnet", backbone_options={"depth": 10, "width": 8}, head="top_down", head_options={"width": 8}
        ),
        losses=(
            LossConfig(name="cross_entropy"),
            LossConfig(name="adaptive_affinity_field", decay=0.1, options={"kernel_sizes": [3, 5]}),
        ),
        optim=OptimConfig(
            steps=9, batch=2, accumulate=2, ema=0.9, clip=1.0, precision="bfloat16", warmup=2, loss_lr=0.5
        ),
        evaluation=EvaluationConfig(every=3, select="miou", split="test", pictures=2, draws=50),
        inference=InferenceConfig(batch=2),
    )


def in_child(action: Callable[[], Any]) -> int:
    """Run `action` in a forked process; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(module: Any, name: str, call: int) -> None:
    """Kill this process at the beginning of the `call`-th call of `module.name`."""
    original, seen = getattr(module, name), [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        seen[0] += 1
        if seen[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(module, name, counted)


PLACES: dict[str, tuple[Any, str, int]] = {  # name -> what is called, and how often at least in the run
    "forward": (Segmenter, "forward", 18),
    "before fsync": (os, "fsync", 10),
    "between renames": (os, "replace", 8),
    "evaluation": (Counter, "add", 6),
    "update": (State, "update", 9),
}


def points() -> list[tuple[str, int]]:
    """24 seeded kill points over all places."""
    generator = random.Random(0)
    chosen: list[tuple[str, int]] = []
    while len(chosen) < 24:
        place = list(PLACES)[len(chosen) % len(PLACES)]
        point = (place, generator.randint(1, PLACES[place][2]))
        if point not in chosen:
            chosen.append(point)
    return chosen


def outcome(run: Path) -> dict[str, Any]:
    """All of a finished run that does not depend on the clock."""
    state = State.read(run / runs.STATE)
    rows = [
        {key: value for key, value in row.items() if key not in ("rate", "pictures", "wait", "seconds")}
        for row in runs.read_log(run)
    ]
    metrics = json.loads((run / runs.METRICS).read_text())
    metrics.pop("seconds")
    weights = {name: load_file(run / name) for name in (runs.MODEL, runs.EMA)}
    with np.load(run / runs.PER_IMAGE) as file:
        counts = {name: torch.from_numpy(file[name]) for name in ("confusion", "boundary", "trimap")}
    pictures = {path.name: path.read_bytes() for path in (run / runs.PICTURES).iterdir()}
    meta = runs.read_json(run / runs.META)
    meta.pop("train_seconds")
    return {
        "state": state,
        "rows": rows,
        "metrics": metrics,
        "weights": weights,
        "counts": counts,
        "pictures": pictures,
        "meta": meta,
    }


def assert_equal(one: Any, other: Any, path: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{path}/{place}")
    else:
        assert one == other, path


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("straight") / "run"
    assert in_child(lambda: train(config(0), out=run, quiet=True)) == 0
    return outcome(run)


def kill_and_go_on(run: Path, place: str, call: int, workers: int) -> None:
    target, name, _ = PLACES[place]

    def killed() -> None:
        kill_at(target, name, call)
        train(config(workers), out=run, quiet=True)

    assert in_child(killed) == -signal.SIGKILL
    if (run / runs.STATE).exists():
        State.read(run / runs.STATE)  # the previous checkpoint is whole
    assert in_child(lambda: train(config(workers), out=run, resume=True, quiet=True)) == 0
    assert not runs.leftovers(run)


@pytest.mark.parametrize(("place", "call"), points())
def test_killed_run_goes_on_bit_for_bit(tmp_path: Path, straight: dict[str, Any], place: str, call: int) -> None:
    kill_and_go_on(tmp_path / "run", place, call, workers=0)
    assert_equal(outcome(tmp_path / "run"), straight)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "call"), points())
def test_two_workers_change_nothing(tmp_path: Path, straight: dict[str, Any], place: str, call: int) -> None:
    kill_and_go_on(tmp_path / "run", place, call, workers=2)
    assert_equal(outcome(tmp_path / "run"), straight)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_saves_and_stops(
    tmp_path: Path, straight: dict[str, Any], number: signal.Signals
) -> None:
    run = tmp_path / "run"

    def signalled() -> None:
        original = State.update

        def update(self: State, steps: Any) -> None:
            original(self, steps)
            if self.step == 5:
                os.kill(os.getpid(), number)

        State.update = update  # type: ignore[method-assign]  # only in this process
        with pytest.raises(SystemExit) as stop:
            train(config(0), out=run, quiet=True)
        assert stop.value.code == 128 + number

    assert in_child(signalled) == 0
    assert State.read(run / runs.STATE)["step"] == 5
    assert runs.read_log(run)[-1]["kind"] == "stop"
    assert in_child(lambda: train(config(0), out=run, resume=True, quiet=True)) == 0
    assert_equal(outcome(run), straight)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_stops_safely_with_workers(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C on a terminal reaches loader processes too; they leave the answer to the main process."""
    run, path = tmp_path / "run", tmp_path / "config.toml"
    long = config(2)
    path.write_text(to_toml(replace(long, optim=replace(long.optim, steps=100_000), save_every=0)))
    words = ["train", str(path), "--out", str(run)]
    command = [sys.executable, "-c", "from structseg.cli import main; main()", *words]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while not runs.read_log(run) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 128 + number, errors
    assert "go on with --resume" in errors
    assert State.read(run / runs.STATE)["step"] > 0


def test_dropout_of_a_second_device_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each CUDA device draws from a generator of its own: the state holds that of the one that trains."""
    generators = {"cuda:0": torch.tensor([0]), "cuda:1": torch.tensor([1])}

    def state_of(device: torch.device | str = "cuda:0") -> torch.Tensor:
        return generators[str(device)]

    def set_state(value: torch.Tensor, device: torch.device | str = "cuda:0") -> None:
        generators[str(device)] = value

    state = State({"model": torch.nn.Conv2d(1, 1, 1)}, OptimConfig())
    monkeypatch.setattr(State, "_device", lambda self: torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "get_rng_state", state_of)
    monkeypatch.setattr(torch.cuda, "set_rng_state", set_state)
    state.save(tmp_path / "state.pt")
    generators["cuda:1"] = torch.tensor([9])
    state.restore(State.read(tmp_path / "state.pt"), tmp_path / "state.pt")
    assert generators == {"cuda:0": torch.tensor([0]), "cuda:1": torch.tensor([1])}
