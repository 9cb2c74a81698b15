"""The size that a strip or tile declares, for every compression that declares one, written by other libraries."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from upsample_cli.images.codecs.tiff.segment_size import is_larger, jpeg_frame

HEIGHT, WIDTH = 19, 33
RGB = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def encoded(kind, **settings):
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **settings)
    return file.getvalue()


SEGMENTS = {
    7: encoded("JPEG"),
    6: encoded("JPEG", progressive=True),
    34892: encoded("JPEG", comment=b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff"),  # a size in a comment does not count
    50001: encoded("WEBP"),
    34927: encoded("WEBP", lossless=True),
    34933: encoded("PNG"),
    34712: imagecodecs.jpeg2k_encode(RGB),
    33003: imagecodecs.jpeg2k_encode(RGB, codecformat="j2k"),
    50002: imagecodecs.jpegxl_encode(RGB),
    52546: imagecodecs.jpegxl_encode(RGB, usecontainer=True),
    34887: imagecodecs.lerc_encode(RGB[..., 0].copy()),
}


@pytest.mark.parametrize("compression", SEGMENTS)
def test_a_segment_fits_its_strip_or_is_larger(compression):
    data = SEGMENTS[compression]
    assert not is_larger(data, compression, HEIGHT, WIDTH)
    assert not is_larger(data, compression, HEIGHT + 1, WIDTH)
    assert is_larger(data, compression, HEIGHT, WIDTH - 1)
    assert is_larger(data, compression, HEIGHT - 1, WIDTH)


@pytest.mark.parametrize("compression", SEGMENTS)
def test_a_truncated_segment_states_no_size_or_the_same_size(compression):
    data = SEGMENTS[compression]
    for end in range(0, min(len(data), 700), 7):
        assert not is_larger(data[:end], compression, HEIGHT, WIDTH)


@pytest.mark.parametrize("sides", [(8, 8), (64, 96), (96, 64), (120, 100), (300, 400), (9000, 16000), (1, 1), (7, 513)])
def test_every_size_encoding_of_jpeg_xl_is_read(sides):
    """Multiples of 8, ratios of sides, and other sizes, each with its own number of bits."""
    data = imagecodecs.jpegxl_encode(np.zeros(sides, np.uint8), effort=1)
    assert not is_larger(data, 50002, *sides)
    assert is_larger(data, 50002, sides[0], sides[1] - 1)


def test_older_versions_of_lerc_store_their_size_elsewhere():
    second = b"Lerc2 " + struct.pack("<iii", 2, HEIGHT, WIDTH) + bytes(40)
    first = b"CntZImage " + struct.pack("<iiii", 11, 8, HEIGHT, WIDTH) + bytes(40)
    for data in (first, second):
        assert not is_larger(data, 34887, HEIGHT, WIDTH)
        assert is_larger(data, 34887, HEIGHT, WIDTH - 1)


def test_samples_and_bands_of_lerc_are_included_in_the_size():
    """With a damaged header the decoder allocated 24 GiB for a strip of 7 by 37 (found by fuzz.py)."""
    colour = imagecodecs.lerc_encode(RGB, planar=False)
    bands = imagecodecs.lerc_encode(np.moveaxis(RGB, 2, 0).copy(), planar=True)
    for data in (colour, bands):
        assert imagecodecs.lerc_decode(data).size == RGB.size
        assert not is_larger(data, 34887, HEIGHT, WIDTH, samples=3)
        assert is_larger(data, 34887, HEIGHT, WIDTH, samples=2)


def test_compressions_without_a_header_have_no_declared_size():
    assert not is_larger(SEGMENTS[7], 8, 1, 1)


def test_a_jpeg_may_be_padded_between_its_segments():
    data = SEGMENTS[7]
    assert jpeg_frame(data[:2] + b"\xff\xff\xff" + data[2:]) == (HEIGHT, WIDTH, 8, 3)
