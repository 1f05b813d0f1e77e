"""What a run is made of: data, model, losses, regime and state, checked and built in memory; nothing is written.

What a user can get wrong in names, options and data is found here, before a folder is made: a spread of the samples is
read, and a copy of the model and every loss are tried once on an empty batch of the real size.
"""

from __future__ import annotations

import copy
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from structseg import build
from structseg.config import Config, DataConfig
from structseg.data import open_format
from structseg.data.balance import Balance, balance
from structseg.data.fingerprint import fingerprint, frequencies
from structseg.data.formats import Format
from structseg.data.loader import Augmentation, batches, start_server
from structseg.errors import ConfigError, UserError, first_line
from structseg.inference.device import pick_device
from structseg.inference.evaluate import count
from structseg.inference.predictor import Predictor, refuse_small_widths
from structseg.models.segmenter import Outside, Segmenter
from structseg.models.segmenter import build as build_model
from structseg.models.weights import notice
from structseg.training.preflight import Preflight, refuse_too_large, widest_layer
from structseg.training.regimes.supervised import Term
from structseg.training.state import State
from structseg.types import Batch, Item, Output


@dataclass
class Parts:
    """All that a run is made of."""

    config: Config
    dataset: Format
    items: tuple[Item, ...]
    regime: Any
    state: State
    device: torch.device
    about: dict[str, Any]  # plain facts that go into meta.json and every checkpoint
    warnings: tuple[str, ...] = ()  # lines to be said once, before the first step
    balance: Balance | None = None  # of the labelled stream


def check_names(config: Config) -> None:
    """Raise ConfigError for a name that is in no file or keys that exclude each other, before anything is made."""
    build.check("data.formats", config.data.format, "data.format")
    build.check("training.regimes", config.regime, "regime")
    for place, term in enumerate(config.losses):
        build.check("losses", term.name, f"losses.{place}.name")
    if config.model.name:
        build.check("models.nets", config.model.name, "model.name")
    else:
        build.check("models.backbones", config.model.backbone, "model.backbone")
        build.check("models.heads", config.model.head, "model.head")
        if config.model.freeze_stages and not (config.model.weights or config.model.init_from):
            raise ConfigError(
                f"model.freeze_stages = {config.model.freeze_stages} would keep random weights; "
                "give model.weights or model.init_from, or set it to 0"
            )
        if config.model.options:
            raise ConfigError("model.options are those of model.name, which is empty; see model.head_options")
    _check_geometry(config)


def _check_geometry(config: Config) -> None:
    """What the released geometry does not know must not be asked of it."""
    data, plain = config.data, DataConfig()
    if data.geometry == "released":
        for key in ("scale_draw", "jitter", "balance"):
            if getattr(data, key) != getattr(plain, key):
                raise ConfigError(
                    f"data.{key} = {getattr(data, key)!r} is not for data.geometry = 'released'; leave it out"
                )


def prepare(config: Config, *, device: str = "auto") -> Parts:
    """Check and build everything in memory; nothing is written."""
    check_names(config)
    chosen = pick_device(device)
    dataset = open_format(config.data)
    items = dataset.items(config.data.train)
    if config.data.workers:
        start_server()
    preflight = Preflight(dataset, _splits(config))
    torch.manual_seed(config.seed)
    model = build_model(config.model, dataset.labels.num_classes, names=dataset.labels.names)
    _check_weights(model)
    began = time.perf_counter()
    output, per_pixel = _try_model(config, model, dataset.labels.num_classes)
    preflight.go_on(_run_seconds(config, time.perf_counter() - began, chosen))
    scored = [split for split in _splits(config) if split != config.data.train or split == split_of(config)]
    largest, classes = preflight.largest(scored), dataset.labels.num_classes
    refuse_too_large(largest, classes, config.inference, chosen, per_pixel=per_pixel)
    refuse_small_widths(largest, config.inference)
    if not isinstance(model, Segmenter):  # ours take any size
        _try_evaluation(config, model, largest)
    terms = [_term(config, place, dataset, items) for place in range(len(config.losses))]
    for place, term in enumerate(terms):
        _try_loss(place, term, output, config.data.crop)
    made_of = {"model": model, "terms": terms, "num_classes": classes, "ignore_index": dataset.labels.ignore_index}
    regime = build.create("training.regimes", config.regime, config.regime_options, key="regime", **made_of).to(chosen)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this form
    Predictor.from_config(model, dataset.labels, config.inference, chosen)  # wrong options show before the run begins
    state = State(regime.trained(), config.optim)
    about = _about(config, dataset, model, terms)
    balanced = balance(dataset, items, config.data.balance, threads=config.data.workers)
    terms_of_use = (f"{config.model.init_from}: {about['notice']}",) if "notice" in about else ()
    warnings = (*preflight.warnings(config.data.train), *_slow_precision(config, chosen), *terms_of_use)
    return Parts(config, dataset, items, regime, state, chosen, about, warnings, balanced)


