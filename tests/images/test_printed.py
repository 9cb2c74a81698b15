"""Messages that libraries print themselves do not reach the user; tested in a process, because pytest captures logs."""

import io
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from support.corpus import RGB16, WIDTH, png_chunk, png_of_rows
from support.environment import NOT_COMPILED
from support.tiffs import SHORT, built, page

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.png.compiled import compiled
from upsample_cli.images.open import open_image

ROWS = [row.astype(">u2").tobytes() for row in RGB16]
WHOLE = png_of_rows(WIDTH, 16, 2, ROWS)


def png_with_more():
    """A deep PNG with more compressed pixels after its last row."""
    at = WHOLE.index(b"IDAT") - 4
    data = zlib.compress(b"".join(b"\0" + row for row in ROWS)) + b"more"
    return WHOLE[:at] + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def printed(code, data):
    """The stderr of a program with these bytes as standard input."""
    command = [sys.executable, "-c", f"import io, sys\ndata = sys.stdin.buffer.read()\n{code}"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stderr.decode()


def test_pixels_after_the_last_row_print_nothing():
    ours = "from upsample_cli.images.open import open_image\nopen_image(io.BytesIO(data)).read_rows(0, 1)"
    assert printed(ours, png_with_more()) == ""
    control = printed("from imagecodecs import png_decode\npng_decode(data)", png_with_more())
    assert control.startswith("PNG warning: ")


def test_a_png_in_a_tiff_prints_nothing():
    tags = {"t259": (SHORT, 34933), "t262": (SHORT, 2)}
    data = built(page(len(ROWS), WIDTH, png_with_more(), bits=16, samples=3, **tags))
    read = "from upsample_cli.images.open import open_image\nopen_image(io.BytesIO(data)).read_rows(0, 1)"
    assert printed(read, data) == ""
    control = printed("from tifffile import imread\nimread(io.BytesIO(data))", data)
    assert control.startswith("PNG warning: ")


@pytest.mark.skipif(compiled() is None, reason=NOT_COMPILED)
def test_a_chunk_that_claims_a_gigabyte_allocates_little():
    at = WHOLE.index(b"IDAT") - 4
    data = WHOLE[:at] + (2**30).to_bytes(4, "big") + WHOLE[at + 4 :]
    tracemalloc.start()
    try:
        with open_image(io.BytesIO(data)) as source:
            assert np.array_equal(source.read_rows(0, len(ROWS)), RGB16)  # all of it is there
        with pytest.raises(ImageError, match="truncated"):
            open_image(io.BytesIO(data[:-60]))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
