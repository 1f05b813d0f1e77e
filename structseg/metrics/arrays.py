"""How a metric reads class maps: NumPy arrays or torch tensors, on any device, of any integer type.

Torch is not imported: a tensor is known by its `detach`. Scores are computed on the CPU, except that counts of a pair
of CUDA maps are made where they lie (`confusion.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from structseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

Integers = NDArray[Any]  # an integer type
Mask = NDArray[np.bool_]
ClassMap: TypeAlias = "NDArray[Any] | torch.Tensor"


def class_maps(prediction: ClassMap, target: ClassMap, *, name: str = "prediction") -> tuple[Integers, Integers]:
    """Both maps as integer arrays of one shape. Raises DataError, which calls the first one `name`, where not."""
    first, second = _integers(prediction, name), _integers(target, "target")
    if first.shape != second.shape:
        raise DataError(
            f"{name} has shape {first.shape} but target {second.shape}; bring the {name} to the target's size"
        )
    return first, second


def pictures(prediction: ClassMap, target: ClassMap) -> tuple[Integers, Integers]:
    """Both maps as (B,H,W); a single (H,W) is a batch of one."""
    first, second = class_maps(prediction, target)
    if first.ndim not in (2, 3):
        raise DataError(f"class maps have shape {first.shape}; give (H,W) or (B,H,W) class ids")
    return (first[None], second[None]) if first.ndim == 2 else (first, second)


def picture(prediction: ClassMap, target: ClassMap) -> tuple[Integers, Integers]:
    """Both maps as (H,W)."""
    first, second = class_maps(prediction, target)
    if first.ndim != 2:
        raise DataError(f"class maps have shape {first.shape}; give the (H,W) class ids of one picture")
    return first, second


def labelled(target: Integers, *, num_classes: int, ignore_index: int) -> NDArray[np.bool_]:
    """Pixels whose target is a class."""
    known: NDArray[np.bool_] = target < num_classes
    if np.issubdtype(target.dtype, np.signedinteger):
        known &= target >= 0
    if 0 <= ignore_index < num_classes:
        known &= target != ignore_index
    return known


def check_prediction(values: Integers, *, num_classes: int) -> None:
    """Raise DataError where a prediction at a labelled pixel is no class."""
    for value in (int(values.max()), int(values.min())) if values.size else ():
        check_class(value, num_classes=num_classes)


def check_class(value: int, *, num_classes: int) -> None:
    """Raise DataError where a value that was predicted at a labelled pixel is no class."""
    if 0 <= value < num_classes:
        return
    raise DataError(
        f"prediction holds class {value} at a labelled pixel but classes are 0..{num_classes - 1};"
        " map the value to a class or raise num_classes"
    )


def for_loops(*arrays: NDArray[Any], kind: Any = None) -> list[NDArray[Any]]:
    """Arrays as compiled loops take them: in one piece and not read-only, for every other sort is compiled anew.

    Their type is `kind`; None = bytes where all are, else 64 bits.
    """
    if kind is None:
        kind = np.uint8 if all(array.dtype == np.uint8 for array in arrays) else np.int64
    return [np.require(array, kind, ["C", "W"]) for array in arrays]


def check_num_classes(num_classes: int) -> None:
    if num_classes < 1:
        raise ConfigError(f"num_classes is {num_classes}; give at least 1")


def is_tensor(values: object) -> TypeGuard[torch.Tensor]:
    return hasattr(values, "detach")


def _integers(values: ClassMap, name: str) -> Integers:
    array: Any = values
    if is_tensor(values) and not values.is_floating_point():  # NumPy has no bfloat16
        array = values.detach().cpu().numpy()
    if isinstance(array, np.ndarray) and array.dtype == np.bool_:
        return array.view(np.uint8)
    if isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.integer):
        return array
    kind = getattr(values, "dtype", type(values).__name__)
    raise DataError(f"{name} is {kind}; give integer class ids as an array or tensor, e.g. logits.argmax(1)")
