"""Whose weights does a file hold, and do they mean anything in this network?

Two kinds of ResNet have keys and shapes of another one and compute something else: TF-Slim's, whose strides stand
elsewhere, and that of PSPNet's authors, with a dilation of its own in the first block of a stage. `structseg convert`
writes into the header of a file where its weights are from; of a run, config.toml beside them tells. A backbone names
the origins that it takes by the sources of `convert`: "tf", "caffe", and "" for all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from structseg import runs
from structseg.errors import CheckpointError
from structseg.models.backbones import Backbone

_REFUSAL = {  # origin of the file -> what is wrong with it in a backbone that does not take it
    "tf": (
        "its weights are of TF-Slim's ResNet, whose strides stand elsewhere, though shapes fit; take "
        'model.options.preset="released" (model.backbone="slim_resnet"), or give weights of another ResNet'
    ),
    "caffe": (
        "its weights are of a ResNet as of PSPNet's authors, which dilates otherwise, though shapes fit; give "
        'backbone_options={stem="deep",first_dilation="own"}'
    ),
    "": (
        "shapes fit, but neither its header nor config.toml of a run beside it says that its weights are of TF-Slim's "
        "ResNet, and strides of others stand elsewhere; give what structseg convert --source tf makes of TF-Slim's "
        'checkpoint, or take model.options.preset="default" (model.backbone="resnet")'
    ),
}


def check_origin(module: nn.Module, file: Path) -> None:
    """Raise CheckpointError where the weights of `file` are those of another kind of network, though they may fit."""
    taken = [part.origins for part in module.modules() if isinstance(part, Backbone)]
    origin = _origin(file) if taken else None
    if origin is not None and not all(origin in origins for origins in taken):
        raise CheckpointError(f"{file}: {_REFUSAL[origin]}")


def header(file: Path) -> dict[str, str]:
    """What a .safetensors file says about itself; nothing where it is another kind of file."""
    try:
        with safe_open(file, framework="pt") as content:
            return dict(content.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def _origin(file: Path) -> str | None:
    """A key of `_REFUSAL`; None where a run's net is somebody's own, so that it cannot be told."""
    facts, settings = header(file), file.parent / runs.CONFIG
    if "converted" in facts:
        _, source, _ = ["", "", *facts["converted"].rsplit(", ", 2)][-3:]
        return source if source in _REFUSAL else ""
    if "labels" in facts and settings.is_file():  # a run's own
        from structseg.config import read_toml  # here, since it needs pydantic

        return _of_run(_table(read_toml(settings), "model"))
    return ""


def _of_run(model: Mapping[str, Any]) -> str | None:
    name, options = str(model.get("name", "")), _table(model, "options")
    if ":" in name:
        return None
    if options.get("preset") == "released" if name else model.get("backbone") == "slim_resnet":
        return "tf"
    backbone = _table(options if name else model, "backbone_options")
    return "caffe" if backbone.get("first_dilation") == "own" else ""


def _table(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = of.get(key)
    return found if isinstance(found, Mapping) else {}
