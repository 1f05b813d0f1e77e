"""`structseg compare`: runs side by side, as a table and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseg.cli.arguments import Runs


def compare(
    runs: Runs,
    *,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
    markdown: Annotated[Path | None, typer.Option(help="Also write all scores as Markdown tables here.")] = None,
    baseline: Annotated[str | None, typer.Option(help="The run to compare with; default: the first.")] = None,
) -> None:
    """Print a table of RUNS and write one self-contained HTML page."""
    from rich.console import Console

    from structseg.report import compare as compared
    from structseg.report import markdown as tables
    from structseg.report import print_table, write_page
    from structseg.runs import check_file, write_text

    for file in (out, markdown):
        if file:
            check_file(file)
    comparison = compared(runs, baseline=baseline)
    print_table(comparison, Console())
    if markdown:
        write_text(markdown, tables(comparison))
        print(f"tables: {markdown}")
    print(f"page: {write_page(comparison, out)}")
