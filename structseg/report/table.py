"""The comparison in a terminal: the verdict, one line a row, what to be careful about."""

from __future__ import annotations

import math
import os

from rich.console import Console
from rich.table import Table
from rich.text import Text

from structseg.metrics.bootstrap import Difference
from structseg.report import trust, verdict
from structseg.report.compare import Comparison, Row, protocols
from structseg.report.verdict import SIGNS, ends, points, signed, signed_ends, spread

COLUMNS = {
    "miou": "mIoU",
    "boundary": "Boundary F",
    "matched": "Boundary F 1:1",
    "thin": "Thin classes",
    "accuracy": "Pixel accuracy",
    "instance": "Instance mIoU",
}
_LEGEND = "± standard deviation over seeds · with a sign: difference from A · from, to: 95 % interval over pictures"
_PLAIN_WIDTH = 120  # of a file or a pipe
_STYLES = {"gain": "bold blue", "loss": "bold yellow", "unclear": "dim"}


def columns(comparison: Comparison) -> dict[str, str]:
    """Key -> title of the scores that at least one row has."""
    some = {key for row in comparison.finished for key in row.scores}
    return {key: title for key, title in COLUMNS.items() if key in some}


def print_table(comparison: Comparison, console: Console) -> None:
    """Scores in points with their deviation over seeds or the interval of one run; below, the difference from A."""
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PLAIN_WIDTH
    console.print(Text(verdict.verdict(comparison), style="bold"))
    keys = columns(comparison)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("run", overflow="fold", min_width=15)  # A Cross-entropy
    for title in keys.values():
        table.add_column(title, justify="right")
    for row in comparison.ordered:
        table.add_row(_name(comparison, row), *(_cell(comparison, row, key) for key in keys))
    console.print(table)
    console.print(Text(_LEGEND, style="dim"))
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
    best = comparison.mark(row, key) == "best"
    text = Text(spread(points(score.value), score.sd), style="bold" if best else "")
    if len(row.runs) == 1 and (limits := ends(score.low, score.high)):
        text.append(f"\n{limits}", style="dim not bold")
    if comparison.a and row is not comparison.a:
        text.append(_change(comparison.pairs[comparison.a.index, row.index].get(key)))
    return text


def _change(change: Difference) -> Text:
    if math.isnan(change.value):
        return Text()
    limits = signed_ends(change.low, change.high)
    lines = f"\n{signed(change.value)} {SIGNS[change.clear]}" + (f"\n{limits}" if limits else "")
    return Text(lines, style=f"not bold {_STYLES[change.clear]}")
