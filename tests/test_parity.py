"""docs/parity.md names for each published behaviour the test that holds it: each of them exists, and can run."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from support import ROOT

PAGE = ROOT / "docs" / "parity.md"


@cache
def functions_of(file: Path) -> dict[str, frozenset[str]]:
    """`test_name` or `TestClass::test_name` -> the names of its parameters, those of a file's fixtures among them."""
    body = ast.parse(file.read_text()).body
    found = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    for each in body:
        if isinstance(each, ast.ClassDef):
            found |= {f"{each.name}::{node.name}": node for node in each.body if isinstance(node, ast.FunctionDef)}
    return {name: frozenset(one.arg for one in node.args.args) for name, node in found.items()}


def needs_golden(file: Path, name: str) -> bool:
    """Whether a test asks for the golden files, itself or through a fixture of its file."""
    asked = functions_of(file).get(name, frozenset())
    return "golden" in asked or any(needs_golden(file, one) for one in asked)


def rows() -> list[list[str]]:
    """The cells of every row of the tables, without heads and rules."""
    tables = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE.read_text(), re.M)
    return [[cell.strip() for cell in line.strip("|").split("|")] for table in tables for line in table.splitlines()]


def test_every_row_is_held_by_tests_that_exist() -> None:
    found = rows()
    assert len(found) > 30
    for row in found:
        assert len(row) == 4, row
        names = re.findall(r"`(tests/[\w/]+\.py)::((?:Test\w+::)?test_\w+)`(†?)", row[3])
        assert names, f"no test holds: {row[0]}"
        for file, name, mark in names:
            assert (ROOT / file).is_file(), file
            assert name in functions_of(ROOT / file), f"{file} has no {name}"
            assert bool(mark) == needs_golden(ROOT / file, name), f"† is wrong: {file}::{name}"


def test_what_no_setting_changes_is_kept_or_not_kept() -> None:
    for row in rows():
        assert not row[1].startswith("none"), f"say 'always so' or 'not kept': {row[0]}"


def test_a_missing_test_would_be_seen() -> None:
    assert "test_that_nobody_wrote" not in functions_of(ROOT / "tests" / "test_parity.py")
    assert "test_a_missing_test_would_be_seen" in functions_of(ROOT / "tests" / "test_parity.py")
