"""Small images of every kind, and ways to damage them. Independent of the package."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from support import jxl_data
from support.tiffs import ASCII, BYTE, DOUBLE, LONG, SHORT, built, page

HEIGHT, WIDTH = 23, 37
_RNG = np.random.default_rng(7)
RGB = _RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
RGB16 = _RNG.integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ICC = _PROFILE[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + _PROFILE[36:]  # a fixed creation time
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r" tiff:Orientation="6"/></x:xmpmeta>'


_RDF = b"http://www.w3.org/1999/02/22-rdf-syntax-ns#"
FACE = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="%b"><rdf:Description tiff:Orientation="6"'
    b' xmlns:r="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:a="http://ns.adobe.com/xmp/sType/Area#"'
    b' xmlns:n="http://ns.adobe.com/xmp/note/" xmlns:g="http://ns.google.com/photos/1.0/panorama/"'
    b' g:FullPanoWidthPixels="74" n:HasExtendedXMP="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"><r:Regions><rdf:Description>'
    b'<r:RegionList><rdf:Bag><rdf:li><rdf:Description><r:Area a:x="0.5" a:y="0.25" a:w="0.1" a:h="0.2"/>'
    b"</rdf:Description></rdf:li></rdf:Bag></r:RegionList></rdf:Description></r:Regions></rdf:Description></rdf:RDF>"
    b"</x:xmpmeta>"
) % _RDF


def saved(image: Image.Image, kind: str, **settings: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def tiff(pixels: np.ndarray, *more: np.ndarray, **settings: object) -> bytes:
    file = io.BytesIO()
    head = {name: settings.pop(name) for name in ("bigtiff", "byteorder") if name in settings}
    with tifffile.TiffWriter(file, **head) as writer:
        for page in (pixels, *more):
            writer.write(page, **settings)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height: int, width: int, depth: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG built by hand."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pieces = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*piece) for piece in pieces)


def png_of_rows(width: int, depth: int, colour_type: int, rows: list[bytes], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG built by hand from rows that are not filtered."""
    return png(len(rows), width, depth, colour_type, b"".join(b"\0" + row for row in rows), *chunks)


def animated_png(
    height: int, width: int, depth: int, colour_type: int, frames: tuple, *chunks: tuple[bytes, bytes],
    still: np.ndarray | None = None,
) -> bytes:  # fmt: skip
    """An animated PNG built by hand; frame n is (pixels, left, top, disposal, blending), shown n/30 s.

    Pixels are (height, width, channels) in levels of that depth, or indices; all but the first are in two chunks.
    """
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pieces = [(b"IHDR", head), (b"acTL", struct.pack(">II", len(frames), 0)), *chunks]
    pieces += [(b"IDAT", _deflated(still, depth))] if still is not None else []
    number = 0
    for index, (pixels, left, top, disposal, blending) in enumerate(frames):
        control = (number, pixels.shape[1], pixels.shape[0], left, top, index + 1, 30, disposal, blending)
        pieces.append((b"fcTL", struct.pack(">5I2H2B", *control)))
        data, number = _deflated(pixels, depth), number + 1
        if index == 0 and still is None:
            pieces.append((b"IDAT", data))
            continue
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            pieces.append((b"fdAT", struct.pack(">I", number) + part))
            number += 1
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*piece) for piece in (*pieces, (b"IEND", b"")))


def _deflated(pixels: np.ndarray, depth: int) -> bytes:
    size_bytes = max(1, depth // 8)
    stored = pixels.astype(f">u{size_bytes}").view(np.uint8).reshape(*pixels.shape, size_bytes)
    bits = np.unpackbits(stored, axis=3)
    rows = np.packbits(bits[..., -depth:].reshape(len(pixels), pixels.shape[1] * pixels.shape[2] * depth), axis=1)
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))


