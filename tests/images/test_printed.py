"""Lines that libraries print themselves do not reach the user; other lines do."""

import io
import os

import numpy as np
from imagecodecs import jpegxr_decode, jpegxr_encode
from PIL import Image
from support.corpus import RGB, tiff
from support.reading import rows_of

from upsample_cli.images.codecs.printed import without_lines

LINE = b"Unrecognized WMPTag"


def jxr_tiff(tag):
    """A TIFF of one strip of JPEG XR, whose own directory has one more entry, of an unknown tag."""
    data = tiff(RGB, photometric="rgb", compression="jpegxr", rowsperstrip=len(RGB))
    at = data.index(jpegxr_encode(RGB)[:4])
    directory = at + int.from_bytes(data[at + 4 : at + 8], "little")
    entry = directory + 2
    while data[entry : entry + 2] != b"\x82\xbc":  # WidthResolution, without which the image is the same
        entry += 12
        assert entry < directory + 300
    return data[:entry] + tag + data[entry + 2 :]


def test_jpeg_xr_of_an_unknown_tag_prints_nothing(capfd):
    data = jxr_tiff(b"\xf0\xfc")
    rows, info = rows_of(data)
    assert np.array_equal(rows, RGB)
    assert info.losses == ()
    assert capfd.readouterr() == ("", "")
    jpegxr_decode(data[data.index(b"II\xbc") :])  # the control: the decoder prints it
    assert LINE.decode() in capfd.readouterr().err


def test_lines_of_others_come_afterwards(capfd):
    with without_lines(LINE), without_lines(LINE):
        os.write(2, LINE + b": 7\n")
        os.write(2, b"a warning\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "a warning\n"
    os.write(2, LINE + b"\n")  # the control: outside nothing is dropped
    assert capfd.readouterr().err == LINE.decode() + "\n"


def test_no_stderr_is_no_fault(monkeypatch):
    def refused(_number):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr("upsample_cli.images.codecs.printed.os.dup", refused)
    with without_lines(LINE):
        assert Image.open(io.BytesIO(jxr_free())).size == (3, 2)


def jxr_free():
    file = io.BytesIO()
    Image.new("L", (3, 2)).save(file, "PNG")
    return file.getvalue()
