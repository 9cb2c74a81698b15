"""JPEG encoded in strips, and JPEG decoded by imagecodecs, compared with Pillow, which does both in one piece."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs import jpeg, jpeg_decoder
from upsample_cli.images.codecs.jpeg import JpegSink, segments_before_tables
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.model import ImageInfo, Layout, Metadata
from upsample_cli.images.open import open_image
from upsample_cli.images.save import open_sink

MODES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
SUBSAMPLINGS = ["4:4:4", "4:2:2", "4:2:0"]
RESTART = re.compile(rb"\xff[\xd0-\xd7]")


def photograph(height, width, channels=3, seed=0):
    """Slopes with grain, so that every block has different coefficients."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [(3 * y + (index + 1) * x) % 200 + rng.integers(0, 40, y.shape) for index in range(channels)]
    return np.stack(planes, axis=2).astype(np.uint8)


def by_pillow(rows, colour="rgb", **settings_):
    file = io.BytesIO()
    height, width = rows.shape[:2]
    Image.frombuffer(MODES[colour], (width, height), rows.tobytes()).save(file, "JPEG", **settings_)
    return file.getvalue()


def in_strips(rows, colour="rgb", *, runs=None, quality=90, subsampling="4:4:4", executor=None, **settings_):
    file = io.BytesIO()
    height, width = rows.shape[:2]
    sink = JpegSink(
        file,
        height=height,
        width=width,
        layout=Layout(colour),
        quality=quality,
        subsampling=subsampling,
        head=segments_before_tables(Layout(colour), settings_),
        executor=executor,
    )
    top = 0
    for run in runs or [height]:
        sink.write_rows(rows[top : top + run])
        top += run
    sink.finish()
    return file.getvalue()


def decoded(data):
    image = Image.open(io.BytesIO(data))
    return image.mode, np.asarray(image)


@pytest.fixture
def small_strips(monkeypatch):
    """Makes strips one row of coded units high, so that small images have several."""
    monkeypatch.setattr(jpeg, "_STRIP_BYTES", 1)