def _slow_precision(config: Config, device: torch.device) -> tuple[str, ...]:
    """A warning where bfloat16 is asked for and the processor would emulate it."""
    keys = {"optim.precision": config.optim.precision, "inference.precision": config.inference.precision}
    low = [key for key, precision in keys.items() if precision == "bfloat16"]
    if not low or device.type != "cpu" or not torch.backends.mkldnn.is_available():  # unknown without oneDNN
        return ()
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return ()
    asked = " and ".join(low)
    return (f"warning: {asked} = bfloat16: this processor only emulates it, many times slower; take float32",)


def _check_weights(model: nn.Module) -> None:
    """Raise ConfigError where there is nothing to train, or something without a shape."""
    weights = [one for one in model.parameters() if one.requires_grad]
    if any(nn.parameter.is_lazy(one) for one in weights):
        raise ConfigError("model: a lazy module in it has no shape yet; call the network once where it is made")
    if not weights:
        raise ConfigError("model: none of its weights wants a gradient, so that there is nothing to train")


def _try_model(config: Config, model: nn.Module, num_classes: int) -> tuple[Output, float]:
    """Output of a copy of the model for the first picture of an empty batch, in training mode, and the values that the
    widest layer reads and writes for a pixel."""
    height, width = config.data.crop
    try:
        tried = copy.deepcopy(model).train()
        with torch.random.fork_rng(devices=()), torch.no_grad(), widest_layer(tried) as values:
            output = Output(*tried(torch.zeros(config.optim.batch, 3, height, width)))
    except UserError:
        raise
    except Exception as error:  # whatever somebody's network does
        raise ConfigError(
            f"model: it fails on optim.batch = {config.optim.batch} crops of {height}x{width} ({first_line(error)}); "
            "a larger batch or crop helps where batch normalisation sees one value only"
        ) from error
    if (classes := output.logits.shape[1]) != num_classes:
        raise ConfigError(f"model: it gives {classes} classes, but the label table has {num_classes}")
    if (count := len(output.logits)) != config.optim.batch:
        raise ConfigError(f"model: it gives logits of {count} pictures for a batch of {config.optim.batch}")
    if isinstance(model, Outside) and isinstance(tried, Outside):
        model.stride = tried.stride  # which it did not know before
    first = Output(output.logits[:1], features=None if output.features is None else output.features[:1])
    return first, max(values, default=0) / (config.optim.batch * height * width)


def _try_evaluation(config: Config, model: nn.Module, largest: tuple[int, int]) -> None:
    """One picture of each size that evaluation shows through a copy of the model in evaluation mode: sizes are other
    than crops, which is best known before the training."""
    tried = copy.deepcopy(model).eval()
    for height, width in sorted(_shown(config, largest)):
        try:
            with torch.random.fork_rng(devices=()), torch.no_grad():
                tried(torch.zeros(1, 3, height, width))
        except UserError:
            raise
        except Exception as error:  # whatever somebody's network does
            advice = "" if config.inference.tile else ", or give one that it takes as inference.tile"
            raise ConfigError(
                f"model: it fails on {height}x{width} ({first_line(error)}), which evaluation shows it; pictures have "
                f"sizes of their own: make it take any{advice}"
            ) from error


def _shown(config: Config, largest: tuple[int, int]) -> set[tuple[int, int]]:
    """Heights and widths that the network sees of the largest picture; of whole ones a little more than a crop, which
    is cut as they are by any stride."""
    settings, crop = config.inference, config.data.crop
    sizes = set()
    for scale in settings.scales:
        first = scale * (settings.longest / max(largest) if settings.longest else 1.0)
        height, width = (max(1, round(first * side)) for side in largest)
        if settings.tile and settings.tiling == "released":
            height = width = settings.tile
        elif settings.tile:
            height, width = min(settings.tile, height), min(settings.tile, width)
        elif not settings.longest:
            height, width = crop[0] + (height - crop[0]) % 64, crop[1] + (width - crop[1]) % 64
        sizes.add((height, width))
    return sizes


def _run_seconds(config: Config, forward: float, device: torch.device) -> float:
    """A rough and rather low estimate of the training time, from one forward pass on the CPU."""
    faster = 1 if device.type == "cpu" else 20
    return 3 * forward * config.optim.steps * config.optim.accumulate / faster


