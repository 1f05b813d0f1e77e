"""`structseg config`: look at configurations."""

from __future__ import annotations

import typer

from structseg.cli.arguments import Overrides, Recipe

app = typer.Typer(help="Look at configurations: show, diff.", rich_markup_mode=None)


@app.command()
def show(recipe: Recipe, overrides: Overrides = None) -> None:
    """Print every key of RECIPE as TOML that can be run."""
    from structseg.config import to_toml
    from structseg.recipes import read

    print(to_toml(read(recipe, overrides or ())), end="")


@app.command()
def diff(first: Recipe, second: Recipe) -> None:
    """Print the keys in which two recipes or files differ."""
    from structseg.config import difference
    from structseg.recipes import read

    for key, (a, b) in difference(read(first), read(second)).items():
        print(f"{key}: {a!r} -> {b!r}")
