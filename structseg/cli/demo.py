"""`structseg demo`: what affinity fields buy, on built-in pictures, in minutes on a laptop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from structseg.cli.arguments import Device, Overrides

_RECIPES = ("scenes_ce", "scenes_affinity", "scenes_aaf")


def demo(
    overrides: Overrides = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the three runs and the page.")] = Path("runs/demo"),
    device: Device = "auto",
) -> None:
    """Train cross-entropy, affinity field and adaptive affinity fields at equal budget, and compare them."""
    import torch
    from rich.console import Console

    from structseg.recipes import read
    from structseg.report import compare, print_table, write_page
    from structseg.runs import is_run
    from structseg.training.run import train

    torch.set_num_threads(1)  # the networks are so small that threads wait for each other; the other core draws scenes
    begin = time.perf_counter()
    folders = []
    for place, name in enumerate(_RECIPES, 1):
        print(f"{place}/{len(_RECIPES)} {name}", flush=True)
        folder = out / name
        train(read(name, overrides or ()), out=folder, resume=is_run(folder), device=device)
        folders.append(folder)
    comparison = compare(folders)
    print_table(comparison, Console())
    page = write_page(comparison, out / "compare.html")
    print(f"{time.perf_counter() - begin:.0f} s. Open the page in a browser: {page.resolve()}")