def bmp_of_masks(bits: int, masks: tuple[int, ...], pixels: np.ndarray) -> bytes:
    """A BMP of whole-byte pixels with masks for red, green, blue and alpha, followed by an ICC profile."""
    height, width = pixels.shape
    rows = [row.astype(f"<u{bits // 8}").tobytes() for row in pixels[::-1]]
    data = b"".join(row.ljust((len(row) + 3) // 4 * 4, b"\0") for row in rows)
    head = struct.pack("<IiiHHIIIIII", 124, width, height, 1, bits, 3, 0, 11811, 11811, 0, 0)
    head += struct.pack("<4I", *masks) + b"DEBM" + bytes(48) + struct.pack("<4I", 4, 124 + len(data), len(ICC), 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(head)) + head + data + ICC


def with_codes(avif: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF written by Pillow, with its colour codes replaced."""
    at = avif.index(b"colrnclx") + 8
    return avif[:at] + struct.pack(">HH", primaries, transfer) + avif[at + 4 :]


def partial_frames(pixels: np.ndarray) -> tuple:
    """Three frames: the whole canvas, a part that is removed again, and a part that leaves a hole."""
    return (pixels, 0, 0, 0, 0), (pixels[:9, :14], 5, 3, 2, 1), (pixels[9:12, 3:20], 11, 7, 1, 0)


def exif() -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F], block[0x011A] = 6, "Maker", 300.0
    block.get_ifd(0x8769).update({0xA002: WIDTH, 0xA003: HEIGHT, 0x9003: "2026:11:21 13:00:00"})
    block.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    return block.tobytes()


def jpeg_with_segments(data: bytes) -> bytes:
    """A JPEG with the segments that Photoshop, panorama software and cameras add."""
    extension = b"<x><rdf:RDF xmlns:rdf='%b'><rdf:Description a='b'/></rdf:RDF></x>" % _RDF
    held = {0x0404: b"\x1c\2\5\0\3Sea", 0x07D0: b"path", 0x03ED: bytes(range(16)), 0x0428: bytes(12)}
    resources = b"".join(
        b"8BIM" + struct.pack(">HHI", code, 0, len(body)) + body + bytes(len(body) % 2) for code, body in held.items()
    )
    images = struct.pack("<IIIHH", 0x030000, 9, 0, 0, 0) + struct.pack("<IIIHH", 0, 9, 99, 0, 0)
    index = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0xB002, 7, len(images), 26, 0) + images
    bodies = (
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", len(extension), 0) + extension),
        (0xED, b"Photoshop 3.0\0" + resources[:40]),
        (0xED, b"Photoshop 3.0\0" + resources[40:]),
        (0xE2, b"MPF\0" + index),
        (0xE1, b"FLIR\0\1\0\1"),
    )
    segments = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in bodies)
    return data[:2] + segments + data[2:]


def good_files() -> dict[str, bytes]:
    """One file of every kind that we read; the first word of its name is its format."""
    image, other = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    grey, alpha = image.convert("L"), image.copy()
    alpha.putalpha(Image.fromarray(RGB[..., 1]))
    palette, text = image.quantize(16), PngImagePlugin.PngInfo()
    for keyword, value in (("Title", "A title"), ("Comment", "多")):
        text.add_itxt(keyword, value, zip=True)
    full = {"icc_profile": ICC, "exif": exif(), "dpi": (300, 300)}
    frames = {"save_all": True, "append_images": [other, image], "duration": 40}
    rows16 = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RGB16)
    strips = {"photometric": "rgb", "rowsperstrip": 7}
    return {
        "jpeg full": saved(image, "JPEG", xmp=XMP, comment=b"remark", **full),
        "jpeg cmyk": saved(image.convert("CMYK"), "JPEG"),
        "jpeg progressive": saved(image, "JPEG", progressive=True, quality=60),
        "jpeg segments": jpeg_with_segments(saved(image, "JPEG", xmp=FACE)),
        "jpeg 12 bits": bytes(imagecodecs.jpeg8_encode(RGB16 >> 4, bitspersample=12)),
        "jpeg lossless": bytes(imagecodecs.jpeg8_encode(RGB, lossless=True)),
        "jpeg mpo": saved(image, "MPO", save_all=True, append_images=[other]),
        "png full": saved(alpha, "PNG", pnginfo=text, **full),
        "png palette": saved(palette, "PNG", transparency=bytes(range(16))),
        "png bits": saved(grey.convert("1"), "PNG"),
        "png 16": png(HEIGHT, WIDTH, 16, 2, rows16),
        "png animated": saved(image, "PNG", **frames),
        "png animated 16": animated_png(
            HEIGHT, WIDTH, 16, 6, partial_frames(np.dstack((RGB16, RGB16[..., :1])))
        ),
        "png animated palette": animated_png(
            HEIGHT, WIDTH, 4, 3, partial_frames(RGB[..., :1] % 16), (b"PLTE", bytes(range(48))), (b"tRNS", bytes(9))
        ),
        "png chunks": png_of_rows(
            WIDTH, 8, 3, [row[:, 0].tobytes() for row in RGB % 16], (b"cICP", b"\x09\x10\0\1"), (b"sBIT", b"\5\6\5"),
            (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", struct.pack(">8I", *range(30000, 30008))),
            (b"cLLI", bytes(8)),
            (b"PLTE", bytes(range(48))), (b"tRNS", bytes(range(9))), (b"bKGD", b"\1"), (b"prVt", b"private"),
            (b"pHYs", struct.pack(">IIB", 4, 3, 0)), (b"tIME", bytes(7)),
        ),
        "webp full": saved(image, "WEBP", icc_profile=ICC, exif=exif(), xmp=XMP),
        "webp lossless": saved(alpha, "WEBP", lossless=True),
        "webp animated": saved(image, "WEBP", **frames),
        "tiff full": saved(image, "TIFF", **full),
        "tiff lzw": saved(palette, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": saved(image, "TIFF", compression="jpeg"),
        "tiff fax": saved(grey.convert("1"), "TIFF", compression="group4"),
        "tiff pages": tiff(RGB, 255 - RGB, compression="zlib", predictor=True, **strips),
        "tiff 16 tiled": tiff(RGB16, photometric="rgb", tile=(16, 32), compression="zlib"),
        "tiff big": tiff(RGB16, bigtiff=True, byteorder=">", **strips),
        "tiff planar": tiff(np.moveaxis(RGB16, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
        "tiff float": tiff(RGB16[..., 0].astype(np.float32) / 65535, photometric="minisblack"),
        "tiff alpha": tiff(np.dstack((RGB, RGB[..., :1])), photometric="rgb", extrasamples=["unassalpha"]),
        "tiff associated": tiff(
            np.dstack((RGB // 2, RGB[..., :1] | 128)), photometric="rgb", extrasamples=["assocalpha"]
        ),
        "tiff lab": tiff(RGB, photometric="cielab", compression="lzw", predictor=True, rowsperstrip=7),
        "tiff lab 16": tiff(RGB16, photometric="icclab", tile=(16, 32)),
        "tiff cmyk 16": tiff(np.dstack((RGB16, RGB16[..., :1])), photometric="separated", compression="lzw"),
        "tiff jxl": tiff(RGB, photometric="rgb", compression="jpegxl", tile=(16, 32)),
        "tiff lerc": tiff(RGB16[..., 0].copy(), photometric="minisblack", compression="lerc", rowsperstrip=7),
        "tiff jpeg 2000": tiff(RGB, photometric="rgb", compression="jpeg2000", tile=(16, 32)),
        "tiff ome": tiff_of(
            np.stack((RGB16[..., 0], RGB16[..., 1])), ome=True, photometric="minisblack", metadata={"UUID": "uuid:1"}
        ),
        **_odd_tiffs(),
        "jxl": bytes(imagecodecs.jpegxl_encode(RGB, level=90)),
        "jxl deep": bytes(imagecodecs.jpegxl_encode(RGB16)),
        "jxl animated": jxl_data.ANIMATION,
        "jxl jpeg": jxl_data.TURNED,
        "jxl profile": jxl_data.PROFILE,
        "jxl profile in xyb": jxl_data.PROFILE_IN_XYB,
        "bmp": saved(image, "BMP", dpi=(300, 300)),
        "bmp palette": saved(palette, "BMP"),
        "bmp masks": bmp_of_masks(16, (0xF00, 0xF0, 0xF, 0xF000), RGB16[..., 0]),
        "bmp deep": bmp_of_masks(32, (0x3FF, 0xFFC00, 0x3FF00000, 0), RGB16[..., 0]),
        "gif animated": saved(palette, "GIF", save_all=True, append_images=[other.quantize(16)], loop=3, comment=b"hi"),
        "pnm 16": b"P6\n%d %d\n65535\n" % (WIDTH, HEIGHT) + RGB16.astype(">u2").tobytes(),
        "pnm bits": b"P4\n%d %d\n" % (WIDTH, HEIGHT) + np.packbits(RGB[..., 0] > 99, axis=1).tobytes(),
        "pnm plain": b"P3\n%d %d\n255\n" % (WIDTH, HEIGHT) + " ".join(map(str, RGB.ravel())).encode(),
        "pnm pam": b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 2\nMAXVAL 99\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n" % (WIDTH, HEIGHT)
        + (RGB[..., :2] % 100).tobytes(),
        "avif colour": with_codes(saved(alpha, "AVIF", speed=10), 9, 16),
        "avif": saved(image, "AVIF", speed=10, **{key: full[key] for key in ("icc_profile", "exif")}),
    }  # fmt: skip


def tiff_of(pixels: np.ndarray, **settings: object) -> bytes:
    """A TIFF as tifffile writes it for other programs."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **settings)
    return file.getvalue()


def _odd_tiffs() -> dict[str, bytes]:
    """Files of other programs: stacks in one directory, masks and copies, georeferences, rare kinds of pixels."""
    grey = RGB[..., 0].copy()
    side = HEIGHT, WIDTH
    plain = page(*side, grey.tobytes(), t269=(ASCII, b"words\0"), t65000=(LONG, 7))
    text = b"ImageJ=1.53t\nimages=3\nxorigin=2\n\0"
    stack = page(*side, grey.tobytes() * 3, t270=(ASCII, text), t279=(LONG, grey.size))
    mask = page(*side, bytes(HEIGHT * -(-WIDTH // 8)), bits=1, photometric=4, t254=(LONG, 4))
    small = page(2, 3, bytes(6), t254=(LONG, 1))
    keys = (1, 1, 0, 1, 1025, 0, 1, 2)
    geo = page(*side, grey.tobytes(), t33550=(DOUBLE, (1, 1, 0)), t33922=(DOUBLE, range(6)), t34735=(SHORT, keys))
    below = {0: (BYTE, b"\2\3\0\0"), 1: (ASCII, b"N\0")}
    signed = page(*side, grey.tobytes() * 2, bits=16, t339=(SHORT, 2), t34853=below, t330={254: (LONG, 1)})
    colours = page(*side, bytes(HEIGHT * -(-WIDTH // 8)), bits=1, photometric=3, t320=(SHORT, range(6)))
    chroma = page(*side, bytes(6 * 12 * 19), photometric=6, samples=3, t530=(SHORT, (2, 2)))
    return {
        "tiff imagej": built(stack), "tiff copies": built(small, plain, mask, small, plain), "tiff geo": built(geo),
        "tiff signed": built(signed, order=">"), "tiff one bit": built(colours), "tiff chroma": built(chroma),
    }  # fmt: skip


_NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, other: bytes, random_: random.Random) -> bytes:
    """The same file with random damage, sometimes with bytes of `other`."""
    changed = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 3, 6, 12))):
        at = random_.randrange(max(1, min(len(changed), random_.choice((64, 512, len(changed) or 1)))))
        size = random_.choice((1, 2, 4, 8, 16, 64))
        match random_.randrange(7):
            case 0 | 1:
                if at < len(changed):
                    changed[at] ^= 1 << random_.randrange(8)
            case 2:
                width = random_.choice((1, 2, 4))
                number = random_.choice(_NUMBERS) & (256**width - 1)
                changed[at : at + width] = number.to_bytes(width, random_.choice(("little", "big")))
            case 3:
                del changed[at : at + size]
            case 4:
                changed[at:at] = changed[at : at + size] * random_.choice((1, 2, 50))
            case 5:
                start = random_.randrange(len(other))
                changed[at : at + size] = other[start : start + size]
            case 6:
                del changed[random_.randrange(len(changed) + 1) :]
    if changed.startswith(b"\x89PNG") and random_.random() < 0.7:
        return with_valid_checksums(bytes(changed))
    return bytes(changed)


def with_valid_checksums(data: bytes) -> bytes:
    """A PNG with valid checksums, so that its damaged chunks are not refused for their checksums alone."""
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4], "big")
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = zlib.crc32(fixed[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(fixed)


def truncated(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Every tenth of a file: (tenths, bytes)."""
    yield from ((tenth, data[: len(data) * tenth // 10]) for tenth in range(10))
