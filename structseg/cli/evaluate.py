"""`structseg evaluate`: score a run on its own or on other data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from structseg.cli.arguments import Device, Run


def evaluate(
    run: Run,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATA] [KEY=VALUE]...",
            help="Another folder of the same layout and classes; differences such as inference.mirror=true.",
            show_default=False,
        ),
    ] = None,
    *,
    split: Annotated[str, typer.Option(help="train, val or test; default: the run's own.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for the scores, which compare reads like a run; default: RUN if nothing differs."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Score RUN on its own split, on DATA, or with differences."""
    from structseg.cli.show import scores
    from structseg.console import Console
    from structseg.runs import is_run
    from structseg.training.run import rescore

    folders = [word for word in data or () if "=" not in word or Path(word).is_dir()]
    if len(folders) > 1:
        raise typer.BadParameter(f"'{folders[1]}' is neither the one folder DATA nor of the form key=value")
    differences = [f"data.root={json.dumps(folder)}" for folder in folders]
    differences += [word for word in data or () if word not in folders]
    if split:
        differences.append(f"evaluation.split={json.dumps(split)}")
    own = run if is_run(run) else run.parent if run.is_file() else None  # a published model keeps its own scores
    folder = out or (None if differences else own)
    print(scores(rescore(run, differences, out=folder, device=device, progress=Console().counter())))
    if folder:
        print(f"written to {folder}")
