"""Better maps from maps: methods that look at the picture again, after the network and without training.

The layer for training loads torch, so it comes on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from structseg.refine.dense_crf import DenseCRF as DenseCRF
from structseg.refine.dense_crf import dense_crf as dense_crf

if TYPE_CHECKING:
    from structseg.refine.dense_crf_layer import DenseCRFLayer

__all__ = ["DenseCRF", "DenseCRFLayer", "dense_crf"]


def __getattr__(name: str) -> Any:
    if name == "DenseCRFLayer":
        from structseg.refine.dense_crf_layer import DenseCRFLayer

        return DenseCRFLayer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
