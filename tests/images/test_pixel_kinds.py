"""The meaning of stored pixels: every pixel type, compared with the arrays it was made from."""

import io
import struct
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image
from support.corpus import png_of_rows as png
from support.corpus import saved, tiff
from support.facts import lines
from support.reading import rows_of

from upsample_cli.errors import ImageError
from upsample_cli.images.model import Layout
from upsample_cli.images.open import open_image, probe

HEIGHT, WIDTH = 21, 37
RNG = np.random.default_rng(20)
GREY8 = RNG.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
GREY16 = RNG.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
RGB = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
RGBA = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
RGB16 = RNG.integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
INDEX = RNG.integers(0, 16, (HEIGHT, WIDTH), np.uint8)
BITS = GREY8 > 99


def palette_image(colours):
    image = Image.frombytes("P", (WIDTH, HEIGHT), INDEX.tobytes())
    image.putpalette(np.asarray(colours, np.uint8).tobytes())
    return image


GREYS = np.repeat(np.arange(255, -1, -17)[:, None], 3, axis=1)
COLOURS = RNG.integers(0, 256, (16, 3))
OPACITIES = RNG.integers(0, 255, 16)
HALF_BITS = Image.fromarray(GREY8).point([0] * 100 + [255] * 156).convert("1")
GREY_ALPHA = Image.merge("LA", [Image.fromarray(np.ascontiguousarray(RGBA[..., c])) for c in (0, 1)])


def with_alpha(colour, alpha):
    return np.concatenate([colour, np.asarray(alpha)[..., None]], axis=2)


KINDS = {
    "1": ([saved(HALF_BITS, kind) for kind in ("PNG", "TIFF", "BMP", "GIF")], BITS[..., None] * 255),
    "L": ([saved(Image.fromarray(GREY8), kind) for kind in ("PNG", "TIFF", "BMP", "GIF")], GREY8[..., None]),
    "LA": ([saved(GREY_ALPHA, kind) for kind in ("PNG", "TIFF")], RGBA[..., :2]),
    "RGB": (
        [saved(Image.fromarray(RGB), kind) for kind in ("PNG", "TIFF", "BMP")]
        + [saved(Image.fromarray(RGB), "WEBP", lossless=True)]
        + [tiff(RGB, photometric="rgb", **how) for how in ({"tile": (16, 16)}, {"bigtiff": True}, {"byteorder": ">"})]
        + [tiff(np.ascontiguousarray(RGB.transpose(2, 0, 1)), photometric="rgb", planarconfig="separate")],
        RGB,
    ),
    "RGBA": (
        [saved(Image.fromarray(RGBA), kind) for kind in ("PNG", "TIFF")]
        + [saved(Image.fromarray(RGBA), "WEBP", lossless=True, exact=True)],
        RGBA,
    ),
    "RGBX": ([tiff(RGBA, photometric="rgb", extrasamples=["unspecified"])], RGBA[..., :3]),
    "CMYK": ([saved(Image.frombytes("CMYK", (WIDTH, HEIGHT), RGBA.tobytes()), "TIFF")], RGBA),
    "P": ([saved(palette_image(COLOURS), kind) for kind in ("PNG", "TIFF", "BMP", "GIF")], COLOURS[INDEX]),
    "P of greys": ([saved(palette_image(GREYS), kind) for kind in ("PNG", "TIFF", "GIF")], GREYS[INDEX][..., :1]),
    "P, one clear": (
        [saved(palette_image(COLOURS), "PNG", transparency=3)],
        with_alpha(COLOURS[INDEX], np.where(INDEX == 3, 0, 255)),
    ),
    "P, opacities": (
        [saved(palette_image(COLOURS), "PNG", transparency=bytes(OPACITIES.astype(np.uint8)))],
        with_alpha(COLOURS[INDEX], OPACITIES[INDEX]),
    ),
    "P, all opaque": ([saved(palette_image(COLOURS), "PNG", transparency=b"\xff" * 16)], COLOURS[INDEX]),
    "P of greys, one clear": (
        [saved(palette_image(GREYS), "PNG", transparency=3)],
        with_alpha(GREYS[INDEX][..., :1], np.where(INDEX == 3, 0, 255)),
    ),
    "I;16": (
        [saved(Image.fromarray(GREY16), kind) for kind in ("PNG", "TIFF")]
        + [tiff(GREY16, byteorder=order, compression=how) for order in "<>" for how in (None, "zlib")],
        GREY16[..., None],
    ),
    "I;16, white is 0": ([tiff(65535 - GREY16, photometric="miniswhite")], GREY16[..., None]),
    "L, white is 0": ([tiff(255 - GREY8, photometric="miniswhite")], GREY8[..., None]),
    "1, key": ([saved(HALF_BITS, "PNG", transparency=0)], np.stack([BITS * 255] * 2, axis=2)),
    "L, key": (
        [saved(Image.fromarray(GREY8), "PNG", transparency=int(GREY8[3, 4]))],
        np.stack([GREY8, np.where(GREY8[3, 4] == GREY8, 0, 255)], axis=2),
    ),
    "RGB, key": (
        [saved(Image.fromarray(RGB), "PNG", transparency=tuple(map(int, RGB[3, 4])))],
        with_alpha(RGB, np.where((RGB[3, 4] == RGB).all(axis=2), 0, 255)),
    ),
    "I;16, key": (
        [saved(Image.fromarray(GREY16), "PNG", transparency=int(GREY16[3, 4]))],
        np.stack([GREY16, np.where(GREY16[3, 4] == GREY16, 0, 65535)], axis=2),
    ),
    "2 bits, key": ([png(4, 2, 0, [b"\x1b"], (b"tRNS", b"\0\2"))], [[[0, 255], [85, 255], [170, 0], [255, 255]]]),
    "4 bits, key": ([png(2, 4, 0, [b"\x7a"], (b"tRNS", b"\0\7"))], [[[119, 0], [170, 255]]]),
    "16-bit LA": (
        [png(2, 16, 4, [bytes([9, 0, 7, 0, 200, 99, 100, 0])])],
        [[[9 << 8, 7 << 8], [200 << 8 | 99, 100 << 8]]],
    ),
    "16-bit RGB": (
        [png(WIDTH, 16, 2, [row.astype(">u2").tobytes() for row in RGB16])]
        + [
            tiff(RGB16, photometric="rgb", byteorder=order, compression=how) for order in "<>" for how in (None, "zlib")
        ],
        RGB16,
    ),
}
CASES = [(name, data, wanted) for name, (files, wanted) in KINDS.items() for data in files]


