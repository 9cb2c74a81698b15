"""Small images in the formats that are read and not written. Independent of the package."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
from PIL import Image

from support.corpus import HEIGHT, ICC, RGB, RGB16, WIDTH, saved

try:
    import pillow_heif
except ImportError:  # an extra
    pillow_heif = None

ALPHA = RGB[..., 1]
RGBA, RGBA16 = np.dstack((RGB, ALPHA)), np.dstack((RGB16, RGB16[..., 1]))
NO_HEIF = "pillow-heif, an extra, is not installed"


def heic(pixels: np.ndarray, mode: str = "RGB", **settings: object) -> bytes:
    """A HEIC with as little loss as its encoder can; `mode` is that of pillow-heif."""
    file = io.BytesIO()
    image = pillow_heif.from_bytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    image.save(file, **({"quality": -1, "chroma": 444} | settings))
    return file.getvalue()


def jp2(pixels: np.ndarray, *, kind: str = "JP2", **settings: object) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat=kind, reversible=True, **settings))


def jp2_box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), kind) + data


def jp2_of(codestream: bytes, *in_header: bytes, space: int | None = 16, behind: bytes = b"") -> bytes:
    """A JP2 built by hand around a codestream."""
    height, width, channels = (struct.unpack_from(">I", codestream, at)[0] for at in (12, 8, 38))
    head = jp2_box(b"ihdr", struct.pack(">IIHBBBB", height, width, channels & 0xFFFF, codestream[42], 7, 0, 0))
    colour = jp2_box(b"colr", struct.pack(">BBBI", 1, 0, 0, space)) if space is not None else b""
    header = jp2_box(b"jp2h", head + colour + b"".join(in_header))
    start = jp2_box(b"jP  ", b"\r\n\x87\n") + jp2_box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + header + jp2_box(b"jp2c", codestream) + behind


def channel_box(*channels: tuple[int, int, int]) -> bytes:
    """Which channel is what: (channel, 0 for colour or 1 for opacity or 2 for premultiplied, place)."""
    return jp2_box(b"cdef", struct.pack(">H", len(channels)) + b"".join(struct.pack(">3H", *one) for one in channels))


def resource(code: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", code, 0, len(data)) + data + bytes(len(data) % 2)


def psd(
    planes: np.ndarray, mode: int, *, packed: bool = False, is_big: bool = False, layers: int = 0, deep_layers: int = 0,
    resources: bytes = b"",
) -> bytes:  # fmt: skip
    """A PSD or PSB of planes (channels, height, width), as stored. A negative number of layers means transparency."""
    channels, height, width = planes.shape
    wide = ">Q" if is_big else ">I"
    bits = 8 * planes.itemsize
    data = b"8BPS" + struct.pack(">H6xHIIHH", 1 + is_big, channels, height, width, bits, mode)
    data += struct.pack(">I", 0) + struct.pack(">I", len(resources)) + resources
    block = struct.pack(wide, 4) + struct.pack(">hxx", layers) if layers else b""
    if deep_layers:
        block = struct.pack(wide, 0) + struct.pack(">I", 0) + b"8BIMLr16" + struct.pack(wide, 4)
        block += struct.pack(">hxx", deep_layers)
    data += struct.pack(wide, len(block)) + block
    rows = [row.astype(row.dtype.newbyteorder(">")).tobytes() for plane in planes for row in plane]
    if not packed:
        return data + b"\0\0" + b"".join(rows)
    packed_rows = [bytes(imagecodecs.packbits_encode(row)) for row in rows]
    lengths = b"".join(struct.pack(">I" if is_big else ">H", len(row)) for row in packed_rows)
    return data + b"\0\1" + lengths + b"".join(packed_rows)


def planes_of(pixels: np.ndarray) -> np.ndarray:
    return np.moveaxis(pixels, 2, 0)


def dds(pixels: bytes, bits: int, *masks: int, flags: int = 0x40, code: bytes = bytes(4), caps: int = 0) -> bytes:
    """A DDS of HEIGHT x WIDTH pixels, as stored."""
    head = struct.pack("<4s5I4x4x44x", b"DDS ", 124, 0x1007, HEIGHT, WIDTH, 0)
    head += struct.pack("<II4s5I", 32, flags, code, bits, *(*masks, 0, 0, 0, 0)[:4])
    return head + struct.pack("<II12x", 0x1000, caps) + pixels


def dds10(pixels: bytes, number: int, *, mode: int = 0, images: int = 1) -> bytes:
    """A DDS with DXGI's number of its kind of pixels."""
    plain = dds(b"", 0, flags=4, code=b"DX10")
    return plain + struct.pack("<5I", number, 3, 0, images, mode) + pixels


