"""A trained model from its run folder, and into it.

A run folder holds config.toml (how to build the network), model.safetensors and ema.safetensors (its weights, the
second one averaged over training). The header of a weight file carries facts about the weights as text, among them
the label table, so that file and labels cannot drift apart; meta.json is asked where a header has none. Nothing is
ever unpickled.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from structseg import published, runs
from structseg.config import Config, merge, read_toml
from structseg.errors import CheckpointError, DataError, first_line
from structseg.inference.device import pick_device
from structseg.models.segmenter import build
from structseg.types import Labels


def load(path: Path | str, *, device: str | torch.device = "cpu", ema: bool = True, quiet: bool = False) -> nn.Module:
    """The model of a run folder, of one .safetensors file inside it, or a published one by name, in evaluation mode.

    Of a folder the averaged weights are taken where there are any, unless `ema=False`. The model has `.labels`
    (Labels), `.config` (Config) and `.about` (facts: step, seed, data_fingerprint ...). `device` as for `pick_device`.
    What `.about["notice"]` says, the terms of a published model, is said once on stderr; with `quiet` by the caller.
    Raises CheckpointError where something is missing, damaged or does not fit.
    """
    place = pick_device(device) if isinstance(device, str) else device
    file = _weight_file(published.find(str(path)) or Path(path), ema=ema)
    settings = file.parent / runs.CONFIG
    tensors, about = _read(file)
    if not settings.is_file():
        if "labels" in about:  # a run's own
            raise CheckpointError(f"{settings} is missing: it says how the network of {file} is built; restore it")
        raise CheckpointError(
            f"{file} holds weights alone, with neither a network ({runs.CONFIG} beside it) nor class names; "
            f"train from it with model.init_from={file} and give that run"
        )
    if "labels" not in about:
        about = {**runs.read_json(file.parent / runs.META), **about}
    labels = _labels(about, file)
    config = merge(Config(), read_toml(settings), settings)
    model = build(dataclasses.replace(config.model, weights="", init_from=""), labels.num_classes)
    _fill(model, tensors, file, labels)
    vars(model).update(labels=labels, config=config, about=about)
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # as in training; faster on processors
    model = model.to(place, **layout).eval()
    if not quiet:
        say_notice(model, path)
    return model


def say_notice(model: nn.Module, path: Path | str) -> None:
    """Say the terms of the model that was loaded from `path`, on stderr, where it has any."""
    if notice := vars(model)["about"].get("notice"):
        print(f"{path}: {notice}", file=sys.stderr)


def save_weights(model: nn.Module, path: Path, about: Mapping[str, Any]) -> None:
    """Write the weights of `model` and facts about them, plain values that JSON can hold; all or nothing."""
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)  # tied weights become two
        for name, tensor in model.state_dict().items()
    }
    facts = {name: json.dumps(value) for name, value in about.items()}
    content = to_bytes(tensors, {"format": "pt", **facts})
    runs.write_file(path, lambda file: file.write(content))


def check_labels(model: Labels, data: Labels) -> None:
    """Raise CheckpointError where a model's classes are not those of the data, in name and order."""
    if model.names == data.names:
        return
    if sorted(model.names) == sorted(data.names):
        wrong = "the same classes in another order"
    elif missing := [name for name in model.names if name not in data.names]:
        wrong = f"no class '{missing[0]}'"
    else:
        stray = next(name for name in data.names if name not in model.names)
        wrong = f"a class '{stray}' that the model does not know"
    raise CheckpointError(
        f"label table {data.source} has {wrong} (model: {len(model.names)} classes, data: {len(data.names)}); "
        "give the data.labels that the model was trained with, or a table that maps these masks to its classes"
    )


def data_changed(model: nn.Module, split: str, fingerprint: str) -> bool:
    """Whether the pictures or masks of a split differ from those that the run of a loaded model has seen.

    False where the run knows nothing about such a split.
    """
    seen: Mapping[str, str] = getattr(model, "about", {}).get("data_fingerprint", {})
    return seen.get(split, fingerprint) != fingerprint


# ------------------------------------------------------------------------------------------------ parts


def _weight_file(path: Path, *, ema: bool) -> Path:
    if path.is_dir():
        if not runs.is_run(path):
            raise CheckpointError(f"{path} is not a run folder ({runs.CONFIG} is missing); give the --out of a run")
        names = (runs.EMA, runs.MODEL) if ema else (runs.MODEL,)
        found = [path / name for name in names if (path / name).is_file()]
        if not found:
            raise CheckpointError(f"{path} holds no {runs.MODEL}; has its training finished?")
        return found[0]
    if not path.is_file():
        known = ", ".join(published.names()) or f"none; the folder of one goes into {published.home()}"
        raise CheckpointError(
            f"{path}: no such run folder or weight file, nor a published model (here: {known})"
            f"{published.where(str(path))}"
        )
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path} is not a .safetensors file; give a run folder or the weights inside one")
    return path


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a weight file; a fact that is no JSON stays text."""
    try:
        with safe_open(file, framework="pt") as content:
            facts = content.metadata() or {}
            names = content.keys()
            tensors = {name: content.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} is damaged or cut off ({first_line(error)}); train again or copy it again"
        ) from None
    return tensors, {name: _value(text) for name, text in facts.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _labels(about: Mapping[str, Any], file: Path) -> Labels:
    try:
        return Labels.from_dict(about["labels"])
    except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
        raise CheckpointError(f"{file}: its label table is missing or damaged ({error!r}); train again") from None


def _fill(model: nn.Module, tensors: dict[str, Tensor], file: Path, labels: Labels) -> None:
    """Load every tensor, or say the first thing that is wrong."""
    ours = model.state_dict()
    wrong = ""
    if missing := [name for name in ours if name not in tensors]:
        wrong = f"it lacks {missing[0]} ({len(missing)} of {len(ours)} missing)"
    elif stray := [name for name in tensors if name not in ours]:
        wrong = f"the network has no {stray[0]} ({len(stray)} of {len(tensors)} unknown)"
    elif odd := [name for name in ours if ours[name].shape != tensors[name].shape]:
        name = odd[0]
        wrong = f"{name} is {tuple(tensors[name].shape)}, the network's {tuple(ours[name].shape)}"
    if wrong:
        raise CheckpointError(
            f"{file} does not fit {runs.CONFIG} beside it with {labels.num_classes} classes: {wrong}; "
            "restore the run's own files"
        )
    model.load_state_dict(tensors)
