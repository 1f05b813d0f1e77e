"""The schema of a run, merging of differences, and the texts of what can be wrong with them.

A recipe is a full `Config`. A user's TOML file holds only differences (`recipe = "scenes_aaf"` and a few keys), the
command line repeats `a.b=c`. Unknown and mistyped keys are errors. `to_toml` writes every key, and can be run again.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, Strict

from structseg.errors import ConfigError, did_you_mean

Int = Annotated[int, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]
Count = Annotated[int, Strict(), Field(ge=0)]
Positive = Annotated[int, Strict(), Field(ge=1)]
NonNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Above = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Strict(), Field(ge=0, lt=1)]
Options = dict[str, Any]


class _Section:
    """A table of the configuration: a key that it does not know is an error."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True)
class DataConfig(_Section):
    """Where the pictures are, what their masks mean, how they are augmented."""

    format: Text = "pairs"  # a file of data/formats
    root: Text = ""  # folder of the data set
    labels: Text = ""  # label table file; "" = the format's own
    ignore: tuple[Text, ...] = ()  # classes to ignore, by name
    options: Options = field(default_factory=dict)  # of the format
    train: Text = "train"  # names of splits
    val: Text = "val"
    test: Text = "test"
    crop: tuple[Positive, Positive] = (256, 256)  # height, width
    scale: tuple[Above, Above] = (0.5, 2.0)  # random resize before the crop
    scale_draw: Literal["uniform", "log"] = "uniform"  # "log": halving as often as doubling
    mirror: Bool = True
    geometry: Literal["default", "released"] = "default"  # how pictures are resized; released = as published for AAF
    jitter: Share = 0.0  # strength of random brightness, contrast, saturation
    workers: Count = 0  # processes that read; results do not depend on it
    balance: Annotated[float, Strict(), Field(ge=0, le=1)] = 0.0  # share of samples drawn for a class
    cache: Text = ""  # folder for decoded labels; "" = none
    max_pixels: Count = 100_000_000  # of a picture, by its header; 0 = no limit


@dataclass(frozen=True, kw_only=True)
class ModelConfig(_Section):
    """The network."""

    name: Text = ""  # "" = backbone + head; a file of models/nets; or my_code:Net
    options: Options = field(default_factory=dict)  # of `name`
    backbone: Text = "resnet"  # a file of models/backbones
    backbone_options: Options = field(default_factory=dict)
    head: Text = "fcn"  # a file of models/heads
    head_options: Options = field(default_factory=dict)
    weights: Text = ""  # of the backbone: "" = random, "imagenet", or a file
    init_from: Text = ""  # weights of an earlier run to start from
    freeze_norm: Bool = False  # keep the backbone's batch-norm statistics
    freeze_stages: Count = 0  # keep the backbone's first stages as they start: one a feature, from the finest; 0 = none
    mean: tuple[Float, Float, Float] = (123.675, 116.28, 103.53)  # RGB of 0..255; for my_code:Net only
    std: tuple[Above, Above, Above] = (58.395, 57.12, 57.375)


@dataclass(frozen=True, kw_only=True)
class LossConfig(_Section):
    """One term of the weighted sum."""

    name: Text  # a file of losses, or my_code:MyLoss
    weight: NonNegative = 1.0
    options: Options = field(default_factory=dict)
    decay: Above = 1.0  # the weight's factor at the last step: w(t) = weight * decay^(t/T); 0.1 as released for AAF
    at: Literal["head", "target"] = "head"  # on the head's logits, or on logits brought to the target's size


