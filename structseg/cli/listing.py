"""`structseg list`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Annotated

import typer

from structseg.errors import ConfigError, did_you_mean

_ROOMS = {
    "losses": "losses",
    "nets": "models.nets",
    "backbones": "models.backbones",
    "heads": "models.heads",
    "regimes": "training.regimes",
    "formats": "data.formats",
}


def show(
    kind: Annotated[
        str, typer.Argument(help="losses, nets, backbones, heads, regimes, formats, recipes or downloads.")
    ],
) -> None:
    """List names with a line about each."""
    from structseg import build
    from structseg.cli.download import table
    from structseg.recipes import recipes

    if kind == "downloads":
        print("\n".join(table()))
        return
    if kind == "recipes":
        by_family = groupby(recipes().items(), key=lambda each: each[1].__module__)
        blocks = [{name: (made.__doc__ or "").split("\n")[0] for name, made in family} for _, family in by_family]
    elif kind in _ROOMS:
        blocks = [build.names(_ROOMS[kind])]
    else:
        raise ConfigError(f"cannot list '{kind}'{did_you_mean(kind, [*_ROOMS, 'recipes', 'downloads'])}")
    print("\n\n".join(map(_table, blocks)))


def _table(found: Mapping[str, str]) -> str:
    width = max(len(name) for name in found)
    return "\n".join(f"{name:{width}}  {about}" for name, about in found.items())
