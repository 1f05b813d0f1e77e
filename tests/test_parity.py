"""docs/parity.md names for each published behaviour the test that holds it: each of them exists, and can run."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from support import ROOT

PAGE = ROOT / "docs" / "parity.md"


@cache
def functions_of(file: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))


def rows() -> list[list[str]]:
    """The cells of every row of the tables, without heads and rules."""
    tables = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE.read_text(), re.M)
    return [[cell.strip() for cell in line.strip("|").split("|")] for table in tables for line in table.splitlines()]


def test_every_row_is_held_by_tests_that_exist() -> None:
    found = rows()
    assert len(found) > 30
    for row in found:
        assert len(row) == 4, row
        names = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[3])
        assert names, f"no test holds: {row[0]}"
        for file, name in names:
            assert (ROOT / file).is_file(), file
            assert name in functions_of(ROOT / file), f"{file} has no {name}"


def test_a_missing_test_would_be_seen() -> None:
    assert "test_that_nobody_wrote" not in functions_of(ROOT / "tests" / "test_parity.py")
    assert "test_a_missing_test_would_be_seen" in functions_of(ROOT / "tests" / "test_parity.py")
