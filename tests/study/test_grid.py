"""The grid: which runs it makes, that it keeps and goes on with what is there, and what it writes."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import ROOT, TINY_SCENES, Cli, refused

from structseg.errors import ConfigError
from structseg.study.grid import _axis, row_of, trials

TINY = (*TINY_SCENES, "data.workers=0")


def test_every_combination_once() -> None:
    made = trials(["scenes_ce", "scenes_aaf"], ["seed=0,1", "optim.lr=1e-3, 2e-3"], ["optim.steps=5"])
    assert [trial.name for trial in made[:4]] == [
        "scenes_ce_seed0_lr-1e-3",
        "scenes_ce_seed0_lr-2e-3",
        "scenes_ce_seed1_lr-1e-3",
        "scenes_ce_seed1_lr-2e-3",
    ]
    assert {trial.config.recipe for trial in made[4:]} == {"scenes_aaf"}
    assert [(trial.config.seed, trial.config.optim.lr) for trial in made[:4]] == [
        (0, 1e-3),
        (0, 2e-3),
        (1, 1e-3),
        (1, 2e-3),
    ]
    assert all(trial.config.optim.steps == 5 for trial in made)


def test_a_list_is_one_value() -> None:
    key = "losses.adaptive_affinity_field.options.kernel_sizes"
    made = trials(["scenes_aaf"], [f"{key}=[3],[3,5],[3,5,7]"])
    assert [trial.config.losses[1].options["kernel_sizes"] for trial in made] == [[3], [3, 5], [3, 5, 7]]
    assert [trial.name for trial in made] == [f"scenes_aaf_kernel_sizes-{name}" for name in ("3", "3-5", "3-5-7")]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ("a,b", ["a", "b"]),
        (",x.pth", ["", "x.pth"]),
        ("0,1,2,", ["0", "1", "2"]),
        ("]a,b", ["]a", "b"]),
        ("'a,b',\"c,d\"", ["'a,b'", '"c,d"']),
        ("{a={b=1},c=2},{}", ["{a={b=1},c=2}", "{}"]),
        ("[[1,2],[3,4]],[5]", ["[[1,2],[3,4]]", "[5]"]),
        ("{a=\"x],y\"},{b='}'}", ['{a="x],y"}', "{b='}'}"]),
        ("it's,well", ["it's", "well"]),
    ],
)
def test_values_are_parted_at_commas_of_their_own(values: str, wanted: list[str]) -> None:
    assert _axis(f"model.weights={values}") == ("model.weights", tuple(wanted))


def test_nothing_is_a_value_and_has_a_name() -> None:
    made = trials(["scenes_ce"], ["model.init_from=,a.safetensors"])
    assert [trial.name for trial in made] == ["scenes_ce_init_from-nothing", "scenes_ce_init_from-a.safetensors"]
    assert [trial.config.model.init_from for trial in made] == ["", "a.safetensors"]


def test_keys_that_end_alike_are_written_out() -> None:
    made = trials(["scenes_aaf"], ["losses.0.weight=1,2", "losses.1.weight=3"])
    assert made[0].name == "scenes_aaf_losses.0.weight-1_losses.1.weight-3"


def test_a_second_stage_begins_with_the_run_of_its_name() -> None:
    made = trials(["scenes_ce", "scenes_aaf"], ["seed=0,1"], ["model.init_from=runs/first/{run}"])
    assert [trial.config.model.init_from for trial in made] == [f"runs/first/{trial.name}" for trial in made]
    assert made[0].name == "scenes_ce_seed0"
    assert row_of(made, Path("g"), "CE") == ("scenes_ce_seed0", "scenes_ce_seed1")  # whatever they begin with


@pytest.mark.parametrize("name", ["CE", "Cross-entropy", "scenes_ce", "scenes_ce_seed1", "g/scenes_ce_seed0/"])
def test_a_baseline_is_any_name_of_its_row(name: str) -> None:
    made = trials(["scenes_aaf", "scenes_ce"], ["seed=0,1"])
    assert row_of(made, Path("g"), name) == ("scenes_ce_seed0", "scenes_ce_seed1")


def test_a_baseline_that_will_not_be_is_refused_before(structseg_cli: Cli, tmp_path: Path) -> None:
    words = ("grid", "scenes_ce", "scenes_aaf", *TINY, "--baseline", "scenes_cee", "--out", "g")
    refused(structseg_cli, *words, out=tmp_path / "g", words=("scenes_cee", "did you mean 'scenes_ce'?"))


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (["optim.lrr=1,2"], "optim.lrr"),
        (["seed=0,0"], "two runs called scenes_ce_seed0"),
        (["seed="], "one or more values"),
        (["model.head=psp,fnc"], "fnc"),
        (["optim.steps=5,many"], "optim.steps"),
    ],
)
def test_what_a_run_would_refuse_is_refused_before(over: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        trials(["scenes_ce"], over)


def test_a_grid_from_start_to_table(structseg_cli: Cli, tmp_path: Path) -> None:
    words = ("grid", "scenes_ce", "scenes_aaf", *TINY, "--over", "seed=0,1", "--jobs", "2", "--out", "g")
    done = structseg_cli(*words)
    assert done.returncode == 0, done.stderr + done.stdout
    folder = tmp_path / "g"
    names = {f"scenes_{loss}_seed{seed}" for loss in ("ce", "aaf") for seed in (0, 1)}
    assert {path.name for path in folder.iterdir() if path.is_dir()} == names
    rows = json.loads((folder / "grid.json").read_text())["rows"]
    assert [row["seeds"] for row in rows] == [[0, 1], [0, 1]]
    by_hand = [json.loads((folder / f"scenes_aaf_seed{seed}" / "metrics.json").read_text())["miou"] for seed in (0, 1)]
    assert rows[1]["by_seed"]["miou"] == by_hand
    assert rows[1]["scores"]["miou"] == pytest.approx(sum(by_hand) / 2)
    assert rows[1]["sd"]["miou"] == pytest.approx(statistics.stdev(by_hand))
    assert f"{100 * statistics.fmean(by_hand):.1f} ± {100 * statistics.stdev(by_hand):.1f}" in done.stdout
    assert rows[1]["paired"]["state"] == "paired"
    assert "border precision" in (folder / "grid.md").read_text()
    assert (folder / "compare.html").is_file()

    weights = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    again = structseg_cli(*words)
    assert again.returncode == 0
    assert "4 of 4 runs are finished already" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")} == weights

    refused(
        structseg_cli,
        *("grid", "scenes_ce", "scenes_aaf", *TINY, "optim.lr=1", "--over", "seed=0,1", "--out", folder),
        out=folder,
        words=("scenes_ce_seed0", "optim.lr"),
    )


@pytest.mark.slow
def test_a_stopped_grid_goes_on(tmp_path: Path, structseg_cli: Cli) -> None:
    words = ["grid", "scenes_ce", *TINY, "optim.steps=150", "save_every=5", "--out", str(tmp_path / "g")]
    process = subprocess.Popen(
        [sys.executable, "-m", "structseg", *words], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log = tmp_path / "g" / "scenes_ce" / "log.jsonl"
    end = time.monotonic() + 120
    while not log.exists() and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    said = (tmp_path / "g" / "scenes_ce.log").read_text()
    assert "saved; go on with --resume" in said
    assert not (tmp_path / "g" / "scenes_ce" / "metrics.json").exists()
    done = structseg_cli(*words)
    assert done.returncode == 0, done.stderr
    assert "goes on at step" in (tmp_path / "g" / "scenes_ce.log").read_text()


@pytest.mark.slow
def test_a_run_that_fails_does_not_stop_the_others(structseg_cli: Cli, tmp_path: Path) -> None:
    done = structseg_cli("grid", "scenes_ce", *TINY, "--over", "model.freeze_stages=3,0", "--out", "g")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "freeze_stages" in done.stderr
    done = structseg_cli("grid", "scenes_aaf", *TINY, "--over", "losses.1.options.kernel_sizes=[4],[3]", "--out", "h")
    assert done.returncode == 2
    assert "1 of 2 runs failed; scenes_aaf_kernel_sizes-4" in done.stderr
    assert (tmp_path / "h" / "scenes_aaf_kernel_sizes-3" / "metrics.json").is_file()
