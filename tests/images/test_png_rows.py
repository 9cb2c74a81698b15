"""PNG read by rows: exact for every kind, filter, cut and band; damage is never silent; memory is bounded."""

import io
import itertools
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.corpus import RGB, RGB16, animated_png, png_chunk, png_of_rows, saved
from support.environment import NOT_COMPILED

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs import input_file
from upsample_cli.images.codecs.png import kinds
from upsample_cli.images.open import open_image, probe

compiled = pytest.importorskip("upsample_cli.images.codecs.png._unfilter", reason=NOT_COMPILED)
unfilter = compiled.unfilter

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16),
         (6, 8), (6, 16)]  # fmt: skip


def predictor(kind, left, above, corner):
    guess = left + above - corner
    nearest = min((left, above, corner), key=lambda value: abs(guess - value))  # the first of equals
    return (0, left, above, (left + above) // 2, nearest)[kind]


def filtered(rows, filters, pixel_bytes):
    """Rows of bytes as PNG stores them, in plain Python."""
    out, above = bytearray(), bytes(len(rows[0]))
    for row, kind in zip(rows, filters, strict=True):
        out.append(kind)
        for at, value in enumerate(row):
            left, corner = (row[at - pixel_bytes], above[at - pixel_bytes]) if at >= pixel_bytes else (0, 0)
            out.append((value - predictor(kind, left, above[at], corner)) & 255)
        above = row
    return bytes(out)


def packed(samples, depth):
    """Rows of samples (height, width * channels) as bytes."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    bits = np.unpackbits(samples.astype(np.uint8)[..., np.newaxis], axis=2)[..., 8 - depth :]
    return [np.packbits(row.ravel()).tobytes() for row in bits]


def png_file(width, height, depth, colour_type, stream, *before, cut=None):
    """A PNG of a finished stream of zlib's, in chunks of `cut` bytes."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    cut = cut or max(1, len(stream))
    data = [png_chunk(b"IDAT", stream[at : at + cut]) for at in range(0, len(stream), cut)]
    chunks = [png_chunk(kind, data) for kind, data in ((b"IHDR", head), *before)]
    return b"".join((b"\x89PNG\r\n\x1a\n", *chunks, *data, png_chunk(b"IEND", b"")))


def wanted_rows(samples, depth, colour_type, palette, alphas, key):
    """What the samples (height, width, channels) mean, as the specification says it."""
    full = 65535 if depth == 16 else 255
    if colour_type == 3:
        colours = palette if alphas is None else np.hstack((palette, alphas[:, np.newaxis]))
        if (palette == palette[:, :1]).all():
            colours = colours[:, [0, 3][: colours.shape[1] - 2]]
        return colours[samples[..., 0]]
    levels = samples if depth >= 8 else samples * (255 // (2**depth - 1))
    if key is None:
        return levels
    alpha = np.where((samples == key).all(axis=2, keepdims=True), 0, full)
    return np.concatenate((levels, alpha), axis=2)


@st.composite
def cases(draw):
    colour_type, depth = draw(st.sampled_from(KINDS))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 19))
    channels, seed = CHANNELS[colour_type], draw(st.integers(0, 2**32 - 1))
    rng, before = np.random.default_rng(seed), []
    most = draw(st.sampled_from((1, 3, 2**depth - 1))) & (2**depth - 1)
    samples = rng.integers(0, most + 1, (height, width, channels))
    palette = alphas = key = None
    is_keyed = draw(st.booleans())
    if colour_type == 3:
        palette = rng.integers(0, 256, (most + 1, draw(st.sampled_from((1, 3)))), np.uint8).repeat(3, axis=1)[:, -3:]
        before.append((b"PLTE", palette.tobytes()))
        if is_keyed:
            alphas = rng.integers(0, 255, most + 1, np.uint8)
            before.append((b"tRNS", alphas.tobytes()))
    elif is_keyed and colour_type in {0, 2}:
        key = samples[rng.integers(height), rng.integers(width)]
        before.append((b"tRNS", key.astype(">u2").tobytes()))
    pixel_bytes = max(1, channels * depth // 8)
    rows = packed(samples.reshape(height, -1), depth)
    raw = filtered(rows, rng.integers(0, 5, height), pixel_bytes)
    stream = zlib.compress(raw, draw(st.sampled_from((0, 1, 9))))
    data = png_file(width, height, depth, colour_type, stream, *before, cut=draw(st.sampled_from((None, 1, 7))))
    bands = sorted(draw(st.sets(st.integers(0, height), max_size=3)) | {0, height})
    return data, wanted_rows(samples, depth, colour_type, palette, alphas, key), bands, draw(st.integers(0, 3))


@settings(deadline=None, max_examples=300)
@given(cases())
def test_every_kind_of_png_is_exact_in_any_bands(case):
    data, wanted, bands, halo = case
    with open_image(io.BytesIO(data)) as source:
        assert source.info.decoding_bytes == 0
        for top, bottom in itertools.pairwise(bands):
            first, last = max(0, top - halo), min(len(wanted), bottom + halo)
            assert np.array_equal(source.read_rows(first, last), wanted[first:last])
        assert np.array_equal(source.read_rows(0, 1), wanted[:1])  # from the start, once more
        assert not source.losses


@pytest.mark.parametrize("pixel_bytes", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("width", [1, 2, 3, 17])
def test_filters_in_every_order_are_undone(pixel_bytes, width):
    rng = np.random.default_rng(width)
    kinds_ = [kind for pair in itertools.product(range(5), repeat=2) for kind in pair]
    kinds_ += [kind for run in (2, 3, 4, 5, 9) for kind in (*[4] * run, 3)]  # rows of Paeth are computed together
    rows = rng.integers(0, 256, (len(kinds_), width * pixel_bytes), np.uint8)
    raw = filtered([row.tobytes() for row in rows], kinds_, pixel_bytes)
    out = np.zeros_like(rows)
    unfilter(raw, bytes(rows.shape[1]), out, pixel_bytes)
    assert np.array_equal(out, rows)
    out[:] = 0
    row_bytes = 1 + rows.shape[1]
    unfilter(raw[5 * row_bytes :], rows[4], out[5:], pixel_bytes)  # below rows that are there
    assert np.array_equal(out[5:], rows[5:])


def test_buffers_that_do_not_fit_are_refused_and_nothing_is_written_beyond():
    raw, out = bytes(2 * 7), np.zeros((2, 6), np.uint8)
    for wrong in (
        (raw[:-1], bytes(6), out, 3), (raw + b"0", bytes(6), out, 3), (raw, bytes(5), out, 3), (raw, b"", out, 3),
        (raw, bytes(6), out[:1], 3), (raw, bytes(6), out, 4), (raw, bytes(6), out, 0), (raw, bytes(6), out, -3),
        (raw, bytes(6), out, 5), (b"\5" + raw[1:], bytes(6), out, 3), (raw[:7] + b"\xff" + raw[8:], bytes(6), out, 3),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"buffers|filter"):
            unfilter(*wrong)
    unfilter(raw, bytes(6), out, 3)
    for width in range(1, 9):
        for pixel_bytes in (1, 2, 3, 4, 6, 8):
            held = np.full((3, width * pixel_bytes), 7, np.uint8)
            for kind in range(5):
                unfilter(bytes([kind]) + bytes(width * pixel_bytes), held[0], held[1], pixel_bytes)
                assert (held[2] == 7).all()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 8, 12, 16, 24, 32])
