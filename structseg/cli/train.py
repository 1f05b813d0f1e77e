"""`structseg train`: a run from a recipe or a file of differences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseg.cli.arguments import Device, Overrides, Recipe


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    *,
    out: Annotated[Path | None, typer.Option(help="The run folder to make.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, time a few steps, estimate; write nothing.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Train RECIPE and score it; writes the run folder --out."""
    from structseg.recipes import read

    config = read(recipe, overrides or ())
    if dry_run:
        from structseg.training.dry_run import dry_run as estimate

        print(estimate(config, device=device))
        return
    if out is None:
        raise typer.BadParameter("give the run folder to make: --out RUN")
    from structseg.cli.show import scores
    from structseg.report import compare, write_page
    from structseg.runs import REPORT
    from structseg.training.run import train as run

    result = run(config, out=out, resume=resume, device=device)
    print(scores(result))
    print(f"run folder: {out}, report: {write_page(compare([out]), out / REPORT)}")
