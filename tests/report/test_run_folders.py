"""Broken run folders: one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from structseg.errors import CheckpointError
from structseg.report import curves, read
from structseg.report.compare import Row
from structseg.report.settings import differing, flat

MakeRun = Callable[..., Path]


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "not a run": (lambda run: (run / "config.toml").unlink(), "is not a run folder"),
    "config": (lambda run: (run / "config.toml").write_text("a = ["), "config.toml is damaged"),
    "metrics json": (lambda run: (run / "metrics.json").write_text("{"), "metrics.json is damaged"),
    "metrics list": (lambda run: (run / "metrics.json").write_text("[]"), "metrics.json holds a list"),
    "metrics key": (lambda run: (run / "metrics.json").write_text('{"iou": {}}'), "the key miou is missing"),
    "metrics type": (
        lambda run: (run / "metrics.json").write_text('{"miou": "x", "iou": {}, "pixel_accuracy": 1}'),
        "miou must be a number",
    ),
    "limits": (lambda run: edit(run / "metrics.json", ci95=[0.5]), "ci95 must be two numbers"),
    "boundary": (lambda run: edit(run / "metrics.json", boundary=0.5), "boundary must be a table"),
    "classes": (
        lambda run: (run / "metrics.json").write_text('{"miou": 1, "iou": {"cat": 1}, "pixel_accuracy": 1}'),
        "the classes of iou are not those of meta.json",
    ),
    "no labels": (lambda run: (run / "meta.json").write_text("{}"), "the label table is missing"),
    "labels": (lambda run: (run / "meta.json").write_text('{"labels": {"names": 3}}'), "the key labels is damaged"),
    "counts": (lambda run: (run / "per_image.npz").write_bytes(b"no"), "per_image.npz is damaged"),
    "counts key": (lambda run: np.savez(run / "per_image.npz", names=np.array(["a"])), "the array groups is missing"),
    "counts shape": (
        lambda run: np.savez(
            run / "per_image.npz",
            names=np.array(["a"]),
            groups=np.array(["a"]),
            confusion=np.zeros((1, 2, 2), np.int32),
        ),
        "confusion has the shape",
    ),
    "pickle": (
        lambda run: np.savez(run / "per_image.npz", names=np.array([{}], object), groups=np.array([""])),
        "per_image.npz is damaged",
    ),
    "pictures": (lambda run: (run / "pictures" / "index.json").write_text('[{"name": "x"}]'), "index.json is damaged"),
    "picture outside": (
        lambda run: (run / "pictures" / "index.json").write_text(
            json.dumps([{"name": "x", "image": "../meta.json", "target": "0.target.png", "prediction": "0.target.png"}])
        ),
        '"meta.json" is not in the folder',
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_folder_is_one_line(make_run: MakeRun, case: str) -> None:
    run = make_run("run")
    breaks, words = BREAKS[case]
    breaks(run)
    with pytest.raises(CheckpointError) as caught:
        read(run)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(run) in str(caught.value)


def test_an_unfinished_run(make_run: MakeRun) -> None:
    run = make_run("run", without=("metrics",))
    assert read(run).stopped == "not finished: last seen at step 1200"
    (run / "log.jsonl").unlink()
    (run / "meta.json").unlink()
    assert read(run).stopped == "not finished: nothing in its log"


def test_flat_settings() -> None:
    config = {
        "seed": 0,
        "optim": {"lr": 0.1, "nested": {"on": True}},
        "losses": [
            {"name": "ce", "weight": 1.0},
            {"name": "aaf", "weight": 2.0, "options": {"sizes": [3, 5]}, "decay": 0.1},
        ],
    }
    assert flat(config) == {
        "seed": "0",
        "optim.lr": "0.1",
        "optim.nested.on": "true",
        "losses": "ce 1.0\naaf 2.0",
        "losses.aaf": "sizes = [3, 5]\ndecay = 0.1",
    }
    assert differing([{"a": 1, "b": 2}, {"a": 1}]) == {"b": ("2", None)}


def test_curves(make_run: MakeRun) -> None:
    ce, aaf = (
        Row(0, "T", "T", (read(make_run(name, losses=losses)),))
        for name, losses in (("ce", ("cross_entropy",)), ("aaf", ("cross_entropy", "adaptive_affinity_field")))
    )
    assert curves.shared_loss([ce, aaf]) == "cross_entropy"
    assert [step for step, _ in curves.evaluations(ce, "miou")] == list(range(100, 1300, 100))
    assert len(curves.losses(aaf, "cross_entropy")) == 60
    assert curves.rising([ce, aaf]).startswith("Both runs were still rising")
    assert curves.kernels(ce) is None
    found = curves.kernels(aaf)
    assert found
    assert found.start == 4.0
    assert found.note.startswith("At the borders 3 of 4 classes turned to smaller kernels, road moved most (3.5).")


def test_kernels_from_the_log(make_run: MakeRun) -> None:
    run = make_run("aaf", losses=("adaptive_affinity_field",), meta={"kernels": None})
    entry = {"kind": "kernels", "step": 5, "kernel_sizes": [3, 5, 7], "edge": [5.0] * 4, "interior": [5.0] * 4}
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n" + json.dumps(entry | {"edge": [3.5] * 4}) + "\n")
    found = curves.kernels(Row(0, "T", "T", (read(run),)))
    assert found
    assert found.edge == (3.5,) * 4
    assert found.cell is None


def test_a_step_logged_twice_counts_once(make_run: MakeRun) -> None:
    run = make_run("run")
    rows = [
        {"kind": "eval", "step": 1, "miou": 0.1},
        {"kind": "eval", "step": 1, "miou": 0.2},
        {"kind": "eval", "step": 2, "miou": float("nan")},
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert curves.evaluations(Row(0, "T", "T", (read(run),)), "miou") == [(1, 0.2)]
