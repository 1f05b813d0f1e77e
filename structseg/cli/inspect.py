"""`structseg inspect`: what is in a folder of pictures and masks, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    data: Annotated[Path, typer.Argument(help="The folder of a data set, or scenes.", show_default=False)],
    differences: Annotated[
        list[str] | None, typer.Argument(metavar="[data.KEY=VALUE]...", help="As for train.", show_default=False)
    ] = None,
    *,
    format: Annotated[str, typer.Option(help="Layout (structseg list formats); default: found out.")] = "",
    labels: Annotated[Path | None, typer.Option(help="Label table; default: the format's or folder's own.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A class to ignore, by name; repeat it for more.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Open so many pictures of each split, spread; 0 = all.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write a page to this HTML file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all that was found to this JSON file.")] = None,
    suggest: Annotated[Path | None, typer.Option(help="Write a label table made from the masks to this file.")] = None,
    make_split: Annotated[
        str, typer.Option(help="Write lists of splits: val=0.1, or val=0.1,test=0.2, or 0.7,0.1,0.2.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of --make-split.")] = 0,
) -> None:
    """Count, check and show what is in DATA. Exit code 2 where training would stop."""
    from structseg import runs
    from structseg.cli.inspected import after, prepared
    from structseg.console import Console
    from structseg.data.inspect import inspect as look
    from structseg.errors import DataError
    from structseg.report.inspection import text, write_page

    config, guessed, shares = prepared(
        data, differences or (), format=format, labels=labels, ignore=ignore or (), split=make_split, suggest=suggest
    )
    for path in (out, json):
        if path:
            runs.check_file(path)
    new = ("train", *shares) if shares else ()
    found = look(config, guessed=guessed, limit=0 if new else limit, progress=Console().counter(), new_splits=new)
    found, written = after(found, data, shares=shares, seed=seed, suggest=suggest)
    print(text(found.facts))
    for line in written:
        print(line)
    if json:
        runs.write_json(json, {key: value for key, value in found.facts.items() if key not in ("sheet", "alike")})
        print(f"written to {json}")
    if out:
        print(f"page: {write_page(found.facts, out)}")
    if found.broken:
        first, count = found.broken[0].text, len(found.broken)
        more = f" (first of {count} findings that stop training)" if count > 1 else ""
        raise DataError(f"{data}: {first}{more}")
