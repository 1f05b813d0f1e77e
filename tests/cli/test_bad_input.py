"""What people really do wrong, through the installed command: exit code 2, one `error:` line that names the file or
key, no traceback, nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import ROOT, TINY, TINY_SCENES, Cli, refused

from structseg.runs import locked

LABELS = """
[[class]]
name = "road"
values = [0]
[[class]]
name = "car"
values = [1]
[[class]]
name = "void"
values = [255]
ignore = true
"""


def save_mask(path: Path, value: int = 0, size: tuple[int, int] = (40, 48)) -> None:
    mask = np.full(size, value, np.uint8)
    mask[:, : size[1] // 2] = 1 if value == 0 else value
    Image.fromarray(mask).save(path)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A good data set of pairs."""
    root = tmp_path / "pairs"
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for name in ("a", "b", "c"):
            Image.new("RGB", (48, 40), (90, 90, 90)).save(root / "images" / split / f"{name}.jpg")
            save_mask(root / "masks" / split / f"{name}.png")
    (root / "labels.toml").write_text(LABELS)
    return root


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on small scenes."""
    from structseg.recipes import read
    from structseg.training.run import train

    folder = tmp_path_factory.mktemp("trained") / "run"
    train(read("scenes_ce", TINY_SCENES), out=folder, quiet=True)
    return folder


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rgb_mask(path: Path) -> None:
    Image.new("RGB", (48, 40), (128, 64, 128)).save(path)


BREAK: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "missing folder": (shutil.rmtree, ("data.root", "does not exist")),
    "empty folder": (lambda root: (shutil.rmtree(root), root.mkdir()), ("pairs",)),
    "no label table": (lambda root: (root / "labels.toml").unlink(), ("label",)),
    "list with a missing file": (
        lambda root: (root / "train.txt").write_text(
            "images/train/a.jpg masks/train/a.png\nimages/train/x.jpg masks/train/a.png\n"
        ),
        ("train.txt", "line 2", "x.jpg"),
    ),
    "list with three columns": (lambda root: (root / "train.txt").write_text("a b c\n"), ("train.txt", "line 1")),
    "picture without mask": (lambda root: (root / "masks" / "train" / "b.png").unlink(), ("b",)),
    "mask of another size": (
        lambda root: save_mask(root / "masks" / "train" / "b.png", size=(20, 24)),
        ("b.png", "b.jpg", "24x20", "48x40"),
    ),
    "RGB mask without colour table": (lambda root: rgb_mask(root / "masks" / "train" / "b.png"), ("b.png", "colour")),
    "label value outside the table": (
        lambda root: save_mask(root / "masks" / "train" / "b.png", value=7),
        ("b.png", "7", "labels.toml"),
    ),
    "every pixel ignored": (
        lambda root: [save_mask(path, value=255) for path in (root / "masks" / "train").iterdir()],
        ("ignored",),
    ),
    "truncated JPEG": (lambda root: cut(root / "images" / "train" / "b.jpg"), ("b.jpg",)),
    "text as mask": (lambda root: (root / "masks" / "train" / "b.png").write_text("hello"), ("b.png",)),
    "broken label table": (lambda root: (root / "labels.toml").write_text("[[class]\nname="), ("labels.toml",)),
    "label table with a doubled name": (
        lambda root: (root / "labels.toml").write_text(LABELS.replace('"car"', '"road"')),
        ("labels.toml", "road"),
    ),
}


@pytest.mark.parametrize("name", BREAK)
def test_broken_data(structseg_cli: Cli, tmp_path: Path, pairs: Path, name: str) -> None:
    spoil, words = BREAK[name]
    spoil(pairs)
    out = tmp_path / "runs" / "x"
    refused(structseg_cli, "train", "pairs_ce", f"data.root={pairs}", *TINY, "--out", out, out=out, words=words)


def test_good_pairs_train(structseg_cli: Cli, tmp_path: Path, pairs: Path) -> None:
    """The set that the others spoil is fine as it is."""
    out = tmp_path / "run"
    done = structseg_cli("train", "pairs_ce", f"data.root={pairs}", *TINY, "--out", out)
    assert done.returncode == 0, done.stderr
    assert (out / "metrics.json").is_file()


WRONG_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "misspelt recipe": (("scenes_aff",), ("scenes_aff", "did you mean")),
    "misspelt key": (("scenes_ce", "optim.lrr=1"), ("optim.lrr", "did you mean")),
    "key of a table at the top": (("scenes_ce", "lr=1"), ("'lr'", "optim.lr")),
    "misspelt loss": (("scenes_ce", "losses.0.name='cross_entropi'"), ("cross_entropi", "did you mean", "losses.0")),
    "misspelt option of a loss": (
        ("scenes_aaf", "losses.1.options={kernel_size=[3]}"),
        ("kernel_size", "did you mean 'kernel_sizes'"),
    ),
    "misspelt backbone": (("scenes_ce", "model.backbone=resnett"), ("model.backbone", "resnett", "resnet")),
    "misspelt option of a head": (("scenes_ce", "model.head_options={widht=8}"), ("widht", "did you mean 'width'")),
    "misspelt format": (("scenes_ce", "data.format=scene"), ("data.format", "scenes")),
    "misspelt regime": (("scenes_ce", "regime=supervisd"), ("regime", "supervised")),
    "wrong type": (("scenes_ce", "optim.steps=many"), ("optim.steps", "integer")),
    "wrong length": (("scenes_ce", "data.crop=[32]"), ("data.crop",)),
    "out of range": (("scenes_ce", "optim.lr=-1"), ("optim.lr", "greater than 0")),
    "not key=value": (("scenes_ce", "optim.steps"), ("optim.steps", "key=value")),
    "even kernel": (("scenes_aaf", "losses.1.options={kernel_sizes=[4]}"), ("4", "odd")),
    "batch of one": (("scenes_ce", "optim.batch=1"), ("model", "optim.batch = 1", "larger batch")),
    "wrong type inside options": (("scenes_aaf", "losses.1.options={margin='x'}"), ("losses.1", "margin")),
    "too few class weights": (("scenes_ce", "losses.0.options={class_weights=[1,2]}"), ("losses.0", "class_weights")),
    "the ignore id is the data's": (("scenes_ce", "losses.0.options={ignore_index=3}"), ("ignore_index",)),
    "options without a name": (("scenes_ce", "model.options={a=1}"), ("model.options", "model.name")),
    "item of a list": (("scenes_ce", "data.crop.0.x=1"), ("data.crop.0.x", "whole")),
    "no scale": (("scenes_ce", "inference.scales=[]"), ("inference.scales",)),
    "missing weights": (("scenes_ce", "model.weights=nowhere.pth"), ("nowhere.pth",)),
    "unknown device": (("scenes_ce", "--device", "gpu"), ("gpu", "cuda")),
    "unknown flag": (("scenes_ce", "--stepz", "3"), ("--stepz",)),
    "my own loss that is not there": (("scenes_ce", "losses.0.name='my_code:Loss'"), ("my_code:Loss",)),
    "missing file": (("nowhere.toml",), ("nowhere.toml",)),
}


@pytest.mark.parametrize("name", WRONG_WORDS)
def test_wrong_words(structseg_cli: Cli, tmp_path: Path, name: str) -> None:
    args, words = WRONG_WORDS[name]
    out = tmp_path / "run"
    small = () if args[0].endswith(".toml") or args[0] == "scenes_aff" else TINY_SCENES
    refused(structseg_cli, "train", args[0], *small, *args[1:], "--out", out, out=out, words=words)


def test_unknown_command(structseg_cli: Cli, tmp_path: Path) -> None:
    refused(structseg_cli, "trian", out=tmp_path / "run", words=("trian", "train"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('recipe = "scenes_ce"\n[optim]\nlrr = 1\n', ("my.toml", "line 3", "optim.lrr", "did you mean 'lr'")),
        ('recipe = "scenes_ce"\n[optim]\nlr = "fast"\n', ("my.toml", "line 3", "optim.lr")),
        ('recipe = "scenes_ce"\n[optim\n', ("my.toml", "TOML", "line 2")),
        ('recipe = "scenes_cee"\n', ("scenes_cee", "did you mean 'scenes_ce'")),
    ],
)
def test_wrong_file(structseg_cli: Cli, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "my.toml").write_text(text)
    out = tmp_path / "run"
    refused(structseg_cli, "train", "my.toml", "--out", out, out=out, words=words)


def test_out_is_a_run(structseg_cli: Cli, run: Path) -> None:
    refused(structseg_cli, "train", "scenes_ce", *TINY_SCENES, "--out", run, out=run, words=("--resume",))


def test_out_is_a_full_folder(structseg_cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "full"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    refused(structseg_cli, "train", "scenes_ce", *TINY_SCENES, "--out", out, out=out, words=("full", "not empty"))


def test_resume_of_another_recipe(structseg_cli: Cli, run: Path) -> None:
    words = ("--resume", "losses.1", "adaptive_affinity_field")
    refused(structseg_cli, "train", "scenes_aaf", *TINY_SCENES, "--out", run, "--resume", out=run, words=words)


def test_resume_with_a_cut_state(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "run"
    shutil.copytree(run, mine)
    cut(mine / "last" / "state.pt")
    refused(
        structseg_cli,
        "train",
        "scenes_ce",
        *TINY_SCENES,
        "--out",
        mine,
        "--resume",
        out=mine,
        words=("state.pt", "damaged"),
    )


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_cut_weights(structseg_cli: Cli, run: Path, tmp_path: Path, verb: str) -> None:
    mine = tmp_path / "run"
    shutil.copytree(run, mine)
    cut(mine / "model.safetensors")
    Image.new("RGB", (48, 40)).save(tmp_path / "a.jpg")
    out = mine if verb == "evaluate" else tmp_path / "masks"
    rest = () if verb == "evaluate" else (tmp_path / "a.jpg", "--out", out)
    refused(structseg_cli, verb, mine, *rest, out=out, words=("model.safetensors", "damaged"))


def test_class_count_differs_from_the_checkpoint(structseg_cli: Cli, run: Path, pairs: Path) -> None:
    args = ("evaluate", run, "data.format=pairs", f"data.root={pairs}", "data.options={}", "evaluation.split=val")
    refused(structseg_cli, *args, out=run, words=("labels.toml", "model: 13 classes", "data: 2"))


def test_predict_what_is_not_there(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    refused(structseg_cli, "predict", run, tmp_path / "nowhere", "--out", out, out=out, words=("nowhere",))


def test_compare_what_is_no_run(structseg_cli: Cli, tmp_path: Path) -> None:
    refused(structseg_cli, "compare", tmp_path / "nowhere", out=tmp_path / "compare.html", words=("nowhere",))


def test_score_folders_that_do_not_match(structseg_cli: Cli, pairs: Path, tmp_path: Path) -> None:
    (pairs / "masks" / "val" / "b.png").unlink()
    args = ("score", pairs / "masks" / "train", pairs / "masks" / "val", "--labels", pairs / "labels.toml")
    refused(structseg_cli, *args, out=tmp_path / "x", words=("b.png",))


def test_disk_full(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk; the run says so in one line and leaves no half of a file."""
    out = tmp_path / "small"
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)); "
        "from structseg.cli import main; main()"
    )
    words = ["train", "scenes_ce", *TINY_SCENES, "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=_env(), check=False)
    assert done.returncode == 2, done.stderr
    assert "state.pt" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list(out.rglob("*.part"))


def test_two_processes_in_one_folder(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "run"
    shutil.copytree(run, mine)
    with locked(mine):
        words = ("in use",)
        refused(structseg_cli, "train", "scenes_ce", *TINY_SCENES, "--out", mine, "--resume", out=mine, words=words)


def test_changed_masks_are_refused(structseg_cli: Cli, pairs: Path, tmp_path: Path) -> None:
    args = ("pairs_ce", f"data.root={pairs}", *TINY, "--out", tmp_path / "run")
    assert structseg_cli("train", *args).returncode == 0
    save_mask(pairs / "masks" / "val" / "a.png", value=1)
    out = tmp_path / "run"
    refused(structseg_cli, "train", *args, "--resume", out=out, words=("val", "changed"))
    refused(structseg_cli, "evaluate", out, out=out, words=("val", "changed"))


def test_predict_names_the_damaged_picture(structseg_cli: Cli, run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / f"{name}.jpg")
    cut(tmp_path / "b.jpg")
    done = structseg_cli("predict", run, tmp_path / "a.jpg", tmp_path / "b.jpg", "--out", tmp_path / "masks")
    assert done.returncode == 2
    assert "b.jpg" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [("evaluate",), ("compare",)])
def test_unwritable_results(structseg_cli: Cli, run: Path, tmp_path: Path, args: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "x"
    refused(structseg_cli, *args, run, "--out", out, out=out, words=("cannot write", "not a folder"))


def test_no_write_permission(structseg_cli: Cli, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    if os.geteuid() == 0:  # root may write everywhere: a file in the way instead
        closed.rmdir()
        closed.write_text("")
    else:
        closed.chmod(0o500)
    out = closed / "run"
    refused(structseg_cli, "train", "scenes_ce", *TINY_SCENES, "--out", out, out=out, words=("closed",))
