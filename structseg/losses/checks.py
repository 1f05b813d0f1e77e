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


def _is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
