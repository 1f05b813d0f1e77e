"""structseg: semantic segmentation from the labels and sensors people really have.

The face of the package, lazy: importing it loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structseg.inference.evaluate import evaluate as evaluate
    from structseg.inference.load import load as load
    from structseg.inference.predict import predict as predict
    from structseg.training.run import train as train

__version__ = "0.1.0"
__all__ = ["evaluate", "load", "predict", "train"]
_HOME = {
    "evaluate": "inference.evaluate",
    "load": "inference.load",
    "predict": "inference.predict",
    "train": "training.run",
}


def __getattr__(name: str) -> Any:
    """`structseg.train` and its kind, and the rooms (`structseg.losses`), on first use."""
    import structseg.build as build  # not `from structseg import build`, which would ask for it here again

    if name in _HOME:
        return getattr(build.module(_HOME[name]), name)
    if build.has_module(name):
        return build.module(name)
    raise AttributeError(f"module 'structseg' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
