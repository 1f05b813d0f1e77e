"""A model goes into a run folder and comes back the same, or is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from inference_stubs import table
from safetensors.torch import load_file, save_file
from torch import nn

from structseg import runs
from structseg.config import Config, ModelConfig, to_toml
from structseg.errors import CheckpointError, ConfigError
from structseg.inference.load import check_labels, data_changed, load, save_weights
from structseg.models.segmenter import build

CONFIG = Config(model=ModelConfig(backbone_options={"depth": 10, "width": 8}, weights="imagenet", init_from="gone"))
LABELS = table()
ABOUT: dict[str, Any] = {"labels": LABELS.as_dict(), "step": 7, "recipe": "12", "data_fingerprint": {"test": "abc"}}


def network(seed: int = 0, classes: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return build(replace(CONFIG.model, weights="", init_from=""), classes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with plain (seed 0) and averaged (seed 1) weights."""
    folder = tmp_path / "run"
    runs.write_text(folder / runs.CONFIG, to_toml(CONFIG))
    runs.write_json(folder / runs.META, {"labels": LABELS.as_dict(), "seed": 3})
    save_weights(network(0), folder / runs.MODEL, ABOUT)
    save_weights(network(1), folder / runs.EMA, ABOUT)
    return folder


def same(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_round_trip(run: Path) -> None:
    assert same(load(run), network(1))
    assert same(load(run, ema=False), network(0))
    assert same(load(str(run / runs.MODEL)), network(0))
    (run / runs.EMA).unlink()
    model = load(run, device="cpu")
    assert same(model, network(0))
    assert not model.training
    assert vars(model)["labels"] == LABELS
    assert vars(model)["config"] == CONFIG
    assert {key: vars(model)["about"][key] for key in ABOUT} == ABOUT


def test_labels_come_from_meta_where_the_header_has_none(run: Path) -> None:
    save_file(load_file(run / runs.MODEL), run / runs.EMA)
    assert vars(load(run))["labels"] == LABELS
    assert vars(load(run))["about"]["seed"] == 3
    (run / runs.META).unlink()
    with pytest.raises(CheckpointError, match=r"meta.json is missing"):
        load(run)


def test_tied_and_strided_weights_are_saved(tmp_path: Path) -> None:
    first, second = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)
    first.weight = nn.Parameter(first.weight.detach().to(memory_format=torch.channels_last))
    second.weight = first.weight
    save_weights(nn.Sequential(first, second), tmp_path / "x.safetensors", {})
    found = load_file(tmp_path / "x.safetensors")
    assert torch.equal(found["0.weight"], first.weight)
    assert torch.equal(found["1.weight"], first.weight)


def test_nothing_half_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run / runs.MODEL).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Exception, match="No space left"):
        save_weights(network(2), run / runs.MODEL, ABOUT)
    assert (run / runs.MODEL).read_bytes() == before
    assert {path.name for path in run.iterdir()} == {runs.CONFIG, runs.META, runs.MODEL, runs.EMA}


def fails(path: Path, *parts: str) -> None:
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        load(path)
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


@pytest.mark.parametrize("keep", [0, 5, 100, 3000])
def test_a_cut_file(run: Path, keep: int) -> None:
    (run / runs.EMA).write_bytes((run / runs.EMA).read_bytes()[:keep])
    fails(run, str(run / runs.EMA), "damaged or cut off")


def test_what_is_not_there(run: Path, tmp_path: Path) -> None:
    fails(tmp_path / "gone", "gone: no such run folder or weight file")
    fails(tmp_path, "is not a run folder (config.toml is missing)")
    fails(run / runs.META, "is not a .safetensors file")
    (run / runs.EMA).unlink()
    (run / runs.MODEL).unlink()
    fails(run, "holds no model.safetensors")


def test_weights_without_their_folder(run: Path) -> None:
    (run / runs.CONFIG).unlink()
    fails(run / runs.MODEL, "config.toml is missing", "restore it")
    save_weights(network(), run / "converted.safetensors", {"converted": "old.ckpt, tf, pspnet"})
    fails(run / "converted.safetensors", "holds weights alone", "model.init_from=", "give that run")


def test_a_damaged_label_table(run: Path) -> None:
    labels = LABELS.as_dict()
    del labels["palette"]
    save_weights(network(), run / runs.EMA, {"labels": labels})
    fails(run, str(run / runs.EMA), "label table is missing or damaged", "palette")
    save_weights(network(), run / runs.EMA, {"labels": {**LABELS.as_dict(), "names": ["a"]}})
    fails(run, "label table is missing or damaged", "1 names but 4 colours")
    save_file(load_file(run / runs.MODEL), run / runs.EMA, {"labels": "{"})
    fails(run, "label table is missing or damaged")


def test_weights_that_do_not_fit(run: Path) -> None:
    tensors = load_file(run / runs.MODEL)
    name = sorted(tensors)[0]
    facts = {"labels": json.dumps(LABELS.as_dict())}
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, run / runs.EMA, facts)
    fails(run, str(run / runs.EMA), f"it lacks {name} (1 of {len(tensors)} missing)")
    save_file({**tensors, "extra": torch.zeros(1)}, run / runs.EMA, facts)
    fails(run, "the network has no extra (1 of")
    save_weights(network(0, classes=5), run / runs.EMA, ABOUT)
    fails(run, "does not fit config.toml", "with 4 classes", "(5, ", "(4, ")
    runs.write_text(run / runs.CONFIG, to_toml(Config(model=replace(CONFIG.model, head="top_down"))))
    fails(run, "does not fit config.toml")


def test_a_damaged_config(run: Path) -> None:
    runs.write_text(run / runs.CONFIG, "seed = ")
    fails(run, str(run / runs.CONFIG), "not valid TOML")


def test_check_labels() -> None:
    check_labels(LABELS, replace(LABELS, palette=LABELS.palette[::-1], source="other colours"))
    cases = (
        (replace(LABELS, names=("b", "a", "c", "d"), source="x.toml"), "x.toml has the same classes in another order"),
        (table(3), "has no class 'd' (model: 4 classes, data: 3)"),
    )
    for data, text in cases:
        with pytest.raises(CheckpointError) as caught:
            check_labels(LABELS, data)
        assert text in str(caught.value)
        assert "data.labels" in str(caught.value)
    with pytest.raises(CheckpointError, match="has a class 'd' that the model does not know"):
        check_labels(table(3), LABELS)


def test_data_changed(run: Path) -> None:
    model = load(run)
    assert not data_changed(model, "test", "abc")
    assert data_changed(model, "test", "other")
    assert not data_changed(model, "val", "other")
    assert not data_changed(nn.Linear(1, 1), "test", "other")
