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
    from structseg.config import Config, difference, merge, override, read_toml
    from structseg.errors import CheckpointError, ConfigError
    from structseg.export.weights import weights
    from structseg.runs import CONFIG, is_run

    if not is_run(run):
        raise CheckpointError(f"{run} is not a run folder ({CONFIG} is missing)")
    known = merge(Config(), read_toml(run / CONFIG), run / CONFIG)
    config = override(known, overrides or ())
    for key in difference(known, config):
        if not key.startswith("inference."):
            raise ConfigError(f"{key} is fixed by the training of {run}; only inference.* may differ in export")
    file = weights(run, out, overrides=config, notice=notice)
    print(f"{out}: {file.stat().st_size / 1e6:.1f} MB, loads like a run")
