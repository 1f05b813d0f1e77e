"""A run handed on as a small folder, and models found by their name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import TINY_SCENES, Cli, refused

import structseg
from structseg import runs
from structseg.config import Config, merge, read_toml, to_toml
from structseg.export.weights import weights
from structseg.inference.load import save_weights
from structseg.recipes import read
from structseg.training.run import train

NOTICE = "for tests only"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(read("scenes_ce", (*TINY_SCENES, "optim.ema=0.5")), out=folder, quiet=True)
    return folder


@pytest.fixture
def cache(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of published models that holds the run as `corner`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights(run, tmp_path / "cache" / "structseg" / "corner", notice=NOTICE)
    return tmp_path / "cache"


@pytest.mark.smoke
def test_half_the_size_and_the_same_weights(run: Path, tmp_path: Path) -> None:
    file = weights(run, tmp_path / "small")
    before, after = structseg.load(run), structseg.load(tmp_path / "small")
    assert 0.45 < file.stat().st_size / (run / runs.EMA).stat().st_size < 0.65
    assert after.labels.names == before.labels.names
    for (name, value), other in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
        assert other.dtype == value.dtype, name
        torch.testing.assert_close(other, value.half().float() if value.ndim > 1 else value, rtol=0, atol=0)


@pytest.mark.smoke
def test_statistics_that_half_precision_cannot_hold(run: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    shutil.copytree(run, large)
    model = structseg.load(large)
    norm = model.backbone.get_submodule("bn1")
    norm.running_mean.fill_(7e4)
    norm.running_var.fill_(1e10)
    save_weights(model, large / runs.EMA, model.about)
    weights(large, tmp_path / "small")
    picture = torch.rand(1, 3, 32, 32) * 255
    before, after = (each(picture).logits for each in (model, structseg.load(tmp_path / "small")))
    torch.testing.assert_close(after, before, rtol=0, atol=0.1)


@pytest.mark.smoke
def test_nothing_of_the_machine_goes_with_it(run: Path, tmp_path: Path) -> None:
    file = weights(run, tmp_path / "small")
    config = merge(Config(), read_toml(tmp_path / "small" / runs.CONFIG), tmp_path)
    assert (config.data.root, config.data.labels, config.data.cache, config.model.weights) == ("", "", "", "")
    about = structseg.load(file).about
    assert set(about) <= {"format", "recipe", "seed", "step", "parameters", "labels"}
    assert "/" not in about["labels"]["source"]


@pytest.mark.smoke
def test_options_that_are_places_stay_behind(run: Path, tmp_path: Path) -> None:
    config = merge(Config(), read_toml(run / runs.CONFIG), run)
    options = {"masks": str(tmp_path / "masks"), "year": "2012"}
    shutil.copytree(run, tmp_path / "run")
    text = to_toml(replace(config, data=replace(config.data, format="voc", options=options)))
    (tmp_path / "run" / runs.CONFIG).write_text(text)
    weights(tmp_path / "run", tmp_path / "small")
    assert read_toml(tmp_path / "small" / runs.CONFIG)["data"]["options"] == {"year": "2012"}


@pytest.mark.smoke
def test_terms_go_with_what_is_made_of_it(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    weights(Path("corner"), Path("again"))
    assert capsys.readouterr().err == f"corner: {NOTICE}\n"
    train(read("scenes_ce", (*TINY_SCENES, "data.workers=0", "model.init_from=again")), out=Path("more"))
    assert capsys.readouterr().err.count(NOTICE) == 1
    assert runs.read_json(Path("more") / runs.META)["notice"] == NOTICE
    weights(Path("more"), Path("last"), notice="of my own")
    for name, said in (("again", NOTICE), ("more", NOTICE), ("last", "of my own")):
        capsys.readouterr()
        structseg.load(name)
        assert capsys.readouterr().err == f"{name}: {said}\n"


@pytest.mark.smoke
def test_a_published_model_has_a_name_and_terms(
    cache: Path, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    model = structseg.load("corner")
    assert capsys.readouterr().err == f"corner: {NOTICE}\n"
    (prediction,) = structseg.predict(model, picture)
    assert prediction.classes.shape == (20, 30)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corner").symlink_to(run)  # what lies here comes first
    structseg.load("corner")
    assert capsys.readouterr().err == ""
    (tmp_path / "corner").unlink()
    (tmp_path / "corner").mkdir()  # but not a folder of anything else
    structseg.load("corner")
    assert capsys.readouterr().err == f"corner: {NOTICE}\n"


def test_its_name_stands_wherever_a_run_folder_may(cache: Path, structseg_cli: Cli, tmp_path: Path) -> None:
    tiny = (*TINY_SCENES, "data.workers=0", "model.init_from=corner")
    for words in (("export", "corner"), ("evaluate", "corner"), ("train", "scenes_ce", *tiny)):
        out = () if words[0] == "evaluate" else ("--out", words[0])
        done = structseg_cli(*words, *out, env={"XDG_CACHE_HOME": str(cache)})
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path != cache) == ["export", "train"]
    assert not (tmp_path / "metrics.json").exists()


def test_the_command(cache: Path, run: Path, structseg_cli: Cli, tmp_path: Path) -> None:
    done = structseg_cli("export", run, "inference.longest=64", "--notice", NOTICE, "--out", "mine")
    assert done.returncode == 0, done.stderr
    assert "loads like a run" in done.stdout
    config = merge(Config(), read_toml(tmp_path / "mine" / runs.CONFIG), tmp_path)
    assert config.inference.longest == 64
    out = tmp_path / "mine"
    refused(structseg_cli, "export", run, "--out", out, out=out, words=("mine exists",))
    new = tmp_path / "new"
    refused(structseg_cli, "export", run, "optim.lr=1", "--out", new, out=new, words=("optim.lr is fixed",))
    words = ("gone", "no such run folder", "nor a published model")
    refused(structseg_cli, "export", tmp_path / "gone", "--out", new, out=new, words=words)
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    words = ("crner", "nor a published model", "corner")
    refused(structseg_cli, "predict", "crner", "photo.png", "--out", new, out=new, words=words)
