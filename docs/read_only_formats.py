"""The table of formats that are read and not written, for `generate_formats.py`: each cell is an image read back.

An encoder of a library writes an image, or the bytes are laid out here, and our reader must return its pixels.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from upsample_cli.images.input_formats import READ_ONLY
from upsample_cli.images.model import ImageInfo, Metadata
from upsample_cli.images.open import open_image

HEIGHT, WIDTH = 12, 16
_PAGE = Path(__file__).parent / "formats.md"
_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_EXIF = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x010F, 2, 8, 26) + bytes(4) + b"A maker\0"
_CAPTIONS = b"\x1c\2\5\0\3Sea"
_SLOPE = np.add.outer(np.arange(HEIGHT) * 9, np.arange(WIDTH) * 7)[..., np.newaxis] + np.array([10, 20, 30, 40])
_RGBA = _SLOPE.astype(np.uint8)
_RGBA16 = (_SLOPE * 257).astype(np.uint16)
_LIGHT = _RGBA[..., :3].astype(np.float32) / 16
_COLUMNS = ("bits per channel", "colour", "alpha", "carried over")


class _Case(NamedTuple):
    """One claim: a column and its text, a file, its pixels, how far they may be off, and what its header must have."""

    column: str
    text: str
    data: bytes
    pixels: np.ndarray[Any, Any]
    tolerance: float = 0
    holds: Callable[[ImageInfo, Metadata], bool] = lambda _info, _metadata: True


def _has(name: str, value: object) -> Callable[[ImageInfo, Metadata], bool]:
    return lambda _, metadata: bool(getattr(metadata, name) == value)


class _Targa(io.BytesIO):
    name = "a.tga"


def read_only_table() -> str:
    """The rows of the table, as Markdown."""
    lines = [f"| | {' | '.join(_COLUMNS)} | not read, or lost with a warning |", "|---" * (len(_COLUMNS) + 2) + "|"]
    for name, fmt in READ_ONLY.items():
        try:
            cells = _cells(name)
        except ImportError:  # the extra is not installed; its row stays as it is
            written = _PAGE.read_text("utf-8").splitlines()
            lines.append(next(line for line in written if line.startswith(f"| {fmt.title} ")))
            continue
        extensions = ", ".join(fmt.extensions)
        lines.append(f"| {fmt.title} ({extensions}) | {' | '.join(cells)} | {_NOT_READ[name]} |")
    return "\n".join(lines)


def _cells(name: str) -> list[str]:
    found: dict[str, list[str]] = {column: [] for column in _COLUMNS}
    for case in _CASES[name]():
        with open_image(_Targa(case.data)) as source:
            rows = source.read_rows(0, source.info.height)
            is_right = rows.shape == case.pixels.shape and rows.dtype == case.pixels.dtype
            is_near = is_right and float(np.abs(rows.astype(float) - case.pixels).max()) <= case.tolerance
            if not is_near or not case.holds(source.info, source.metadata):
                raise RuntimeError(f"{name}: {case.column}, {case.text} does not come back")
        if case.text not in found[case.column]:
            found[case.column].append(case.text)
    return [", ".join(texts) or "no" for texts in found.values()]


def _saved(pixels: np.ndarray[Any, Any], kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **settings)
    return file.getvalue()


def _heic() -> Iterator[_Case]:
    import pillow_heif

    def heic(mode: str, pixels: np.ndarray[Any, Any], **info: Any) -> bytes:
        file = io.BytesIO()
        images = pillow_heif.from_bytes(mode, (WIDTH, HEIGHT), np.ascontiguousarray(pixels).tobytes())
        images[0].info.update(info)
        images.save(file, quality=-1, chroma=444)
        return file.getvalue()

    rgb, rgb16 = _RGBA[..., :3], _RGBA16[..., :3]
    block = Image.Exif()
    block[0x010F] = "A maker"
    plain = heic("RGB", rgb)
    yield _Case("bits per channel", "8", plain, rgb, 3)
    yield _Case("bits per channel", "10 as 16", heic("RGB;16", rgb16), rgb16, 700)
    yield _Case("colour", "grey", heic("L", _RGBA[..., :1]), _RGBA[..., :1], 3)
    yield _Case("colour", "RGB", plain, rgb, 3)
    yield _Case("alpha", "yes", heic("RGBA", _RGBA), _RGBA, 3)
    carried = heic("RGB", rgb, icc_profile=_ICC, exif=block.tobytes(), xmp=b"<x/>")
    yield _Case("carried over", "ICC", carried, rgb, 3, lambda _, metadata: metadata.icc_profile == _ICC)
    yield _Case("carried over", "EXIF", carried, rgb, 3, lambda _, metadata: b"A maker" in (metadata.exif or b""))
    yield _Case("carried over", "XMP", carried, rgb, 3, lambda _, metadata: metadata.xmp == b"<x/>")


def _jpeg2000() -> Iterator[_Case]:
    def jp2(pixels: np.ndarray[Any, Any], **settings: Any) -> bytes:
        stored = np.ascontiguousarray(pixels)
        return bytes(imagecodecs.jpeg2k_encode(stored, level=0, codecformat="JP2", reversible=True, **settings))

    plain = jp2(_RGBA[..., :3])
    for bits, most, right in ((5, 31, _RGBA), (8, 255, _RGBA), (12, 4095, _RGBA16), (16, 65535, _RGBA16)):
        whole = np.iinfo(right.dtype).max
        stored = right[..., :3] >> (right.itemsize * 8 - bits)
        scaled = ((stored.astype(np.int64) * whole * 2 + most) // (2 * most)).astype(right.dtype)
        text = "up to 8 as 8" if bits <= 8 else "up to 16 as 16"
        yield _Case("bits per channel", text, jp2(stored, bitspersample=bits), scaled)
    yield _Case("colour", "grey", jp2(_RGBA[..., :1]), _RGBA[..., :1])
    yield _Case("colour", "RGB", plain, _RGBA[..., :3])
    y = np.repeat(_RGBA[..., :1], 3, 2)
    y[..., 1:] = 128  # no chroma: grey in RGB
    yield _Case("colour", "sYCC", jp2(y, colorspace="SYCC", mct=False), np.repeat(_RGBA[..., :1], 3, 2))
    yield _Case("alpha", "yes", jp2(_RGBA), _RGBA)
    at = plain.index(b"colr") - 4
    profile = struct.pack(">I4s3s", 11 + len(_ICC), b"colr", b"\2\0\0") + _ICC
    header_at = plain.index(b"jp2h") - 4
    grown = struct.pack(">I", int.from_bytes(plain[header_at : header_at + 4], "big") + len(profile) - 15)
    with_profile = plain[:header_at] + grown + plain[header_at + 4 : at] + profile + plain[at + 15 :]
    found = {"exif": (b"JpgTiffExif->JP2", _EXIF), "xmp": (bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), b"<x/>"),
             "iptc": (bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"), _CAPTIONS)}  # fmt: skip
    boxes = (struct.pack(">I4s", 24 + len(body), b"uuid") + kind + body for kind, body in found.values())
    with_boxes = plain + b"".join(boxes)
    yield _Case(
        "carried over", "ICC", with_profile, _RGBA[..., :3], holds=lambda _, metadata: metadata.icc_profile == _ICC
    )
    for name, (_, body) in found.items():
        yield _Case("carried over", name.upper(), with_boxes, _RGBA[..., :3], holds=_has(name, body))


def _psd() -> Iterator[_Case]:
    def psd(pixels: np.ndarray[Any, Any], mode: int, *, layers: int = 0, resources: bytes = b"") -> bytes:
        planes = np.moveaxis(pixels, 2, 0)
        head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, len(planes), HEIGHT, WIDTH, 8 * pixels.itemsize, mode)
        block = struct.pack(">Ihxx", 4, layers) if layers else b""
        sections = bytes(4) + struct.pack(">I", len(resources)) + resources + struct.pack(">I", len(block)) + block
        return head + sections + b"\0\0" + planes.astype(planes.dtype.newbyteorder(">")).tobytes()

    rgb, opaque = _RGBA[..., :3], np.dstack((_RGBA[..., :3], np.full((HEIGHT, WIDTH), 255, np.uint8)))
    found = {"ICC": (0x040F, "icc_profile", _ICC), "EXIF": (0x0422, "exif", _EXIF), "XMP": (0x0424, "xmp", b"<x/>"),
             "IPTC": (0x0404, "iptc", _CAPTIONS)}  # fmt: skip
    blocks = [(code, body) for code, _, body in found.values()]
    blocks.append((0x03ED, struct.pack(">4I", 300 << 16, 1 << 16, 300 << 16, 1 << 16)))
    padded = (struct.pack(">HHI", code, 0, len(body)) + body + bytes(len(body) % 2) for code, body in blocks)
    resources = b"".join(b"8BIM" + block for block in padded)
    yield _Case("bits per channel", "8", psd(rgb, 3), rgb)
    yield _Case("bits per channel", "16", psd(_RGBA16[..., :3], 3), _RGBA16[..., :3])
    yield _Case("bits per channel", "32 float (linear)", psd(_LIGHT, 3), _LIGHT)
    yield _Case("colour", "grey", psd(_RGBA[..., :1], 1), _RGBA[..., :1])
    yield _Case("colour", "RGB", psd(rgb, 3), rgb)
    yield _Case("colour", "CMYK", psd(255 - _RGBA, 4), _RGBA, holds=lambda info, _: info.layout.colour == "cmyk")
    yield _Case("alpha", "yes", psd(opaque, 3, layers=-2), opaque)
    carried = psd(rgb, 3, resources=resources)
    for title, (_, name, body) in found.items():
        yield _Case("carried over", title, carried, rgb, holds=_has(name, body))
    yield _Case("carried over", "dpi", carried, rgb, holds=_has("dpi", (300, 300)))


def _plain(kind: str, **settings: Any) -> Callable[[], Iterator[_Case]]:
    """Grey, RGB and alpha of 8 bits, as Pillow writes them."""

    def cases() -> Iterator[_Case]:
        grey, rgb = _RGBA[..., 0], _RGBA[..., :3]
        yield _Case("bits per channel", "8", _saved(rgb, kind, **settings), rgb)
        yield _Case("colour", "grey", _saved(grey, kind, **settings), grey[..., np.newaxis])
        yield _Case("colour", "RGB", _saved(rgb, kind, **settings), rgb)
        yield _Case("alpha", "yes", _saved(_RGBA, kind, **settings), _RGBA)

    return cases


def _ico() -> Iterator[_Case]:
    icon = _saved(_RGBA, "ICO", sizes=[(WIDTH, HEIGHT), (8, 6)], bitmap_format="bmp")
    yield _Case("bits per channel", "8", _saved(_RGBA, "ICO", sizes=[(WIDTH, HEIGHT)]), _RGBA)
    yield _Case("colour", "RGB", icon, _RGBA)
    yield _Case("alpha", "yes", icon, _RGBA)


def _qoi() -> Iterator[_Case]:
    rgb = np.ascontiguousarray(_RGBA[..., :3])
    yield _Case("bits per channel", "8", bytes(imagecodecs.qoi_encode(rgb)), rgb)
    yield _Case("colour", "RGB", bytes(imagecodecs.qoi_encode(rgb)), rgb)
    yield _Case("alpha", "yes", bytes(imagecodecs.qoi_encode(_RGBA)), _RGBA)


def _hdr() -> Iterator[_Case]:
    data = bytes(imagecodecs.rgbe_encode(_LIGHT))
    yield _Case("bits per channel", "32 float (linear)", data, imagecodecs.rgbe_decode(data))
    yield _Case("colour", "RGB", data, _LIGHT, float(_LIGHT.max()) / 128)


_CASES = {
    "heic": _heic, "jpeg2000": _jpeg2000, "psd": _psd, "tga": _plain("TGA"), "ico": _ico, "qoi": _qoi,
    "dds": _plain("DDS"), "hdr": _hdr,
}  # fmt: skip

_NOT_READ = {
    "heic": "further images, depth and gain maps. Turned and cropped by its decoder, so EXIF's orientation is ignored",
    "jpeg2000": "palettes, CMYK, Lab, subsampled or signed channels: refused. Other boxes",
    "psd": "layers (the flattened image is read), further channels, duotone inks. Lab, palettes, bitmaps: refused",
    "tga": "its name must end in .tga. The extension area. 15 bits: refused",
    "ico": "all images but the largest; the hot spot of a cursor",
    "qoi": "nothing",
    "dds": "faces of a cube and images after the first. BC1 to BC4 and BC7; BC5, BC6H and volumes: refused",
    "hdr": "EXPOSURE, COLORCORR and GAMMA are not applied. Other lines of its header. XYZ, and turned images: refused",
}
