"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[
    Path,
    typer.Argument(help="A run folder, a .safetensors file in one, or a published model's name.", show_default=False),
]
Runs = Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)]
Recipe = Annotated[
    str, typer.Argument(help="A recipe's name (structseg list recipes) or a TOML file.", show_default=False)
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Differences, e.g. optim.lr=0.01 data.root=PATH.", show_default=False)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
