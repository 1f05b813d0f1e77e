"""Weight files into modules, with an account of every key.

A file is a .safetensors file or a .pth/.pt state dict (opened with `weights_only`, so nothing in it runs).
`load_weights` is strict: what the module needs must be in the file with the right shape; what the file has beyond that
is named in the report. `load_fitting` is for another task's weights: what fits is taken, the rest stays new and is
named; where both label tables are known, a class keeps its row of the classifier by its name. Both refuse weights that
fit and are of another kind of network (origin.py). Half precision becomes float32 (the module's own dtype). Batch
norm's `num_batches_tracked`, which many files lack and on which nothing here depends, is loaded where it is there and
never missed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from structseg import published, runs
from structseg.errors import CheckpointError, ConfigError, first_line
from structseg.models.backbones import Backbone
from structseg.models.origin import check_origin, header

COUNTER = "num_batches_tracked"
SOME = 3  # names of a kind in a report's line


class Row(NamedTuple):
    """What became of one name. Shapes are those of arrays laid out as ours."""

    status: str  # "loaded", "skipped", "missing" or "shape", which is another one than needed
    name: str  # in the file; "" where it lacks the key
    key: str  # of the module; "" where it has no use for the name
    shape: tuple[int, ...] | None  # in the file
    needed: tuple[int, ...] | None  # in the module


@dataclass(frozen=True)
class Report:
    """What became of every key of a file and of a module."""

    source: str
    loaded: tuple[str, ...]  # keys of the module that were filled
    skipped: tuple[str, ...]  # keys of the file that were not used
    missing: tuple[str, ...]  # keys of the module that the file lacks, counters aside
    shape: tuple[str, ...]  # `key (file's shape, module's shape)`; neither loaded, skipped nor missing
    carried: tuple[str, ...] | None = None  # classes whose rows were taken by name, where label tables differ
    classes: int = 0  # of the module, where `carried` says something
    rows: tuple[Row, ...] = ()  # name by name, as they were matched

    def __str__(self) -> str:
        """One line: `FILE: 241 loaded, 6 skipped (fc.weight, ...), 0 missing, 0 of another shape`."""
        rest = ((self.skipped, "skipped"), (self.missing, "missing"), (self.shape, "of another shape"))
        return ", ".join([f"{self.source}: {len(self.loaded)} loaded", *(f"{len(k)} {w}{_some(k)}" for k, w in rest)])

    @property
    def new(self) -> tuple[str, ...]:
        """What of the module stayed as it was."""
        return (*self.shape, *self.missing)

    @property
    def cut(self) -> bool:
        """Whether the line leaves names out."""
        return max(len(self.skipped), len(self.missing), len(self.shape)) > SOME

    def start(self) -> str:
        """One line on a start from another task: `FILE: 118 of 120 weights loaded; new: head.classifier.weight ...`."""
        loaded = sum(not key.endswith(COUNTER) for key in self.loaded)
        line = f"{self.source}: {loaded} of {loaded + len(self.new)} weights loaded"
        if self.carried is not None:
            line += f"; of the classifier, {len(self.carried)} of {self.classes} classes by name{_some(self.carried)}"
        return f"{line}; new: {', '.join(self.new[:4])}{', ...' if len(self.new) > 4 else ''}" if self.new else line


def load_weights(module: nn.Module, source: str | Path) -> Report:
    """Fill `module` from a file, or from `"imagenet"` where the backbone knows such a file; all or nothing.

    Keys go through `module.rename` where there is one. Raises CheckpointError where the file cannot be read, lacks a
    needed key, has one of another shape or is of another kind of network; ConfigError and MissingExtra for "imagenet".
    """
    rename: Callable[[str], str | None] = str
    tensors: dict[str, Tensor] | None = None
    if isinstance(module, Backbone):
        rename = module.rename
        if source == "imagenet":
            tensors = module.imagenet_state()
            source = source if tensors else module.imagenet_file()
    elif source == "imagenet":
        raise ConfigError("model.weights: 'imagenet' is for a backbone and head; give a .safetensors or .pth file")
    report, fitting = match(module, tensors or read_tensors(Path(source)), str(source), rename)
    if report.missing or report.shape:
        raise CheckpointError(f"{report}; they are another network's (a run's own weights go to model.init_from)")
    if not tensors:
        check_origin(module, Path(source))
    module.load_state_dict(fitting, strict=False)
    return report


def load_fitting(module: nn.Module, source: str | Path, *, names: Sequence[str] = ()) -> Report:
    """Fill what fits from a weight file, a run folder or a published model, leave the rest of `module` as it is.

    `names` are the module's classes. Where the file knows its own and they are others, only rows of classes of the same
    name are taken into the classifier. Raises CheckpointError where the file cannot be read, is of another kind of
    network, or less than half of the module's weights fit: small vectors of another network fit by chance.
    """
    path = _start(source)
    tensors = read_tensors(path)
    report, fitting = match(module, tensors, str(path), str)
    if sum(not key.endswith(COUNTER) for key in report.loaded) < len(report.new):
        raise CheckpointError(f"{report}; less than half of the model is in it: is it another network's?")
    check_origin(module, path)
    theirs = _class_names(path) if names else ()
    if theirs and theirs != tuple(names):
        rows = _rows_by_name(module, tensors, theirs, tuple(names))
        fitting |= rows
        shape = tuple(text for text in report.shape if text.split()[0] not in rows)
        carried = tuple(name for name in names if name in theirs) if rows else None
        report = replace(report, loaded=tuple(fitting), shape=shape, carried=carried, classes=len(names))
    module.load_state_dict(fitting, strict=False)
    return report


def notice(source: str | Path) -> str:
    """The terms of use of what `load_fitting` takes, from its header; what starts from it keeps them. "" = none."""
    text = header(_start(source)).get("notice", "")
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def _start(source: str | Path) -> Path:
    """The weight file of a run folder or a published model, or the file itself."""
    path = published.find(str(source)) or Path(source)
    return path / runs.MODEL if path.is_dir() else path


def _class_names(path: Path) -> tuple[str, ...]:
    """The classes of a weight file from its header, or from meta.json beside it; none where neither says."""
    if path.suffix != ".safetensors":
        return ()
    facts = header(path)
    try:
        table = json.loads(facts["labels"]) if "labels" in facts else runs.read_json(path.parent / runs.META)["labels"]
        return tuple(str(name) for name in table["names"])
    except (CheckpointError, ValueError, KeyError, TypeError):
        return ()  # a file of somebody else's


def _rows_by_name(
    module: nn.Module, tensors: dict[str, Tensor], theirs: tuple[str, ...], names: tuple[str, ...]
) -> dict[str, Tensor]:
    """The classifier's tensors with the file's rows for classes of the same name, and the module's for the others."""
    shared = [name for name in names if name in theirs]
    to, of = [names.index(name) for name in shared], [theirs.index(name) for name in shared]
    rows = {}
    for key, own in module.state_dict().items():
        given = tensors.get(key)
        if given is None or not _by_class(key) or (len(given), len(own)) != (len(theirs), len(names)):
            continue
        if given.shape[1:] == own.shape[1:]:
            rows[key] = own.index_copy(0, torch.tensor(to, dtype=torch.long), given[of].to(own.dtype))
    return rows


