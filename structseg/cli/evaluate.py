"""`structseg evaluate`: score a run on its own or on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseg.cli.arguments import Device, Overrides, Run


def evaluate(
    run: Run,
    overrides: Overrides = None,
    *,
    data: Annotated[Path | None, typer.Option(help="Another folder of the same layout and labels.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test; default: the run's own.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Where metrics.json, per_image.npz and pictures go; default: RUN if nothing differs."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Score RUN; keys such as inference.mirror=true may differ from the run's own."""
    from structseg.cli.show import scores
    from structseg.training.run import rescore

    differences = [*(overrides or ()), *([f"data.root={str(data)!r}"] if data else [])]
    if split:
        differences.append(f"evaluation.split={split!r}")
    folder = out or (None if differences else run)
    print(scores(rescore(run, differences, out=folder, device=device)))
    if folder:
        print(f"written to {folder}")
