"""Decode pictures and masks; nothing else in the package opens a picture file of a data set.

Pictures become 8-bit RGB, turned upright by their EXIF orientation: grey is repeated, palettes are looked up, alpha is
dropped, 16-bit grey keeps its high byte, CMYK is converted. Masks keep their numbers: a palette mask is read as INDEX,
grey of 1 to 16 bits as the value in the file, 8-bit RGB by the colours of the label table; `labels.apply` makes class
ids of them. Plain JPEG and PNG files take the quick way of `decode`, which gives the same.
"""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from structseg.data.decode import plain_image, plain_numbers
from structseg.data.label_cache import cached_labels
from structseg.data.labels import apply
from structseg.data.reading import current
from structseg.errors import DataError
from structseg.types import Colour, Float32, Int32, Item, Labels, Sample, UInt8

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif"))
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow's modes of 16-bit grey
_KINDS = {"P": "palette", "PA": "palette", "L": "grey, 8 bit", "LA": "grey, 8 bit", "1": "grey, 1 bit", "RGBA": "RGB"}
_LIMIT = threading.Lock()  # of changing Pillow's limit
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)  # what Pillow raises on damaged files


def read_image(path: Path) -> UInt8:
    """(H,W,3) RGB, upright. Raises DataError for a missing, damaged or unreadable file."""
    with _opened(path) as picture:
        return _rgb(picture, path)


@cached_labels
def read_mask(path: Path, labels: Labels) -> UInt8:
    """(H,W) class ids or `labels.ignore_index`, upright.

    Raises DataError for a damaged file, a JPEG, colours that are not of 8 bits, a value or colour outside the table,
    RGB without colours in the table.
    """
    return apply(read_raw(path).values, labels, path)


class RawMask(NamedTuple):
    """A mask as it stands in its file."""

    values: NDArray[Any]  # (H,W) numbers, or (H,W,3) 8-bit colours
    kind: str  # "palette", "grey, 8 bit", "grey, 16 bit", "grey, 1 bit" or "RGB"
    palette: tuple[Colour, ...] = ()  # of a palette picture


def read_raw(path: Path) -> RawMask:
    """The numbers or colours of a mask, upright, before any label table. Raises DataError as `read_mask` does."""
    with _opened(path) as picture:
        if picture.format in ("JPEG", "MPO"):
            raise DataError(f"{path}: a mask saved as JPEG has blurred labels; save it as PNG")
        flat = (picture.getpalette("RGB") or []) if picture.mode == "P" else []
        kind = _KINDS.get(picture.mode, "grey, 16 bit" if picture.mode in _DEEP else picture.mode)
        palette = tuple((r, g, b) for r, g, b in zip(*[iter(flat)] * 3, strict=False))
        return RawMask(_raw(picture, _maximum(picture), path), kind, palette)


def read_instances(path: Path) -> Int32:
    """(H,W) whole numbers as they stand in the file, upright: grey of up to 16 bits or palette index.

    What the numbers mean, and which of them are no object, is for the format to say. Raises DataError for a damaged
    file, a JPEG, and colours.
    """
    return _numbers(path, "instances").astype(np.int32)


def read_depth(path: Path, *, unit: float) -> Float32:
    """(H,W) metres, upright: the file's whole numbers times `unit`; 0 = no measurement.

    Raises DataError for a damaged file, a JPEG, and colours.
    """
    return _numbers(path, "depth").astype(np.float32) * np.float32(unit)


@cached_labels
def read_colours(path: Path, labels: Labels) -> UInt8:
    """(H,W) class ids of an RGB mask, or of a palette mask whose colours count and not its index, upright."""
    with _opened(path) as picture:
        if picture.format in ("JPEG", "MPO"):
            raise DataError(f"{path}: a mask saved as JPEG has blurred labels; save it as PNG")
        raw = _rgb(picture, path)
    return apply(raw, labels, path)


def _numbers(path: Path, what: str) -> NDArray[Any]:
    with _opened(path) as picture:
        if picture.format in ("JPEG", "MPO"):
            raise DataError(f"{path}: {what} saved as JPEG are blurred; save them as PNG")
        raw = _raw(picture, _maximum(picture), path)
    if raw.ndim != 2:
        raise DataError(f"{path}: {what} in colours; save them as grey (8 or 16 bit) or palette PNG")
    return raw


