"""Published models: folders like a run's, config.toml and weights, found by their name. No torch.

Two places hold them: `weights/` of a checkout, and `home()` for all others.
A file or run folder of the same name where the command is called comes first; any other folder does not.
"""

from __future__ import annotations

import os
from pathlib import Path

from structseg import runs

OURS = ("street",)  # in `weights/` of a checkout, not in the package


def find(name: str) -> Path | None:
    """The folder of the published model `name`; None where there is none, or a file or run folder `name` is here."""
    here = Path(name)
    if here.name != name or here.is_file() or runs.is_run(here):
        return None
    return next((place / name for place in _places() if runs.is_run(place / name)), None)


def where(name: str) -> str:
    """Where a model of this name is to be had, as the end of an error line; no more than "" for a name not known."""
    if name not in OURS:
        return ""
    return (
        f"; it comes with a checkout of the repository: copy its folder weights/{name}, "
        f"so that {home() / name / runs.CONFIG} exists"
    )


def names() -> tuple[str, ...]:
    """Published models on this machine."""
    found = {path.name for place in _places() if place.is_dir() for path in place.iterdir() if runs.is_run(path)}
    return tuple(sorted(found))


def home() -> Path:
    """Where a user puts the folders of published models: `~/.cache/structseg`, or below XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "structseg"


def _places() -> tuple[Path, Path]:
    return Path(__file__).resolve().parent.parent / "weights", home()
