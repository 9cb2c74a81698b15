"""Written images, read back by Pillow, and TIFF by tifffile too."""

import io
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, features
from PIL.JpegImagePlugin import get_sampling

from upsample_cli.atomic.files import new_file
from upsample_cli.errors import ImageError, UsageError
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.metadata.exif import without_prefix
from upsample_cli.images.metadata.for_output import metadata_for_output
from upsample_cli.images.model import ImageInfo, Layout, Metadata
from upsample_cli.images.open import open_image
from upsample_cli.images.output_form import nearest_form
from upsample_cli.images.save import open_sink

HEIGHT, WIDTH = 23, 37
PROFILE = bytes(16) + b"RGB " + bytes(range(180))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
NOTE = b"ACME\0 with absolute offsets"


def noise(layout, height=HEIGHT, width=WIDTH):
    rng = np.random.default_rng(layout.channels * layout.depth)
    return rng.integers(0, 2**layout.depth, (height, width, layout.channels)).astype(layout.dtype)


def smooth(layout):
    """An image that a lossy encoder keeps closely."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [4 * y + 2 * x, 255 - 3 * x - y, 100 + y, np.clip(9 * y + 40, 0, 255)][: layout.channels]
    return np.stack(planes, axis=2).astype(np.uint8)


def written(name, rows, layout, *, runs=(HEIGHT,), metadata=Metadata(), file=None, **settings_):  # noqa: B008 frozen
    file = io.BytesIO() if file is None else file
    height, width = rows.shape[:2]
    sink = open_sink(file, FORMATS[name], height=height, width=width, layout=layout, metadata=metadata, **settings_)
    top = 0
    for run in runs:
        sink.write_rows(rows[top : top + run].copy())
        top += run
    sink.finish()
    return file.getvalue() if isinstance(file, io.BytesIO) else None


def read(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def pixels(data):
    rows = np.asarray(read(data))
    return rows if rows.ndim == 3 else rows[..., None]


EXACT = [
    (name, layout)
    for name in ("tiff", "png", "bmp", "gif")
    for layout in sorted(FORMATS[name].layouts, key=str)
    if layout.depth == 8
    and layout.colour not in {"cielab", "icclab"}
    and not (name == "gif" and layout.colour == "rgb")
    and layout.channels < 5  # for Pillow
]


@pytest.mark.parametrize(("name", "layout"), EXACT, ids=str)
def test_a_lossless_format_keeps_every_pixel(name, layout):
    rows = noise(layout)
    image = read(written(name, rows, layout))
    found = np.asarray(image.convert("L") if image.mode == "P" else image)  # a GIF lists the greys it uses
    np.testing.assert_array_equal(found.reshape(rows.shape), rows)


@pytest.mark.parametrize("alpha", [False, True])
def test_webp_is_lossless_by_default_for_a_lossless_input(alpha):
    layout = Layout("rgb", alpha=alpha)
    rows = noise(layout)
    lossless = ImageInfo("png", 1, 1, layout, lossless=True)
    np.testing.assert_array_equal(pixels(written("webp", rows, layout, info=lossless)), rows)
    for settings_ in ({}, {"info": lossless, "quality": 95}, {"info": ImageInfo("jpeg", 1, 1, layout)}):
        assert not np.array_equal(pixels(written("webp", rows, layout, **settings_)), rows)


DESCRIBED = Metadata(icc_profile=b"profile of an odd length", exif=b"II*\0\x08\0\0\0\0\0", xmp=b"<x:xmpmeta/>")


def webp_of_pillow(rows, described, **settings_):
    given = {"icc_profile": described.icc_profile, "exif": described.exif, "xmp": described.xmp}
    file = io.BytesIO()
    image = Image.fromarray(rows if rows.shape[2] > 1 else rows[..., 0])
    image.save(file, "WEBP", exact=True, **settings_, **{name: data for name, data in given.items() if data})
    return file.getvalue()


@pytest.mark.skipif(
    f"libwebp {features.version('webp')}" != imagecodecs.webp_version(), reason="Pillow has another version of libwebp"
)
@pytest.mark.parametrize(
    "described", [Metadata(), Metadata(exif=DESCRIBED.exif), DESCRIBED], ids=["plain", "exif", "all"]
)
@pytest.mark.parametrize("alpha", ["none", "opaque", "noise"])
@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_a_webp_has_the_bytes_of_pillow(colour, alpha, described):
    layout = Layout(colour, alpha=alpha != "none")
    if layout not in FORMATS["webp"].layouts:
        return
    rows = noise(layout)
    if alpha == "opaque":
        rows[..., -1] = 255
    info = ImageInfo("png", 1, 1, layout, lossless=True)
    lossless = webp_of_pillow(rows, described, lossless=True, quality=0, method=1)
    assert written("webp", rows, layout, metadata=described, info=info, runs=(1, HEIGHT - 1)) == lossless
    lossy = webp_of_pillow(rows, described, quality=80, method=2)
    assert written("webp", rows, layout, metadata=described, quality=80) == lossy
    assert written("webp", rows, layout, metadata=described, quality=81) != lossy  # the control


LOSSY = [(name, layout) for name in ("jpeg", "webp", "avif") for layout in sorted(FORMATS[name].layouts, key=str)]


@pytest.mark.parametrize(("name", "layout"), LOSSY, ids=str)
def test_a_lossy_format_stays_close(name, layout):
    """On a smooth image the default qualities stay within 4 levels on average; a wrong channel would be far off."""
    rows = smooth(layout)
    image = read(written(name, rows, layout))
    if layout.colour == "grey":  # older versions of Pillow read every AVIF as RGB
        image = image.convert("L")
    found = np.asarray(image).reshape(rows.shape)
    assert np.abs(found.astype(int) - rows).mean() < 4
    if layout.channels > 1:
        assert np.abs(np.roll(found, 1, axis=2).astype(int) - rows).mean() > 20  # the control


TIFF_LAYOUTS = sorted(FORMATS["tiff"].layouts, key=str)


@pytest.mark.parametrize("level", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("layout", TIFF_LAYOUTS, ids=str)
def test_tifffile_reads_every_layout_of_our_tiff(layout, level):
    rows = noise(layout)
    with tifffile.TiffFile(io.BytesIO(written("tiff", rows, layout, quality=level))) as file:
        page = file.pages[0]
        found = page.asarray().reshape(rows.shape)
        assert page.photometric.name == {"grey": "MINISBLACK", "rgb": "RGB", "cmyk": "SEPARATED"}.get(
            layout.colour, layout.colour.upper()
        )
        assert [extra.name for extra in page.extrasamples] == (["UNASSALPHA"] if layout.alpha else [])
    if layout.colour == "cielab":  # a* and b* are signed in the file, and offset in rows
        found[..., 1:3] += found.dtype.type(1 << layout.depth - 1)
    np.testing.assert_array_equal(found, rows)
    if layout.depth == 16:
        assert not np.array_equal(found.byteswap(), rows)  # the control: byte order matters


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    name=st.sampled_from(["tiff", "bmp", "png"]),
    cuts=st.sets(st.integers(1, HEIGHT - 1)),
    threads=st.integers(0, 3),
    strip_bytes=st.integers(1, 500),
)
def test_the_file_does_not_depend_on_runs_or_threads(name, cuts, threads, strip_bytes):
    layout = Layout("rgb")
    rows = noise(layout)
    edges = [0, *sorted(cuts), HEIGHT]
    runs = [b - a for a, b in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("upsample_cli.images.codecs.tiff.writer._STRIP_BYTES", strip_bytes)
        wanted = written(name, rows, layout)
        if not threads:
            assert written(name, rows, layout, runs=runs) == wanted
            return
        with ThreadPoolExecutor(threads) as pool:
            assert written(name, rows, layout, runs=runs, executor=pool) == wanted


def test_a_busy_executor_does_not_block_a_tiff():
    """The only thread waits for this sink, so the sink must not wait for the executor."""
    free = threading.Event()
    rows = noise(Layout("rgb"), 400, 3000)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(free.wait)
        data = written("tiff", rows, Layout("rgb"), runs=[400], executor=pool)
        free.set()
    np.testing.assert_array_equal(pixels(data), rows)


def test_an_error_in_an_executor_is_raised(monkeypatch):
    def fail(_pieces, _above, **_):
        raise MemoryError("no room")

    monkeypatch.setattr("upsample_cli.images.codecs.tiff.writer._strip", fail)
    with ThreadPoolExecutor(1) as pool, pytest.raises(MemoryError, match="no room"):
        written("tiff", noise(Layout("rgb")), Layout("rgb"), executor=pool)


@pytest.mark.parametrize("name", FORMATS)
def test_wrong_rows_are_a_programming_error(name):
    layout = Layout("rgb")
    rows = noise(layout)
    for wrong in (rows[:, :-1], rows[..., :1], rows.astype(np.uint16), rows[0], np.concatenate([rows, rows[:1]])):
        sink = open_sink(io.BytesIO(), FORMATS[name], height=HEIGHT, width=WIDTH, layout=layout, metadata=Metadata())
        with pytest.raises(ValueError, match="rows"):
            sink.write_rows(wrong)
    with pytest.raises(ValueError, match="missing"):
        written(name, rows, layout, runs=[HEIGHT - 1])
    if name != "tiff":  # which supports all of them
        with pytest.raises(ValueError, match="is not written from"):
            written(name, rows, Layout("cmyk", alpha=True))


def block():
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x010E] = "ACME", 6, "an image"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0xA002: 5, 0xA003: 4, 0x927C: NOTE}
    exif[0x8825] = {1: "N"}
    return without_prefix(exif.tobytes())


FULL = Metadata(PROFILE, block(), XMP, (300, 299.5), (("Comment", "grüß dich"), ("Author", "Ada")))


@pytest.mark.parametrize("name", FORMATS)
def test_supported_metadata_is_kept_and_the_rest_is_reported(name):
    info = ImageInfo("png", HEIGHT, WIDTH, Layout("rgb"))
    made = nearest_form(info, FULL, FORMATS[name])
    metadata = metadata_for_output(made.metadata, HEIGHT, WIDTH)
    data = written(name, smooth(Layout("rgb")), Layout("rgb"), metadata=metadata)
    with open_image(io.BytesIO(data)) as source:
        found = source.metadata
        assert (source.info.height, source.info.width) == (HEIGHT, WIDTH)
    holds = FORMATS[name].holds
    assert found.icc_profile == (PROFILE if "icc_profile" in holds else None)
    assert found.xmp == (XMP if "xmp" in holds else None)
    if "exif" in holds:
        exif = Image.Exif()
        exif.load(found.exif)
        assert (exif[0x010F], exif[0x010E], exif.get(0x0112, 1)) == ("ACME", "an image", 1)
        below = exif.get_ifd(ExifTags.IFD.Exif)
        assert (below[0xA002], below[0xA003], below[0x927C]) == (WIDTH, HEIGHT, NOTE)
        assert exif.get_ifd(ExifTags.IFD.GPSInfo) == {1: "N"}
    else:
        assert found.exif is None
    if holds & {"dpi", "exif"}:
        assert found.dpi == pytest.approx((300, 299.5), abs=0.6)  # JPEG stores whole dots per inch
    assert dict(found.text).get("Comment") == ("grüß dich" if holds & {"text", "comment", "comments"} else None)
    assert dict(found.text).get("Author") == ("Ada" if "text" in holds else None)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "tiff"])
def test_the_maker_note_keeps_its_position(name):
    """The offset from the start of the TIFF structure, to which the offsets in the note refer."""
    exif = block()
    data = written(name, smooth(Layout("rgb")), Layout("rgb"), metadata=Metadata(exif=exif))
    start = 0 if name == "tiff" else data.index(b"MM\0*")
    assert data.index(NOTE) - start == exif.index(NOTE)


def test_pillow_moves_the_maker_note_in_an_avif_with_an_orientation():
    """Negative control, and the reason why that entry is removed: otherwise the note would move by 12 bytes."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "AVIF", exif=block())
    data = file.getvalue()
    assert data.index(NOTE) - data.index(b"MM\0*") != block().index(NOTE)


