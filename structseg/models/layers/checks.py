"""What may an option of a backbone or head be? Wrong values end as one ConfigError that names the key."""

from __future__ import annotations

from collections.abc import Iterable

from structseg.errors import ConfigError


def one_of(key: str, value: object, known: Iterable[object]) -> None:
    """Raise ConfigError unless `value` is one of `known`."""
    known = tuple(known)
    if value not in known:
        raise ConfigError(f"{key}: {value!r} is not one of {', '.join(str(one) for one in known)}")


def counts(key: str, values: object) -> None:
    """Raise ConfigError unless `values` is a tuple of one or more whole numbers, each at least 1."""
    if not isinstance(values, tuple) or not values or not all(isinstance(one, int) and one >= 1 for one in values):
        shown = list(values) if isinstance(values, tuple) else values
        raise ConfigError(f"{key}: {shown!r} is not a list of whole numbers of at least 1, such as [1, 2, 3]")


def within(key: str, value: float, least: float, most: float = float("inf")) -> None:
    """Raise ConfigError unless least <= value <= most."""
    if not isinstance(value, int | float) or not least <= value <= most:
        bounds = f"at least {least}" if most == float("inf") else f"from {least} to {most}"
        raise ConfigError(f"{key}: {value!r} is not a number {bounds}")
