"""Pixels that Pillow decodes: interlaced deep PNG, and TIFFs whose structure tifffile refuses."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.png.chunks import SIGNATURE, png_chunk
from upsample_cli.images.open import open_image

DEEP = np.random.default_rng(2).integers(0, 65536, (9, 11)).astype(np.uint16)
PASSES = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)


def read(data):
    with open_image(io.BytesIO(data)) as source:
        rows = source.read_rows(0, source.info.height)
        return rows, [str(loss) for loss in (*source.info.losses, *source.losses)]


def interlaced(pixels, key=None):
    """The specification's Adam7: (left, top, step across, step down) of each pass."""
    height, width = pixels.shape
    rows = (pixels[y, x::across] for x, y0, across, down in PASSES if x < width for y in range(y0, height, down))
    chunks = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 1))]
    chunks += [png_chunk(b"tRNS", struct.pack(">H", key or 0))] * (key is not None)
    chunks += [png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)))]
    return SIGNATURE + b"".join(chunks) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("key", [None, int(DEEP[4, 5]), 3])
def test_interlaced_grey_of_16_bits_keeps_its_low_bytes_and_its_transparent_level(key):
    rows, losses = read(interlaced(DEEP, key))
    assert losses == []
    np.testing.assert_array_equal(rows[..., 0], DEEP)
    np.testing.assert_array_equal(imagecodecs.png_decode(interlaced(DEEP)), DEEP)  # the writer of this test is right
    if key is not None:
        np.testing.assert_array_equal(rows[..., 1], np.where(key == DEEP, 0, 65535))


def tiff(pixels, **settings):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **({"photometric": "minisblack"} | settings))
    return file.getvalue()


RGB = np.random.default_rng(3).integers(0, 256, (9, 11, 3)).astype(np.uint8)
GREYS = np.arange(256, dtype=np.uint16)[None].repeat(3, 0) * 257
COLOURS = np.random.default_rng(4).integers(0, 256, (3, 256)).astype(np.uint16) * 257
CUT = "16 bits per channel are read as 8"


@pytest.mark.parametrize(("data", "loss"), [
    (tiff(DEEP), None),
    (tiff(DEEP, photometric="miniswhite"), None),
    (tiff(DEEP, byteorder=">"), None),
    (tiff(RGB[..., 0] > 99), None),
    (tiff(RGB, photometric="rgb"), None),
    (tiff(RGB[..., 0], photometric="palette", colormap=GREYS), None),
    (tiff(RGB[..., 0], photometric="palette", colormap=COLOURS), None),
    (tiff(RGB, photometric="rgb", subfiletype=1), "preview"),
    (tiff(RGB.astype(np.uint16) * 257, photometric="rgb"), CUT),
    (tiff(RGB.astype(np.float32)[..., 0]), ImageError),
    (tiff(DEEP.astype(np.int16)), ImageError),
])  # fmt: skip
def test_pillow_reads_a_tiff_as_tifffile_does_or_says_what_is_lost(monkeypatch, data, loss):
    wanted, _ = read(data)

    def refuse(*_args, **_settings):
        raise ValueError("damaged")

    monkeypatch.setattr(tifffile, "TiffFile", refuse)
    if loss is ImageError:
        with pytest.raises(ImageError, match="which is not supported"):
            read(data)
        return
    rows, losses = read(data)
    assert ([loss in text for text in losses] == [True]) if loss else losses == []
    np.testing.assert_array_equal(rows, wanted >> 8 if loss == CUT else wanted)