@dataclass(frozen=True, kw_only=True)
class OptimConfig(_Section):
    """The optimizer, its schedule and the budget."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: Above = 1e-3
    head_factor: Above = 10.0  # learning rate of the head / of the backbone
    loss_lr: NonNegative | None = None  # of a loss's own parameters (SGD, momentum 0.9); None = lr
    discriminator_lr: Above = 1e-4  # of the discriminator of an adversarial regime (Adam)
    momentum: Share = 0.9
    weight_decay: NonNegative = 5e-4  # not on norms, biases and losses' own parameters
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: Above = 0.9  # of poly
    warmup: Count = 0  # steps of linear warm-up
    steps: Positive = 20000
    batch: Positive = 8
    accumulate: Positive = 1  # micro-batches a step
    clip: NonNegative = 0.0  # gradient norm; 0 = off
    ema: Share = 0.0  # decay of averaged weights; 0 = off
    precision: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(_Section):
    """When and how a run is scored."""

    every: Count = 0  # steps; 0 = at the end only
    select: Literal["last", "miou", "boundary_f"] = "miou"  # which weights are kept: by the score on data.val
    split: Literal["train", "val", "test"] = "test"  # what metrics.json is about, a key of [data]
    tolerance: Above = 0.0075  # of borders: below 1 a share of the diagonal, else pixels
    boundary: Literal["distance", "matched"] = "distance"  # boundary F: each border pixel near one, or one to one
    thin: Bool = False  # whether lines of borders are thinned first, as the benchmark of contours does
    fill: NonNegative = 0.0  # pixels: void so near to a label is that label for borders; VOC draws contours as void
    instances: Literal["things", "released"] = "things"  # what counts as one; released = background and void, too
    calibration: Bool = False  # count confidence, too: needs the probabilities of every pixel, which scores do without
    pictures: Count = 32  # predictions kept for the comparison page
    draws: Positive = 2000  # of the bootstrap


@dataclass(frozen=True, kw_only=True)
class InferenceConfig(_Section):
    """How a picture of any size is predicted."""

    longest: Count = 0  # pixels to which a picture's longer side is brought first; 0 = as it is
    scales: Annotated[tuple[Above, ...], Field(min_length=1)] = (1.0,)
    mirror: Bool = False
    tile: Count = 0  # side in pixels; 0 = the whole picture at once
    tiling: Literal["blended", "released"] = "blended"  # how tiles are put together; released = as published for AAF
    overlap: Share = 0.25
    stride: Positive | None = None  # from tile to tile in pixels; None = by overlap
    batch: Positive = 4
    precision: Literal["float32", "bfloat16"] = "float32"
    crf: Bool = False  # a dense CRF on top, with the three below
    crf_steps: Positive = 10
    crf_gaussian: tuple[Above, NonNegative] = (3.0, 3.0)  # width in pixels, strength
    crf_bilateral: tuple[Above, Above, NonNegative] = (80.0, 13.0, 10.0)  # width in pixels, in grey levels, strength


@dataclass(frozen=True, kw_only=True)
class Config(_Section):
    """All that decides a run."""

    recipe: Text = ""
    regime: Text = "supervised"  # a file of training/regimes
    regime_options: Options = field(default_factory=dict)
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)] = 0  # of all that is drawn
    log_every: Positive = 20  # steps
    save_every: Count = 0  # steps between checkpoints; 0 = at evaluations and at the end
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    losses: Annotated[tuple[LossConfig, ...], Field(min_length=1)] = (LossConfig(name="cross_entropy"),)
    optim: OptimConfig = field(default_factory=OptimConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)


_PARTS = (DataConfig, ModelConfig, LossConfig, OptimConfig, EvaluationConfig, InferenceConfig, Config)
_ADAPTER: pydantic.TypeAdapter[Config] = pydantic.TypeAdapter(Config)
_FREE = {"options", "backbone_options", "head_options", "regime_options"}  # their keys are checked where they are built


# ------------------------------------------------------------------------------------------------ differences


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def parse_override(text: str) -> tuple[str, Any]:
    """`a.b=c` -> ("a.b", value); the value is TOML, and a bare word is a string."""
    key, sign, raw = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"'{text}' is not of the form key=value, e.g. optim.lr=0.01")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    return re.sub(r"\[(\w+)\]", r".\1", key.strip()), value


def override(config: Config, texts: Iterable[str]) -> Config:
    """`config` with `a.b=c` differences; a loss is named by its place or name: `losses.1.weight=0.5`."""
    tree = dataclasses.asdict(config)
    for text in texts:
        key, value = parse_override(text)
        _set(tree, key.split("."), value, key)
    return _validate(tree, "command line")


def override_trained(config: Config, texts: Iterable[str], sections: Sequence[str], run: object) -> Config:
    """`override` for a finished `run`, of which only the keys of some `sections` may still differ."""
    changed = override(config, texts)
    for key in difference(config, changed):
        if key.partition(".")[0] not in sections:
            known = ", ".join(f"{name}.*" for name in sections)
            raise ConfigError(f"{key} is fixed by the training of {run}; only {known} may differ")
    return changed


def merge(config: Config, differences: Mapping[str, Any], source: Path) -> Config:
    """`config` with the differences of a file; a list replaces the list."""
    tree = dataclasses.asdict(config)
    _merge(tree, differences, "", source)
    return _validate(tree, str(source), source)


def checked(config: Config) -> Config:
    """`config`, which may have been put together in Python, as its file will give it back. Raises ConfigError."""
    return _validate(tomllib.loads(to_toml(config)), "configuration")


def _set(node: Any, path: list[str], value: Any, key: str) -> None:
    for place, name in enumerate(path[:-1]):
        node = _descend(node, name, key, free=place > 0 and path[place - 1] in _FREE)
    last, free = path[-1], len(path) > 1 and path[-2] in _FREE
    if isinstance(node, list | tuple):
        raise ConfigError(f"{key}: an item of a list has fields, e.g. {key}.weight=0.5")
    if not isinstance(node, dict):
        raise ConfigError(f"{key}: '{path[-2]}' is a value and has no keys")
    if last not in node and not free:
        raise ConfigError(f"unknown key '{key}'{_suggest(last, node, key)}")
    node[last] = value


def _descend(node: Any, name: str, key: str, *, free: bool) -> Any:
    if isinstance(node, list | tuple):
        known = [str(item["name"]) for item in node if isinstance(item, dict) and "name" in item]
        if not known:
            raise ConfigError(f"{key}: a list is given whole, e.g. data.crop=[256,256]")
        if name.isdigit() and int(name) < len(node):
            return node[int(name)]
        if name in known:
            return node[known.index(name)]
        raise ConfigError(f"{key}: there is no '{name}'; known: {', '.join(known)} (or 0 to {len(node) - 1})")
    if not isinstance(node, dict):
        raise ConfigError(f"{key}: '{name}' lies below a value that has no keys")
    if free:
        return node.setdefault(name, {})
    if name not in node:
        raise ConfigError(f"unknown key '{key}'{_suggest(name, node, key)}")
    return node[name]


def _suggest(name: str, node: Mapping[str, Any], key: str) -> str:
    """A near key of the same table, else the same name in another table, else what the table knows."""
    near = did_you_mean(name, node)
    if near.startswith("; did"):
        return near
    tables = {part.__name__.removesuffix("Config").lower(): part for part in _PARTS if part not in (Config, LossConfig)}
    elsewhere = [f"{table}.{name}" for table, part in tables.items() if name in part.__dataclass_fields__]
    return f"; did you mean '{elsewhere[0]}'?" if elsewhere and "." not in key else near


def _merge(node: dict[str, Any], differences: Mapping[str, Any], prefix: str, source: Path) -> None:
    for name, value in differences.items():
        key = f"{prefix}{name}"
        free = prefix.rstrip(".").rsplit(".", 1)[-1] in _FREE
        if name not in node and not free:
            raise ConfigError(f"{source}{_line(source, name)}: unknown key '{key}'{_suggest(name, node, key)}")
        if isinstance(value, Mapping) and value and isinstance(node.get(name), dict):  # an empty table clears
            _merge(node[name], value, f"{key}.", source)
        else:
            node[name] = value


def _line(source: Path | None, name: str) -> str:
    """`, line N` of the first line of the file that sets `name`."""
    if source is None or not source.is_file():
        return ""
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(rf"\s*(\[+\s*)?([\w\"]+\.)*{re.escape(name)}\s*[\]=.]", line):
            return f", line {number}"
    return ""


def _validate(tree: Mapping[str, Any], where: str, source: Path | None = None) -> Config:
    try:
        return _ADAPTER.validate_python(tree)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        names = [part for part in place if not part.isdigit()]
        key = ".".join(place)
        line = _line(source, names[-1]) if names else ""
        message = first["msg"][:1].lower() + first["msg"][1:]
        if first["type"] == "unexpected_keyword_argument":
            known = [f.name for f in dataclasses.fields(LossConfig)]
            raise ConfigError(f"{where}{line}: unknown key '{key}'{did_you_mean(place[-1], known)}") from None
        if first["type"] == "missing":
            raise ConfigError(f"{where}{line}: '{key}' is missing") from None
        raise ConfigError(f"{where}{line}: {key} = {json.dumps(first['input'], default=str)}: {message}") from None


# ------------------------------------------------------------------------------------------------ text


def to_toml(config: Config) -> str:
    """Every key, as TOML that `merge` reads back."""
    tree = dataclasses.asdict(config)
    lines = [f"{key} = {_toml(value)}" for key, value in tree.items() if not _is_table(key, value)]
    for key, value in tree.items():
        if key == "losses":
            for term in value:
                lines += ["", "[[losses]]", *(f"{name} = {_toml(item)}" for name, item in term.items())]
        elif _is_table(key, value):
            lines += ["", f"[{key}]", *(f"{name} = {_toml(item)}" for name, item in value.items() if item is not None)]
    return "\n".join(lines) + "\n"


def _is_table(key: str, value: Any) -> bool:
    return key == "losses" or (isinstance(value, dict) and key not in _FREE)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        if re.search("[\ud800-\udfff]", value):  # bytes of the command line that are no text
            raise ConfigError(f"{value!r} is no UTF-8 and cannot be kept in a configuration; rename it")
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    raise ConfigError(f"a value of type {type(value).__name__} cannot be written to TOML")


def flatten(config: Config) -> dict[str, Any]:
    """Dotted key -> value."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict) and node and prefix.rsplit(".", 1)[-1] not in _FREE:
            for name, value in node.items():
                walk(f"{prefix}.{name}" if prefix else name, value)
        elif prefix == "losses":
            for place, term in enumerate(node):
                walk(f"losses.{place}", term)
        else:
            flat[prefix] = node

    walk("", dataclasses.asdict(config))
    return flat


def difference(first: Config, second: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (value in first, value in second) where they differ; None where a loss term is absent."""
    a, b = flatten(first), flatten(second)
    return {key: (a.get(key), b.get(key)) for key in {**a, **b} if a.get(key) != b.get(key)}
