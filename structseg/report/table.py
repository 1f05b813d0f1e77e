"""The comparison in a terminal: the verdict, one line a row, what to be careful about."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from structseg.report import trust, verdict
from structseg.report.compare import Comparison, Pair, Row, protocols
from structseg.report.verdict import SIGNS, points, signed

COLUMNS = {
    "miou": "mIoU",
    "boundary": "Boundary F",
    "matched": "Boundary F 1:1",
    "thin": "Thin classes",
    "accuracy": "Pixel accuracy",
    "instance": "Instance mIoU",
}
_STYLES = {"gain": "bold blue", "loss": "bold yellow", "unclear": "dim"}


def columns(comparison: Comparison) -> dict[str, str]:
    """Key -> title of the scores that at least one row has."""
    some = {key for row in comparison.finished for key in row.scores}
    return {key: title for key, title in COLUMNS.items() if key in some}


def print_table(comparison: Comparison, console: Console) -> None:
    """Scores in points; below each its interval, and beside it the paired difference from A."""
    console.print(Text(verdict.verdict(comparison), style="bold"))
    keys = columns(comparison)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("run")
    for title in keys.values():
        table.add_column(title, justify="right")
    for row in comparison.ordered:
        table.add_row(_name(comparison, row), *(_cell(comparison, row, key) for key in keys))
    console.print(table)
    for line in protocols(comparison.finished):
        console.print(Text(line, style="dim"))
    checks = trust.of_pair(comparison.pair) if comparison.pair else trust.of_row(comparison.b)
    for check in checks:
        if check.state == "caution":
            console.print(Text.assemble(("! ", "yellow"), (f"{check.title} ", "bold"), check.text))


def _name(comparison: Comparison, row: Row) -> Text:
    role = "" if comparison.a is None else {comparison.b.index: "B ", comparison.a.index: "A "}.get(row.index, "  ")
    text = Text.assemble((role, "bold"), row.title)
    if row.name != row.title:
        text.append(f"\n  {row.name}", style="dim")
    if len(row.runs) > 1:
        text.append(f" ({len(row.runs)} seeds)", style="dim")
    return text if row.finished else text.append(f"\n  {row.run.stopped}", style="dim")


def _cell(comparison: Comparison, row: Row, key: str) -> Text:
    score = row.scores.get(key)
    if score is None or math.isnan(score.value):
        return Text("–", style="dim")
    text = Text(points(score.value), style="bold" if comparison.mark(row, key) == "best" else "")
    if not math.isnan(score.low):
        text.append(f"\n{points(score.low)}–{points(score.high)}", style="dim not bold")
    if comparison.a and row is not comparison.a:
        pair: Pair = comparison.pairs[comparison.a.index, row.index]
        change = pair.get(key)
        if not math.isnan(change.value):
            text.append(f"\n{signed(change.value)} {SIGNS[change.clear]}", style=f"not bold {_STYLES[change.clear]}")
    return text