def cursor(icon: bytes) -> bytes:
    """A CUR with the images of an ICO; the hot spot replaces the number of bits."""
    data = bytearray(icon)
    data[2] = 2
    for index in range(data[4]):
        struct.pack_into("<HH", data, 6 + 16 * index + 4, 1, 2)
    return bytes(data)


def icon(kind: str, mode: str = "RGBA") -> bytes:
    """An ICO of two images, the larger one WIDTH x HEIGHT."""
    image = Image.fromarray(RGBA).convert(mode)
    return saved(image, "ICO", sizes=[(WIDTH, HEIGHT), (12, 8)], bitmap_format=kind)


def hdr(pixels: np.ndarray, header: bytes = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n") -> bytes:
    """A Radiance HDR of float32 pixels."""
    stored = bytes(imagecodecs.rgbe_encode(pixels.astype(np.float32), header=False, rle=True))
    return header + b"\n-Y %d +X %d\n" % pixels.shape[:2] + stored


def light() -> np.ndarray:
    """Light beyond white that RGBE represents exactly: whole numbers of 8 bits times a power of two."""
    values = RGB.astype(np.float32) / 64
    values[..., 0] = np.maximum(values[..., 0], 2)  # the largest channel chooses the exponent of all
    return values


def read_only_files() -> dict[str, bytes]:
    """One file of every kind that is read and not written; the first word of its name is its format."""
    image, alpha = Image.fromarray(RGB), Image.fromarray(RGBA)
    blocks = RGB.tobytes() * 2
    heics = {} if pillow_heif is None else {
        "heic": heic(RGB),
        "heic 10": heic(RGB16, "RGB;16"),
        "heic alpha": heic(RGBA, "RGBA"),
    }  # fmt: skip
    return heics | {
        "jpeg2000": jp2(RGB),
        "jpeg2000 16": jp2(RGBA16),
        "jpeg2000 bare": jp2(RGB[..., 0].copy(), kind="J2K"),
        "jpeg2000 tiles": saved(image, "JPEG2000", tile_size=(16, 16)),
        "jpeg2000 sycc": jp2(RGB, colorspace="SYCC", mct=False),
        "psd": psd(planes_of(RGB), 3, layers=2, resources=resource(0x040F, ICC) + resource(0x0404, b"\x1c\2\5\0\3Sea")),
        "psd packed": psd(planes_of(RGBA), 3, packed=True, layers=-2),
        "psd cmyk": psd(planes_of(RGBA16), 4),
        "psd big": psd(planes_of(RGB[..., :1]), 1, is_big=True, packed=True),
        "tga": saved(alpha, "TGA"),
        "tga packed": saved(image, "TGA", compression="tga_rle", orientation=-1),
        "tga palette": saved(image.quantize(16), "TGA"),
        "ico png": icon("png"),
        "ico bmp": icon("bmp"),
        "ico palette": icon("bmp", "P"),
        "ico cursor": cursor(icon("bmp")),
        "qoi": bytes(imagecodecs.qoi_encode(RGBA)),
        "dds": saved(alpha, "DDS"),
        "dds dxt": saved(alpha, "DDS", pixel_format="DXT5"),
        "dds bc7": dds10(blocks[: 6 * 10 * 16], 98),
        "hdr": hdr(light()),
    }
