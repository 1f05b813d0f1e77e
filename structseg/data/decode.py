"""Fast decoding of plain JPEG and PNG files, with the result that Pillow gives.

Pillow has read the header; where that says anything unusual, a file has a chunk that is not known here, or anything
does not add up, these functions return None and Pillow decodes, and words what is wrong. So the pixels and the messages
are Pillow's whichever way was taken.

JPEG: OpenCV and Pillow both use libjpeg-turbo with the same transforms, and give the same numbers; OpenCV copies less.
It may take a file that was cut off, so only one that ends in the end marker comes here. PNG: inflated by zlib,
unfiltered by a compiled loop; samples are left as they stand in the file, so palette masks keep their index.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageFile

from structseg.types import UInt8

_END_OF_JPEG = b"\xff\xd9"
_NO_EXIF = frozenset(
    ("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe", "adobe_transform", "comment")
)
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG's colour type -> samples of a pixel
_GREY, _COLOUR, _PALETTE = (0, 4), (2, 6), 3
# Chunks that change neither pixels nor orientation as Pillow reads them; eXIf, text that may hold it, and animation
# are left to Pillow.
_HARMLESS = frozenset((b"PLTE", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"tIME", b"bKGD", b"sBIT", b"hIST"))


def plain_image(picture: ImageFile.ImageFile, path: Path) -> UInt8 | None:
    """(H,W,3) RGB of an upright 8-bit JPEG (RGB or grey) or PNG (RGB or grey, alpha dropped); else None."""
    if picture.format == "JPEG" and picture.mode in ("RGB", "L"):
        return _jpeg(picture, path)
    if picture.format != "PNG" or picture.mode not in ("RGB", "RGBA", "L", "LA") or picture.info.get("interlace"):
        return None
    png = _parse(path.read_bytes())
    if png is None or png.bits != 8 or png.transparent or png.kind == _PALETTE:
        return None
    pixels = _png(png)
    if pixels is None:
        return None
    if png.kind in _GREY:
        return np.repeat(pixels[..., :1], 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def plain_numbers(picture: ImageFile.ImageFile, path: Path) -> NDArray[Any] | None:
    """(H,W) numbers or (H,W,3) 8-bit colours as they stand in an upright PNG without interlace; else None."""
    if picture.format != "PNG" or picture.info.get("interlace"):
        return None
    png = _parse(path.read_bytes())
    if png is None or (png.bits > 8 and png.kind != 0):
        return None
    pixels = _png(png)
    if pixels is None:
        return None
    return np.ascontiguousarray(pixels[..., :3] if png.kind in _COLOUR else pixels[..., 0])


def _jpeg(picture: ImageFile.ImageFile, path: Path) -> UInt8 | None:
    if not _NO_EXIF.issuperset(picture.info) and picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return None
    data = path.read_bytes()
    if not data.endswith(_END_OF_JPEG):
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # its own limits of size
        return None
    if image is None or image.shape != (picture.height, picture.width, 3):
        return None
    return np.asarray(image, np.uint8)


class _Png(NamedTuple):
    width: int
    height: int
    bits: int  # of a sample
    kind: int  # colour type
    transparent: bool  # a chunk tRNS
    compressed: bytes


def _parse(data: bytes) -> _Png | None:
    """The header and the compressed rows; None where a chunk is damaged or not known to be harmless."""
    view, place, rows, header, transparent = memoryview(data), 8, [], None, False
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        body, end = view[place + 8 : place + 8 + length], place + 12 + length
        if end > len(data):
            return None
        if name == b"IDAT":
            rows.append(body)
        elif zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            return None
        elif name == b"IHDR":
            header = struct.unpack(">IIBBBBB", body) if length == 13 else None
        elif name == b"IEND":
            break
        elif name == b"tRNS":
            transparent = True
        elif name not in _HARMLESS and not (name == b"tEXt" and not bytes(body).startswith(b"Raw profile")):
            return None
        place = end
    else:
        return None
    if header is None or header[3] not in _SAMPLES or header[4:] != (0, 0, 0):
        return None
    width, height, bits, kind = header[:4]
    return _Png(width, height, bits, kind, transparent, b"".join(rows))


def _png(png: _Png) -> NDArray[Any] | None:
    """(H,W,S) samples; None where the stream does not hold exactly the rows that the header says."""
    from structseg.data.unfilter import unfilter  # loads Numba

    samples = _SAMPLES[png.kind]
    count = -(-png.width * samples * png.bits // 8)  # bytes of a row
    size = png.height * (1 + count)
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(png.compressed, size)
        if len(data) != size or inflater.decompress(inflater.unconsumed_tail, 1) or not inflater.eof:
            return None
    except zlib.error:
        return None
    rows = np.frombuffer(data, np.uint8).reshape(png.height, 1 + count)
    result = np.empty((png.height, count), np.uint8)
    if not unfilter(rows, max(1, samples * png.bits // 8), result):
        return None
    if png.bits == 16:
        return result.view(">u2").astype(np.uint16).reshape(png.height, png.width, samples)
    if png.bits < 8:
        shifts = np.arange(8 - png.bits, -1, -png.bits, dtype=np.uint8)
        spread = result[..., None] >> shifts & ((1 << png.bits) - 1)
        return spread.reshape(png.height, -1, 1)[:, : png.width]
    return result.reshape(png.height, png.width, samples)
