"""`structseg export`: a trained model as a small folder to hand on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseg.cli.arguments import Overrides, Run


def export(
    run: Run,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, typer.Option(help="The folder to make.", show_default=False)],
    notice: Annotated[str, typer.Option(help="Terms of use, said whenever the model is loaded.")] = "",
) -> None:
    """Write the weights of RUN in half precision, with the configuration; inference.* may be set otherwise."""
    from structseg.export.weights import weights

    file = weights(run, out, overrides=overrides or (), notice=notice)
    print(f"{out}: {file.stat().st_size / 1e6:.1f} MB, loads like a run")
