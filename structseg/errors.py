"""What a user can cause and mend: each error is one line that names the file or key, the value and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(Exception):
    """A mistake outside the program. The command line prints it as `error: ...` and exits with 2."""


class DataError(UserError):
    """A picture, mask, list or label table cannot be used as it is."""


class ConfigError(UserError):
    """A key, value, name or option of a configuration is wrong."""


class CheckpointError(UserError):
    """A run folder or weight file cannot be used as it is."""


class WorkerError(UserError):
    """A process that reads data was ended from outside, or has no memory left."""


class MissingExtra(UserError):
    """An optional package is asked for and not installed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, else the list of known words."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(known)}" if known else ""


def first_line(error: BaseException) -> str:
    """First line of what an error says, without colours, or its kind where it says nothing; a KeyError says the key."""
    text = f"KeyError: {error}" if isinstance(error, KeyError) else str(error)
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text or type(error).__name__).splitlines()[0]
