"""Name -> object: the file name is the registry. The only user of importlib.

`find("losses", "affinity_field")` opens structseg/losses/affinity_field.py and takes the one public class whose
lower-cased name is the file name without underscores (AffinityField), or, in a room of functions, the function named
like the file. Keyword-only parameters are its options. `"my_code.losses:MyLoss"` reaches outside the package.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from structseg.errors import ConfigError, UserError, did_you_mean, first_line

_PACKAGE = Path(__file__).parent


def names(room: str) -> dict[str, str]:
    """What the files of a room (`"losses"`, `"models.heads"`, ...) offer: name -> first line of the docstring.

    Nothing is imported.
    """
    found = {}
    for file in sorted((_PACKAGE / room.replace(".", "/")).glob("*.py")):
        tree = ast.parse(file.read_text())
        if not file.stem.startswith("_") and any(_is_entry(node, file.stem) for node in tree.body):
            found[file.stem] = (ast.get_docstring(tree) or "").split("\n")[0]
    return found


def _is_entry(node: ast.stmt, stem: str) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name.lower() == stem.replace("_", "")
    return isinstance(node, ast.FunctionDef) and node.name == stem


def check(room: str, name: str, key: str) -> None:
    """Raise ConfigError if `name` is in no file of `room`; a name with a colon is only looked up when it is built."""
    if ":" not in name and name not in (known := names(room)):
        raise ConfigError(f"{key}: there is no '{name}'{did_you_mean(name, known)}")


def find(room: str, name: str) -> Callable[..., Any]:
    """The class or function that `name` stands for."""
    if ":" in name:
        return _outside(name)
    check(room, name, room.rsplit(".", 1)[-1])
    module = importlib.import_module(f"structseg.{room}.{name}")
    for member, value in vars(module).items():
        own = inspect.isclass(value) and value.__module__ == module.__name__  # not what the file imports
        if own and member.lower() == name.replace("_", ""):
            found: Callable[..., Any] = value
            return found
    entry: Callable[..., Any] = getattr(module, name)
    return entry


def _outside(name: str) -> Callable[..., Any]:
    module_name, _, member = name.partition(":")
    if os.getcwd() not in sys.path:  # the user's own files lie where the command is called
        sys.path.insert(0, os.getcwd())
    try:
        entry: Callable[..., Any] = getattr(importlib.import_module(module_name), member)
    except (Exception, SystemExit) as error:  # whatever somebody's module does when it is imported
        raise ConfigError(f"'{name}' cannot be found ({first_line(error)}); write it as module.path:Name") from error
    if not callable(entry):
        raise ConfigError(f"'{name}' is a {type(entry).__name__}, not a class or function")
    return entry


def options(entry: Callable[..., Any]) -> dict[str, Any]:
    """Option name -> default of a class or function (`inspect.Parameter.empty` where it must be given)."""
    parameters = inspect.signature(entry).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def create(room: str, name: str, given: Mapping[str, Any], *args: Any, key: str = "", **context: Any) -> Any:
    """Build `name` with the user's `given` options, and with those values of `context` that it takes.

    Lists, which is what TOML has, become tuples. Raises ConfigError for an option that is unknown or missing.
    """
    entry = find(room, name)
    known = options(entry)
    where = f"{key or room}: {name}"
    free = set(known) - set(context)  # what comes from the data is not the user's to set
    if stray := sorted(set(given) - free):
        raise ConfigError(f"{where} has no option '{stray[0]}'{did_you_mean(stray[0], free)}")
    own = {option: tuple(value) if isinstance(value, list) else value for option, value in given.items()}
    chosen = {**{option: value for option, value in context.items() if option in known}, **own}
    needed = [option for option, default in known.items() if default is inspect.Parameter.empty]
    if missing := [option for option in needed if option not in chosen]:
        raise ConfigError(f"{where} needs the option '{missing[0]}'")
    try:
        return entry(*args, **chosen)
    except UserError:
        raise
    except Exception as error:  # an option of the wrong type, or whatever somebody's class does
        asked = ", ".join(f"{option} = {value!r}" for option, value in given.items())
        raise ConfigError(f"{where}: {first_line(error)}{asked and f'; check {asked}'}") from error


def versions() -> dict[str, str]:
    """Versions of Python, of structseg and of what a run's numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("structseg", "torch", "numpy", "opencv-python-headless", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def installed(package: str) -> str:
    """The version of a package, "" where it is not installed. Nothing is imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def extras() -> dict[str, tuple[str, ...]]:
    """Extra of structseg -> the packages that it adds; empty where structseg itself is not installed."""
    found: dict[str, tuple[str, ...]] = {}
    with contextlib.suppress(metadata.PackageNotFoundError):
        for line in metadata.requires("structseg") or ():
            if match := re.fullmatch(r"([\w.-]+)[^;]*;.*extra == ['\"]([\w-]+)['\"].*", line):
                found[match[2]] = (*found.get(match[2], ()), match[1])
    return found


def has_module(name: str) -> bool:
    """Whether structseg has a file or folder of this name."""
    return (_PACKAGE / f"{name}.py").is_file() or (_PACKAGE / name / "__init__.py").is_file()


def module(name: str) -> ModuleType:
    """The module structseg.`name`."""
    return importlib.import_module(f"structseg.{name}")