def read_item(
    item: Item,
    labels: Labels,
    *,
    target: Callable[[Path, Labels], UInt8] = read_mask,
    instances: Callable[[Path], Int32] = read_instances,
    depth_unit: float = 0.001,
) -> Sample:
    """The picture of `item` and what else it names: mask, instances, depth in units of `depth_unit` metres, tags.

    `target` and `instances` read one file each, where a format's numbers mean something else. Tags that are no class of
    the table, and instances where the mask is ignored, are left out. Raises DataError where sizes differ.
    """
    if item.image is None:
        raise DataError(f"'{item.name}' names no picture file")
    sample = Sample(item.name, read_image(item.image), group=item.group)
    sample.tags = tuple(tag for tag in item.tags if tag in labels.names)
    if item.target is not None:
        sample.target = target(item.target, labels)
        _check_size(item.image, sample.image, item.target, sample.target)
    if item.instances is not None:
        sample.instances = instances(item.instances)
        _check_size(item.image, sample.image, item.instances, sample.instances)
        if sample.target is not None:
            sample.instances[sample.target == labels.ignore_index] = 0
    if item.depth is not None:
        sample.depth = read_depth(item.depth, unit=depth_unit)
        _check_size(item.image, sample.image, item.depth, sample.depth)
    return sample


def _check_size(image_path: Path, image: UInt8, path: Path, array: NDArray[Any]) -> None:
    if array.shape != image.shape[:2]:
        raise DataError(_mismatch(image_path, image, path, array))


def _mismatch(image_path: Path, image: UInt8, target_path: Path, target: NDArray[Any]) -> str:
    (h, w), (mask_h, mask_w) = image.shape[:2], target.shape
    sizes = f"{image_path} is {w}x{h} but its mask {target_path} is {mask_w}x{mask_h} (width x height)"
    if (h, w) == (mask_w, mask_h):
        return f"{sizes}; the picture is perhaps turned by its EXIF orientation: turn the mask likewise"
    return f"{sizes}; make the mask from the picture at its own size"


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """The picture, not yet decoded; the file is closed on the way out."""
    try:
        with _header(path) as picture:
            _check_pixels(picture, path)
            yield picture
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture that can be read; save it as PNG or JPEG") from None
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:  # from the system: Pillow's own have no number
            raise DataError(f"{path}: cannot be opened ({error.strerror})") from error
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged or cut off ({reason}); copy or save it again") from error


def _header(path: Path) -> ImageFile.ImageFile:
    """The picture with its header read. Pillow's own limit of pixels, which warns first, gives way to `max_pixels`."""
    with _LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_pixels(picture: ImageFile.ImageFile, path: Path) -> None:
    limit = current().max_pixels
    if limit and picture.width * picture.height > limit:
        raise DataError(
            f"{path}: {picture.width}x{picture.height} pixels are more than data.max_pixels = {limit}; cut it into "
            f"tiles, or raise data.max_pixels (0 = no limit)"
        )


def _rgb(picture: ImageFile.ImageFile, path: Path) -> UInt8:
    plain = plain_image(picture, path)
    if plain is not None:
        return plain
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


def _maximum(picture: ImageFile.ImageFile) -> int | None:
    """The largest number that fits into the file, where Pillow stretches or cuts numbers to 8 or 16 bits; else None.

    Known only before the picture is decoded.
    """
    codec, _, _, arguments = picture.tile[0] if picture.tile else ("", None, 0, "")
    packing = str(arguments[0] if isinstance(arguments, tuple) else arguments)
    if codec in ("ppm", "ppm_plain") and isinstance(arguments, tuple):
        return int(arguments[1])
    if bits := re.match(r"L;([24])", packing):
        return (1 << int(bits[1])) - 1
    return 65535 if picture.mode not in _DEEP and re.search(r";16[BLN]", packing) else None


def _raw(picture: ImageFile.ImageFile, maximum: int | None, path: Path) -> NDArray[Any]:
    """(H,W) numbers or (H,W,3) colours as they stand in the file."""
    plain = plain_numbers(picture, path)
    if plain is not None:
        return plain
    upright = _upright(picture)
    if upright.mode in ("L", *_DEEP) and maximum:  # undo the stretching
        return np.rint(np.asarray(upright) * (maximum / (255 if upright.mode == "L" else 65535))).astype(np.uint16)
    if maximum not in (None, 255):
        raise DataError(
            f"{path}: a colour mask with numbers up to {maximum}, not 255; save it as 8-bit RGB or palette PNG"
        )
    if upright.mode in ("L", "P", *_DEEP):
        return np.asarray(upright)
    if upright.mode == "1":
        return np.asarray(upright).astype(np.uint8)
    if upright.mode in ("LA", "PA"):
        return np.asarray(upright)[..., 0]
    if upright.mode in ("RGB", "RGBA"):
        return np.asarray(upright)[..., :3]
    raise DataError(f"{path}: a mask of mode {upright.mode}; save it as grey (8 or 16 bit), palette or RGB PNG")


def _upright(picture: ImageFile.ImageFile) -> Image.Image:
    """Decoded, and turned by its EXIF orientation."""
    picture.load()
    if picture.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return picture
    return ImageOps.exif_transpose(picture)
