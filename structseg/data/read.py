"""Decode pictures and masks; nothing else in the package opens a picture file of a data set.

Pictures become 8-bit RGB, turned upright by their EXIF orientation: grey is repeated, palettes are looked up, alpha is
dropped, 16-bit grey keeps its high byte, CMYK is converted. Masks keep their numbers: a palette mask is read as INDEX,
8- and 16-bit grey as value, RGB by the colours of the label table; `labels.apply` makes class ids of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from structseg.data.labels import apply
from structseg.errors import DataError
from structseg.types import Item, Labels, Sample, UInt8

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif"))
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow's modes of 16-bit grey
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)  # what Pillow raises on damaged files


def read_image(path: Path) -> UInt8:
    """(H,W,3) RGB, upright. Raises DataError for a missing, damaged or unreadable file."""
    with _opened(path) as picture:
        return _rgb(picture, path)


def read_mask(path: Path, labels: Labels) -> UInt8:
    """(H,W) class ids or `labels.ignore_index`, upright.

    Raises DataError for a damaged file, a JPEG, a value or colour outside the table, RGB without colours in the table.
    """
    with _opened(path) as picture:
        if picture.format in ("JPEG", "MPO"):
            raise DataError(f"{path}: a mask saved as JPEG has blurred labels; save it as PNG")
        raw = _raw(picture, path)
    return apply(raw, labels, path)


def read_item(item: Item, labels: Labels) -> Sample:
    """The picture of `item` and, if it names one, its mask. Raises DataError where their sizes differ."""
    if item.image is None:
        raise DataError(f"'{item.name}' names no picture file")
    image = read_image(item.image)
    if item.target is None:
        return Sample(item.name, image, group=item.group)
    target = read_mask(item.target, labels)
    if target.shape != image.shape[:2]:
        raise DataError(_mismatch(item.image, image, item.target, target))
    return Sample(item.name, image, target, group=item.group)


def _mismatch(image_path: Path, image: UInt8, target_path: Path, target: UInt8) -> str:
    (h, w), (mask_h, mask_w) = image.shape[:2], target.shape
    sizes = f"{image_path} is {w}x{h} but its mask {target_path} is {mask_w}x{mask_h} (width x height)"
    if (h, w) == (mask_w, mask_h):
        return f"{sizes}; the picture is perhaps turned by its EXIF orientation: turn the mask likewise"
    return f"{sizes}; make the mask from the picture at its own size"


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The decoded picture; the file is closed on the way out."""
    try:
        with Image.open(path) as picture:
            picture.load()
            yield picture
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture that can be read; save it as PNG or JPEG") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}; raise PIL.Image.MAX_IMAGE_PIXELS or cut it into tiles") from None
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged or cut off ({reason}); copy or save it again") from error


def _rgb(picture: Image.Image, path: Path) -> UInt8:
    upright = _upright(picture)
    if upright.mode in _DEEP:
        deep = np.asarray(upright)
        if deep.min() < 0 or deep.max() > 65535:
            raise DataError(f"{path}: grey values from {deep.min()} to {deep.max()}; save it with 8 or 16 bits")
        return np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if upright.mode == "F":
        raise DataError(f"{path}: a picture of fractions has no fixed range; save it with 8 or 16 bits")
    if "transparency" in upright.info:  # Pillow warns when it has to drop this by itself
        upright = upright.convert("RGBA")
    return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def _raw(picture: Image.Image, path: Path) -> NDArray[Any]:
    """(H,W) numbers or (H,W,3) colours as they stand in the file."""
    upright = _upright(picture)
    if upright.mode in ("L", "P", *_DEEP):
        return np.asarray(upright)
    if upright.mode == "1":
        return np.asarray(upright).astype(np.uint8)
    if upright.mode in ("LA", "PA"):
        return np.asarray(upright)[..., 0]
    if upright.mode in ("RGB", "RGBA"):
        return np.asarray(upright)[..., :3]
    raise DataError(f"{path}: a mask of mode {upright.mode}; save it as grey (8 or 16 bit), palette or RGB PNG")


def _upright(picture: Image.Image) -> Image.Image:
    if picture.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return picture
    return ImageOps.exif_transpose(picture)
