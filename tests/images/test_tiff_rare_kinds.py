"""Pixel types that are rare in TIFF: read if a library reads them correctly, otherwise refused by name."""

import contextlib
import io
import struct
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from support.facts import lines
from support.reading import rows_of
from support.tiffs import LONG, RATIONAL, SHORT, built, page

from upsample_cli.errors import ImageError
from upsample_cli.images.model import Layout

HEIGHT, WIDTH = 32, 48
Y, X = np.mgrid[:HEIGHT, :WIDTH]
SMOOTH = np.stack([Y * 7, X * 5, 255 - X * 3 - Y], 2).astype(np.uint8)
BT_709 = (2126, 10000, 7152, 10000, 722, 10000)
BT_601 = (299, 1000, 587, 1000, 114, 1000)


def jpeg(subsampling):
    file = io.BytesIO()
    Image.fromarray(SMOOTH).save(file, "JPEG", quality=95, subsampling=subsampling)
    return file.getvalue()


def jpeg_in_pieces(data):
    """The scan of a JPEG, its quantization tables, and its Huffman tables for DC and AC, by number."""
    found, at = {"q": [], 0: {}, 1: {}}, 2
    while True:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + size]
        at += 2 + size
        if marker == 0xDA:
            return data[at:-2], found["q"], found[0], found[1]
        while marker == 0xDB and body:
            found["q"].append(body[1:65])
            body = body[65:]
        while marker == 0xC4 and body:
            length = 17 + sum(body[1:17])
            found[body[0] >> 4][body[0] & 15] = body[1:length]
            body = body[length:]


def old_jpeg(subsampling, *, whole):
    """Old-style JPEG: a whole file, or tables that tags point to and strips with only scans."""
    stated = (SHORT, (2, 2) if subsampling == 2 else (1, 1))
    tags = {"t259": (SHORT, 6), "t512": (SHORT, 1), "t530": stated}
    data = jpeg(subsampling)
    if whole:
        tags |= {"t513": (LONG, 8), "t514": (LONG, len(data))}
        return built(page(HEIGHT, WIDTH, data, photometric=6, samples=3, **tags))
    scan, quantization, dc, ac = jpeg_in_pieces(data)
    stored, offsets = bytearray(scan + bytes(len(scan) % 2)), []
    for luma, chroma in (quantization[:2], (dc[0], dc[1]), (ac[0], ac[1])):
        at = []
        for table in (luma, chroma):
            at.append(8 + len(stored))
            stored += table + bytes(len(table) % 2)
        offsets.append((LONG, (at[0], at[1], at[1])))
    tags |= dict(zip(("t519", "t520", "t521"), offsets, strict=True)) | {"t273": (LONG, 8), "t279": (LONG, len(scan))}
    return built(page(HEIGHT, WIDTH, bytes(stored), photometric=6, samples=3, **tags))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_old_style_jpeg_is_read(subsampling, whole):
    rows, info = rows_of(old_jpeg(subsampling, whole=whole))
    wanted = np.array(Image.open(io.BytesIO(jpeg(subsampling)))).astype(int)
    # libtiff does not smooth the chroma.
    assert np.abs(rows - wanted).mean() < (3 if subsampling and not whole else 0.01)
    assert np.abs(rows[..., ::-1] - wanted).mean() > 20  # the control
    assert not info.lossless


def ycbcr(side, compression, **tags):
    """Uncompressed YCbCr: blocks of luma, each followed by its chroma."""
    stored = np.array(Image.fromarray(SMOOTH).convert("YCbCr"))
    down, across = HEIGHT // side, WIDTH // side
    luma = stored[..., 0].reshape(down, side, across, side).transpose(0, 2, 1, 3).reshape(down, across, -1)
    data = np.concatenate([luma, stored[::side, ::side, 1:]], 2).tobytes()
    data = zlib.compress(data) if compression == 8 else data
    tags |= {"t259": (SHORT, compression), "t530": (SHORT, (side, side))}
    return built(page(HEIGHT, WIDTH, data, photometric=6, samples=3, **tags))


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("side", [1, 2, 4])
def test_subsampled_ycbcr_without_jpeg_is_read(side, compression):
    rows, info = rows_of(ycbcr(side, compression))
    assert np.abs(rows.astype(int) - SMOOTH).mean() < 2 * side
    assert info.layout == Layout("rgb")


