"""The smallest compiled loop: whether Numba works on this machine, and where it keeps what it has compiled."""

from __future__ import annotations

from typing import Any

from structseg.compiled import compiled


@compiled()
def total(values: Any) -> Any:
    """The sum of a vector."""
    found = 0.0
    for place in range(values.shape[0]):
        found += values[place]
    return found