@pytest.mark.parametrize(("name", "data", "wanted"), CASES, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)])
def test_pixels_of_every_type_are_read_exactly(name, data, wanted):
    rows, info = rows_of(data)
    wanted = np.asarray(wanted)
    assert rows.shape == wanted.shape
    assert rows.dtype == info.layout.dtype
    assert rows.flags.writeable
    np.testing.assert_array_equal(rows, wanted)
    assert info.layout.channels == wanted.shape[2]
    assert probe(io.BytesIO(data)) == info
    assert not any("bits" in warning for warning in lines(info.losses))


def test_a_12_bit_tiff_is_stretched_to_16():
    """Two samples are stored in three bytes, and full scale must stay full scale."""
    values = np.array([[0, 4095, 2048, 1]])
    packed = bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x01])
    entries = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 200), (277, 1), (278, 1), (279, 6)]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    data = (b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4)).ljust(200, b"\0") + packed
    rows, info = rows_of(data)
    assert info.layout == Layout("grey", depth=16)
    np.testing.assert_array_equal(rows[..., 0], np.round(values * 65535 / 4095).astype(int) // 16 * 16 + values // 256)


def test_premultiplied_alpha_is_divided_out():
    straight = np.array([[[200, 100, 50, 128]]])
    stored = np.array([[[100, 50, 25, 128]]], np.uint8)
    rows, info = rows_of(tiff(stored, photometric="rgb", extrasamples=["assocalpha"]))
    assert info.layout == Layout("rgb", alpha=True)
    assert np.abs(rows.astype(int) - straight).max() <= 1  # 8-bit premultiplied values store the colour to 1 in 128


def test_an_inverted_cmyk_jpeg_from_adobe_is_read_as_ink():
    ink = np.zeros((16, 16, 4), np.uint8) + np.array([10, 200, 60, 30], np.uint8)
    data = saved(Image.frombytes("CMYK", (16, 16), ink.tobytes()), "JPEG", quality=100)
    assert b"Adobe" in data
    rows, info = rows_of(data)
    assert info.layout == Layout("cmyk")
    assert np.abs(rows.astype(int) - ink).max() <= 1  # flat blocks lose at most the rounding of one coefficient


def test_a_grey_palette_with_a_profile_stays_rgb():
    """The profile would be an RGB profile."""
    _, info = rows_of(saved(palette_image(GREYS), "PNG", icc_profile=b"p" * 200))
    assert info.layout == Layout("rgb")


REFUSED = {
    "signed with alpha": tiff(np.zeros((6, 9, 2), np.int16), photometric="minisblack", extrasamples=["unassalpha"]),
    "signed 64": tiff(GREY16.astype(np.int64)),
    "unsigned 64": tiff(GREY16.astype(np.uint64)),
    "volume": tiff(np.zeros((8, 32, 32), np.uint8), volumetric=True, tile=(8, 16, 16), photometric="minisblack"),
    "complex": tiff(GREY16.astype(np.complex64)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_pixels_are_refused_with_a_next_step(name):
    for opener in (probe, open_image):
        with pytest.raises(ImageError, match=r"support.*; convert it to RGB or grey of 8 or 16 bits first"):
            opener(io.BytesIO(REFUSED[name]))


@pytest.mark.parametrize(
    ("kind", "settings_", "lossless"),
    [
        ("PNG", {}, True),
        ("BMP", {}, True),
        ("GIF", {}, True),
        ("TIFF", {}, True),
        ("TIFF", {"compression": "jpeg"}, False),
        ("WEBP", {"lossless": True}, True),
        ("WEBP", {"lossless": True, "icc_profile": b"p" * 129}, True),
        ("WEBP", {}, False),
        ("WEBP", {"icc_profile": b"p" * 129}, False),
        ("JPEG", {}, False),
        ("AVIF", {}, False),
    ],
)
def test_lossless_and_lossy_files_are_told_apart(kind, settings_, lossless):
    assert probe(io.BytesIO(saved(Image.fromarray(RGB), kind, **settings_))).lossless == lossless


# 16x16 pixels with 10 bits per channel, which Pillow cannot write: made once with imagecodecs from np.arange.
AVIF_OF_10_BITS = b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAA"
    "AAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAKAAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEA"
    "AGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAEAAAABAAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAA"
    "AAAAE2NvbHJuY2x4AAIAAgAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAMG1kYXQSAAoIOAz/2sCAgaQyGhlCYwTE000zQAAA"
    "dYRtmQ+3FUotv59XWcPQ"
)


def test_a_high_depth_avif_is_a_loss():
    rows, info = rows_of(AVIF_OF_10_BITS)
    assert rows.shape == (16, 16, 3)
    assert lines(info.losses) == ("10 bits per channel are read as 8",)
    assert probe(io.BytesIO(saved(Image.fromarray(RGB), "AVIF"))).losses == ()
