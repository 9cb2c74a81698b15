"""RAW files of cameras that are TIFF structures: refused, and their small preview is not enlarged in their place."""

import io
import struct

import numpy as np
import pytest
from support.corpus import RGB, RGB16
from support.running import upsample
from support.tiffs import BYTE, LONG, SHORT, built, page

from upsample_cli.errors import ImageError
from upsample_cli.images.open import open_image, read_header

CFA, LINEAR_RAW = 32803, 34892


def preview(**tags):
    return page(23, 37, RGB.tobytes(), photometric=2, samples=3, **({"t254": (LONG, 1)} | tags))


def sensor(photometric, compression):
    """The tags of the directory of a sensor's data; nothing reads the data."""
    return {254: (LONG, 0), 256: (LONG, 4000), 257: (LONG, 3000), 258: (SHORT, 14), 259: (SHORT, compression),
            262: (SHORT, photometric), 273: (LONG, 8), 277: (SHORT, 1), 278: (LONG, 3000), 279: (LONG, 9)}  # fmt: skip


def marked(mark, order="<"):
    """A TIFF with a mark of 8 bytes after its head, as in CR2 and IIQ."""
    data = bytearray(built(preview(), order=order))
    data[8:8] = mark
    at = int.from_bytes(data[4:8], "little" if order == "<" else "big") + 8
    data[4:8] = at.to_bytes(4, "little" if order == "<" else "big")
    return bytes(data)


RAWS = {
    "DNG": built(preview(t50706=(BYTE, (1, 4, 0, 0)), t330=sensor(LINEAR_RAW, 7))),
    "NEF": built(preview(t330=sensor(CFA, 34713)), order=">"),
    "ARW": built(preview(t330=sensor(CFA, 32767))),
    "SRW": built(preview(t330=sensor(CFA, 32770))),
    "PEF": built((sensor(CFA, 65535), bytes(9)), preview()),
    "pixels of its sensor": built(preview(t330=sensor(CFA, 1))),
    "CR2": marked(b"CR\2\0\0\0\0\0"),
    "IIQ": marked(b"IIIITwaR"),
    "IIQ, other order": marked(b"MMMMRawT", ">"),
}


@pytest.mark.parametrize("kind", RAWS)
def test_a_raw_in_a_tiff_is_refused_with_the_names_of_developers(kind):
    for opener in (read_header, open_image):
        with pytest.raises(ImageError) as caught:
            opener(io.BytesIO(RAWS[kind]))
        line = str(caught.value)
        assert f"is a camera's RAW ({kind.partition(',')[0]}" in line
        assert all(name in line for name in ("darktable", "RawTherapee", "dcraw", "rawpy"))
        assert caught.value.failure.kind == "unsupported"


def test_a_raw_named_like_a_tiff_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/raw.tif").write_bytes(RAWS["DNG"])
    (tmp_path / "in/good.tif").write_bytes(built(preview(t254=(LONG, 0))))
    ended = upsample("in", "-o", "out")
    assert ended.status == 1
    assert len(ended.errors) == 1
    assert (tmp_path / "out/good_x2.tif").exists()
    assert not (tmp_path / "out/raw_x2.tif").exists()


def test_control_a_tiff_with_a_reduced_copy_in_a_subdirectory_is_read():
    reduced = {254: (LONG, 1), 256: (LONG, 9), 257: (LONG, 9), 258: (SHORT, (8, 8, 8)), 262: (SHORT, 2)}
    data = built(page(23, 37, RGB.tobytes(), photometric=2, samples=3, t330=reduced))
    with open_image(io.BytesIO(data)) as source:
        np.testing.assert_array_equal(source.read_rows(0, 23), RGB)
    deep = built(page(23, 37, RGB16.tobytes(), bits=16, photometric=2, samples=3, t330=reduced))
    assert read_header(io.BytesIO(deep))[0].layout.depth == 16


@pytest.mark.parametrize("levels", [(73,) * 4, (77,) * 4, (67, 82, 67, 82), (67, 82, 0, 0)], ids=bytes)
def test_control_pixels_behind_the_head_that_spell_a_mark_are_read(levels):
    """libtiff writes the pixels of a TIFF before its directory."""
    pixels = np.resize(np.array(levels, np.uint8), (8, 8))
    data = b"II*\0" + struct.pack("<I", 8 + pixels.size) + pixels.tobytes() + directory_at_8(*pixels.shape)
    with open_image(io.BytesIO(data)) as source:
        np.testing.assert_array_equal(source.read_rows(0, 8)[..., 0], pixels)


def directory_at_8(height, width):
    """The directory of a grey image whose pixels begin at 8."""
    entries = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height),
               (279, height * width))  # fmt: skip
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return struct.pack("<H", len(entries)) + packed + bytes(4)
