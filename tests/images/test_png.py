"""The streaming PNG writer, read back by Pillow and by the small reader below, which shares no code with it."""

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from upsample_cli.errors import UsageError
from upsample_cli.images.codecs import deflate
from upsample_cli.images.codecs.png import writer
from upsample_cli.images.codecs.png.metadata_chunks import metadata_chunks
from upsample_cli.images.codecs.png.writer import PngSink
from upsample_cli.images.model import Layout, Metadata

LAYOUTS = [Layout(colour, alpha, depth) for colour in ("grey", "rgb") for alpha in (False, True) for depth in (8, 16)]
COLOUR_TYPES = {("grey", False): 0, ("rgb", False): 2, ("grey", True): 4, ("rgb", True): 6}  # PNG, table 11.1
NO_METADATA = Metadata()


# A reader ----------------------------------------------------------------------------------------------------------


def chunks_of(file):
    """(kind, data) of each chunk; fails if a length, a CRC or the signature is wrong."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(file):
        (length,) = struct.unpack_from(">I", file, at)
        kind, body = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        assert len(body) == length
        assert struct.unpack_from(">I", file, at + 8 + length)[0] == zlib.crc32(kind + body), f"CRC of {kind}"
        found.append((kind, body))
        at += 12 + length
    assert found[-1] == (b"IEND", b"")
    return found


def pack(chunks):
    """A PNG with these chunks."""
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def stream_of(file):
    return b"".join(body for kind, body in chunks_of(file) if kind == b"IDAT")


def predictor(filter_type, left, above, corner):
    """Chapter 9 of the PNG specification, one byte at a time."""
    if filter_type == 4:
        guess = left + above - corner
        distances = (abs(guess - left), abs(guess - above), abs(guess - corner))
        return (left, above, corner)[distances.index(min(distances))]
    return (0, left, above, (left + above) // 2)[filter_type]


def unfiltered(lines, pixel_bytes):
    above = bytes(len(lines[0]) - 1)
    for line in lines:
        row = bytearray()
        for i, residual in enumerate(line[1:]):
            left, corner = (row[i - pixel_bytes], above[i - pixel_bytes]) if i >= pixel_bytes else (0, 0)
            row.append((residual + predictor(line[0], left, above[i], corner)) % 256)
        yield bytes(row)
        above = row


def read_png(file, layout):
    """The pixels; checks that the header matches `layout`, and zlib checks the Adler-32."""
    (first, header), *_ = chunks_of(file)
    width, height, *rest = struct.unpack(">IIBBBBB", header)
    assert (first, rest) == (b"IHDR", [layout.depth, COLOUR_TYPES[layout.colour, layout.alpha], 0, 0, 0])
    filtered = zlib.decompress(stream_of(file))
    line = len(filtered) // height
    lines = [filtered[top : top + line] for top in range(0, len(filtered), line)]
    rows = b"".join(unfiltered(lines, layout.channels * layout.depth // 8))
    return np.frombuffer(rows, ">u2" if layout.depth == 16 else "u1").reshape(height, width, layout.channels)


# Written files --------------------------------------------------------------------------------------------------------


def written(pixels, layout, *, runs=None, chunk_bytes=writer.CHUNK_BYTES, file=None, **settings):
    """The file that a sink writes for `pixels`, given in runs of these heights (in one run if None)."""
    file = file or io.BytesIO()
    height, width = pixels.shape[:2]
    with mock.patch.object(writer, "CHUNK_BYTES", chunk_bytes):
        sink = PngSink(file, height=height, width=width, layout=layout, **{"metadata": NO_METADATA, **settings})
        for run in np.split(pixels, np.cumsum(runs or [])):
            sink.write_rows(run)
        sink.finish()
    return file.getvalue()


def sample(height, width, layout, seed=0):
    """Slopes with noise and a flat part, so that all filters and matches are used."""
    rng = np.random.default_rng(seed)
    top = 255 if layout.depth == 8 else 65535
    slope = np.add.outer(np.linspace(0, 0.4, height), np.linspace(0, 0.5, width))[..., None]
    pixels = (slope + 0.1 * rng.random((height, width, layout.channels))) * top
    pixels[height // 3 : height // 2] = top
    return pixels.astype(layout.dtype)


@st.composite
def images(draw):
    layout = draw(st.sampled_from(LAYOUTS))
    return sample(draw(st.integers(1, 23)), draw(st.integers(1, 17)), layout, draw(st.integers(0, 99))), layout


def cuts(draw, height):
    """Heights of runs, including zero, that add up to at most `height`; one more run takes the rest."""
    edges = sorted(draw(st.lists(st.integers(0, height), max_size=6)))
    return [int(run) for run in np.diff([0, *edges])]


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as executor:
        yield executor


# Pixels ------------------------------------------------------------------------------------------------------------


@given(images(), st.sampled_from(sorted(deflate.LEVELS)), st.integers(1, 900), st.integers(1, 300))
@settings(max_examples=60)
def test_every_layout_and_level_is_exact(image, level, chunk_bytes, block_bytes):
    pixels, layout = image
    with mock.patch.object(deflate, "_BLOCK_BYTES", block_bytes):
        file = written(pixels, layout, level=level, chunk_bytes=chunk_bytes)
    assert np.array_equal(read_png(file, layout), pixels)


@given(images(), st.integers(1, 400), st.sampled_from([1, 3, 6]), st.data())
@settings(max_examples=60)
def test_the_bytes_do_not_depend_on_runs_or_the_executor(pool, image, chunk_bytes, level, draw):
    pixels, layout = image
    whole = written(pixels, layout, level=level, chunk_bytes=chunk_bytes)
    runs = cuts(draw.draw, len(pixels))
    assert written(pixels, layout, level=level, chunk_bytes=chunk_bytes, runs=runs) == whole
    assert written(pixels, layout, level=level, chunk_bytes=chunk_bytes, runs=runs, executor=pool) == whole


def test_chunk_boundaries_change_the_bytes():
    """The negative control of the test above: if chunks ended where runs end, the test would detect it."""
    pixels = sample(23, 17, Layout("rgb"))
    assert written(pixels, Layout("rgb"), chunk_bytes=300) != written(pixels, Layout("rgb"), chunk_bytes=400)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.depth == 8], ids=str)
def test_pillow_reads_files_with_full_size_chunks(layout, pool):
    pixels = sample(1031, 701, layout)  # 0.7 to 2.9 MB: one to three chunks
    file = written(pixels, layout, runs=[7, 500], executor=pool)
    image = Image.open(io.BytesIO(file))
    assert (
        image.mode
        == {("grey", False): "L", ("grey", True): "LA", ("rgb", False): "RGB", ("rgb", True): "RGBA"}[
            layout.colour, layout.alpha
        ]
    )
    assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_pillow_reads_16_bit_grey():
    pixels = sample(31, 17, Layout("grey", depth=16))
    image = Image.open(io.BytesIO(written(pixels, Layout("grey", depth=16))))
    assert image.mode == "I;16"
    assert np.array_equal(np.asarray(image), pixels[..., 0])


def test_rows_that_are_not_contiguous_are_accepted():
    layout = Layout("rgb", depth=16)
    pixels = sample(11, 34, layout)[::-1, ::2, ::-1]
    assert np.array_equal(read_png(written(pixels, layout), layout), pixels)


# The reader detects errors --------------------------------------------------------------------------------------------


def altered(file, change):
    """`file` with its pixel data inflated, changed, and deflated again with valid checksums."""
    chunks = chunks_of(file)
    stream = zlib.compress(change(zlib.decompress(stream_of(file))))
    return pack([chunks[0], (b"IDAT", stream), chunks[-1]])


def test_a_wrong_adler32_is_detected():
    layout = Layout("rgb")
    chunks = chunks_of(written(sample(11, 7, layout), layout))
    end = chunks[-2][1]
    chunks[-2] = (b"IDAT", end[:-1] + bytes([end[-1] ^ 1]))
    with pytest.raises(zlib.error, match="incorrect data check"):
        read_png(pack(chunks), layout)


@pytest.mark.parametrize("level", [1, 3])
def test_a_wrong_filter_byte_is_detected(level):
    layout = Layout("rgb")
    pixels = sample(11, 7, layout)
    line = 1 + 7 * 3

    def change(filtered):
        return filtered[:line] + b"\1" + filtered[line + 1 :]

    file = written(pixels, layout, level=level)
    assert np.array_equal(read_png(altered(file, bytes), layout), pixels)
    assert not np.array_equal(read_png(altered(file, change), layout), pixels)


def test_swapped_bytes_are_detected():
    layout = Layout("grey", alpha=True, depth=16)
    pixels = sample(11, 7, layout)
    assert not np.array_equal(read_png(written(pixels.byteswap(), layout), layout), pixels)


def test_a_wrong_crc_is_detected():
    file = bytearray(written(sample(11, 7, Layout("grey")), Layout("grey")))
    file[50] ^= 1
    with pytest.raises(AssertionError, match="CRC of b'IDAT'"):
        chunks_of(bytes(file))


# Size and speed -------------------------------------------------------------------------------------------------------


def test_a_doubled_photograph_is_about_as_small_as_with_pillow():
    """The promise is 1.2; 1.11 was measured. Filter None, the negative control, is far above it."""
    image = Image.fromarray(data.chelsea()).resize((902, 600), Image.Resampling.BILINEAR)
    pillows = io.BytesIO()
    image.save(pillows, "PNG")
    sizes = {level: len(written(np.asarray(image), Layout("rgb"), level=level)) for level in (0, 1, 3, 6)}
    assert sizes[1] < 1.2 * pillows.tell()
    assert sizes[6] < sizes[3] <= sizes[1] < sizes[0]
    unfiltered = {1: deflate._Level(deflate._ISAL, 1, (deflate.NONE,))}
    with mock.patch.object(deflate, "LEVELS", unfiltered):
        assert len(written(np.asarray(image), Layout("rgb"))) > 1.2 * pillows.tell()


@pytest.mark.parametrize(("factor", "better"), [(1, deflate.PAETH), (4, deflate.UP)])
def test_a_level_that_tries_two_filters_keeps_the_smaller(factor, better):
    image = Image.fromarray(data.chelsea()).resize((451 * factor, 300 * factor), Image.Resampling.BILINEAR)
    sizes = {}
    for filters in ((deflate.UP,), (deflate.PAETH,), (deflate.UP, deflate.PAETH)):
        with mock.patch.object(deflate, "LEVELS", {1: deflate._Level(deflate._ISAL, 2, filters)}):
            sizes[filters] = len(written(np.asarray(image), Layout("rgb")))
    assert min(sizes, key=sizes.get) == (better,)
    assert sizes[deflate.UP, deflate.PAETH] == pytest.approx(sizes[better,], rel=0.01)  # a chunk may differ
    assert max(sizes.values()) > 1.02 * sizes[better,]


def test_importing_the_writer_imports_no_codec():
    code = "import sys, upsample_cli.images.codecs.png.writer; print(*{'isal', 'PIL', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# Metadata ----------------------------------------------------------------------------------------------------------

XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>Ω</x:xmpmeta>".encode()
FULL = Metadata(
    icc_profile=bytes(range(256)) * 3,
    exif=b"MM\0*\0\0\0\x08\0\0\0\0\0\0",
    xmp=XMP,
    dpi=(300, 72.5),
    text=(("Author", "Käthe"), ("Title", "Дом"), ("Author", "again")),
)


def test_metadata_precedes_the_pixels_in_a_valid_order():
    pixels = sample(5, 7, Layout("grey"))
    kinds = [kind for kind, _ in chunks_of(written(pixels, Layout("grey"), metadata=FULL))]
    assert kinds == [b"IHDR", b"iCCP", b"pHYs", b"eXIf", b"iTXt", b"tEXt", b"iTXt", b"tEXt", b"IDAT", b"IDAT", b"IEND"]


def test_pillow_reads_the_metadata():
    image = Image.open(io.BytesIO(written(sample(5, 7, Layout("grey")), Layout("grey"), metadata=FULL)))
    assert image.info["icc_profile"] == FULL.icc_profile
    assert image.info["exif"] in (FULL.exif, b"Exif\0\0" + FULL.exif)
    assert image.info["dpi"] == pytest.approx((300, 72.5), abs=0.0127)  # half a dot per metre, in dots per inch
    assert image.text["XML:com.adobe.xmp"] == XMP.decode()
    assert (image.text["Author"], image.text["Title"]) == ("again", "Дом")


@pytest.mark.parametrize(
    ("keyword", "legal"),
    [
        ("Author", b"Author"),
        ("  two \n\t spaces ", b"two spaces"),
        ("Größe", "Größe".encode("latin-1")),
        ("日本", b"??"),
        ("a" * 78 + " bc", b"a" * 78),
        ("\0", b"Comment"),
        ("", b"Comment"),
    ],
)
def test_keywords_are_made_valid(keyword, legal):
    (chunk,) = metadata_chunks(Metadata(text=((keyword, "val\0ue"),)))
    assert chunk[4:-4] == b"tEXt" + legal + b"\0value"


@pytest.mark.parametrize("dpi", [(0, 0), (-1, 300), (float("nan"), 300), (300, float("inf")), (0.01, 300), (1e9, 300)])
def test_a_resolution_that_png_cannot_store_is_left_out(dpi):
    assert list(metadata_chunks(Metadata(dpi=dpi))) == []


def test_text_that_cannot_be_encoded_is_still_written():
    (chunk,) = metadata_chunks(Metadata(text=(("Note", "a\ud800b"),)))
    assert chunk[4:-4] == b"iTXtNote\0\0\0\0\0a?b"


def test_xmp_is_written_once():
    metadata = Metadata(xmp=XMP, text=(("XML:com.adobe.xmp", "older"), ("Note", "x")))
    assert [chunk[4:8] for chunk in metadata_chunks(metadata)] == [b"iTXt", b"tEXt"]
    alone = Metadata(text=(("XML:com.adobe.xmp", "only"),))
    assert len(list(metadata_chunks(alone))) == 1


# Wrong calls -------------------------------------------------------------------------------------------------------


def sink(height=5, width=7, layout=LAYOUTS[0], **settings):
    return PngSink(io.BytesIO(), height=height, width=width, layout=layout, **{"metadata": NO_METADATA, **settings})


def test_too_many_rows_are_refused_and_the_right_number_is_still_accepted():
    target = sink()
    with pytest.raises(ValueError, match=r"6 rows come where .* 5"):
        target.write_rows(np.zeros((6, 7, 1), np.uint8))
    target.write_rows(np.zeros((5, 7, 1), np.uint8))
    target.finish()
    with pytest.raises(ValueError, match="finished"):
        target.finish()
    with pytest.raises(ValueError, match="finished"):
        target.write_rows(np.zeros((0, 7, 1), np.uint8))


def test_missing_rows_are_refused():
    target = sink()
    target.write_rows(np.zeros((3, 7, 1), np.uint8))
    with pytest.raises(ValueError, match="2 rows"):
        target.finish()


@pytest.mark.parametrize(
    "rows", [np.zeros((2, 8, 1), "u1"), np.zeros((2, 7), "u1"), np.zeros((2, 7, 1), "u2")], ids=str
)
def test_rows_of_another_kind_are_refused(rows):
    with pytest.raises(ValueError, match="rows are"):
        sink().write_rows(rows)


@pytest.mark.parametrize("wrong", [{"height": 0}, {"width": 0}, {"width": 2**31}, {"layout": Layout("cmyk")}], ids=str)
def test_images_that_png_cannot_store_are_refused(wrong):
    with pytest.raises(ValueError, match="PNG holds"):
        sink(**wrong)


@pytest.mark.parametrize("level", [-1, 10])
def test_an_unknown_level_is_an_error_that_lists_the_levels(level):
    with pytest.raises(UsageError, match="use 0 to 9"):
        sink(level=level)


# Errors while writing -------------------------------------------------------------------------------------------------


class NeverStarted(Future):
    def result(self, _timeout=None):
        raise AssertionError("this would wait for ever")


class Recording(Executor):
    """Passes work to a pool, or never starts it if there is none; records every future."""

    def __init__(self, pool=None):
        self.pool, self.futures, self.most_waiting = pool, [], 0

    def submit(self, function, *args):
        self.futures.append(self.pool.submit(function, *args) if self.pool else NeverStarted())
        self.most_waiting = max(self.most_waiting, sum(not future.done() for future in self.futures))
        return self.futures[-1]


def write_one_by_one(target, pixels):
    for row in pixels:
        target.write_rows(row[None])
    target.finish()


@pytest.mark.parametrize("with_pool", [False, True])
@pytest.mark.parametrize("fatal", [MemoryError("no room"), KeyboardInterrupt()], ids=repr)
def test_an_error_in_a_chunk_is_raised_and_nothing_keeps_running(pool, with_pool, fatal):
    executor = Recording(pool) if with_pool else None
    real, calls = deflate.deflate_rows, iter(range(100))

    def second_fails(raw, **settings):
        if next(calls) == 1:
            raise fatal
        return real(raw, **settings)

    with mock.patch.object(writer, "CHUNK_BYTES", 7), mock.patch.object(deflate, "deflate_rows", second_fails):
        target = sink(height=90, executor=executor)
        with pytest.raises(type(fatal)):
            write_one_by_one(target, np.zeros((90, 7, 1), np.uint8))
        with pytest.raises(ValueError, match="earlier error"):
            target.finish()
    if executor:
        assert len(executor.futures) < 90
        assert not wait(executor.futures, timeout=10).not_done


def test_a_full_disk_is_raised_and_nothing_keeps_running(pool):
    class FullDisk(io.BytesIO):
        def write(self, part):
            if self.tell() + len(part) > 400:
                raise OSError(28, "No space left on device")
            return super().write(part)

    executor = Recording(pool)
    with pytest.raises(OSError, match="No space left"):
        written(sample(90, 7, LAYOUTS[0]), LAYOUTS[0], chunk_bytes=7, file=FullDisk(), executor=executor)
    assert not wait(executor.futures, timeout=10).not_done


def test_an_error_cancels_chunks_that_have_not_started():
    never = Recording()
    target = sink(height=90, width=1 << 20, executor=never)  # every row is a chunk
    with mock.patch.object(writer, "_idat", side_effect=MemoryError), pytest.raises(MemoryError):
        write_one_by_one(target, np.zeros((90, 1 << 20, 1), np.uint8))
    assert len(never.futures) > 2
    assert all(future.cancelled() for future in never.futures)


def test_an_executor_that_never_starts_does_not_block_or_fill_the_memory():
    """As if every worker were computing rows and waiting for this sink to take them."""
    pixels = sample(90, 7, LAYOUTS[0])
    never = Recording()
    assert written(pixels, LAYOUTS[0], chunk_bytes=7, executor=never) == written(pixels, LAYOUTS[0], chunk_bytes=7)
    assert len(never.futures) == 90
    assert 2 <= never.most_waiting < 90


def test_look_ahead_is_bounded_in_bytes():
    """A row of 40 MB: at most two may be queued, however many processors there are."""
    never = Recording()
    target = sink(height=5, width=40_000_000, executor=never)
    with mock.patch.object(writer, "_idat", return_value=writer._Idat(b"", 1, 0)) as work:
        for _ in range(4):
            target.write_rows(np.zeros((1, 40_000_000, 1), np.uint8))
    assert work.call_count == 2
    assert sum(not future.done() for future in never.futures) == 2
