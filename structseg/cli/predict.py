"""`structseg predict`: masks for pictures of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseg.cli.arguments import Device, Run


def predict(
    model: Run,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES... [KEY=VALUE]...",
            help="Pictures, or folders of pictures; differences such as inference.mirror=true.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder for index/, colour/ and overlay/.")] = Path("predicted"),
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write probabilities/.")] = False,
    tile: Annotated[int | None, typer.Option(min=0, help="Side of tiles for large pictures; 0 = whole.")] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Average with the mirrored picture.")] = False,
    ids: Annotated[
        str, typer.Option(help="Index PNGs hold: class = class ids, raw = the label table's raw values.")
    ] = "class",
    device: Device = "auto",
) -> None:
    """Write index PNG, colour PNG and overlay for each picture, at its own size."""
    from dataclasses import replace

    from structseg.config import Config, override_trained
    from structseg.console import Console
    from structseg.errors import UserError
    from structseg.inference.load import load, say_notice
    from structseg.inference.predict import find_pictures, predict_files
    from structseg.runs import check_writable

    if ids not in ("class", "raw"):
        raise typer.BadParameter(f"--ids {ids}: write class or raw")
    differences = [str(word) for word in files if "=" in word.name and not word.exists()]
    pictures = find_pictures((word for word in files if str(word) not in differences), without=out)
    check_writable(out)
    network = load(model, device=device, quiet=True)
    if ids == "raw":
        vars(network)["labels"].raw_values()  # refused before anything is written
    known: Config = vars(network)["config"]
    inference = override_trained(known, differences, ("inference",), model).inference
    inference = replace(inference, tile=inference.tile if tile is None else tile, mirror=mirror or inference.mirror)
    done, progress = 0, Console().counter()
    try:
        for prediction in predict_files(network, pictures, inference, probabilities=probabilities, device=device):
            prediction.save(out, ids=ids)
            done += 1
            if done % inference.batch == 0 or done == len(pictures):  # those of a batch come all at once
                progress(done, len(pictures))
    except UserError as error:
        raise type(error)(f"{error} ({done} of {len(pictures)} pictures were written to {out})") from error
    say_notice(network, model)  # not before: what is refused says why, and nothing else
    print(f"{done} pictures written to {out}")