def _try_loss(place: int, term: Term, output: Output, crop: tuple[int, int]) -> None:
    """One call, so that wrong options show before the run begins, also one kernel of several that fits nowhere."""
    try:
        with torch.random.fork_rng(devices=()):
            read = term.read(output, crop)
            height, width = read.shape[-2:]
            target = (torch.arange(height * width) % output.logits.shape[1]).view(1, height, width)
            value = term.loss(read.clone().requires_grad_(), target)
            if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
                raise ConfigError("it does not return one number that has a gradient in the logits")
            counts = getattr(term.loss, "counts", None)
            if counts is not None:
                _check_kernels(term.loss, counts(target, (height, width)), height, width)
    except Exception as error:  # whatever somebody's loss does
        raise ConfigError(f"losses.{place}: {term.name}: {first_line(error)}") from error


def _check_kernels(loss: nn.Module, counts: Tensor, height: int, width: int) -> None:
    """Raise ConfigError where a kernel of a loss finds nothing or is larger than the map; its counts stand together.

    By any rule of pairs: a kernel that has no place for the whole of its square is cut off around every pixel.
    """
    sizes = getattr(loss, "kernel_sizes", (getattr(loss, "kernel_size", 0),))
    for size, found in zip(sizes, counts.reshape(len(sizes), -1).any(1), strict=True):
        if not found or size > min(height, width):
            raise ConfigError(
                f"{f'kernel size {size} does not fit' if size else 'it finds nothing on'} the {height}x{width} cells "
                "of the model's output; take a smaller kernel or a larger data.crop"
            )


def _splits(config: Config) -> list[str]:
    """Names of the splits that the run reads, each once."""
    selection = [config.data.val] if config.evaluation.every else []
    return sorted({config.data.train, *selection, split_of(config)})


def split_of(config: Config) -> str:
    """Name of the split that metrics.json is about."""
    name: str = getattr(config.data, config.evaluation.split)
    return name


def _term(config: Config, place: int, dataset: Format, items: tuple[Item, ...]) -> Term:
    term = config.losses[place]
    by_rule = isinstance(term.options.get("class_weights"), str)
    key = f"losses.{place}.options"
    context = {
        "num_classes": dataset.labels.num_classes,
        "ignore_index": dataset.labels.ignore_index,
        "class_frequencies": frequencies(dataset, items) if by_rule else None,
    }
    try:
        loss = build.create("losses", term.name, term.options, key=key, **context)
    except ConfigError as error:  # a loss does not know where its options stand
        raise ConfigError(str(error) if str(error).startswith(key) else f"{key}: {term.name}: {error}") from error
    return Term(term.name, loss, term.weight, term.decay, term.at)


def _about(config: Config, dataset: Format, model: nn.Module, terms: list[Term]) -> dict[str, Any]:
    inherited = notice(config.model.init_from) if config.model.init_from else ""
    return {
        "recipe": config.recipe,
        "seed": config.seed,
        "labels": dataset.labels.as_dict(),
        "data_fingerprint": {split: fingerprint(dataset, split) for split in _splits(config)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss_parameters": sum(p.numel() for term in terms for p in term.loss.parameters()),
        "selection_split": config.data.val if config.evaluation.every and config.evaluation.select != "last" else "",
        "versions": build.versions(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        **({"notice": inherited} if inherited else {}),
    }


def streams(parts: Parts) -> dict[str, Iterator[Batch]]:
    """The batches that are still to come, by stream name."""
    data, optim = parts.config.data, parts.config.optim
    augmentation = Augmentation(
        crop=data.crop,
        scale=data.scale,
        scale_draw=data.scale_draw,
        mirror=data.mirror,
        jitter=data.jitter,
        geometry=data.geometry,
    )
    return {
        name: batches(
            parts.dataset,
            parts.items,
            seed=parts.config.seed,
            stream=name,
            batch=optim.batch,
            start=parts.state.step * optim.accumulate,
            stop=optim.steps * optim.accumulate,
            augmentation=augmentation,
            workers=data.workers,
            balance=parts.balance if name == "labeled" else None,
        )
        for name in parts.regime.needs
    }


def quick_scores(parts: Parts, model: nn.Module, items: Sequence[Item]) -> dict[str, float]:
    """mIoU and boundary F on `items`, without bands and intervals."""
    predictor = Predictor.from_config(model, parts.dataset.labels, parts.config.inference, parts.device)
    settings = parts.config.evaluation
    counts = count(
        predictor,
        parts.dataset,
        items,
        tolerance=settings.tolerance,
        boundary=settings.boundary,
        thin=settings.thin,
        fill=settings.fill,
        quick=True,
    )
    return {"miou": counts.miou(), "boundary_f": counts.boundary_f()}