def test_a_table_is_looked_up_and_nothing_is_written_beyond(size):
    rng = np.random.default_rng(size)
    table = rng.integers(0, 256, (256, size), np.uint8)
    for count in (1, 2, 3, 1000):
        indices, held = rng.integers(0, 256, count, np.uint8), np.full((count + 1, size), 7, np.uint8)
        compiled.expand(indices, table, held[:-1])
        assert np.array_equal(held[:-1], table[indices])
        assert (held[-1] == 7).all()


def test_tables_that_do_not_fit_are_refused():
    for wrong in ((b"12", bytes(3 * 256), 5), (b"12", bytes(3 * 256), 7), (b"12", bytes(3 * 256 - 1), 6),
                  (b"12", bytes(5 * 256), 10), (b"", bytes(256), 0), (b"12", b"", 0)):  # fmt: skip
        with pytest.raises(ValueError, match="fit"):
            compiled.expand(*wrong[:2], bytearray(wrong[2]))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_pillow_reads_the_same(mode):
    image = Image.fromarray(RGB).convert(mode)
    data = saved(image, "PNG")
    wanted = np.array(Image.open(io.BytesIO(data)).convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    with open_image(io.BytesIO(data)) as source:
        assert np.array_equal(source.read_rows(0, len(RGB)).squeeze(), wanted)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_libpng_reads_the_same_of_16_bits(channels):
    pixels = np.ascontiguousarray(np.dstack((RGB16, RGB16[..., :1]))[..., :channels].squeeze())
    data = imagecodecs.png_encode(pixels, level=9)
    with open_image(io.BytesIO(data)) as source:
        assert np.array_equal(source.read_rows(0, len(RGB16)).squeeze(), imagecodecs.png_decode(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "P", "1"])
def test_a_turned_png_is_read_in_bands(orientation, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(RGB).convert(mode)
    data = saved(image, "PNG", exif=exif)
    steps = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
             7: "TRANSVERSE", 8: "ROTATE_90"}  # fmt: skip
    upright = image.transpose(Image.Transpose[steps[orientation]]) if orientation > 1 else image
    wanted = np.array(upright.convert("L" if mode == "1" else "RGB")).reshape(*upright.size[::-1], -1)
    with open_image(io.BytesIO(data)) as source:
        bands = [source.read_rows(top, min(top + 5, len(wanted))) for top in range(0, len(wanted), 5)]
    assert np.array_equal(np.concatenate(bands), wanted)
    assert (probe(io.BytesIO(data)).decoding_bytes == 0) == (orientation < 3)


ROWS = [row.tobytes() for row in RGB]
HEIGHT, WIDTH = RGB.shape[:2]
STREAM = zlib.compress(filtered(ROWS, [4, 3, 1, 2, 0] * 4 + [4, 4, 3], 3))


def read(data):
    with open_image(io.BytesIO(data)) as source:
        return source.read_rows(0, source.info.height), list(source.losses)


def test_a_png_cut_anywhere_is_whole_or_an_error_at_once():
    data = png_file(WIDTH, HEIGHT, 8, 2, STREAM, cut=500)
    whole = set()
    for end in range(34, len(data), 3):
        with suppress(ImageError):
            open_image(io.BytesIO(data[:end]))
            whole.add(end)
            assert np.array_equal(read(data[:end])[0], RGB)
    assert min(whole) > len(data) - 40


def test_a_changed_byte_is_never_silent():
    data = png_file(WIDTH, HEIGHT, 8, 2, STREAM, cut=500)
    start = data.index(b"IDAT")
    outcomes = set()
    for at in range(start, len(data) - 12, 5):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        outcome = "error"
        with suppress(ImageError):
            rows, losses = read(bytes(changed))
            assert np.array_equal(rows, RGB)
            assert [loss.kind for loss in losses] == ["damage"]
            outcome = "said"
        outcomes.add(outcome)
    assert outcomes == {"error", "said"}  # a checksum of a chunk may be wrong: that of the pixels is right


def test_damage_that_keeps_the_sum_of_the_pixels_is_said():
    rows, damaged = [bytes((0, 2, 0))], bytes((1, 0, 1))
    assert zlib.adler32(b"\0" + rows[0]) == zlib.adler32(b"\0" + damaged)
    data = png_file(3, 1, 8, 0, zlib.compress(filtered(rows, [0], 1), 0))
    found, losses = read(data)
    assert found.tobytes() == rows[0]
    assert not losses  # the control
    at = data.index(b"\0" + rows[0], data.index(b"IDAT") + 11) + 1
    found, losses = read(data[:at] + damaged + data[at + 3 :])
    assert found.tobytes() == damaged
    assert [loss.kind for loss in losses] == ["damage"]


def test_a_stream_that_goes_on_or_is_cut_is_read_only_if_its_chunks_are_intact():
    """A damaged length makes more bytes than the image has, so the sum behind the stream shows nothing."""
    rows = [bytes((x // 5 + y) % 256 for x in range(60)) for y in range(20)]
    wanted = np.array([list(row) for row in rows])[..., np.newaxis]
    stream = zlib.compress(filtered(rows, [0] * 20, 1), 9)
    data = png_file(60, 20, 8, 0, stream)
    for at, bit in itertools.product(range(data.index(b"IDAT") + 4, len(data) - 16), range(8)):
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        with suppress(ImageError):
            found, losses = read(bytes(changed))
            assert np.array_equal(found, wanted)
            assert [loss.kind for loss in losses] == ["damage"]
    for end in range(4):
        data = png_file(60, 20, 8, 0, stream[: len(stream) - 4 + end])
        assert np.array_equal(read(data)[0], wanted)
        with pytest.raises(ImageError, match="damaged"):
            read(data[:-13] + bytes([data[-13] ^ 1]) + data[-12:])


def test_what_is_behind_the_stream_is_not_kept():
    data = png_file(WIDTH, HEIGHT, 8, 2, STREAM + bytes(16 << 20), cut=1 << 20)
    (rows, losses), peak = peak_of(lambda: read(data))
    assert np.array_equal(rows, RGB)
    assert not losses
    assert peak < 4 << 20


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_png_without_its_end_is_read_whole_turned_or_not(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(RGB), "PNG", exif=exif)
    with open_image(io.BytesIO(data)) as source, open_image(io.BytesIO(data[:-12])) as cut:
        height = source.info.height
        assert np.array_equal(cut.read_rows(0, height), source.read_rows(0, height))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_wrong_sum_of_the_pixels_is_said_and_with_a_wrong_sum_of_the_chunk_an_error(depth):
    rows = ROWS if depth == 8 else [row.astype(">u2").tobytes() for row in RGB16]
    stream = zlib.compress(b"".join(b"\0" + row for row in rows))
    data = png_file(WIDTH, HEIGHT, depth, 2, stream[:-1] + bytes([stream[-1] ^ 1]))
    found, losses = read(data)
    assert np.array_equal(found, RGB if depth == 8 else RGB16)
    assert [loss.kind for loss in losses] == ["damage"]
    at = len(data) - 13
    with pytest.raises(ImageError, match="damaged"):
        read(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@pytest.mark.parametrize("cut", [1, 2, 3, 100])
def test_empty_chunks_and_more_after_the_last_row_change_nothing(cut):
    for more in (b"", b"more", bytes(200_000)):
        data = png_file(WIDTH, HEIGHT, 8, 2, STREAM + more[: 50 * cut], cut=cut)
        at = data.index(b"IDAT") - 4
        found, losses = read(data[:at] + png_chunk(b"IDAT", b"") * 3 + data[at:])
        assert np.array_equal(found, RGB)
        assert not losses


@pytest.mark.parametrize("head", [b"", b"\x78", b"\x79\x01", b"\x88\x1c", b"\x78\x02", b"\x78\x20", b"\x77\x01"])
def test_a_stream_that_is_not_zlibs_is_damaged(head):
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        read(png_file(WIDTH, HEIGHT, 8, 2, head + (STREAM[2:] if len(head) == 2 else b"")))


def test_a_filter_that_does_not_exist_is_damaged():
    with pytest.raises(ImageError, match="damaged"):
        read(png_file(WIDTH, HEIGHT, 8, 2, zlib.compress(b"".join(b"\5" + row for row in ROWS))))


def peak_of(work):
    tracemalloc.start()
    try:
        made = work()
        return made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_more_is_inflated_than_the_header_announces():
    bomb = zlib.compressobj(9)
    stream = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(48)) + bomb.flush()
    (rows, losses), peak = peak_of(lambda: read(png_file(3, 4, 8, 2, stream)))
    assert rows.shape == (4, 3, 3)
    assert not losses
    assert peak < 4 << 20


def test_a_header_that_its_file_cannot_fill_takes_no_memory():
    def refused():
        with pytest.raises(ImageError, match="truncated"):
            open_image(io.BytesIO(png_file(20_000, 20_000, 16, 6, STREAM)))

    assert peak_of(refused)[1] < 4 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is counted in KiB only there")
def test_a_large_png_is_never_whole_in_memory():
    height, width = 6000, 8000
    deflate = zlib.compressobj(1)
    row = b"\2" + bytes(3 * width)
    stream = b"".join(deflate.compress(row * 100) for _ in range(height // 100)) + deflate.flush()
    data = png_file(width, height, 8, 2, stream)

    small = png_file(WIDTH, HEIGHT, 8, 2, STREAM)
    command = [sys.executable, "-c", READ_BY_BANDS, str(len(small))]
    ran = subprocess.run(command, input=small + data, capture_output=True, check=True)
    assert int(ran.stdout) < 32 << 20 < height * width * 3 // 4


READ_BY_BANDS = """
import io, resource, sys
from upsample_cli.images.open import open_image
peaks = []
data, size = sys.stdin.buffer.read(), int(sys.argv[1])
for png in (data[:size], data[size:]):
    with open_image(io.BytesIO(png)) as source:
        for top in range(0, source.info.height, 100):
            source.read_rows(top, min(top + 100, source.info.height))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(1024 * (peaks[1] - peaks[0]))
"""
"""How much more a second PNG takes at its peak than a first, small one."""


def test_rows_above_the_last_ones_are_read_again_from_the_start():
    with open_image(io.BytesIO(png_file(WIDTH, HEIGHT, 8, 2, STREAM))) as source:
        for top, bottom in ((20, 23), (5, 6), (0, 23), (3, 9), (7, 8), (8, 20)):
            assert np.array_equal(source.read_rows(top, bottom), RGB[top:bottom])


def test_frames_of_an_animation_are_read_alike():
    data = animated_png(HEIGHT, WIDTH, 16, 2, ((RGB16, 0, 0, 0, 0), (RGB16[::-1], 0, 0, 0, 0)))
    for frame, wanted in ((1, RGB16), (2, RGB16[::-1])):
        with open_image(io.BytesIO(data), frame=frame) as source:
            assert np.array_equal(source.read_rows(0, HEIGHT), wanted)
    assert probe(io.BytesIO(data)).decoding_bytes >= HEIGHT * WIDTH * 3


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_a_processor_with_the_other_order_of_bytes_is_refused_by_the_compiler(order):
    """Pixels are shifted as parts of numbers, and nothing compares them with Pillow's at run time."""
    source = Path(__file__).parents[2] / "upsample_cli/images/codecs/png/unfilter.cpp"
    command = ["g++", "-E", "-U__BYTE_ORDER__", f"-D__BYTE_ORDER__=__ORDER_{order}_ENDIAN__", str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ("little-endian processor" in ran.stderr) == (order == "BIG")


@pytest.fixture
def not_compiled(monkeypatch):
    monkeypatch.setattr(kinds, "compiled", lambda: None)


@pytest.mark.parametrize("depth", [8, 16])
def test_without_the_compiled_module_it_is_decoded_whole(not_compiled, depth):
    rows = ROWS if depth == 8 else [row.astype(">u2").tobytes() for row in RGB16]
    data = png_of_rows(WIDTH, depth, 2, rows)
    assert np.array_equal(read(data)[0], RGB if depth == 8 else RGB16)
    assert probe(io.BytesIO(data)).decoding_bytes >= HEIGHT * WIDTH * 4


def test_an_interlaced_png_counts_as_decoded_whole():
    data = png_of_rows(1, 8, 0, [b"\1"])
    head = b"IHDR" + data[16:28] + b"\1"
    data = data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    assert read(data)[0].tolist() == [[[1]]]
    assert probe(io.BytesIO(data)).decoding_bytes == 1


class Counted(io.FileIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def readinto(self, buffer):
        found = super().readinto(buffer)
        Counted.count += found
        return found


@pytest.mark.usefixtures("in_tmp_path")
def test_a_header_is_known_without_reading_the_pixels(monkeypatch):
    """Pixels are in pieces of 64 KiB, whose heads are read."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)).save("a.png")
    size_bytes = Path("a.png").stat().st_size

    def counted(path, mode, buffer_bytes=io.DEFAULT_BUFFER_SIZE, *, opener):
        return io.BufferedReader(Counted(path, mode, opener=opener), buffer_bytes)

    monkeypatch.setattr(input_file, "open", counted, raising=False)
    monkeypatch.setattr(Counted, "count", 0)
    probe("a.png")
    assert 0 < Counted.count < size_bytes / 4
    with open_image("a.png") as source:
        source.read_rows(0, 600)
    assert Counted.count > size_bytes  # the control
