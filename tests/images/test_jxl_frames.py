"""Frames of JPEG XL: headers with rare fields, and frames made of still images. libjxl judges what is written."""

import imagecodecs
import numpy as np
import pytest
from support.jxl_data import HEIGHT, PIXELS, WIDTH
from support.jxl_files import with_size

from upsample_cli.images.codecs.jxl.bits import BitReader, BitWriter
from upsample_cli.images.codecs.jxl.codestream import read_header
from upsample_cli.images.codecs.jxl.frame_header import read_frame, skip_pixels
from upsample_cli.images.codecs.jxl.frames import as_frame, shown_durations
from upsample_cli.images.codecs.jxl.stated import Stated, with_header

Y, X = np.mgrid[:280, :300]
GLYPHS = np.random.default_rng(1).random((5, 9, 7)) < 0.5
TEXT = np.where(GLYPHS[(Y // 14 * 3 + X // 11) % 5, Y % 14 % 9, X % 11 % 7] & (Y % 14 < 9) & (X % 11 < 7), 0, 255)
TEXT = TEXT.astype(np.uint8)
ALPHA = np.dstack([PIXELS, PIXELS[..., :1] // 2])


def parts(data):
    header = read_header(data)
    return header, header.end + 7 >> 3


def frames_of(data):
    """The headers of the frames, and where the last one ends."""
    header, frames_at = parts(data)
    bits, found = BitReader(data, 8 * frames_at), []
    while not found or not found[-1].is_last:
        found.append(read_frame(bits, header))
        skip_pixels(bits, found[-1].parts)
    return found, bits.at >> 3


@pytest.mark.parametrize(("pixels", "settings", "kinds"), [
    (PIXELS, {"distance": 1.5, "effort": 5}, "default"),
    (ALPHA, {"distance": 1.5, "effort": 5}, "default"),
    (TEXT, {"distance": 1.5, "effort": 5}, "default"),
    (TEXT, {"distance": 1.0, "effort": 7}, "reference"),
    (TEXT, {"lossless": True, "effort": 7}, "reference"),
    (TEXT, {"lossless": True, "effort": 1}, "groups"),
    (ALPHA, {"lossless": True, "effort": 7}, "one"),
])  # fmt: skip
def test_still_images_become_frames(pixels, settings, kinds):
    data = imagecodecs.jpegxl_encode(pixels, photometric="gray" if pixels.ndim == 2 else "rgb", **settings)
    found, end = frames_of(data)
    assert end == len(data)
    assert (kinds == "default") == found[0].is_default
    assert (kinds == "reference") == (len(found) == 2)
    assert (found[-1].parts > 1) == ((pixels is TEXT and kinds != "reference") or settings.get("distance") == 1)
    (header, at), stated = parts(data), Stated(read_header(data).encoding, read_header(data).bits, plays=3)
    ticks = [(5, False), (1000, False), (7, True)]
    frames = b"".join(as_frame(data, header, at, duration=duration, is_last=last) for duration, last in ticks)
    animation = with_header(data[:at], header, at, stated) + frames
    wanted = imagecodecs.jpegxl_decode(data)
    np.testing.assert_array_equal(imagecodecs.jpegxl_decode(animation), [wanted] * 3)
    assert shown_durations(animation, *parts(animation)) == [5, 1000, 7]


def with_frame(data, *, size=None, crop=(), mode=0, name=b"", filters=(), extensions=(), is_layer=False):
    """The one frame of a lossless image with another header, and the end of that header."""
    header, at = parts(data)
    bits = BitReader(data, 8 * at)
    frame = read_frame(bits, header)
    out = BitWriter()
    out.put(0b1_00 << 1, 4)  # not all default, a regular frame, modular
    out.put(0, 2 + 1 + 2)  # no flags, no YCbCr, full size
    out.put((frame.group // 128).bit_length() - 1, 2)
    out.put(0, 2)  # one pass
    out.put(bool(crop), 1)
    for number in crop:
        out.number(number, ((0, 8), (256, 11), (2304, 14), (18688, 30)))
    out.number(mode, ((0, 0), (1, 0), (2, 0), (3, 2)))
    out.put(0, 2 * (mode != 0 or size is not None))  # the frame below
    out.put(mode == 4, mode == 4)
    out.put(not is_layer, 1)
    out.put(0, 3 * is_layer if mode == 0 else 2 * is_layer)
    out.number(len(name), ((0, 0), (0, 4), (16, 5), (48, 10)))
    for byte in name:
        out.put(byte, 8)
    for number, count in filters or ((0, 1 + 1 + 2 + 2),):
        out.half(number) if count == 16 else out.put(number, count)
    out.long(sum(1 << index for index in range(len(extensions))))
    for extension in extensions:
        out.long(extension)
    out.put(0, sum(extensions))
    length = 8 * len(out._data) + out._count
    assert not bits.flag()
    out.put(0, 1)  # its parts are in order; their sizes follow at a whole byte
    bits.pad()
    start = data[:at] if size is None else with_size(data[:at], *size)
    return start + out.bytes() + data[bits.at >> 3 :], length


BASE = imagecodecs.jpegxl_encode(PIXELS, lossless=True, photometric="rgb")
GABORISH = [(0, 1), (1, 1), (1, 1), *[(0.1, 16)] * 6]
EDGES = [(2, 2), (1, 1), *[(0.5, 16)] * 5, (1, 1), *[(0.5, 16)] * 3, (1.0, 16)]


@pytest.mark.parametrize(("fields", "is_same"), [
    ({}, True),
    ({"name": b"a name of more than 16 bytes"}, True),
    ({"crop": (0, 0, WIDTH, HEIGHT)}, True),
    ({"crop": (4, 6, WIDTH, HEIGHT), "size": (HEIGHT + 5, WIDTH + 4)}, True),
    ({"mode": 1}, True),
    ({"mode": 4}, False),
    ({"filters": [*GABORISH, (0, 2), (0, 2)]}, False),
    ({"filters": [(0, 1), (0, 1), *EDGES, (0, 2)]}, False),
    ({"extensions": (5, 300)}, True),
])  # fmt: skip
def test_rare_fields_of_a_frame_are_skipped(fields, is_same):
    data, length = with_frame(BASE, **fields)
    shown = imagecodecs.jpegxl_decode(data)
    left, top = (number >> 1 for number in fields.get("crop", (0, 0))[:2])
    assert (shown[top : top + HEIGHT, left : left + WIDTH] == PIXELS).all() == is_same
    header, at = parts(data)
    bits = BitReader(data, 8 * at)
    frame = read_frame(bits, header)
    assert bits.at - 8 * at == length
    assert (frame.height, frame.width, frame.is_partial) == (HEIGHT, WIDTH, "size" in fields)
    assert frames_of(data)[1] == len(data)
    layer = with_frame(BASE, **fields, is_layer=True)[0][at:]
    animation = data[:at] + layer + data[at:]
    imagecodecs.jpegxl_decode(animation)
    assert frames_of(animation)[1] == len(animation)


def test_layers_are_not_made_a_frame():
    data, layer = with_frame(BASE)[0], with_frame(BASE, is_layer=True)[0]
    header, at = parts(data)
    layers = layer + data[at:]
    np.testing.assert_array_equal(imagecodecs.jpegxl_decode(layers), PIXELS)
    with pytest.raises(ValueError, match="several layers"):
        as_frame(layers, header, at, duration=1, is_last=True)
