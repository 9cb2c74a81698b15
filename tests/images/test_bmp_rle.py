"""BMP in run lengths: what each escape means, written out by hand; a second reader for whole images."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from support.reading import rows_of

from upsample_cli.errors import ImageError

COLOURS = [(200 - index * 37 % 199, index * 91 % 256, index * 13 % 256) for index in range(256)]
ROW, END = b"\0\0", b"\0\1"
BITS = {8: 1, 4: 2}


def bmp(indices, data, bits=8, *, colours=COLOURS, top_down=False, gap=b"", size=None):
    """A BMP in run lengths with the size of the indices."""
    height, width = size or np.shape(indices)
    palette = b"".join(bytes((blue, green, red, 0)) for red, green, blue in colours[: 1 << bits])
    at = 54 + len(palette) + len(gap)
    signed = -height if top_down else height
    count = len(palette) // 4
    head = struct.pack("<IiiHHIIiiII", 40, width, signed, 1, bits, BITS[bits], len(data), 0, 0, count, 0)
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + head + palette + gap + data


# Indices from the bottom row up, bits, and the run lengths.
WHOLE = {
    "runs and bytes": ([[5] * 4, [1, 2, 3, 4]], 8, b"\4\5" + ROW + b"\0\4\1\2\3\4" + ROW + END),
    "an odd number of bytes": ([[1, 2, 3, 9]], 8, b"\0\3\1\2\3\xee\1\x09" + ROW + END),
    "without an end": ([[5] * 4, [6] * 4], 8, b"\4\5" + ROW + b"\4\6"),
    "without a padding byte": ([[1, 2, 3]], 8, b"\0\3\1\2\3"),
    "a run past the row": ([[5] * 4, [6] * 4], 8, b"\x09\5" + ROW + b"\4\6" + END),
    "two by turns": ([[10, 5, 10, 5, 10], [7, 7, 7, 1, 2]], 4, b"\5\xa5" + ROW + b"\3\x77\2\x12" + ROW + END),
    "nibbles": ([[1, 2, 3, 4, 5]], 4, b"\0\5\x12\x34\x5f\xee" + END),
}
LEFT_OUT = {
    "the end in a row": ([[5] * 4, [6, 6, 0, 0], [0] * 4], 8, b"\4\5" + ROW + b"\2\6" + END),
    "the end at once": ([[0] * 4] * 3, 8, END),
    "an early end of a row": ([[5, 0, 0, 0], [6] * 4], 8, b"\1\5" + ROW + b"\4\6" + ROW + END),
    "an empty row": ([[5] * 4, [0] * 4, [6] * 4], 8, b"\4\5" + ROW + ROW + b"\4\6" + ROW + END),
    "a delta": ([[1, 1, 0, 0], [0, 0, 0, 2], [3] * 4], 8, b"\2\1\0\2\1\1\1\2" + ROW + b"\4\3" + END),
    "a delta past the end": ([[1, 1, 0, 0], [0] * 4], 8, b"\2\1\0\2\0\x09\2\4" + END),
    "the end, 4 bits": ([[10, 5, 0], [0, 0, 0]], 4, b"\2\xa5" + END),
}


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("name", [*WHOLE, *LEFT_OUT])
def test_every_escape_means_what_the_format_says(name, top_down):
    indices, bits, data = (WHOLE | LEFT_OUT)[name]
    wanted = np.array(COLOURS)[np.array(indices if top_down else indices[::-1])]
    for gap in (b"", b"\0"):  # padding is counted from the start of the data, not of the file
        rows, info = rows_of(bmp(indices, data, bits, top_down=top_down, gap=gap))
        np.testing.assert_array_equal(rows, wanted)
        assert [loss.kind for loss in info.losses] == ["alpha"] * (name in LEFT_OUT)


@pytest.mark.parametrize("name", WHOLE)
def test_data_that_end_before_the_pixels_are_refused(name):
    indices, bits, data = WHOLE[name]
    pixels_end = len(data.removesuffix(END).removesuffix(ROW)) - (b"\xee" in data[-3:])
    for end in range(pixels_end - 1):
        with pytest.raises(ImageError, match="is truncated"):
            rows_of(bmp(indices, data[:end], bits))
    assert rows_of(bmp(indices, data, bits))[1].losses == ()  # the control


@pytest.mark.parametrize("colours", [[(0, 0, 0), (255, 255, 255)], [(level,) * 3 for level in range(16)]])
def test_greys_are_grey(colours):
    indices = np.arange(6).reshape(2, 3) % len(colours)
    data = b"".join(b"\1" + bytes((index << 4,)) for index in indices.ravel()) + END
    data = data[:6] + ROW + data[6:]
    rows, info = rows_of(bmp(indices, data, 4, colours=colours))
    assert info.layout.colour == "grey"
    np.testing.assert_array_equal(rows[..., 0], np.array(colours)[indices[::-1]][..., 0])


def encoded(indices):
    """An encoder of 8 bits that chooses runs and bytes by turns."""
    out = bytearray()
    for row in indices:
        at, turn = 0, 0
        while at < len(row):
            piece = row[at : at + 3 + turn % 40]
            if turn % 2 and len(piece) >= 3:
                out += bytes((0, len(piece), *piece)) + b"\0" * (len(piece) % 2)
            else:
                piece = piece[: max(1, int((np.append(piece, -1)[1:] != piece[0]).argmax()) + 1)]
                piece = piece[: int((piece == piece[0]).sum())]
                out += bytes((len(piece), piece[0]))
            at, turn = at + len(piece), turn + 1
        out += ROW
    return bytes(out) + END


def test_a_large_image_has_the_pixels_that_pillow_reads():
    generator = np.random.default_rng(4)
    indices = np.repeat(generator.integers(0, 256, (61, 40), dtype=np.uint8), 3, axis=1)
    data = bmp(indices, encoded(indices))
    rows, _ = rows_of(data)
    np.testing.assert_array_equal(rows, np.array(Image.open(io.BytesIO(data)).convert("RGB")))
    np.testing.assert_array_equal(rows, np.array(COLOURS)[indices[::-1]])


def test_data_far_larger_than_their_pixels_are_refused():
    endless = b"\0\2\0\0" * (17 << 20)
    with pytest.raises(ImageError, match="than 4 pixels can need"):
        rows_of(bmp([[0, 0]] * 2, endless))