def test_a_big_endian_block_makes_a_big_endian_tiff():
    exif = Image.Exif()
    exif.endian = ">"
    exif[0x010F] = "ACME"
    layout = Layout("rgb", depth=16)
    rows = noise(layout)
    data = written("tiff", rows, layout, metadata=Metadata(exif=without_prefix(exif.tobytes())))
    assert data[:4] == b"MM\0*"
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(file.pages[0].asarray(), rows)
        assert file.pages[0].tags["Make"].value == "ACME"


def test_a_tiff_beyond_4_gib_is_a_complete_bigtiff(monkeypatch):
    monkeypatch.setattr("upsample_cli.images.codecs.tiff.writer._CLASSIC_MAX_BYTES", 1000)
    layout = Layout("rgb", alpha=True, depth=16)
    rows = noise(layout)
    data = written("tiff", rows, layout, metadata=FULL)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.is_bigtiff
        page = file.pages[0]
        np.testing.assert_array_equal(page.asarray(), rows)
        assert page.tags["Make"].value == "ACME"
        assert page.tags["ExifTag"].value["MakerNote"] == NOTE
        assert page.tags["XMP"].value.strip(b"\0") == XMP
        assert page.tags["InterColorProfile"].value == PROFILE
        assert page.tags["GPSTag"].value["GPSLatitudeRef"] == "N"


