"""TIFF read by strips and tiles: every layout from tifffile and from bytes built by hand gives its pixels."""

import io
import tracemalloc
from functools import partial

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.facts import lines
from support.reading import rows_of

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.tiff import segments
from upsample_cli.images.codecs.tiff.writer import TiffSink
from upsample_cli.images.model import Layout, Metadata
from upsample_cli.images.open import open_image, probe
from upsample_cli.images.regions import RegionSource

HEIGHT, WIDTH = 37, 53
RNG = np.random.default_rng(31)
NUMBERS = {
    np.uint8: RNG.integers(0, 2**8, (HEIGHT, WIDTH, 5), np.uint8),
    np.uint16: RNG.integers(0, 2**16, (HEIGHT, WIDTH, 5), np.uint16),
    np.float32: RNG.normal(0.5, 2, (HEIGHT, WIDTH, 5)).astype(np.float32),
}
RGB16 = NUMBERS[np.uint16][..., :3].copy()


def tiff(pixels, **settings_):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **settings_)
    return file.getvalue()


KINDS = {
    "minisblack": (Layout("grey"), {"photometric": "minisblack"}),
    "grey, alpha": (Layout("grey", alpha=True), {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
    "rgb": (Layout("rgb"), {"photometric": "rgb"}),
    "rgb, alpha": (Layout("rgb", alpha=True), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "cmyk": (Layout("cmyk"), {"photometric": "separated"}),
    "cmyk, alpha": (Layout("cmyk", alpha=True), {"photometric": "separated", "extrasamples": ["unassalpha"]}),
}
DEPTHS = {np.uint8: 8, np.uint16: 16, np.float32: 32}
WAYS = {
    "one strip": {"rowsperstrip": HEIGHT},
    "strips": {"rowsperstrip": 5},
    "strips, deflate": {"rowsperstrip": 5, "compression": "zlib"},
    "strips, deflate, predictor": {"rowsperstrip": 5, "compression": "zlib", "predictor": True},
    "tiles": {"tile": (16, 32)},
    "tiles, LZW": {"tile": (32, 16), "compression": "lzw"},
    "tiles, Zstandard": {"tile": (16, 16), "compression": "zstd"},
    "BigTIFF": {"bigtiff": True, "rowsperstrip": 4, "compression": "lzma"},
}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.__name__)
def test_every_layout_depth_and_storage_is_read_exactly(dtype, way, planes, order):
    for kind, (layout, how) in KINDS.items():
        wanted = NUMBERS[dtype][..., : layout.channels]
        stored = wanted.transpose(2, 0, 1) if planes and layout.channels > 1 else wanted
        config = {} if layout.channels == 1 else {"planarconfig": "separate" if planes else "contig"}
        stored = np.ascontiguousarray(stored if layout.channels > 1 else wanted[..., 0])
        data = tiff(stored, byteorder=order, **config, **how, **WAYS[way])
        rows, info = rows_of(data)
        assert info.layout == Layout(layout.colour, layout.alpha, DEPTHS[dtype]), kind
        assert lines(info.losses) == ()
        assert info.lossless
        assert rows.dtype == info.layout.dtype
        assert rows.flags.writeable
        np.testing.assert_array_equal(rows, wanted, err_msg=kind)
        assert dtype is np.uint8 or not np.array_equal(rows, wanted.byteswap())  # the control: byte order is detected
        assert probe(io.BytesIO(data)) == info


@pytest.mark.parametrize(
    "compression", ["packbits", "lerc", "png", "jpegxl", "jpeg2000", "deflate", "lzw", "lzma", "zstd"]
)
def test_lossless_compressions_are_read_exactly(compression):
    rows, info = rows_of(tiff(RGB16, photometric="rgb", tile=(32, 16), compression=compression))
    np.testing.assert_array_equal(rows, RGB16)
    assert lines(info.losses) == ()  # the structural tags are used, not lost


def test_a_jpeg_in_a_tiff_is_decoded_to_rgb():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([y * 5, x * 4, 200 - x * 3], axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(smooth).save(file, "TIFF", compression="jpeg", quality=95)
    rows, info = rows_of(file.getvalue())
    assert not info.lossless
    assert np.abs(rows.astype(int) - smooth).mean() < 3  # the loss of JPEG on slopes of 4 levels a pixel
    assert np.abs(rows[..., ::-1].astype(int) - smooth).mean() > 20  # the control: channels in another order


@pytest.mark.parametrize("strips", [{}, {"rowsperstrip": 16}, {"tile": (16, 16)}])
def test_a_jpeg_strip_that_ends_early_is_an_error_and_one_without_an_end_marker_is_not(strips):
    data = tiff(NUMBERS[np.uint8][..., :3], photometric="rgb", compression="jpeg", **strips)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        places, sizes, counts = page.dataoffsets, page.databytecounts, page.tags[325 if "tile" in strips else 279]
    assert all(data[at + size - 2 : at + size] == b"\xff\xd9" for at, size in zip(places, sizes, strict=True))
    for missing in (2, sizes[0] // 2):
        short = [sizes[0] - missing, *sizes[1:]]
        at, width = counts.valueoffset, counts.valuebytecount // len(sizes)
        numbers = b"".join(size.to_bytes(width, "little") for size in short)
        changed = data[:at] + numbers + data[at + len(numbers) :]
        if missing == 2:
            np.testing.assert_array_equal(rows_of(changed)[0], rows_of(data)[0])
        else:
            with pytest.raises(ImageError, match=r"is truncated|is damaged"):
                rows_of(changed)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
def test_unusual_depths_are_stretched_to_the_full_range(bits):
    """The smallest and the largest value stay so, and the values between are mapped to the nearest level."""
    most = 2**bits - 1
    values = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 7 % (most + 1)).astype(np.uint16)
    values[0, :2] = 0, most
    packed = imagecodecs.packints_encode(values.astype(np.uint8 if bits <= 8 else np.uint16), bits, runlen=WIDTH)
    rows, info = rows_of(hand_laid([(258, bits), (262, 1), (277, 1)], packed))
    full = 255 if bits <= 8 else 65535
    assert info.layout == Layout("grey", depth=8 if bits <= 8 else 16)
    wanted = np.floor(values.astype(np.int64) * full / most + 0.5)
    np.testing.assert_array_equal(rows[..., 0], wanted)
    # The control: a shift does not reach full scale.
    assert not np.array_equal(values << ((8 if bits <= 8 else 16) - bits), wanted)


def hand_laid(fields, data):
    fields = sorted([(256, WIDTH), (257, HEIGHT), (259, 1), (273, 400), (278, HEIGHT), (279, len(data)), *fields])
    table = b"".join(tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for tag, value in fields)
    return (b"II*\0\x08\0\0\0" + len(fields).to_bytes(2, "little") + table + bytes(4)).ljust(400, b"\0") + data


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_white_is_zero_is_inverted_and_its_alpha_is_not(dtype, full):
    numbers = NUMBERS[dtype][..., :2]
    data = tiff(numbers, photometric="miniswhite", extrasamples=["unassalpha"], planarconfig="contig")
    rows, _ = rows_of(data)
    np.testing.assert_array_equal(rows, np.stack([full - numbers[..., 0], numbers[..., 1]], axis=2))


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_associated_alpha_is_divided_out_and_rounded(dtype, full):
    alpha = NUMBERS[dtype][..., 3:4].astype(np.int64)
    colour = NUMBERS[dtype][..., :3].astype(np.int64) * alpha // full
    stored = np.concatenate([colour, alpha], axis=2).astype(dtype)
    rows, info = rows_of(tiff(stored, photometric="rgb", extrasamples=["assocalpha"]))
    wanted = np.where(alpha == 0, 0, (2 * colour * full + alpha) // np.maximum(2 * alpha, 1))
    assert info.layout.alpha
    np.testing.assert_array_equal(rows[..., :3], wanted)
    np.testing.assert_array_equal(rows[..., 3:], alpha)
    assert not np.array_equal(rows, stored)


def test_channels_without_a_stated_meaning_are_reported():
    data = tiff(NUMBERS[np.uint8], photometric="rgb", extrasamples=["unspecified", "unassalpha"])
    rows, info = rows_of(data)
    assert lines(info.losses) == ("1 more channel is left out",)
    np.testing.assert_array_equal(rows, NUMBERS[np.uint8][..., [0, 1, 2, 4]])


@pytest.mark.parametrize(
    ("dtype", "warnings"), [(np.float16, ()), (np.float64, ("64-bit floating point is read as 32-bit",))]
)
def test_other_floats_become_float32_and_losses_are_reported(dtype, warnings):
    numbers = NUMBERS[np.float32][..., :3].astype(dtype)
    rows, info = rows_of(tiff(numbers, photometric="rgb"))
    assert lines(info.losses) == warnings
    np.testing.assert_array_equal(rows, numbers.astype(np.float32))


def test_a_sparse_tile_is_black():
    data = bytearray(tiff(RGB16, photometric="rgb", tile=(16, 16)))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        for code in (324, 325):  # offset and size of the first tile
            at, size = tags[code].valueoffset, 4 if tags[code].dtype == 4 else 2
            data[at : at + size] = bytes(size)
    rows, _ = rows_of(bytes(data))
    assert not rows[:16, :16].any()
    np.testing.assert_array_equal(rows[16:], RGB16[16:])


UPRIGHT = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2), 6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1], 8: lambda a: a.transpose(1, 0, 2)[::-1],
}  # fmt: skip
STORED = {
    (turn, way): tiff(RGB16, photometric="rgb", extratags=[(274, 3, 1, turn, True)], **WAYS[way])
    for turn in UPRIGHT
    for way in ("one strip", "strips, deflate", "tiles, LZW")
}


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    case=st.sampled_from(sorted(STORED)),
    heights=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    halo=st.integers(0, 2),
)
def test_bands_with_a_halo_equal_the_whole_with_any_storage_and_orientation(case, heights, halo):
    wanted = UPRIGHT[case[0]](RGB16)
    with open_image(io.BytesIO(STORED[case])) as source:
        top = 0
        for height in heights:
            first, last = max(0, top - halo), min(top + height + halo, len(wanted))
            if first < last:
                np.testing.assert_array_equal(source.read_rows(first, last), wanted[first:last])
            top += height


