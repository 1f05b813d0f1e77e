"""What may an option of a backbone or head be? Wrong values end as one ConfigError that names the key."""

from __future__ import annotations

from collections.abc import Iterable

from structseg.errors import ConfigError


def one_of(key: str, value: object, known: Iterable[object]) -> None:
    """Raise ConfigError unless `value` is one of `known`."""
    known = tuple(known)
    if value not in known:
        raise ConfigError(f"{key}: {value!r} is not one of {', '.join(str(one) for one in known)}")


def within(key: str, value: float, least: float, most: float = float("inf")) -> None:
    """Raise ConfigError unless least <= value <= most."""
    if not isinstance(value, int | float) or not least <= value <= most:
        bounds = f"at least {least}" if most == float("inf") else f"from {least} to {most}"
        raise ConfigError(f"{key}: {value!r} is not a number {bounds}")