def test_all_data_in_a_tiff_starts_at_an_even_offset(monkeypatch):
    """TIFF 6.0, section 2: offsets are word boundaries. Strips and a profile of odd size would break this."""
    monkeypatch.setattr("upsample_cli.images.codecs.tiff.writer._STRIP_BYTES", 200)
    metadata = Metadata(bytes(131), block(), XMP, (300, 299.5))
    for limit in (2**32 - 1, 1000):
        monkeypatch.setattr("upsample_cli.images.codecs.tiff.writer._CLASSIC_MAX_BYTES", limit)
        data = written("tiff", noise(Layout("grey")), Layout("grey"), metadata=metadata, quality=0)
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            places = [page.offset, *page.dataoffsets, *(tag.valueoffset for tag in page.tags)]
        assert any(count % 2 for count in page.databytecounts)
        assert [place for place in places if place % 2] == []


def test_a_4_gib_image_is_a_bigtiff_from_the_first_byte():
    for height, big in ((50_000, True), (20_000, False)):
        file = io.BytesIO()
        open_sink(file, FORMATS["tiff"], height=height, width=30_000, layout=Layout("rgb"), metadata=Metadata())
        assert (file.getvalue()[:4] == b"II+\0") == big


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written_to_a_pipe(name):
    rows = smooth(Layout("rgb"))
    wanted = written(name, rows, Layout("rgb"))
    read_end, write_end = os.pipe()
    taken = []
    with os.fdopen(read_end, "rb") as out, os.fdopen(write_end, "wb") as pipe:
        reader = threading.Thread(target=lambda: taken.append(out.read()))
        reader.start()
        written(name, rows, Layout("rgb"), file=pipe)
        pipe.close()
        reader.join()
    assert taken == [wanted]


