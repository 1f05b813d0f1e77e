"""A file of another framework -> a .safetensors file of one of our networks or backbones.

Of a network it starts a run as `model.init_from`, of a backbone as `model.weights`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from structseg import build as registry
from structseg import runs
from structseg.errors import CheckpointError, ConfigError, did_you_mean
from structseg.models.convert import names
from structseg.models.convert.caffe import read_caffemodel
from structseg.models.convert.mxnet import read_params
from structseg.models.convert.tf_checkpoint import read_checkpoint
from structseg.models.weights import Report, read_tensors

SOURCES: dict[
    str, Callable[[Path], Mapping[str, Any]]
] = {  # source -> what reads its files: names -> arrays or tensors
    "tf": read_checkpoint,
    "torchvision": read_tensors,
    "timm": read_tensors,
    "mxnet": read_params,
    "caffe": read_caffemodel,
}
_CLASSES = {"tf": names.slim_classes, "caffe": names.caffe_classes}  # source of whole nets -> classes in its file
_ROOMS = ("models.nets", "models.backbones")


def checkpoint(
    old: Path, new: Path, *, source: str, model: str, options: Mapping[str, Any], account: Path | None = None
) -> Report:
    """Write the weights of `old` as `new`, for the net or backbone `model` of these options; all or nothing.

    The number of classes is the file's. `account` is a .tsv file of what became of every name, written also where names
    or shapes are the reason of a refusal. Raises CheckpointError for a file that cannot be read or is another
    network's, ConfigError for an unknown source, model or option.
    """
    if source not in SOURCES:
        raise ConfigError(f"--source: there is no '{source}'{did_you_mean(source, SOURCES)}")
    if new.suffix != ".safetensors":
        raise ConfigError(f"{new}: give the new file a name that ends in .safetensors")
    if new.exists() and old.exists() and new.samefile(old):
        raise ConfigError(f"{new} is the old file; give the new one another name")
    if account is not None:
        if account.suffix != ".tsv":
            raise ConfigError(f"--report {account}: give it a name that ends in .tsv")
        runs.check_file(account)
    room = _room(model)
    if room == "models.nets" and source not in _CLASSES:
        raise ConfigError(f"--model: {source} weights are a backbone's; give one of {_names('models.backbones')}")
    arrays = SOURCES[source](old)
    context = {"num_classes": _CLASSES[source](arrays)} if room == "models.nets" else {}
    with torch.random.fork_rng(devices=()):
        made: nn.Module = registry.create(room, model, options, key="--model", **context)
    try:
        report = _fill(made, arrays, source, str(old))
    except names.Misfit as misfit:
        if account is None:
            raise CheckpointError(f"{misfit}{'; --report FILE.tsv lists all' if misfit.report.cut else ''}") from None
        runs.write_text(account, _table(misfit.report), errors="backslashreplace")
        raise CheckpointError(f"{misfit}; {account} lists all") from None
    if account is not None:
        runs.write_text(account, _table(report), errors="backslashreplace")
    content = to_bytes(_plain(made), {"format": "pt", "converted": f"{old.name}, {source}, {model}"})
    runs.write_file(new, lambda file: file.write(content))
    return report


def _fill(model: nn.Module, arrays: Mapping[str, Any], source: str, file: str) -> Report:
    if source == "tf":
        return names.from_tf(model, arrays, source=file)
    if source == "caffe":
        return names.from_caffe(model, arrays, source=file)
    tensors = {name: one if isinstance(one, Tensor) else names.tensor(one) for name, one in arrays.items()}
    return names.from_torch(model, tensors, source=source, file=file)


def _table(report: Report) -> str:
    """Tab-separated: status, name in the file, key of ours, shape in the file, shape that is needed."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n")
    rows.writerow(("status", "name", "key", "shape", "needed"))
    for row in report.rows:
        shapes = ("" if shape is None else str(shape) for shape in (row.shape, row.needed))
        rows.writerow((row.status, row.name, row.key, *shapes))
    return text.getvalue()


def _room(model: str) -> str:
    known = {name: room for room in _ROOMS for name in registry.names(room)}
    if model not in known:
        raise ConfigError(f"--model: there is no '{model}'{did_you_mean(model, known)}")
    return known[model]


def _names(room: str) -> str:
    return ", ".join(registry.names(room))


def _plain(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