def traced_peak(data, rows_at_once):
    with open_image(io.BytesIO(data)) as source:
        source.read_rows(0, 1)  # triggers one-time imports
    tracemalloc.start()
    try:
        with open_image(io.BytesIO(data)) as source:
            for top in range(0, source.info.height, rows_at_once):
                source.read_rows(top, min(top + rows_at_once, source.info.height))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "way", [{"rowsperstrip": 16, "compression": "zlib"}, {"tile": (64, 64), "compression": "lzw"}, {}]
)
@pytest.mark.parametrize("turn", [1, 3])
def test_only_the_strips_and_tiles_of_a_band_are_in_memory(way, turn):
    """4 MB of pixels in less than 1.6 MB: a band, a strip or row of tiles, and the memory for decoding one."""
    pixels = np.random.default_rng(5).integers(0, 256, (2000, 700, 3), np.uint8)
    orientation = [(274, 3, 1, turn, True)]
    stored = partial(tiff, pixels, photometric="rgb", extratags=orientation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "_PLAIN_BYTES", 1 << 16)
        assert traced_peak(stored(**way), 32) < 1.6e6
        assert traced_peak(stored(**way), 2000) > pixels.nbytes  # the control: reading the whole image is detected


@pytest.mark.parametrize("way", ["one strip", "strips, deflate", "tiles"])
def test_a_file_that_ends_early_is_refused_before_a_row_is_read(way):
    data = tiff(RGB16, photometric="rgb", **WAYS[way])
    for keep in (0.4, 0.7, 0.95):
        with pytest.raises(ImageError, match=r"truncated|damaged"):
            probe(io.BytesIO(data[: int(len(data) * keep)]))