def test_chroma_subsampling_follows_the_input_and_is_off_by_default():
    rows = smooth(Layout("rgb"))
    for subsampling in (0, 1, 2):
        info = ImageInfo("jpeg", 1, 1, Layout("rgb"), jpeg_subsampling=subsampling)
        assert get_sampling(read(written("jpeg", rows, Layout("rgb"), info=info))) == subsampling
    for info in (None, ImageInfo("png", 1, 1, Layout("rgb"))):
        assert get_sampling(read(written("jpeg", rows, Layout("rgb"), info=info))) == 0


def test_the_default_quality_of_jpeg_is_95():
    rows = noise(Layout("rgb"))

    def tables(**settings_):
        return read(written("jpeg", rows, Layout("rgb"), **settings_)).quantization

    assert tables() == tables(quality=95)
    assert tables() != tables(quality=94)
    assert tables(quality=1) != tables(quality=2)


@pytest.mark.parametrize("name", FORMATS)
def test_a_bad_quality_is_refused_before_anything_is_written(name):
    file = io.BytesIO()
    with pytest.raises(UsageError, match="quality"):
        written(name, smooth(Layout("rgb")), Layout("rgb"), quality=101, file=file)
    assert file.getvalue() == b""


def test_a_gif_keeps_up_to_256_colours_exactly():
    colours = np.random.default_rng(3).integers(0, 256, (256, 3), np.uint8)
    rows = colours[np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH))]
    found = np.asarray(read(written("gif", rows, Layout("rgb"))).convert("RGB"))
    np.testing.assert_array_equal(found, rows)


def test_a_gif_with_more_colours_stays_close():
    rows = smooth(Layout("rgb"))
    found = np.asarray(read(written("gif", rows, Layout("rgb"))).convert("RGB")).astype(int)
    assert np.abs(found - rows).mean() < 8  # dithering gives up single pixels for the mean of their neighbourhood
    assert abs(found.mean() - rows.mean()) < 1


