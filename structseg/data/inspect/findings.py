"""What an inspection says about a data set: one line each, with how grave it is and which files it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

BREAKS, WARNING, NOTE = "error", "warning", "note"  # training stops; training goes on, but; good to know
MOST_FILES = 20  # named in a finding


@dataclass(frozen=True)
class Finding:
    """`kind` is a stable word for programs, `text` one line for people, `files` the first few it is about."""

    level: str
    kind: str
    text: str
    files: tuple[str, ...] = ()
    count: int = 0  # files it is about, more than are named


def about(level: str, kind: str, text: str, files: Sequence[str]) -> Finding:
    """A finding about files, the first of them named."""
    return Finding(level, kind, text, tuple(files[:MOST_FILES]), len(files))


def shown(path: Path | None, root: Path) -> str:
    """A path as the user would write it: below the folder that is inspected, where it is."""
    if path is None:
        return ""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then notes; the order of finding within each."""
    return tuple(sorted(findings, key=lambda finding: (BREAKS, WARNING, NOTE).index(finding.level)))


def counted(number: int, word: str, plural: str = "") -> str:
    """`1 mask`, `3 masks`."""
    return f"{number} {word if number == 1 else plural or word + 's'}"