def test_a_damaged_strip_is_one_line_when_it_is_read():
    data = bytearray(tiff(RGB16, photometric="rgb", **WAYS["strips, deflate"]))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[0].dataoffsets[3]
    data[at : at + 40] = bytes(40)
    with open_image(io.BytesIO(data)) as source:
        np.testing.assert_array_equal(source.read_rows(0, 15), RGB16[:15])
        with pytest.raises(ImageError, match=r"-: is damaged: its TIFF data make no sense; get a new copy of it"):
            source.read_rows(15, 20)


def test_a_huge_tile_around_a_small_image_is_refused():
    fields = [(258, 8), (262, 1), (277, 1), (322, 60_000), (323, 60_000), (324, 400), (325, 10)]
    with pytest.raises(ImageError, match="60000×60000 is 3600000000 pixels"):
        probe(io.BytesIO(hand_laid(fields, bytes(10))))


def test_the_metadata_equals_what_pillow_reads():
    data = tiff(
        RGB16, photometric="rgb", resolution=(300, 299.5), resolutionunit="inch", iccprofile=b"p" * 200,
        description="an image", extratags=[(700, 1, 4, b"<x/>", True)],
    )  # fmt: skip
    with open_image(io.BytesIO(data)) as source:
        assert isinstance(source, RegionSource)
        assert source.metadata.dpi == (300, 299.5)
        assert source.metadata.icc_profile == b"p" * 200
        assert source.metadata.xmp == b"<x/>"
        exif = Image.Exif()
        exif.load(source.metadata.exif)
        assert exif[270] == "an image"


@pytest.mark.parametrize("level", [0, 1, 6])
@pytest.mark.parametrize("layout", [Layout(c, a, 32) for c in ("grey", "rgb", "cmyk") for a in (False, True)], ids=str)
def test_our_reader_and_tifffile_agree_on_our_float_tiff(layout, level):
    numbers = NUMBERS[np.float32][..., : layout.channels].copy()
    numbers[3, 4], numbers[5, 6], numbers[7, 8] = np.nan, np.inf, -np.inf
    file = io.BytesIO()
    sink = TiffSink(file, height=HEIGHT, width=WIDTH, layout=layout, metadata=Metadata(), level=level)
    sink.write_rows(numbers)
    sink.finish()
    rows, info = rows_of(file.getvalue())
    assert info.layout == layout
    np.testing.assert_array_equal(rows, numbers)
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as read:
        np.testing.assert_array_equal(read.pages[0].asarray().reshape(numbers.shape), numbers)


def test_a_file_opened_by_name_is_closed_with_the_image(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(RGB16, photometric="rgb"))
    with open_image(path) as source:
        source.read_rows(0, 1)
    with pytest.raises(ValueError, match="closed"):
        source.read_rows(0, 1)
