"""Recipes: Python functions that return a full Config. One family of data a file, one function a recipe.

The name of a recipe is SET_METHOD and the name of its function. `read` turns what a user gives, a recipe's name or a
TOML file of differences, and the `a.b=c` of the command line, into a Config.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

from structseg.config import Config, merge, override, read_toml
from structseg.errors import ConfigError, did_you_mean
from structseg.recipes import camvid, cityscapes, pairs, released, scenes, voc

_FAMILIES: tuple[ModuleType, ...] = (scenes, camvid, pairs, voc, cityscapes, released)


def recipes() -> dict[str, Callable[[], Config]]:
    """Recipe name -> function, family by family, in the order in which they are written."""
    return {
        name: function
        for family in _FAMILIES
        for name, function in vars(family).items()
        if inspect.isfunction(function) and not name.startswith("_") and function.__module__ == family.__name__
    }


def recipe(name: str) -> Config:
    """The Config of a recipe. Raises ConfigError for an unknown name."""
    known = recipes()
    if name not in known:
        raise ConfigError(f"there is no recipe '{name}'{did_you_mean(name, known)}")
    return replace(known[name](), recipe=name)


def read(source: str, overrides: Sequence[str] = ()) -> Config:
    """A recipe's name or a TOML file, with the command line's differences."""
    path = Path(source)
    if path.suffix != ".toml":
        if path.is_file():
            raise ConfigError(f"{source} is not a recipe or a .toml file")
        return override(recipe(source), overrides)
    differences = read_toml(path)
    name = differences.get("recipe", "")
    if not isinstance(name, str):
        raise ConfigError(f"{path}: recipe = {name!r} is not a name in quotes")
    whole = differences.keys() >= {field.name for field in fields(Config)}  # a run's resolved file needs no recipe
    base = recipe(name) if name and not whole else Config()
    return override(merge(base, differences, path), overrides)
