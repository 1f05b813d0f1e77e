"""The quick ways of decoding give what Pillow gives, and step back from all that they do not know."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from structseg.data import read
from structseg.data.decode import plain_image, plain_numbers
from structseg.data.read import read_image
from structseg.data.unfilter import unfilter
from structseg.errors import DataError

PICTURE = np.random.default_rng(0).integers(0, 256, (23, 37, 4), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(PICTURE[:6, :8, :3]).resize((67, 45)))


def quick(path: Path, way: Callable[..., NDArray[Any] | None] = plain_image) -> NDArray[Any] | None:
    with Image.open(path) as picture:
        return way(picture, path)


def by_pillow(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(rows: bytes, *, width: int, height: int, bits: int = 8, kind: int = 0, extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# ------------------------------------------------------------------------------------------------ filters


def slow_unfilter(rows: NDArray[np.uint8], pixel: int) -> NDArray[np.uint8]:
    """The specification, byte by byte."""
    height, count = rows.shape[0], rows.shape[1] - 1
    out = np.zeros((height + 1, count + pixel), int)  # a row above and a pixel on the left, of zeros
    for y in range(height):
        for x in range(count):
            left, above, corner = out[y + 1, x], out[y, x + pixel], out[y, x]
            near = sorted((abs(left + above - corner - v), place) for place, v in enumerate((left, above, corner)))
            paeth = (left, above, corner)[near[0][1]]
            guess = (0, left, above, (left + above) // 2, paeth)[rows[y, 0]]
            out[y + 1, x + pixel] = (int(rows[y, 1 + x]) + guess) % 256
    return out[1:, pixel:].astype(np.uint8)


@for_all(
    st.integers(1, 9), st.integers(1, 12), st.sampled_from([1, 2, 3, 4, 6, 8]), st.integers(1, 256), st.integers(0)
)
def test_unfilter_is_the_specification(height: int, width: int, pixel: int, values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, values, (height, 1 + width * pixel)).astype(np.uint8)
    rows[:, 0] = rng.integers(0, 5, height)
    given = np.frombuffer(rows.tobytes(), np.uint8).reshape(rows.shape)  # read-only, as from a file
    result = np.empty((height, width * pixel), np.uint8)
    assert unfilter(given, pixel, result)
    np.testing.assert_array_equal(result, slow_unfilter(rows, pixel))
    stray = given.tobytes()[: -1 - width * pixel] + b"\5" * (1 + width * pixel)
    assert not unfilter(np.frombuffer(stray, np.uint8).reshape(rows.shape), pixel, result)


# ------------------------------------------------------------------------------------------------ the quick way


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"quality": 100}]
)
def test_plain_jpegs(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    Image.fromarray(SMOOTH).convert(mode).save(tmp_path / "p.jpg", **options)
    found = quick(tmp_path / "p.jpg")
    assert found is not None
    assert found.flags.writeable
    np.testing.assert_array_equal(found, by_pillow(tmp_path / "p.jpg"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_plain_pngs(tmp_path: Path, mode: str) -> None:
    Image.fromarray(PICTURE).convert(mode).save(tmp_path / "p.png", dpi=(72, 72))
    found = quick(tmp_path / "p.png")
    assert found is not None
    assert found.flags.writeable
    np.testing.assert_array_equal(found, by_pillow(tmp_path / "p.png"))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [0, 3])
@pytest.mark.parametrize("width", [1, 7, 16])
def test_numbers_of_few_bits(tmp_path: Path, bits: int, kind: int, width: int) -> None:
    numbers = np.random.default_rng(bits).integers(0, 1 << bits, (3, width), dtype=np.uint8)
    packed = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]).tobytes() for row in numbers]
    table = chunk(b"PLTE", bytes(3 << bits)) if kind == 3 else b""
    data = png(b"".join(b"\0" + row for row in packed), width=width, height=3, bits=bits, kind=kind, extra=table)
    (tmp_path / "m.png").write_bytes(data)
    found = quick(tmp_path / "m.png", plain_numbers)
    assert found is not None
    np.testing.assert_array_equal(found, numbers)


def test_deep_numbers_and_colours(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (5, 6), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(PICTURE).save(tmp_path / "rgba.png")
    found, colours = (quick(tmp_path / f"{name}.png", plain_numbers) for name in ("deep", "rgba"))
    assert found is not None
    assert colours is not None
    np.testing.assert_array_equal(found, deep)
    np.testing.assert_array_equal(colours, PICTURE[..., :3])


# ------------------------------------------------------------------------------------------------ stepping back


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def unusual(folder: Path) -> dict[str, Path]:
    rgb = Image.fromarray(SMOOTH)
    grey = Image.fromarray(np.ascontiguousarray(SMOOTH[..., 0]))
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "turned.jpg": (rgb, {"exif": turned()}),
        "turned.png": (rgb, {"exif": turned()}),
        "xmp.png": (rgb, {"pnginfo": text}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "palette.png": (rgb.convert("P"), {}),
        "transparent.png": (grey, {"transparency": 3}),
        "deep.png": (Image.fromarray(SMOOTH[..., 0].astype(np.uint16) * 250), {}),
        "bits.png": (rgb.convert("1"), {}),
        "animated.png": (rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}),
        "rgb.bmp": (rgb, {}),
        "rgb.webp": (rgb, {"lossless": True}),
    }
    for name, (picture, options) in kinds.items():
        picture.save(folder / name, **options)
    jpeg = (folder / "cmyk.jpg").with_name("tail.jpg")
    rgb.save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes() + b"behind the end")
    return {name: folder / name for name in (*kinds, "tail.jpg")}


def test_unusual_pictures_are_left_to_pillow(tmp_path: Path) -> None:
    for name, path in unusual(tmp_path).items():
        assert quick(path) is None, name
        if name not in ("deep.png", "xmp.png"):  # their rule is of read_image, see test_read
            np.testing.assert_array_equal(read_image(path), by_pillow(path), err_msg=name)


def test_turned_jpeg_with_other_exif_is_quick(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    Image.fromarray(SMOOTH).save(tmp_path / "p.jpg", exif=exif)
    assert quick(tmp_path / "p.jpg") is not None


def interlaced() -> bytes:
    """One pixel in Adam7: only the first pass has a row."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\x07")) + chunk(b"IEND", b"")


