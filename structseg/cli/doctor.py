"""`structseg doctor`: is this machine fit, and can a recipe learn anything?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from structseg.cli.arguments import Device, Overrides

_SIGNS = {"ok": "ok", "caution": "!", "broken": "BROKEN"}


def doctor(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name or a TOML file: also learn one batch.", show_default=False)
    ] = "",
    overrides: Overrides = None,
    *,
    device: Device = "auto",
) -> None:
    """Check the machine and, with RECIPE, whether one batch of it can be learned by heart. Exit code 2 if not."""
    from structseg.recipes import read

    config = read(recipe, overrides or ()) if recipe else None
    from structseg.console import Console
    from structseg.errors import ConfigError
    from structseg.training.machine import checks

    broken = []
    for check in checks():
        advice = f": {check.advice}" if check.advice else ""
        print(f"{_SIGNS[check.state]:6}  {check.name:13}  {check.text}{advice}", flush=True)
        broken += [f"{check.name}: {check.text}{advice}"] if check.state == "broken" else []
    if config is not None:
        from structseg.training.overfit import overfit

        console = Console(quiet=not sys.stderr.isatty())
        result = overfit(config, device=device, say=console.progress)
        console.clear()
        print(f"{_SIGNS[result.state]:6}  {'learning':13}  {result.text()}")
        for cause in result.causes(config):
            print(f"{'':6}  {'':13}  perhaps {cause}")
        if result.state == "broken":
            broken.append(f"{recipe}: {result.text()}; perhaps {result.causes(config)[0]}")
    if broken:
        raise ConfigError("; ".join(broken))
