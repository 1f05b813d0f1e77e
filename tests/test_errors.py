"""What of other packages' errors goes into one line of ours."""

from __future__ import annotations

import pytest

from structseg.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\x1b[1mbold\x1b[0m and \x1b[38;5;9mred\x1b[K\nmore"), "bold and red"),
        (KeyError("name"), "KeyError: 'name'"),
        (EOFError(), "EOFError"),
    ],
)
def test_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