def _by_class(key: str) -> bool:
    """Whether a key is of a head's classifier, one row a class."""
    return "classifier" in key.split(".")[:-1]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; a state dict may lie under `state_dict` or `model`."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's about pickles of others, which are refused anyway
            safe = path.suffix == ".safetensors"
            content: Any = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such weight file") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or first_line(error)})") from None
    except Exception as error:  # a damaged pickle makes the reader raise nearly anything: struct.error, IndexError, ...
        raise CheckpointError(f"{path}: {_refusal(path, error)}") from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = content if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(name, str) and isinstance(one, Tensor) for name, one in tensors.items()):
        raise CheckpointError(f"{path}: holds no table of tensors; save model.state_dict()")
    return tensors


def _refusal(path: Path, error: Exception) -> str:
    """Why a file cannot be opened, by its first bytes: readers name their own insides."""
    with path.open("rb") as file:
        head = file.read(9)
    if "GLOBAL" in str(error) or (head[:1] == b"\x80" and head[1:2] > b"\x02"):  # torch writes pickles of protocol 2
        return "is a pickle of more than tensors, which could run code, so nothing was read; save model.state_dict()"
    begins = head[8:] == b"{" if path.suffix == ".safetensors" else head.startswith((b"PK", b"\x80"))
    if begins or len(head) < 9:
        return "is cut off or damaged; copy it again"
    return "is no weight file; give a .safetensors or .pth file"


def match(
    module: nn.Module, tensors: Mapping[str, Tensor], source: str, rename: Callable[[str], str | None]
) -> tuple[Report, dict[str, Tensor]]:
    """The account of all keys, and the tensors that fit by the module's keys.

    A wrapper's `module.` before a name is dropped where the module has no such key.
    """
    ours = module.state_dict()
    fitting, shape, met, rows = {}, [], set(), []
    for name, tensor in tensors.items():
        key = rename(name if name in ours else name.removeprefix("module."))
        if key is None or key not in ours or key in met:
            rows.append(Row("skipped", name, "", tuple(tensor.shape), None))
            continue
        met.add(key)
        fits = tensor.shape == ours[key].shape
        rows.append(Row("loaded" if fits else "shape", name, key, tuple(tensor.shape), tuple(ours[key].shape)))
        if fits:
            fitting[key] = tensor
        else:
            shape.append(_misfit(key, tensor, ours[key]))
    skipped = tuple(row.name for row in rows if row.status == "skipped")
    missing = tuple(key for key in ours if key not in met and not key.endswith(COUNTER))
    rows += [Row("missing", "", key, None, tuple(ours[key].shape)) for key in missing]
    return Report(source, tuple(fitting), skipped, missing, tuple(shape), rows=tuple(rows)), fitting


def _misfit(key: str, given: Tensor, own: Tensor) -> str:
    if _by_class(key) and given.shape[1:] == own.shape[1:]:
        return f"{key} ({len(given)} → {len(own)} classes)"
    return f"{key} ({tuple(given.shape)}, here {tuple(own.shape)})"


def _some(keys: list[str] | tuple[str, ...], count: int = SOME) -> str:
    """` (a, b, c, ...)`, or nothing for no keys."""
    return f" ({', '.join(keys[:count])}{', ...' if len(keys) > count else ''})" if keys else ""
