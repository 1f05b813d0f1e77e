"""Every combination of recipes and values as a run folder, some at once, then compared.

`trials` makes the list and checks it before anything is made; `run` trains what is not finished, each in a process
with its share of the cores. A trial is named after its recipe and values (`camvid_aaf_weight-0.5_seed0`), so the
folder alone says what is done: finished runs are kept, begun ones go on, and a run of another configuration is refused.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from structseg import recipes, runs
from structseg.config import Config, parse_override, to_toml
from structseg.console import duration
from structseg.errors import ConfigError
from structseg.report.compare import planned_row
from structseg.report.read import Run
from structseg.training.machine import cores
from structseg.training.parts import check_names
from structseg.training.run import refuse_other_run

_GLANCE = 0.2  # seconds between looks at the running processes


@dataclass(frozen=True)
class Trial:
    """One run of the grid."""

    name: str  # of its folder
    config: Config


def trials(sources: Sequence[str], over: Sequence[str], overrides: Sequence[str] = ()) -> tuple[Trial, ...]:
    """Recipes times the values of every `a.b=x,y` of `over`, later ones fastest; `overrides` hold for all.

    `{run}` in a difference stands for the name of the run, e.g. `model.init_from=runs/first/{run}`: a second stage
    from the run of the same name. Raises ConfigError for a key, value or name that one of the runs would refuse, and
    for two runs of one name.
    """
    axes = [_axis(text) for text in over]
    titles = _titles([axis[0] for axis in axes])
    made = []
    for source, values in itertools.product(sources, itertools.product(*(values for _, values in axes))):
        name = "_".join([Path(source).stem, *map(_label, titles, values)])
        own = (f"{key}={value}" for (key, _), value in zip(axes, values, strict=True))
        config = recipes.read(source, [text.replace("{run}", name) for text in (*overrides, *own)])
        check_names(config)
        made.append(Trial(name, config))
    names = [trial.name for trial in made]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"the grid has two runs called {twice[0]}; give each recipe and each value once")
    return tuple(made)


def row_of(made: Sequence[Trial], out: Path, name: str) -> tuple[str, ...]:
    """The trials of the row that the report of this grid will call `name`. Raises ConfigError where there is none."""
    planned = [Run(out / trial.name, tomllib.loads(to_toml(trial.config)), log=()) for trial in made]
    return tuple(run.name for run in planned_row(planned, name).runs)


def _axis(text: str) -> tuple[str, tuple[str, ...]]:
    """`a.b=x,y` -> the key and its values; a comma within brackets or quotes separates nothing."""
    key, _ = parse_override(text)
    raw = text.partition("=")[2]
    values = _split(raw)
    if not any(values):
        raise ConfigError(f"--over {text}: give one or more values with commas between them, e.g. seed=0,1,2")
    return key, tuple(values)


def _split(text: str) -> list[str]:
    """At commas that stand in no bracket and in no quotes; what is empty is a value, too."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if letter == "," and not (depth or quote):
            parts.append("")
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and (depth or not parts[-1].strip()):
            quote = letter
        else:
            depth = max(0, depth + (letter in "[{") - (letter in "]}"))
        parts[-1] += letter
    values = [part.strip() for part in parts]
    return values[:-1] if len(values) > 2 and not values[-1] else values  # a comma too many


def _titles(keys: Sequence[str]) -> list[str]:
    """The last part of each key, or the whole one where two would be the same."""
    short = [key.rpartition(".")[2] for key in keys]
    return [key if short.count(last) > 1 else last for key, last in zip(keys, short, strict=True)]


def _label(title: str, value: str) -> str:
    plain = re.sub(r"[^\w.]+", "-", value).strip("-") or "nothing"
    return f"seed{plain}" if title == "seed" else f"{title}-{plain}"


def run(
    made: Sequence[Trial],
    out: Path,
    *,
    jobs: int = 1,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> dict[str, str]:
    """Train and score what is not finished in `out`, `jobs` at once; name -> error line of the runs that failed.

    Beside its folder stand `NAME.toml`, from which it can be made by hand, and `NAME.log`, what it said. On Ctrl-C or
    SIGTERM every run is stopped as `train` stops: the step finished and saved. Raises ConfigError before anything
    begins where a folder holds another run.
    """
    for trial in made:
        refuse_other_run(out / trial.name, trial.config)
    waiting = [trial for trial in made if not (out / trial.name / runs.METRICS).is_file()]
    if len(waiting) < len(made):
        say(f"{len(made) - len(waiting)} of {len(made)} runs are finished already")
    failed: dict[str, str] = {}
    began = time.monotonic()
    for done, (trial, code) in enumerate(_processes(waiting, out, jobs, device), 1):
        left = (time.monotonic() - began) / done * (len(waiting) - done)
        if code:
            failed[trial.name] = _error(out / f"{trial.name}.log", code)
        what = f"failed: {failed[trial.name]}" if code else _scores(out / trial.name)
        say(f"{done}/{len(waiting)} {trial.name}  {what}" + (f"  {duration(left)} left" if left else ""))
    return failed


def _processes(waiting: Sequence[Trial], out: Path, jobs: int, device: str) -> Iterator[tuple[Trial, int]]:
    """Each trial with the exit code of its process, in the order in which they end."""
    queue, running = list(waiting), dict[subprocess.Popen[bytes], Trial]()
    threads = max(1, cores() // jobs)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        while queue or running:
            while queue and len(running) < jobs:
                trial = queue.pop(0)
                running[_start(trial, out, threads, device)] = trial
            for process in [process for process in running if process.poll() is not None]:
                yield running.pop(process), process.returncode
            time.sleep(_GLANCE)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _start(trial: Trial, out: Path, threads: int, device: str) -> subprocess.Popen[bytes]:
    folder, file = out / trial.name, out / f"{trial.name}.toml"
    runs.write_text(file, to_toml(trial.config))
    resume = ["--resume"] if runs.is_run(folder) else []
    words = [str(file), "--out", str(folder), *resume, "--device", device]
    with (out / f"{trial.name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "structseg", "train", *words],
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches it once, through the grid
        )


def _error(log: Path, code: int) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else f"ended with code {code}, see {log}"


def _scores(folder: Path) -> str:
    metrics = runs.read_json(folder / runs.METRICS)
    boundary = (metrics.get("boundary") or {}).get("f")
    text = f"mIoU {100 * metrics['miou']:.1f}"
    return text if boundary is None else f"{text}, boundary F {100 * boundary:.1f}"
