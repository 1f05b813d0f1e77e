"""Old checkpoints -> ours: arrays by their published names fill a network, with an account of every key.

`from_tf`, `from_torch` and `from_caffe` take what a file holds; `checkpoint` reads the file and writes one that our
loaders read. Readers know the formats by their bytes, and no TensorFlow, Caffe or MXNet is needed. Nothing is ever
unpickled, except by torch with `weights_only=True`.
"""

from __future__ import annotations

from structseg.models.convert.checkpoint import SOURCES, checkpoint
from structseg.models.convert.names import from_caffe, from_tf, from_torch
from structseg.models.weights import Report

__all__ = ["SOURCES", "Report", "checkpoint", "from_caffe", "from_tf", "from_torch"]
