"""`structseg score`: compare any two folders of masks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, get_args

import typer


def score(
    predictions: Annotated[Path, typer.Argument(help="Folder of index or colour PNGs.", show_default=False)],
    truth: Annotated[Path, typer.Argument(help="Folder of index or colour PNGs.", show_default=False)],
    *,
    instances: Annotated[
        Path | None, typer.Option(help="Folder of masks of instances, for instance-wise IoU.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label table (TOML or text); default: the one in or above TRUTH.")
    ] = None,
    replace: Annotated[
        list[str] | None, typer.Option(help="A=B: a prediction's name with A replaced by B is the truth's name.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A class to ignore, by name; repeat it for more.")] = None,
    tolerance: Annotated[
        float, typer.Option(help="Of borders: below 1 a share of the diagonal, else pixels.")
    ] = 0.0075,
    boundary: Annotated[
        str, typer.Option(help="Boundary F: distance = near a border pixel, matched = one to one.")
    ] = "distance",
    thin: Annotated[bool, typer.Option("--thin", help="Thin the lines of borders before they are matched.")] = False,
    fill: Annotated[
        float, typer.Option(min=0, help="Pixels: void so near to a label is that label for borders; 5 for VOC.")
    ] = 0.0,
    ids: Annotated[
        str, typer.Option(help="Grey predictions hold: class = class ids, raw = the table's values.")
    ] = "class",
    out: Annotated[Path | None, typer.Option(help="Write the scores to this JSON file.")] = None,
) -> None:
    """Score PREDICTIONS against TRUTH, ours or anyone's."""
    from structseg import runs
    from structseg.cli.show import scores
    from structseg.console import Console
    from structseg.data.labels import read_labels, with_ignored
    from structseg.inference.counts import Form
    from structseg.inference.score import nearby_labels, score_folders

    pairs = []
    for text in replace or ():
        before, sign, after = text.partition("=")
        if not sign or not before:
            raise typer.BadParameter(f"--replace {text}: write it as A=B")
        pairs.append((before, after))
    if not 0 < tolerance < math.inf:
        raise typer.BadParameter(f"--tolerance {tolerance:g}: give a number above 0")
    if boundary not in get_args(Form):
        raise typer.BadParameter(f"--boundary {boundary}: write distance or matched")
    if ids not in ("class", "raw"):
        raise typer.BadParameter(f"--ids {ids}: write class or raw")
    if out:
        runs.check_file(out)
    table = with_ignored(read_labels(labels or nearby_labels(truth)), tuple(ignore or ()))
    result = score_folders(
        predictions,
        truth,
        table,
        instances=instances,
        replace=tuple(pairs),
        raw=ids == "raw",
        tolerance=tolerance,
        boundary="matched" if boundary == "matched" else "distance",
        thin=thin,
        fill=fill,
        progress=Console().counter(),
    )
    if out:
        runs.write_json(out, result)
    print(scores(result))
