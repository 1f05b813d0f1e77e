"""`structseg grid`: a table of runs, from recipes and lists of values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseg.cli.arguments import Device

Words = Annotated[
    list[str],
    typer.Argument(
        help="Recipes or TOML files, and differences for all of them: optim.steps=500; {run} is the name of the run.",
        show_default=False,
    ),
]


def grid(
    recipes: Words,
    *,
    out: Annotated[Path, typer.Option(help="The folder for the runs and their tables.")],
    over: Annotated[
        list[str] | None, typer.Option(help="A key and its values, e.g. seed=0,1,2; repeat it for more keys.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once; they share the cores.")] = 1,
    baseline: Annotated[str | None, typer.Option(help="The row to compare with; default: the first plain one.")] = None,
    device: Device = "auto",
) -> None:
    """Train every combination of RECIPES and values, go on where it stopped, and compare.

    Writes a run folder and a log each, grid.md, grid.json and compare.html into --out.
    """
    from rich.console import Console

    from structseg import runs
    from structseg.errors import ConfigError
    from structseg.report import compare, markdown, print_table, summary, write_page
    from structseg.study.grid import row_of, run, trials

    sources = [word for word in recipes if "=" not in word]
    if not sources:
        raise ConfigError("the grid needs a recipe, e.g. structseg grid scenes_ce scenes_aaf --over seed=0,1,2")
    made = trials(sources, over or (), [word for word in recipes if "=" in word])
    first = row_of(made, out, baseline) if baseline else ()
    runs.check_file(out / "grid.md")
    failed = run(made, out, jobs=jobs, device=device)
    finished = [out / trial.name for trial in made if trial.name not in failed]
    if finished:
        comparison = compare(finished, baseline=next((name for name in first if name not in failed), None))
        print_table(comparison, Console())
        runs.write_text(out / "grid.md", markdown(comparison))
        runs.write_json(out / "grid.json", summary(comparison))
        print(f"tables: {out / 'grid.md'}, page: {write_page(comparison, out / 'compare.html')}")
    if failed:
        name, why = next(iter(failed.items()))
        raise ConfigError(f"{len(failed)} of {len(made)} runs failed; {name}: {why}")
