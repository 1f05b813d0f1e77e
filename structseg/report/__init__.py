"""What came out, and can it be trusted? Reads run folders only; loads no torch.

`compare` makes numbers of run folders; `print_table` shows them in a terminal, `markdown` as tables to keep,
`summary` as plain types for JSON, `write_page` as one HTML file that needs nothing beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from structseg.report.compare import Comparison, compare_runs
from structseg.report.markdown import markdown
from structseg.report.page import write_page
from structseg.report.read import Run, read
from structseg.report.summary import summary
from structseg.report.table import print_table

__all__ = ["Comparison", "Run", "compare", "markdown", "print_table", "read", "summary", "write_page"]


def compare(runs: Sequence[Path], *, out: Path | None = None, baseline: str | None = None) -> Comparison:
    """Compare run folders; with `out`, also write the page there.

    `baseline` names A by folder or title; else A is the first run without a structure loss. B is the last other run.
    Raises `CheckpointError` for a folder that is no run or is damaged, and if none has scores; `ConfigError` for an
    unknown baseline.
    """
    comparison = compare_runs([read(Path(run)) for run in runs], baseline=baseline)
    if out is not None:
        write_page(comparison, out)
    return comparison
