"""Files that hold far more data than their pixels, which decoders would read into memory as a whole."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from support.corpus import HEIGHT, RGB, WIDTH
from support.jxl_data import ANIMATION
from support.read_only import NO_HEIF, hdr, heic, icon, jp2, light, pillow_heif, planes_of, psd

from upsample_cli.errors import ImageError
from upsample_cli.images import limits
from upsample_cli.images.codecs.jxl import reader
from upsample_cli.images.open import open_image, probe

PIXELS = HEIGHT * WIDTH
QOI = bytes(imagecodecs.qoi_encode(RGB))
JXL = bytes(imagecodecs.jpegxl_encode(RGB, lossless=True))


class Counted(io.BytesIO):
    """Counts the bytes that are read."""

    taken_bytes = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken_bytes += len(data)
        return data


def icon_of(size_bytes):
    """An icon whose largest image claims a size in bytes."""
    data = bytearray(icon("bmp"))
    largest = max(range(data[4]), key=lambda index: data[6 + 16 * index] * data[7 + 16 * index])
    struct.pack_into("<I", data, 6 + 16 * largest + 8, size_bytes)
    return bytes(data)


def padded(data, size_bytes):
    return data + bytes(size_bytes)


FILES = {
    "qoi": lambda size: QOI[:-8] + bytes(size) + QOI[-8:],
    "hdr": lambda size: padded(hdr(light()), size),
    "jpeg2000": lambda size: padded(jp2(RGB, kind="J2K"), size),
    "jxl": lambda size: padded(JXL, size),
    "animated jxl": lambda size: padded(ANIMATION, size),
    "ico": lambda size: padded(icon_of(size), size),
    "heic": lambda size: padded(heic(RGB), size),
}
NEEDS_HEIF = pytest.mark.skipif(pillow_heif is None, reason=NO_HEIF)


@pytest.mark.parametrize("kind", [pytest.param(key, marks=NEEDS_HEIF) if key == "heic" else key for key in FILES])
def test_data_that_the_pixels_cannot_need_are_refused_before_they_are_read(kind, monkeypatch):
    monkeypatch.setattr(limits, "_FREE_CODED_BYTES", 1 << 20, raising=False)
    monkeypatch.setattr(reader, "MOST_PIXELS", PIXELS, raising=False)
    file = Counted(FILES[kind](8 << 20))
    with pytest.raises(ImageError, match=r"MiB of data, more than [0-9]+ pixels can need; get a new copy of it"):
        probe(file)
    assert file.taken_bytes < 4 << 20
    assert probe(io.BytesIO(FILES[kind](1 << 16))).width > 1


def test_rows_of_a_psd_that_claim_gigabytes_are_refused_before_they_are_read():
    plain = psd(planes_of(RGB), 3, packed=True, is_big=True)
    at = plain.index(struct.pack(">H", 1), 26 + 8 + 8) + 2
    file = Counted(plain[:at] + struct.pack(">I", 8 << 20) + plain[at + 4 :] + bytes(16 << 20))
    with open_image(file) as source, pytest.raises(ImageError, match="PSD data make no sense"):
        source.read_rows(0, 1)
    assert file.taken_bytes < 1 << 20
    with open_image(io.BytesIO(plain)) as source:
        assert np.array_equal(source.read_rows(0, HEIGHT), RGB)
