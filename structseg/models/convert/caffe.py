"""Caffe's .caffemodel files by their bytes: blobs by the name of their layer and their place in it, "conv1/0".

A network is a message of layers (field 100, or 2 in files of before 2014); a layer has a name and blobs; a blob has a
shape (or, before, four numbers) and floats. A file that was cut off just between two layers reads as a smaller network:
it is the weights that a model then lacks which show it. Source: caffe.proto of BVLC Caffe 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseg.errors import CheckpointError
from structseg.models.convert.wire import Broken, message, numbers, part, signed, text, whole, wholes

_LAYERS = {100: (1, 7), 2: (4, 6)}  # field of layers -> fields of a layer's name and blobs


def read_caffemodel(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays by `layer/place`. Raises CheckpointError for a file that is cut off, is another or has no weights."""
    try:
        found = dict(_blobs(memoryview(path.read_bytes())))
        if not found:
            raise Broken("it has no layer with weights")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not a whole .caffemodel file of Caffe ({error}); copy it again") from None
    return found


def _blobs(data: memoryview) -> Iterator[tuple[str, NDArray[Any]]]:
    net = message(data)
    for field, (name_at, blobs_at) in _LAYERS.items():
        for value in net.get(field, []):
            layer = message(part(value))
            name = text(layer[name_at][0]) if name_at in layer else ""
            for place, blob in enumerate(layer.get(blobs_at, [])):
                yield f"{name}/{place}", _blob(message(part(blob)), name)


def _blob(blob: dict[int, list[Any]], name: str) -> NDArray[Any]:
    values = numbers(blob[8], "<f8") if 8 in blob else numbers(blob.get(5, []), "<f4")
    if 7 in blob:
        shape = tuple(signed(one) for one in wholes(message(part(blob[7][0])).get(1, [])))
    else:
        shape = tuple(signed(whole(blob.get(field, [1])[0])) for field in (1, 2, 3, 4))
    if min(shape, default=1) < 0 or int(np.prod(shape, dtype=object)) != values.size:
        raise Broken(f"a blob of {name} has {values.size} values for the shape {shape}")
    return values.reshape(shape)
