"""From a configuration to a finished run folder: build, train, score.

A run that was killed goes on with `resume`; its weights, order, augmentation and log come out as if nothing had
happened.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from structseg import published, runs
from structseg.config import Config, checked, difference, merge, override_trained, read_toml, to_toml
from structseg.console import Console
from structseg.data import open_format
from structseg.data.check import check_split
from structseg.data.fingerprint import fingerprint
from structseg.data.formats import Format
from structseg.errors import CheckpointError, ConfigError, WorkerError, first_line
from structseg.inference.device import pick_device
from structseg.inference.evaluate import Progress, evaluate
from structseg.inference.load import data_changed, load, save_weights, say_notice
from structseg.inference.predictor import Predictor
from structseg.training import hooks
from structseg.training.hooks import Log
from structseg.training.loop import Hook, run
from structseg.training.parts import Parts, prepare, quick_scores, split_of, streams
from structseg.training.state import State

# Keys that may change when a run goes on: they do not change its result.
_FREE_ON_RESUME = (
    "data.root",
    "data.workers",
    "data.cache",
    "data.max_pixels",
    "log_every",
    "save_every",
    "evaluation.calibration",
    "evaluation.pictures",
    "evaluation.draws",
)


def train(
    config: Config, *, out: Path, resume: bool = False, device: str = "auto", quiet: bool = False
) -> dict[str, Any]:
    """Train and score `config` in the folder `out`; the content of metrics.json.

    Raises ConfigError, DataError or CheckpointError, each of one line: what can be known before the first step before
    anything is written, a damaged picture or a loss that is not finite when it comes. After SIGTERM or Ctrl-C the step
    is finished and saved, and SystemExit raised with 128 + the signal's number.
    """
    out, config = Path(out), checked(config)
    _check_out(out, config, resume=resume)
    parts = prepare(config, device=device)
    content = _saved(out, parts) if resume else None
    with runs.fresh_folder(out), runs.locked(out):
        for path in runs.leftovers(out):
            if path.name != runs.LOCK:
                path.unlink()
        if content is not None:
            parts.state.restore(content, out / runs.STATE)
        runs.write_text(out / runs.CONFIG, to_toml(config))
        return _train(parts, out, Console(quiet=quiet))


def _check_out(out: Path, config: Config, *, resume: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder")
    if not runs.is_run(out):
        if out.is_dir() and set(out.iterdir()) - set(runs.leftovers(out)):
            raise ConfigError(f"--out {out} is not empty and holds no run; choose another folder")
        return
    if not resume:
        raise ConfigError(f"{out} holds a run already; add --resume to go on, or choose another --out")
    refuse_other_run(out, config)


def refuse_other_run(out: Path, config: Config) -> None:
    """Raise ConfigError where the folder `out` holds a run of another configuration."""
    path = out / runs.CONFIG
    if not runs.is_run(out):
        return
    changed = {
        key: values
        for key, values in difference(merge(Config(), read_toml(path), path), config).items()
        if key not in _FREE_ON_RESUME
    }
    if changed:
        listed = ", ".join(f"{key} {before!r} -> {now!r}" for key, (before, now) in list(changed.items())[:3])
        raise ConfigError(
            f"--resume: this is not the run of {path}: {listed}; give the same recipe and keys, or another --out"
        )


def _saved(out: Path, parts: Parts) -> dict[str, Any] | None:
    """The checkpoint to go on from; None where the run was stopped before its first one."""
    if not (out / runs.STATE).exists():
        return None
    content = State.read(out / runs.STATE)
    before, now = content["about"], parts.about
    if _meaning(before["labels"]) != _meaning(now["labels"]):
        raise CheckpointError(f"{out / runs.STATE} was trained with another label table than {now['labels']['source']}")
    for split, digest in now["data_fingerprint"].items():
        if before["data_fingerprint"].get(split, digest) != digest:
            raise CheckpointError(
                f"{out / runs.STATE}: the files of split '{split}' have changed since the run began "
                f"(data.root = {parts.config.data.root}); restore them or train again"
            )
    return content


def _meaning(labels: dict[str, Any]) -> dict[str, Any]:
    """A label table without the place that it was read from."""
    return {key: value for key, value in labels.items() if key != "source"}


def _train(parts: Parts, out: Path, console: Console) -> dict[str, Any]:
    config, state = parts.config, parts.state
    clock = time.process_time if parts.device.type == "cpu" else time.perf_counter  # other work does not count
    began = clock()
    spent = _spent(out) if state.step else 0.0
    log = Log(out, step=state.step)
    meta = {**parts.about, "device": str(parts.device)}
    runs.write_json(out / runs.META, meta)
    console.say(_headline(parts, out))
    for line in parts.warnings:
        console.say(line)

    def save(now: State) -> None:
        now.save(out / runs.STATE, **parts.about)

    def keep(now: State) -> None:
        _keep(now, out, parts.about)

    every = config.evaluation.every
    selection = parts.dataset.items(config.data.val) if every else ()
    with hooks.Stop(save) as stop:
        steps: list[Hook] = [
            hooks.Report(log, every=config.log_every, show=console.progress),
            hooks.Kernels(log, parts.regime, every=every or config.log_every * 5),
            hooks.Evaluate(
                log,
                every=every,
                select=config.evaluation.select,
                score=lambda model: quick_scores(parts, model, selection),
                keep=keep,
                show=console.say,
            ),
            hooks.Checkpoint(save, every=config.save_every, also=every),
            stop,
        ]
        try:
            run(state, parts.regime, streams(parts), device=parts.device, hooks=steps)
        except Exception as error:
            if state.step:
                log.write("stop", state.step, reason=first_line(error))
                if isinstance(error, WorkerError):  # between two steps, and not the data's fault
                    save(state)
                    raise WorkerError(f"{error}; step {state.step} is saved, go on with --resume") from error
            else:  # nothing was learned: leave nothing in the way of the next try
                for name in (runs.LOG, runs.META, runs.CONFIG):
                    (out / name).unlink(missing_ok=True)
            raise
    if stop.signal:
        log.write("stop", state.step, reason="stopped by a signal")
        console.say(f"stopped at step {state.step}, saved; go on with --resume")
        raise SystemExit(128 + stop.signal)
    if state.best_step < 0:
        keep(state)
    meta["train_seconds"] = spent + clock() - began
    meta["chosen_step"] = state.best_step if state.best_step >= 0 else state.step
    meta["kernels"] = _kernels(parts, meta["chosen_step"], log)
    runs.write_json(out / runs.META, meta)
    console.say(f"scores {split_of(config)} with the weights of step {meta['chosen_step']}")
    model = load(out, device=parts.device, quiet=True)
    progress = console.counter()
    metrics: dict[str, Any] = score(model, parts.dataset, config, out=out, device=parts.device, progress=progress)
    return metrics


def _spent(out: Path) -> float:
    """Seconds of steps and evaluations that an interrupted run had spent, from its log."""
    rows = runs.read_log(out)
    trained = [row for row in rows if row["kind"] == "train"]
    steps = [0, *(row["step"] for row in trained)]
    spent = sum((row["step"] - before) / row["rate"] for before, row in zip(steps, trained, strict=False))
    return float(spent + sum(row["seconds"] for row in rows if row["kind"] == "eval"))


def _keep(state: State, out: Path, about: dict[str, Any]) -> None:
    """Write the weights that users load. Each file stands alone: the facts about it are in its own header."""
    facts = {**about, "step": state.step}
    save_weights(state.trained["model"], out / runs.MODEL, facts)
    if state.average:
        save_weights(state.average.module, out / runs.EMA, facts)


def _kernels(parts: Parts, step: int, log: Log) -> dict[str, Any] | None:
    rows = [row for row in runs.read_log(log.path.parent) if row["kind"] == "kernels" and row["step"] <= step]
    if not rows:
        return None
    learned = {name: rows[-1][name] for name in ("kernel_sizes", "edge", "interior")}
    terms = getattr(parts.regime, "terms", ())  # a regime of somebody's own may have none
    places = [term.at for term in terms if hasattr(term.loss, "effective_kernel_size")]
    stride = getattr(parts.state.trained["model"], "stride", None)
    return {**learned, "cell": {"head": stride, "target": 1}.get(places[-1]) if places else None}  # pixels


def score(
    model: nn.Module,
    dataset: Format,
    config: Config,
    *,
    out: Path | None,
    device: torch.device,
    progress: Progress | None,
) -> Any:
    """The content of metrics.json for `model` on the final split of `config`, written to `out`."""
    predictor = Predictor.from_config(model, vars(model)["labels"], config.inference, device)
    settings = config.evaluation
    return evaluate(
        predictor,
        dataset,
        split_of(config),
        name=config.data.format,
        tolerance=settings.tolerance,
        boundary=settings.boundary,
        thin=settings.thin,
        instances=settings.instances,
        fill=settings.fill,
        calibration=settings.calibration,
        pictures=settings.pictures,
        draws=settings.draws,
        folder=out,
        progress=progress,
    )


def rescore(
    path: Path,
    overrides: Sequence[str],
    *,
    out: Path | None,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score the model of a run folder again, with differences such as `inference.mirror=true` or `data.root=...`.

    `out` becomes a folder that the report reads like a run: scores, settings with the differences, the run's facts.
    Raises ConfigError where `out` is another run.
    """
    folder = published.find(str(path)) or path
    folder = folder if folder.is_dir() else folder.parent
    own = out is not None and out.resolve() == folder.resolve()
    if out is not None:
        runs.check_writable(out)
        if not own and any((out / name).exists() for name in (runs.LOG, runs.MODEL)):
            raise ConfigError(f"--out {out} holds a run of its own; choose another folder for these scores")
    chosen = pick_device(device)
    model = load(path, device=chosen, quiet=True)
    known: Config = vars(model)["config"]
    config = override_trained(known, overrides, ("data", "evaluation", "inference"), path)
    dataset = open_format(config.data)
    split = split_of(config)
    check_split(dataset, split)
    if config.data == known.data and data_changed(model, split, fingerprint(dataset, split)):
        raise CheckpointError(
            f"{path}: the files of split '{split}' in {config.data.root} have changed since the run began; "
            "to score them as they are, name a copy of the folder as DATA"
        )
    metrics: dict[str, Any] = score(model, dataset, config, out=out, device=chosen, progress=progress)
    if out is not None and not own:
        meta = folder / runs.META
        runs.write_json(out / runs.META, runs.read_json(meta) if meta.is_file() else vars(model)["about"])
        runs.write_text(out / runs.CONFIG, to_toml(config))
    say_notice(model, path)  # not before: what is refused says why, and nothing else
    return metrics


def _headline(parts: Parts, out: Path) -> str:
    config = parts.config
    begin = f"goes on at step {parts.state.step}" if parts.state.step else "starts"
    losses = " + ".join(f"{term.weight:g} {term.name}" for term in config.losses)
    return (
        f"{out} {begin}: {len(parts.items)} pictures, {parts.dataset.labels.num_classes} classes, "
        f"{parts.about['parameters'] / 1e6:.2f} M parameters, {losses}, {config.optim.steps} steps on {parts.device}"
    )
