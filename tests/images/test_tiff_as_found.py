"""TIFFs as other programs write them: palettes with 8-bit entries, full-height last strips, masks, reduced copies."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from support.facts import lines
from support.reading import rows_of
from support.tiffs import SHORT, built, page

from upsample_cli.errors import ImageError
from upsample_cli.images.model import Layout

COLOURS = np.array([[255, 200, 0], [0, 30, 90], [7, 8, 255], [128, 128, 129]], np.uint16)
INDICES = np.arange(8 * 16).reshape(8, 16) % 4


def palette_tiff(bits, entries, indices=INDICES):
    """Palette pixels with this many bits; the entries of the colour map as stored."""
    stored = np.zeros((3, 1 << bits), np.uint16)
    stored[:, : len(entries)] = np.asarray(entries, np.uint16).T
    dtype = np.uint8 if bits <= 8 else np.uint16
    data = imagecodecs.packints_encode(indices.astype(dtype), bits, runlen=16) if bits < 8 else indices.astype(dtype)
    return built(page(8, 16, bytes(data), bits=bits, photometric=3, t320=(SHORT, stored.ravel().tolist())))


@pytest.mark.parametrize("scale", [1, 256, 257])
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_palettes_with_8_and_16_bit_entries_give_their_colours(bits, scale):
    rows, info = rows_of(palette_tiff(bits, COLOURS * scale))
    assert lines(info.losses) == ()
    wanted = COLOURS[INDICES]
    if bits == 16:  # 16-bit pixels keep 16-bit colours
        wanted = wanted * (257 if scale == 1 else scale)
    np.testing.assert_array_equal(rows, wanted)
    assert info.layout == Layout("rgb", depth=16 if bits == 16 else 8)


def test_a_1_bit_palette_has_two_colours():
    bits = INDICES > 1
    rows, info = rows_of(palette_tiff(1, [[65535, 51400, 0], [0, 7710, 23130]], bits))
    np.testing.assert_array_equal(rows, np.array([[255, 200, 0], [0, 30, 90]])[bits.astype(int)])
    assert lines(info.losses) == ()


def test_16_bit_colours_of_an_8_bit_palette_become_8_bits_with_a_loss():
    _, info = rows_of(palette_tiff(8, COLOURS * 200 + 3))
    assert lines(info.losses) == ("the 16-bit colours of its palette are read as 8-bit",)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_palette_with_another_number_of_entries_is_refused(bits):
    """libtiff ignores such a colour map, and other readers divide it into three in ways of their own."""

    def stored(count, photometric=3):
        colours = np.arange(count) * 7 % 256 * 257
        pixels = bytes(8 * 16 * bits // 8)
        return built(page(8, 16, pixels, bits=bits, photometric=photometric, t320=(SHORT, colours.tolist())))

    right = 3 << bits
    for count in (1, 2, 3, right // 2, right - 1, right + 1, right + 3, 2 * right):
        with pytest.raises(ImageError, match="is damaged"):
            rows_of(stored(count))
        rows_of(stored(count, photometric=1))  # the control: grey does not need it
    rows_of(stored(right))


LAST_STRIPS = {
    "deflate": {"compression": "zlib"},
    "deflate, predictor": {"compression": "zlib", "predictor": True},
    "LZW": {"compression": "lzw"},
    "PackBits": {"compression": "packbits"},
    "Zstandard": {"compression": "zstd"},
    "LZMA": {"compression": "lzma"},
    "not compressed": {},
    "JPEG": {"compression": "jpeg"},
    "PNG": {"compression": "png"},
}


@pytest.mark.parametrize("rows_per_strip", [16, 32])
@pytest.mark.parametrize("way", LAST_STRIPS)
def test_a_last_strip_may_extend_past_the_end_of_the_image(way, rows_per_strip):
    pixels = np.random.default_rng(4).integers(0, 256, (32, 24), np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(
        file, pixels, metadata=None, photometric="minisblack", rowsperstrip=rows_per_strip, **LAST_STRIPS[way]
    )
    whole, _ = rows_of(file.getvalue())
    rows, _ = rows_of(with_tag(file.getvalue(), 257, 21))
    np.testing.assert_array_equal(rows, whole[:21])


def with_tag(data, code, value):
    """The file with another value for a number in its first directory."""
    data = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as tiff:
        tag = tiff.pages[0].tags[code]
    size = {3: 2, 4: 4}[tag.dtype]
    data[tag.valueoffset : tag.valueoffset + size] = value.to_bytes(size, "little")
    return bytes(data)
