"""What may an option of a loss be? Wrong values end as one ConfigError that names the option and its value."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard

from structseg.errors import ConfigError


def check_whole(option: str, value: object) -> None:
    """Raise ConfigError unless `value` is a whole number."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ConfigError(f"{option} {value!r} is not a whole number")


def check_affinity(*, margin: object, edge_weight: object, interior_weight: object) -> None:
    """Raise ConfigError unless the margin is finite and above 0, the weights finite and from 0 on."""
    if not _is_finite(margin) or margin <= 0:
        raise ConfigError(f"margin {margin!r} is not a number above 0; the published one is 3.0")
    for option, value in (("edge_weight", edge_weight), ("interior_weight", interior_weight)):
        if not _is_finite(value) or value < 0:
            raise ConfigError(f"{option} {value!r} is not a number from 0 on")


def check_number(
    option: str, value: object, *, least: float | None = None, above: float | None = None, most: float | None = None
) -> None:
    """Raise ConfigError unless `value` is a finite number from `least` on or `above` a bound, up to `most`."""
    bounds = ((" from {:g} on", least), (" above {:g}", above), (" up to {:g}", most))
    wanted = ",".join(text.format(bound) for text, bound in bounds if bound is not None)
    if (
        not _is_finite(value)
        or (least is not None and value < least)
        or (above is not None and value <= above)
        or (most is not None and value > most)
    ):
        raise ConfigError(f"{option} {value!r} is not a number{wanted}")


def check_count(option: str, value: int, *, least: int) -> None:
    """Raise ConfigError unless `value` is a whole number from `least` on."""
    check_whole(option, value)
    if value < least:
        raise ConfigError(f"{option} {value} is less than {least}")


def check_kernel(option: str, value: int) -> None:
    """Raise ConfigError unless `value` is an odd whole number from 3 on."""
    check_whole(option, value)
    if value < 3 or value % 2 == 0:
        raise ConfigError(f"{option} {value} is not an odd number from 3 on; use 3, 5, 7, ...")


def _is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