def test_a_gif_with_many_colours_is_dithered_so_that_areas_keep_their_colour():
    """Means of 8x8 pixels of a smooth image; the control maps each pixel to the nearest colour."""
    y, x = np.mgrid[0:296, 0:408]
    rows = np.stack([x * 255 // 407, y * 255 // 295, (x + y) * 255 // 702], axis=2).astype(np.uint8)
    found = read(written("gif", rows, Layout("rgb"), runs=(296,))).convert("RGB")
    flat = Image.fromarray(rows).quantize(256, Image.Quantize.MEDIANCUT).convert("RGB")

    def means(image):
        return np.asarray(image, float).reshape(37, 8, 51, 8, 3).mean((1, 3))

    errors = [np.abs(means(each) - means(rows)).mean() for each in (found, flat)]
    assert errors[0] < 1 < errors[1]  # measured: 0.35 with dithering, 2.45 without


def test_a_gif_with_many_colours_is_transparent_only_where_the_image_is():
    """The 256th colour is the transparent one: no other pixel may use it, whatever the number of colours."""
    layout = Layout("rgb", alpha=True)
    rows = noise(layout, 301, 401)  # more than the sample for the palette
    rows[..., 3] = np.where(rows[..., 3] > 99, 255, 0)
    found = np.asarray(read(written("gif", rows, layout, runs=(301,))).convert("RGBA"))
    assert np.array_equal(found[..., 3], rows[..., 3])


@pytest.mark.parametrize("name", ["png", "tiff"])
def test_a_finished_sink_releases_its_rows(name):
    """Sinks of animation frames stay alive until Python collects them, and so does what they hold."""
    layout = Layout("rgb")
    rows = noise(layout)
    sink = open_sink(io.BytesIO(), FORMATS[name], height=HEIGHT, width=WIDTH, layout=layout, metadata=Metadata())
    kept = weakref.ref(rows)
    sink.write_rows(rows)
    del rows
    assert kept() is not None  # the control: it holds the last row for a possible next strip
    sink.finish()
    assert kept() is None


def test_a_gif_is_transparent_where_alpha_is_below_half():
    layout = Layout("rgb", alpha=True)
    rows = np.full((HEIGHT, WIDTH, 4), 200, np.uint8)
    rows[:, : WIDTH // 2, 3] = 127
    rows[:, WIDTH // 2 :, 3] = 128
    found = np.asarray(read(written("gif", rows, layout)).convert("RGBA"))
    np.testing.assert_array_equal(found[..., 3], np.where(rows[..., 3] >= 128, 255, 0))
    assert (found[:, WIDTH // 2 :, :3] == 200).all()


def test_a_bmp_without_a_resolution_gets_none():
    data = written("bmp", smooth(Layout("rgb")), Layout("rgb"))
    with open_image(io.BytesIO(data)) as source:
        assert source.metadata.dpi is None


def test_a_refusal_of_the_encoder_is_one_line_with_the_file_name(tmp_path):
    def too_wide():
        with new_file(tmp_path / "a.webp", overwrite=False) as file:
            written("webp", np.zeros((1, 16_384, 3), np.uint8), Layout("rgb"), runs=[1], file=file)

    with pytest.raises(ImageError, match=r"a\.webp: cannot be written: the WebP encoder gave up \(.+\)"):
        too_wide()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_is_reported_by_every_sink(name):
    """/dev/full refuses every byte, as a full disk does."""
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("no /dev/full here")
    with device.open("r+b", buffering=0) as full, pytest.raises(OSError, match="No space left") as caught:
        written(name, noise(Layout("rgb")), Layout("rgb"), file=full)
    assert caught.value.errno == 28


def test_the_longest_allowed_exif_and_xmp_are_written():
    """The limits in the table are the encoder's: it refuses one byte more."""
    rows, jpeg = smooth(Layout("rgb")), FORMATS["jpeg"]
    for part, limit in (("exif", jpeg.max_exif_bytes), ("xmp", jpeg.max_xmp_bytes)):
        longest = (b"II*\0\x08\0\0\0" if part == "exif" else b"<x/>").ljust(limit, b"\0")
        written("jpeg", rows, Layout("rgb"), metadata=Metadata(**{part: longest}))
        with pytest.raises(OSError, match=r"too long|too large"):
            written("jpeg", rows, Layout("rgb"), metadata=Metadata(**{part: longest + b"\0"}))
