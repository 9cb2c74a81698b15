"""RAW files of cameras that are TIFF structures: refused, and their small preview is not enlarged in their place."""

import io

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


def canon():
    """A CR2: a TIFF with a mark after its head."""
    data = bytearray(built(preview()))
    data[8:8] = b"CR\2\0\0\0\0\0"
    at = int.from_bytes(data[4:8], "little") + 8
    data[4:8] = at.to_bytes(4, "little")
    return bytes(data)


RAWS = {
    "DNG": built(preview(t50706=(BYTE, (1, 4, 0, 0)), t330=sensor(LINEAR_RAW, 7))),
    "NEF": built(preview(t330=sensor(CFA, 34713)), order=">"),
    "ARW": built(preview(t330=sensor(CFA, 32767))),
    "SRW": built(preview(t330=sensor(CFA, 32770))),
    "PEF": built((sensor(CFA, 65535), bytes(9)), preview()),
    "pixels of its sensor": built(preview(t330=sensor(CFA, 1))),
    "CR2": canon(),
}


@pytest.mark.parametrize("kind", RAWS)
def test_a_raw_in_a_tiff_is_refused_with_the_names_of_developers(kind):
    for opener in (read_header, open_image):
        with pytest.raises(ImageError) as caught:
            opener(io.BytesIO(RAWS[kind]))
        line = str(caught.value)
        assert f"is a camera's RAW ({kind}" in line
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