def test_other_ycbcr_coefficients_are_applied_or_reported():
    """libtiff applies them if the data is not JPEG; JPEG decoders know only one set."""
    for side in (1, 2):
        for compression in (1, 8):
            stored = (ycbcr(side, compression, t529=(RATIONAL, numbers)) for numbers in (BT_601, BT_709))
            common, other = (rows_of(data)[0].astype(int) for data in stored)
            assert np.abs(common - other).max() > 20
    loss = ("its YCbCr is read as BT.601 in its whole range, although it states another coding",)
    narrow = (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)
    full = (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)
    for tags, warnings in (
        ({}, ()),
        ({"t529": (RATIONAL, BT_601), "t532": (RATIONAL, full)}, ()),
        ({"t529": (RATIONAL, BT_709)}, loss),
        ({"t532": (RATIONAL, narrow)}, loss),
    ):
        data = built(
            page(HEIGHT, WIDTH, jpeg(0), photometric=6, samples=3, t259=(SHORT, 7), t530=(SHORT, (1, 1)), **tags)
        )
        assert lines(rows_of(data)[1].losses) == warnings


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("dtype", "kind"), [(np.int8, 2), (np.int16, 2), (np.int32, 2), (np.uint32, 1)])
def test_signed_and_long_pixels_keep_their_values(dtype, kind, order):
    numbers = np.linspace(np.iinfo(dtype).min, np.iinfo(dtype).max, 54).astype(dtype).reshape(6, 9)
    data = numbers.astype(np.dtype(dtype).newbyteorder(order)).tobytes()
    rows, info = rows_of(built(page(6, 9, data, bits=8 * numbers.itemsize, t339=(SHORT, kind)), order=order))
    assert info.layout == Layout("grey", depth=32)
    np.testing.assert_array_equal(rows[..., 0], numbers.astype(np.float32))
    (loss,) = lines(info.losses)
    assert "are read as floating point" in loss
    assert ("rounded" in loss) == (numbers.itemsize == 4)


@pytest.mark.parametrize("compression", [33003, 33005, 34712])
def test_jpeg_2000_without_one_of_its_tiles_is_refused(compression):
    pixels = np.random.default_rng(4).integers(0, 256, (23, 37, 3), np.uint8)
    codestream = io.BytesIO()
    Image.fromarray(pixels).save(codestream, "JPEG2000", tile_size=(16, 16), no_jp2=True)
    data = codestream.getvalue()
    stored = {"photometric": 2, "samples": 3, "t259": (SHORT, compression)}
    np.testing.assert_array_equal(rows_of(built(page(23, 37, data, **stored)))[0], pixels)
    last = data.rindex(b"\xff\x90\0\x0a\0\5")
    with pytest.raises(ImageError, match="is truncated"):
        rows_of(built(page(23, 37, data[:last] + b"\xff\xd9", **stored)))


@pytest.mark.parametrize("codestream", ["more tiles than have numbers", "no codestream"])
def test_jpeg_2000_of_countless_tiles_is_refused_at_once(codestream):
    """Its header states 2**64 tiles of one pixel, which were collected in memory; without a header, any number."""
    pixels = np.zeros((23, 37, 3), np.uint8)
    data = bytearray(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"))
    stored = {"photometric": 2, "samples": 3, "t259": (SHORT, 34712)}
    np.testing.assert_array_equal(rows_of(built(page(23, 37, bytes(data), **stored)))[0], pixels)  # the control
    far = 2**32 - 64
    struct.pack_into(">8I", data, 8, far + 37, far + 23, far, far, 1, 1, 0, 0)
    stored_bytes = bytes(data) if codestream != "no codestream" else bytes(data[2:])
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="is damaged"):
            rows_of(built(page(23, 37, stored_bytes, **stored)))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_three_channels_without_a_photometric_tag_are_rgb():
    tags, data = page(HEIGHT, WIDTH, SMOOTH.tobytes(), samples=3)
    del tags[262]
    rows, info = rows_of(built((tags, data)))
    assert (info.layout, lines(info.losses)) == (Layout("rgb"), ())
    np.testing.assert_array_equal(rows, SMOOTH)


REFUSED = {
    "a transparency mask": {"bits": 1, "photometric": 4},
    "LogLuv light": {"bits": 16, "samples": 3, "photometric": 32845},
    "ITU Lab colours": {"samples": 3, "photometric": 10},
    "complex numbers": {"bits": 64, "t339": (SHORT, 6)},
    "whole numbers of 64 bits": {"bits": 64},
    "signed numbers": {"photometric": 0, "t339": (SHORT, 2)},
    r"channels of different depths \(\(5, 6, 5\)\)": {"samples": 3, "photometric": 2, "t258": (SHORT, (5, 6, 5))},
    "inks other than CMYK": {"samples": 4, "photometric": 5, "t332": (SHORT, 2)},
    "a volume of several slices": {"t32997": (LONG, 3)},
    "pixels in JPEG XR": {"samples": 3, "photometric": 2, "t259": (SHORT, 22610)},
}


@pytest.mark.parametrize("what", REFUSED)
def test_unsupported_kinds_are_refused_by_name(what):
    data = built(page(6, 9, bytes(6 * 9 * 8 * 3), **REFUSED[what]))
    with pytest.raises(ImageError, match=f"holds {what}.*, which is not supported") as caught:
        rows_of(data)
    assert caught.value.failure.kind == "unsupported"


@pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "jpeg", "tiff_adobe_deflate"])
def test_libtiff_prints_nothing_about_damage(compression, capfd):
    mode = "1" if compression == "group4" else "RGB"
    file = io.BytesIO()
    Image.fromarray(SMOOTH).convert(mode).save(file, "TIFF", compression=compression)
    for seed in range(20):
        data = bytearray(file.getvalue())
        for place in np.random.default_rng(seed).integers(8, len(data), 9):
            data[place] ^= 0x55
        with contextlib.suppress(ImageError):
            rows_of(bytes(data))
    assert capfd.readouterr() == ("", "")