def test_interlaced_png(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(interlaced())
    assert quick(tmp_path / "p.png", plain_numbers) is None
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), [[[7, 7, 7]]])


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no end": lambda data: data[:-12],
    "cut": lambda data: data[: len(data) // 2],
    "a row too few": lambda data: png(b"\0" * 4, width=3, height=2),
    "a byte too many": lambda data: png(b"\0" * 9, width=3, height=2),
    "unknown filter": lambda data: png(b"\7" * 8, width=3, height=2),
    "changed pixels": lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
    "unknown chunk": lambda data: png(b"\0" * 8, width=3, height=2, extra=chunk(b"abCd", b"x")),
    "changed chunk": lambda data: png(b"\0" * 8, width=3, height=2, extra=chunk(b"gAMA", b"1234")[:-1] + b"?"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_pngs_are_pillows_to_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    whole = io.BytesIO()
    Image.fromarray(SMOOTH).save(whole, "PNG")
    (tmp_path / "p.png").write_bytes(DAMAGES[damage](whole.getvalue()))

    def outcome() -> Any:
        try:
            return read_image(tmp_path / "p.png").tolist()
        except DataError as error:
            return str(error)

    found = outcome()
    monkeypatch.setattr(read, "plain_image", lambda picture, path: None)
    assert found == outcome()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.999])
def test_cut_jpegs_are_refused(tmp_path: Path, share: float) -> None:
    whole = io.BytesIO()
    Image.fromarray(PICTURE[..., :3]).resize((200, 150)).save(whole, "JPEG")
    (tmp_path / "p.jpg").write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
    with pytest.raises(DataError, match=r"p\.jpg: damaged or cut off \(image file is truncated"):
        read_image(tmp_path / "p.jpg")


def test_real_jpegs_are_pillows(data_root: Path) -> None:
    """No grey level of difference in the sets at hand: CamVid, VOC, NYU, COCO."""
    for pattern in (
        "camvid/images/train/*.jpg",
        "voc2012_subset/VOCdevkit/VOC2012/JPEGImages/*.jpg",
        "nyuv2/images/*.jpg",
        "coco_voc20/JPEGImages/*.jpg",
    ):
        files = sorted(data_root.glob(pattern))[::60]
        assert files
        for file in files:
            found = quick(file)
            assert found is not None, file
            np.testing.assert_array_equal(found, by_pillow(file), err_msg=str(file))