@pytest.mark.parametrize("quality", [1, 10, 24, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_an_image_with_one_strip_equals_pillows_byte_for_byte(quality, subsampling):
    rows = photograph(29, 43)
    assert in_strips(rows, quality=quality, subsampling=subsampling) == by_pillow(
        rows, quality=quality, subsampling=subsampling
    )
    assert in_strips(rows, quality=quality) != by_pillow(rows, quality=max(1, quality - 1))  # the control


@pytest.mark.parametrize("colour", ["grey", "cmyk"])
def test_grey_and_cmyk_images_with_one_strip_equal_pillows_byte_for_byte(colour):
    rows = photograph(29, 43, {"grey": 1, "cmyk": 4}[colour])
    assert in_strips(rows, colour) == by_pillow(rows, colour, quality=90, subsampling="4:4:4")


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 70),
    colour=st.sampled_from(["grey", "rgb", "cmyk"]),
    subsampling=st.sampled_from(SUBSAMPLINGS),
    strip_bytes=st.integers(1, 9000),
    data=st.data(),
)
def test_strips_decode_to_the_same_pixels_as_the_whole(height, width, colour, subsampling, strip_bytes, data):
    """The file does not depend on how rows arrive, and the decoded pixels do not depend on the strips."""
    rows = photograph(height, width, {"grey": 1, "rgb": 3, "cmyk": 4}[colour], seed=height)
    subsampling = subsampling if colour == "rgb" else "4:4:4"
    whole = by_pillow(rows, colour, quality=85, subsampling=subsampling)
    runs, left = [], height
    while left:
        runs.append(data.draw(st.integers(1, left)))
        left -= runs[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "_STRIP_BYTES", strip_bytes)
        found = in_strips(rows, colour, quality=85, subsampling=subsampling, runs=runs)
        assert found == in_strips(rows, colour, quality=85, subsampling=subsampling)
    mode, pixels = decoded(found)
    assert mode == MODES[colour]
    assert np.array_equal(pixels, decoded(whole)[1])


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_the_file_has_the_expected_strips(small_strips, colour):
    """Restart markers 0 to 7 in turn, one fewer than strips, and nothing else new in the header."""
    rows = photograph(16 * 10 + 3, 43, {"grey": 1, "rgb": 3}[colour])
    subsampling, unit = ("4:2:0", 16) if colour == "rgb" else ("4:4:4", 8)
    found, whole = (
        in_strips(rows, colour, subsampling=subsampling),
        by_pillow(rows, colour, quality=90, subsampling=subsampling),
    )
    scan_at, whole_at = (each.index(b"\xff\xda") for each in (found, whole))
    count = -(-len(rows) // unit)
    assert [marker[1] - 0xD0 for marker in RESTART.findall(found[scan_at:])] == [
        index % 8 for index in range(count - 1)
    ]
    assert not RESTART.search(whole[whole_at:])
    interval = (-(-43 // unit)).to_bytes(2, "big")
    assert found[:scan_at] == whole[:whole_at] + b"\xff\xdd\0\4" + interval


def test_strips_that_split_a_coded_unit_give_other_pixels(monkeypatch):
    """The control: strips whose height is not a whole number of units change the image."""
    rows = photograph(120, 43)
    monkeypatch.setattr(jpeg, "_STRIP_BYTES", 1)
    monkeypatch.setitem(jpeg._UNITS, "4:2:0", (12, 16))
    found, whole = in_strips(rows, subsampling="4:2:0"), by_pillow(rows, quality=90, subsampling=2)
    assert not np.array_equal(decoded(found)[1], decoded(whole)[1])


def test_a_strip_has_at_most_the_units_of_a_restart_interval(monkeypatch):
    monkeypatch.setattr(jpeg, "_STRIP_BYTES", 1 << 30)
    rows = np.zeros((24, 65500, 1), np.uint8)  # 8188 units across, so at most 8 rows of them
    rows[:, ::7] = 200
    file = io.BytesIO()
    sink = JpegSink(file, height=80, width=65500, layout=Layout("grey"), quality=50)
    for top in range(0, 80, 24):
        sink.write_rows(rows[: min(24, 80 - top)])
    sink.finish()
    mode, pixels = decoded(file.getvalue())
    assert (mode, pixels.shape) == ("L", (80, 65500))
    assert file.getvalue().count(b"\xff\xdd\0\4" + (8 * 8188).to_bytes(2, "big")) == 1


def test_metadata_equals_what_pillow_writes(small_strips):
    """Two profile segments and all other metadata: identical to Pillow's up to the tables."""
    settings_ = {
        "icc_profile": bytes(range(256)) * 300,
        "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0",
        "xmp": b"<x/>" * 99,
        "dpi": (300, 299),
        "comment": b"tables \xff\xdb are not here",
    }
    rows = photograph(40, 43)
    found, whole = in_strips(rows, **settings_), by_pillow(rows, quality=90, subsampling=0, **settings_)
    tables_at = whole.index(b"\xff\xdb\0\x43")
    assert found[:tables_at] == whole[:tables_at]
    assert np.array_equal(decoded(found)[1], decoded(whole)[1])


def test_threads_do_not_change_the_file(small_strips):
    rows = photograph(330, 43)
    with ThreadPoolExecutor(3) as pool:
        assert in_strips(rows, runs=[7] * 47 + [1], executor=pool) == in_strips(rows)


def test_a_refusal_of_the_encoder_is_a_writing_error(monkeypatch):
    with pytest.raises(OSError, match="the JPEG encoder gave up"):
        in_strips(photograph(9, 9), exif=bytes(70000))

    def refuse(*_, **__):
        raise imagecodecs.Jpeg8Error("no room")

    monkeypatch.setattr(imagecodecs, "jpeg8_encode", refuse)
    with pytest.raises(OSError, match=r"the JPEG encoder gave up \(no room\)"):
        in_strips(photograph(9, 9))


def test_a_full_disk_is_reported_once_and_ends_the_sink(small_strips):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() > 1500:
                raise OSError(28, "No space left on device")
            return super().write(data)

    sink = JpegSink(Full(), height=400, width=43, layout=Layout("rgb"), quality=90)
    with pytest.raises(OSError, match="No space"):
        sink.write_rows(photograph(400, 43))
    with pytest.raises(ValueError, match="ended it"):
        sink.finish()


@pytest.fixture
def forbid_pillow_decoding(monkeypatch):
    """Pillow may read headers but must not decode."""

    def load(_self):
        raise AssertionError("decoded by Pillow")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


def rows_in_two_bands(data):
    with open_image(io.BytesIO(data)) as source:
        info = source.info
        cuts = sorted({0, info.height // 3, info.height})
        return np.concatenate([source.read_rows(top, bottom) for top, bottom in pairwise(cuts)])


GOOD = {
    f"{size[0]}x{size[1]} {name}": by_pillow(photograph(*size, channels), colour, quality=85, **settings_)
    for size in ((61, 83), (16, 16), (1, 9))
    for name, colour, channels, settings_ in (
        *((sampling, "rgb", 3, {"subsampling": sampling}) for sampling in SUBSAMPLINGS),
        *((f"progressive {sampling}", "rgb", 3, {"subsampling": sampling, "progressive": True}) for sampling in (0, 2)),
        ("restarts", "rgb", 3, {"restart_marker_blocks": 3}),
        ("stored as rgb", "rgb", 3, {"keep_rgb": True}),
        ("optimised", "rgb", 3, {"optimize": True}),
        ("grey", "grey", 1, {}),
        ("grey progressive", "grey", 1, {"progressive": True}),
        ("ink", "cmyk", 4, {}),
        ("ink progressive", "cmyk", 4, {"progressive": True}),
    )
}


@pytest.mark.parametrize("name", GOOD)
def test_decoded_pixels_equal_pillows(name, monkeypatch):
    wanted = decoded(GOOD[name])[1]
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _self: pytest.fail("decoded by Pillow"))
    found = rows_in_two_bands(GOOD[name])
    assert np.array_equal(found.reshape(wanted.shape), wanted)


def test_files_that_the_decoder_refuses_are_decoded_by_pillow(forbid_pillow_decoding):
    with pytest.raises(ImageError):  # the control of the other tests
        rows_in_two_bands(GOOD["61x83 grey"][:-40])


def broken(data, rng):
    """Damage a file in one of four common ways."""
    data = bytearray(data)
    at = int(rng.integers(2, len(data)))
    kind = rng.integers(4)
    if kind == 0:
        return bytes(data[:at])
    if kind == 1:
        for _ in range(rng.integers(1, 6)):
            data[int(rng.integers(2, len(data)))] = int(rng.integers(256))
    elif kind == 2:
        del data[at : at + int(rng.integers(1, 40))]
    else:
        data = data[:at] + rng.integers(0, 256, int(rng.integers(1, 200)), np.uint8).tobytes()
    return bytes(data)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_files_have_the_same_outcome_as_with_pillow(monkeypatch):
    """The same pixels or the same message for 1,500 files; the control is a decoder that fills in missing data."""
    rng = np.random.default_rng(7)
    names = [name for name in GOOD if name.startswith("61")]
    cases = [broken(GOOD[names[index % len(names)]], rng) for index in range(1500)]

    def outcomes():
        found = []
        for data in cases:
            try:
                with open_image(io.BytesIO(data), max_pixels=10**6) as source:
                    found.append(source.read_rows(0, source.info.height).tobytes())
            except ImageError as error:
                found.append(str(error))
        return found

    ours = outcomes()
    with monkeypatch.context() as patch:
        patch.setattr(jpeg_decoder, "decoded_jpeg", lambda *_, **__: jpeg_decoder.Decoded(None))
        pillows = outcomes()
    differing = [(ours[at], pillows[at], cases[at]) for at in range(len(cases)) if ours[at] != pillows[at]]
    for our, pillow, data in differing:  # only the end marker is missing
        assert isinstance(our, bytes)
        assert "is truncated" in pillow
        assert b"\xff\xd9" not in data
    assert 5 < len(differing) < 50
    assert sum(isinstance(each, bytes) for each in ours) > 300 < sum(isinstance(each, str) for each in ours)
    monkeypatch.setattr(jpeg_decoder, "all_segments", lambda _data: [(0xD9, 0, 2)])
    assert outcomes() != ours


def test_open_sink_writes_jpeg_in_strips():
    """`open_sink` passes quality, subsampling and metadata on."""
    rows = photograph(31, 43)
    file = io.BytesIO()
    info = ImageInfo("jpeg", 1, 1, Layout("rgb"), jpeg_subsampling=2)
    sink = open_sink(
        file, FORMATS["jpeg"], height=31, width=43, layout=Layout("rgb"), metadata=Metadata(dpi=(90, 91)), info=info
    )
    sink.write_rows(rows)
    sink.finish()
    assert file.getvalue() == by_pillow(rows, quality=95, subsampling=2, dpi=(90, 91))
