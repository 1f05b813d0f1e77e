"""Tables to keep: means over seeds, differences seed by seed, classes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Cli

from structseg.report import compare, markdown, read

MakeRun = Callable[..., Path]
AAF = ("cross_entropy", "adaptive_affinity_field")
pytestmark = pytest.mark.usefixtures("few_draws")


def tables(text: str) -> list[list[list[str]]]:
    """Cells of each table, title row first."""
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    rows = [[line.strip("| ").split(" | ") for line in block.splitlines()] for block in blocks]
    return [[table[0], *table[2:]] for table in rows]


def points(value: float) -> str:
    return f"{100 * value:.1f}".replace("-", "−")


def test_means_and_differences_over_seeds(make_run: MakeRun) -> None:
    first = [make_run(f"ce_s{seed}", amount=3, seed=seed) for seed in range(3)]
    second = [make_run(f"aaf_s{seed}", losses=AAF, amount=1, seed=seed) for seed in range(3)]
    scores, changes, classes, recalls, costs = tables(markdown(compare([*first, *second])))
    a, b = ([read(run).metrics["miou"] for run in runs] for runs in (first, second))
    column = scores[0].index("mIoU")
    assert scores[1][:2] == ["Cross-entropy", "0 1 2"]
    assert scores[2][column] == f"{points(statistics.fmean(b))} ± {points(statistics.stdev(b))}"
    by_seed = [y - x for x, y in zip(a, b, strict=True)]
    cell = changes[1][changes[0].index("mIoU")]
    assert cell.startswith(f"+{points(statistics.fmean(by_seed))} ± {points(statistics.stdev(by_seed))} (")
    assert cell.endswith("3 of 3")
    assert [row[0] for row in costs] == ["cost", "Cross-entropy", "+ Adaptive (AAF)"]
    poles = [read(run).metrics["iou"]["pole"] for run in first]
    assert classes[1][classes[0].index("pole")].startswith(points(statistics.fmean(poles)))
    found = [read(run).metrics["boundary"]["by_class"]["pole"]["recall"] for run in first]
    assert recalls[0][0] == "border recall"
    assert recalls[1][recalls[0].index("pole")].startswith(points(statistics.fmean(found)))


def test_one_run_has_no_differences(make_run: MakeRun) -> None:
    text = markdown(compare([make_run("ce")]))
    assert [table[0][0] for table in tables(text)] == ["run", "IoU", "border recall", "cost"]
    without = markdown(compare([make_run("plain", without=("boundary",))]))
    assert [table[0][0] for table in tables(without)] == ["run", "IoU", "cost"]
    assert "±" not in text
    assert text.rstrip().endswith(read(make_run("again")).metrics["protocol"])


def test_precision_recall_and_cost(make_run: MakeRun) -> None:
    runs = [make_run(f"ce_s{seed}", amount=3, seed=seed) for seed in range(2)]
    for run, precision, seconds in zip(runs, (0.5, 0.7), (100.0, 140.0), strict=True):
        for name, key, value in (
            ("metrics.json", "boundary", {"precision": precision, "recall": 0.25, "f": 0.4}),
            ("metrics.json", "seconds", 0.5),
            ("meta.json", "train_seconds", seconds),
            ("meta.json", "parameters", 2_500_000),
        ):
            content = json.loads((run / name).read_text())
            (run / name).write_text(json.dumps({**content, key: value}))
    costs = tables(markdown(compare(runs)))[-1]
    assert costs[1] == ["ce", "60.0 ± 14.1", "25.0 ± 0.0", "120", "0.5", "2.50 M"]


def test_the_command_writes_them(make_run: MakeRun, structseg_cli: Cli, tmp_path: Path) -> None:
    done = structseg_cli("compare", make_run("ce"), make_run("aaf", losses=AAF), "--markdown", "out.md")
    assert done.returncode == 0, done.stderr
    assert len(tables((tmp_path / "out.md").read_text())) == 5
