"""Walking through PNG and RIFF chunks: what is yielded, and where the walk ends."""

import io

import pytest

from upsample_cli.images.codecs.png.chunks import SIGNATURE, png_chunk, read_chunks, read_data
from upsample_cli.images.codecs.webp import is_lossless, riff_chunks, webp_size

TEXT, END = png_chunk(b"tEXt", b"a\0b"), png_chunk(b"IEND", b"")


def test_png_chunks_end_with_iend_and_the_file_position_may_change_between_them():
    file, found = io.BytesIO(SIGNATURE + TEXT + png_chunk(b"gAMA", b"1234") + END + TEXT), []
    for kind, size in read_chunks(file):
        found.append((kind, read_data(file, kind, size)))
        file.seek(0)
    assert found == [(b"tEXt", b"a\0b"), (b"gAMA", b"1234"), (b"IEND", b"")]


@pytest.mark.parametrize("tail", [b"", b"\0\0\0", (2**31).to_bytes(4, "big") + b"tEXt", b"\xff" * 8])
def test_a_truncated_file_or_an_invalid_size_ends_the_walk(tail):
    assert list(read_chunks(io.BytesIO(SIGNATURE + TEXT + tail))) == [(b"tEXt", 3)]


def test_a_wrong_checksum_is_refused():
    damaged = io.BytesIO(SIGNATURE + TEXT[:-1] + b"\0" + END)
    with pytest.raises(ValueError, match="checksum"):
        [read_data(damaged, kind, size) for kind, size in read_chunks(damaged)]


def riff(*chunks):
    body = b"".join(kind + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body


def test_riff_chunks_with_an_odd_size_are_padded():
    file = io.BytesIO(riff((b"ICCP", b"abc"), (b"XMP ", b"de")))
    assert list(riff_chunks(file)) == [(b"ICCP", 20, 3), (b"XMP ", 32, 2)]


@pytest.mark.parametrize(("code", "lossless"), [(b"VP8 ", False), (b"VP8L", True)])
def test_the_compression_of_a_webp_is_that_of_its_first_image_or_frame(code, lossless):
    frame = bytes(16) + riff((b"ALPH", b"x"), (code, b"yy"))[12:]
    assert is_lossless(io.BytesIO(riff((b"VP8X", bytes(10)), (code, b"")))) is lossless
    assert is_lossless(io.BytesIO(riff((b"VP8X", bytes(10)), (b"ANMF", frame), (b"VP8L", b"")))) is lossless


def test_a_webp_truncated_in_its_header_still_has_a_size():
    canvas = riff((b"VP8X", bytes(4) + (4).to_bytes(3, "little") + (2).to_bytes(3, "little")))
    assert webp_size(canvas[:32]) == (3, 5)
    assert [webp_size(canvas[:end]) for end in (12, 16, 19)] == [(0, 0)] * 3


def test_the_size_that_a_webp_chunk_states_does_not_hide_its_canvas():
    packed = (b"\x2f" + (16382 | 16381 << 14).to_bytes(4, "little")).ljust(12, b"\0")
    assert webp_size(b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0" + packed) == (16382, 16383)
