"""How much a file of a few megabytes can make the plan and a run do: counted in reads, bytes and memory, not time."""

import io
import struct
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.bombs import (
    deflated_text,
    gif_comments,
    gif_of,
    jpeg_of_segments,
    png_of_chunks,
    profiles,
    tiff_of_shared_values,
    tiff_overlapping,
    tiff_pages,
    webp_of,
)
from support.corpus import animated_png, saved, tiff
from support.running import upsample

from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.memory import job_bytes
from upsample_cli.batch.outputs import Outputs
from upsample_cli.batch.plan import plan_run
from upsample_cli.batch.record.resume import has_time
from upsample_cli.cli import run
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.enlarge.run import enlarge_image, upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images import limits, metered, preview
from upsample_cli.images.about import about_image
from upsample_cli.images.codecs.avif import check_lists
from upsample_cli.images.codecs.tiff import segments, stack
from upsample_cli.images.color.light import light_of
from upsample_cli.images.metered import MeteredFile
from upsample_cli.images.model import Layout
from upsample_cli.images.open import open_animation, open_image, open_pages, probe, read_header

OVERLAP = "its directories, or what they point to, overlap"
CIRCLES = "its header is too long or refers to itself"
METADATA = "carries more than 16 MiB of text, profile and other metadata; remove it"


class Counted(io.BytesIO):
    """Counts reads, seeks and bytes."""

    calls = taken_bytes = 0

    def read(self, size=-1):
        data = super().read(size)
        self.calls, self.taken_bytes = self.calls + 1, self.taken_bytes + len(data)
        return data

    def seek(self, *where):
        self.calls += 1
        return super().seek(*where)


def planned(data, **options):
    file = Counted(data)
    return plan_job(Path("a"), Options(**{"format": "png"} | options), source_stream=file), file


def refused(data, message, **options):
    """The line of a refusal, which must name one cause, and the counts of the reads."""
    file = Counted(data)
    with pytest.raises(ImageError, match=message) as caught:
        plan_job(Path("a"), Options(**{"format": "png"} | options), source_stream=file)
    assert "\n" not in str(caught.value)
    return file


@contextmanager
def peak_below(most_bytes):
    """The code inside allocates at most this many bytes at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["before", "behind"])
def test_all_text_in_a_png_shares_one_limit(place):
    texts = deflated_text(100, 4 << 20)
    data = png_of_chunks(*texts) if place == "before" else png_of_chunks(behind=texts)
    assert len(data) < 1 << 20
    with peak_below(100 << 20):
        refused(data, METADATA)
    with pytest.raises(ImageError, match=METADATA), open_image(io.BytesIO(data)):
        pass
    with pytest.raises(ImageError, match=METADATA):
        about_image(io.BytesIO(data), factor=2, max_pixels=10**6)


@pytest.mark.parametrize("place", ["before", "behind"])
def test_text_below_the_limit_is_accepted_by_the_plan_and_the_run(place, tmp_path):
    texts = deflated_text(3, 2 << 20)
    data = png_of_chunks(*texts) if place == "before" else png_of_chunks(behind=texts)
    planned(data)
    (tmp_path / "a.png").write_bytes(data)
    upsample_file(tmp_path / "a.png", tmp_path / "b.png")
    _, metadata = read_header(tmp_path / "b.png")
    assert [len(value) for _, value in metadata.text] == [2 << 20] * 3


def test_colour_profiles_and_damaged_text_count_towards_the_limit():
    refused(png_of_chunks(*profiles(1, 17 << 20)), METADATA)
    planned(png_of_chunks(*profiles(100)))  # the second profile is left out without being inflated
    damaged = zlib.compress(bytes(4 << 20), 9)[:-1] + b"!"
    refused(png_of_chunks(*((b"zTXt", b"k\0\0" + damaged),) * 100), METADATA)
    planned(png_of_chunks((b"zTXt", b"k\0\0" + damaged)))  # the control: a single damaged chunk is ignored


def test_hexadecimal_text_with_only_line_breaks_takes_little_memory():
    text = b"Raw profile type exif\0\0" + zlib.compress(b"\n" * (15 << 20), 9)
    with peak_below(90 << 20):
        planned(png_of_chunks(behind=((b"zTXt", text),)))


def test_metadata_of_other_formats_has_the_same_limit():
    image = Image.new("L", (1, 1))
    for kind, settings in {"TIFF": {"compression": None}, "WEBP": {}, "JPEG": {}}.items():
        for size_bytes, fits in ((15 << 20, True), (17 << 20, False)):
            if kind == "JPEG" and not fits:
                continue  # its profile ends after 255 segments
            data = saved(image, kind, icc_profile=bytes(size_bytes), **settings)
            planned(data) if fits else refused(data, METADATA)


@pytest.mark.parametrize(
    "data",
    [
        gif_comments(80_000),
        jpeg_of_segments(0xFE, b"", 100_000),
        jpeg_of_segments(0xE1, b"Exif\0\0x", 100_000),
        jpeg_of_segments(0xE2, b"ICC_PROFILE\0\1\1", 120_000),
        png_of_chunks(*((b"prVt", b""),) * 120_000),
        png_of_chunks(*((b"tRNS", b"\0\1"),) * 120_000),
    ],
    ids=["gif comments", "jpeg remarks", "jpeg exif", "jpeg profile", "png private", "png transparency"],
)
def test_a_header_with_very_many_pieces_is_refused(data):
    file = refused(data, f"{CIRCLES}|{METADATA}")
    assert file.calls <= 300_000 + len(data) // 16


def test_control_an_image_in_many_pieces_is_read():
    assert planned(gif_of(2000, 9))[0].height == 9
    assert planned(jpeg_of_segments(0xFE, b"remark", 2000))[0].height == 8


def test_overlapping_directories_are_refused_at_once():
    data = tiff_overlapping(65534)
    assert 800_000 < len(data) < 850_000
    file = refused(data, OVERLAP)
    assert file.taken_bytes < 4 * len(data)
    for read in (open_image, read_header):
        with pytest.raises(ImageError, match=OVERLAP):
            read(io.BytesIO(data))
    with pytest.raises(ImageError, match=OVERLAP):
        about_image(io.BytesIO(data), factor=2, max_pixels=10**6)


def test_directories_that_overlap_by_a_byte_are_refused_and_adjacent_ones_are_not():
    planned(tiff_pages(3))
    apart = bytearray(tiff_pages(2))
    first = struct.unpack_from("<I", apart, 4)[0]
    second = struct.unpack_from("<I", apart, first + 2 + 12 * 9)[0]
    apart[second - 4 : second] = struct.pack("<I", second - 2)  # where the first one ends
    struct.pack_into("<H", apart, second - 2, 0)
    refused(bytes(apart), OVERLAP)


def test_values_that_share_bytes_are_not_loaded_repeatedly():
    data = tiff_of_shared_values(4000, 1 << 20)
    with peak_below(30 << 20):
        refused(data, OVERLAP)
    planned(tiff_of_shared_values(1, 1 << 20))  # the control


@pytest.mark.parametrize("whole", [False, True], ids=["plan", "run"])
def test_pages_are_read_in_time_linear_in_their_number(whole):
    calls = {}
    for count in (100, 400):
        file = Counted(tiff_pages(count))
        read_header(file)
        if whole:
            pixels = [source.read_rows(0, 1).item() for source in open_pages(file, count)]
            assert pixels == [0x80] * count
        calls[count] = file.calls
    assert calls[400] < 4.5 * calls[100]


def test_a_run_opens_its_pages_with_open_pages(tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(tiff_pages(3))
    opened = []
    monkeypatch.setattr(
        "upsample_cli.enlarge.frames.open_pages", lambda *a, **k: opened.append(a[1]) or open_pages(*a, **k)
    )
    upsample_file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert opened == [3]
    assert tifffile.imread(tmp_path / "b.tif").shape == (3, 2, 2)


def test_a_missing_page_is_an_error_with_the_count():
    with pytest.raises(ImageError, match="has no frame 4; there are 3"):
        list(open_pages(io.BytesIO(tiff_pages(3)), 4))


def test_a_plan_reads_only_the_header_of_plain_text_and_a_run_reads_in_pieces(monkeypatch):
    monkeypatch.setattr("upsample_cli.images.codecs.pnm_plain._PIECE_BYTES", 4096)
    pixels = np.random.default_rng(0).integers(0, 256, (150, 500, 3), np.uint8)
    data = b"P3\n500 150\n255\n" + b" ".join(b"%d" % level for level in pixels.ravel())
    _, file = planned(data)
    assert file.taken_bytes <= 1 << 17 < len(data)
    with open_image(io.BytesIO(data)) as source, peak_below(2 << 20):
        for top in range(0, 150, 50):
            rows = source.read_rows(max(0, top - 2), top + 50)
            assert np.array_equal(rows, pixels[max(0, top - 2) : top + 50])
        assert np.array_equal(source.read_rows(0, 3), pixels[:3])  # reading from the start again


@pytest.mark.parametrize(
    "text", [b"0" * 10**6, b" " * 10**6, b"#\n" * 10**6, b"#" * 10**6], ids=["zeros", "blanks", "lines", "remark"]
)
def test_endless_plain_text_is_damage(text):
    data = b"P2\n1 2\n255\n7 " + text
    with (
        open_image(io.BytesIO(data)) as source,
        peak_below(60 << 20),
        pytest.raises(ImageError, match=r"is (damaged|truncated)"),
    ):
        source.read_rows(0, 2)


ONE_PIXEL = (np.zeros((1, 1, 1), np.uint8), 0, 0, 0, 0)
MANY_FRAMES = {
    "gif": (gif_of(1000, 22_000), 1000, 22_000**2, "gif"),
    "png": (animated_png(1, 1, 8, 0, (ONE_PIXEL,) * 60), 60, 1, "png"),
    "tiff": (tiff_pages(1000, 22_000, 8, zlib.compress(b"")), 1000, 22_000**2, "tiff"),
}


@pytest.mark.parametrize("kind", MANY_FRAMES)
def test_all_enlarged_frames_and_pages_count_towards_the_pixel_limit(kind, tmp_path):
    data, count, pixels, target = MANY_FRAMES[kind]
    least = -(-count * pixels // limits.MANY)
    assert least > pixels
    advice = f"add max_pixels={least} if you trust the file, or enlarge one with frame"
    expected_error = f"holds {count} frames or pages of {count * pixels} .*; {advice}"
    refused(data, expected_error, format=target, max_pixels=least - 1)
    planned(data, format=target, max_pixels=least)
    planned(data, format="jpeg", max_pixels=pixels)  # only the first one is enlarged
    planned(data, format=target, max_pixels=pixels, frame=1)
    (tmp_path / f"a.{kind}").write_bytes(data)
    job = plan_job(tmp_path / f"a.{kind}", Options(format=target, max_pixels=least), output=tmp_path / f"b.{target}")
    with pytest.raises(ImageError, match="frames or pages"):  # a run checks again: the file may have changed
        enlarge_image(job, Options(format=target, max_pixels=least - 1))


def test_frames_before_the_selected_one_count_towards_the_pixel_limit():
    data = MANY_FRAMES["png"][0]
    planned(data, max_pixels=1, frame=50)
    refused(data, "holds 51 frames", max_pixels=1, frame=51)


def test_ordinary_animations_and_scans_are_below_the_limit():
    """A minute of 1080p video, and 500 A4 pages at 600 dots per inch."""
    for count, height, width in ((1800, 1080, 1920), (500, 7016, 4960)):
        limits.check_frames("a", count, count * height * width, Options().max_pixels)


def test_scans_of_a_jpeg_count_towards_the_pixel_limit():
    data = saved(Image.new("L", (8, 8)), "JPEG", progressive=True)
    at = data.index(b"\xff\xda")
    end = data.index(b"\xff", at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"))
    scans = data[:at] + data[at:end] * 60 + data[end:]
    count = scans.count(b"\xff\xda")
    with pytest.raises(ImageError, match=f"is coded in {count} scans of 64 pixels"):
        open_image(io.BytesIO(scans), max_pixels=64)
    for good in (data, scans):
        with open_image(io.BytesIO(good), max_pixels=6400):
            pass
    ink = saved(Image.new("CMYK", (8, 8)), "JPEG", progressive=True)  # which uses a different decoder
    ink = ink[:-2] + ink[ink.index(b"\xff\xda") : -2] * 60 + ink[-2:]
    with pytest.raises(ImageError, match="scans of 64 pixels"):
        open_image(io.BytesIO(ink), max_pixels=64)


def test_a_webp_of_34_bytes_is_planned_without_allocating_its_canvas():
    data = webp_of(16383, 16383)
    assert len(data) == 34
    with peak_below(5 << 20):
        job, _ = planned(data, frame=1)
    taken = 16 * 16383**2  # measured: two canvases, a returned copy, and Pillow's copy
    assert 0.75 <= job_bytes(job) / taken <= 1.5


def test_the_estimate_includes_memory_for_progressive_and_large_segments():
    image = Image.new("RGB", (400, 300))
    pixels = np.zeros((300, 400, 3), np.uint8)
    cases = (
        (saved(image, "JPEG"), saved(image, "JPEG", progressive=True), 2 * 3 * 300 * 400),
        (tiff(pixels, rowsperstrip=300), tiff(pixels, rowsperstrip=300, compression="zlib"), 3 * 300 * 400),
        (tiff(pixels, rowsperstrip=300), tiff(pixels, rowsperstrip=10, compression="zlib"), 3 * 2 * 10 * 400),
        (tiff(pixels, tile=(16, 16)), tiff(pixels, tile=(160, 400), compression="zlib"), 3 * (2 * 160 - 32) * 400),
    )
    for less, more, held_bytes in cases:
        estimates = [job_bytes(planned(data)[0]) for data in (less, more)]
        assert estimates[1] - estimates[0] == held_bytes


def test_a_palette_with_too_many_colours_in_an_animated_png_is_damage():
    frames = (np.zeros((1, 1, 1), np.uint8), 0, 0, 0, 0), (np.ones((1, 1, 1), np.uint8), 0, 0, 0, 0)
    palette = (b"PLTE", bytes(range(6)))
    assert len(list(open_animation(io.BytesIO(animated_png(1, 1, 8, 3, frames, palette))))) == 2
    assert len(list(open_animation(io.BytesIO(animated_png(1, 1, 8, 3, frames, palette, palette))))) == 2
    with pytest.raises(ImageError, match="is damaged"):
        list(open_animation(io.BytesIO(animated_png(1, 1, 8, 3, frames, (b"PLTE", bytes(3 * 257))))))


def test_a_profile_whose_tags_share_bytes_is_not_copied_for_each_tag():
    tags = b"".join(struct.pack(">4sII", b"t%03d" % number, 0, 1 << 20) for number in range(200))
    profile = bytes(128) + struct.pack(">I", 200) + tags + bytes(1 << 20)
    with peak_below(8 << 20), pytest.raises(ImageError, match="no use to linear_light"):
        light_of("a", Layout("rgb"), profile)


def test_a_strip_with_more_samples_than_the_image_is_refused():
    kind = {"photometric": "minisblack", "planarconfig": "contig", "compression": "zlib"}
    data = tiff(np.zeros((2, 2, 500), np.uint16), **kind)
    refused(data, "is stored in strips or tiles of 4000 bytes", max_pixels=100)
    planned(data, max_pixels=250)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_a_stack_keeps_its_pages_and_pixel_type(dtype, tmp_path):
    volume = (np.random.default_rng(0).random((4, 5, 7)) * 100).astype(dtype)
    for settings in ({}, {"byteorder": ">"}, {"compression": "zlib"}, {"compression": "lzw"}, {"tile": (16, 16)}):
        tifffile.imwrite(tmp_path / "a.tif", volume, photometric="minisblack", **settings)
        assert stack.is_stack(tmp_path / "a.tif")
        found = stack.read_stack(tmp_path / "a.tif")
        assert (found.dtype, found.tolist()) == (volume.dtype, volume.tolist())


def test_a_stack_is_bounded_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    for data, message in (
        (tiff_overlapping(2000, 300), OVERLAP),
        (tiff_pages(20, 20_000), "says that it holds 20000×20000 pixels in 2290 bytes"),
    ):
        path.write_bytes(data)
        with peak_below(60 << 20), pytest.raises(ImageError, match=message):
            stack.read_stack(path)
    assert not stack.is_stack(tmp_path / "missing.tif")
    for colour in (np.zeros((2, 3, 4, 3), np.uint8), np.zeros((3, 4, 3), np.uint8)):
        tifffile.imwrite(path, colour, photometric="rgb")
        assert not stack.is_stack(path)
    tifffile.imwrite(path, np.zeros((2, 3, 4), np.uint8), photometric="minisblack")
    with monkeypatch.context() as patch:
        patch.setattr(stack, "MAX_STACK_SAMPLES", 23)
        with pytest.raises(ImageError, match="has more than 23 samples"):
            stack.read_stack(path)
    monkeypatch.setattr(stack, "MAX_STACK_BYTES", 23)
    with pytest.raises(ImageError, match="take 24 bytes, more than 23 bytes; cut it"):
        stack.read_stack(path)


def test_a_stack_does_not_open_files_it_refers_to(tmp_path):
    """The OME description of a volume may refer to planes in other files."""
    for name in ("a.ome.tif", "b.ome.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((2, 3, 4), np.uint8), photometric="minisblack", ome=True)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tifffile.TiffFile.series", property(lambda _self: seen.append(1)))
        assert stack.read_stack(tmp_path / "a.ome.tif").shape == (2, 3, 4)
    assert not seen


def test_images_that_a_gallery_does_not_show_are_not_decoded(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        Image.new("L", (20, 20)).save(tmp_path / name)
    opened = []
    monkeypatch.setattr(preview, "open_image", lambda *a, **k: opened.append(a) or open_image(*a, **k))
    preview.preview(tmp_path / "a.png", tmp_path / "b.png", (20, 20))
    assert len(opened) == 2  # the control
    monkeypatch.setattr(preview, "MAX_PIXELS", 399)
    with pytest.raises(ImageError, match="too large to be shown here"):
        preview.preview(tmp_path / "a.png", tmp_path / "b.png", (20, 20))
    assert len(opened) == 2


def test_a_timeout_applies_to_each_header(tmp_path, monkeypatch):
    """The simulated clock advances by a second at each call and stands still between files."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(metered.time, "monotonic", lambda: next(seconds))
    data = tiff_pages(60)
    with pytest.raises(ImageError) as caught:
        plan_job(Path("a.tif"), Options(), source_stream=io.BytesIO(data), timeout_s=20)
    assert str(caught.value).endswith("took longer than timeout_s=20 and was stopped; give it more seconds")
    assert [has_time(caught.value.failure, timeout_s) for timeout_s in (20, 21)] == [False, True]
    plan_job(Path("a.tif"), Options(), source_stream=io.BytesIO(data), timeout_s=10**5)
    (tmp_path / "a.tif").write_bytes(data)
    (tmp_path / "b.png").write_bytes(png_of_chunks())
    found = list(find_inputs([str(tmp_path)], recursive=False))
    entries = plan_run(found, Outputs(None, tmp_path / "out"), Options(), timeout_s=20)
    assert [entry.result.status for entry in entries] == ["failed", "planned"]
    assert "timeout_s=20" in (entries[0].result.error or "")


def test_the_command_passes_its_timeout_to_the_plan(tmp_path, monkeypatch):
    (tmp_path / "b.png").write_bytes(png_of_chunks())
    given = []
    monkeypatch.setattr(run, "plan_run", lambda *a, **k: given.append(k["timeout_s"]) or plan_run(*a, **k))
    upsample(str(tmp_path / "b.png"), "-n", "--timeout", "7")
    assert given == [7]


def test_the_read_limits_end_with_the_header():
    file = MeteredFile(io.BytesIO(bytes(100)), "a")
    with file, pytest.raises(ImageError, match=CIRCLES):
        list(map(file.seek, repeat(0)))
    with file:  # counted from zero again
        assert file.read() == bytes(100)
    file.seek(0)
    buffer = bytearray(9)
    assert (file.readinto(buffer), file.tell(), file.read(3)) == (9, 9, bytes(3))
    with file, pytest.raises(ImageError, match=CIRCLES):
        list(map(file.readinto, repeat(buffer)))


# Attacks --------------------------------------------------------------------------------------------------------------


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize("count", [100, 50_000])
def test_long_lists_of_avif_items_are_refused_before_libavif_reads_them(count):
    """libavif compares each item with all others: 50,000 items take seconds, a million take hours."""
    items = box(b"iloc", bytes(8) + bytes(10) * count)
    file = io.BytesIO(
        box(b"ftyp", b"avif" + bytes(4) + b"avif") + box(b"meta", bytes(4) + box(b"hdlr", bytes(24)) + items)
    )
    if count == 100:
        check_lists(file, "a.avif")
        return
    with pytest.raises(ImageError, match="lists more items in its header than any image has"):
        check_lists(file, "a.avif")


def test_boxes_in_a_loop_or_without_a_size_end_the_walk():
    for content in (bytes(64), struct.pack(">I4sQ", 1, b"meta", 0), struct.pack(">I4s", 7, b"meta"), b"\0\0\0\x10meta"):
        check_lists(io.BytesIO(content), "a.avif")


@pytest.mark.parametrize("name", ["a.avif", "a.jpg"])
def test_ordinary_images_are_within_the_limits_of_their_formats(name, tmp_path):
    """The control of the tests above."""
    Image.new("RGB", (17, 11)).save(tmp_path / name, exif=Image.Exif())
    assert probe(tmp_path / name).width == 17


def test_the_exif_block_of_a_jpeg_is_joined_from_pieces_in_linear_time():
    file = io.BytesIO()
    Image.new("RGB", (17, 11)).save(file, "JPEG")
    piece = b"\xff\xe1" + struct.pack(">H", 30) + b"Exif\0\0" + bytes(22)
    begun_s = time.process_time()
    info = probe(io.BytesIO(b"\xff\xd8" + piece * 30_000 + file.getvalue()[2:]))
    assert time.process_time() - begun_s < 3
    assert [loss.text for loss in info.losses] == ["the EXIF block is damaged and is left out"]


def test_a_pam_header_is_read_in_linear_time():
    """The earlier expression was quadratic: it took a minute of CPU time for these 64 KiB."""
    begun = time.process_time()
    with pytest.raises(ImageError):
        probe(io.BytesIO(b"P7\nA" + b" " * 65530))
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(("width", "height"), [(-100, -100), (-1, 5), (5, -1)])
def test_a_pam_with_a_negative_size_is_one_line(width, height):
    head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH 1\nMAXVAL 255\nENDHDR\n".encode()
    with pytest.raises(ImageError):
        probe(io.BytesIO(head + bytes(20_000)))


def test_strips_that_claim_far_more_than_their_pixels_are_refused(tmp_path):
    """Otherwise each strip would keep megabytes in memory for a single row."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((3000, 1), np.uint8), rowsperstrip=1, compression=None, metadata={"x": "y" * 100_000}
    )
    with tifffile.TiffFile(path, mode="r+b") as file:
        counts = file.pages[0].tags["StripByteCounts"]
        assert counts.count == 3000
        offsets = file.pages[0].tags["StripOffsets"]
        offsets.overwrite([8] * 3000)
        counts.overwrite([100_000 // 4] * 3000)
    with pytest.raises(ImageError, match="far larger than their pixels"), open_image(path) as source:
        source.read_rows(0, 1)


@pytest.mark.parametrize("layout", [{"rowsperstrip": 3}, {"tile": (16, 16)}, {"rowsperstrip": 3, "planarconfig": 2}])
def test_large_compressed_strips_are_not_refused(tmp_path, monkeypatch, layout):
    """The limit follows the pixels, whatever they are compressed with. Noise does not get smaller."""
    monkeypatch.setattr(segments, "_SPARE_BYTES", 0)
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    stored = noise.transpose(2, 0, 1) if "planarconfig" in layout else noise
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", compression="zlib", **layout)
    with open_image(tmp_path / "a.tif") as source:
        assert np.array_equal(source.read_rows(0, 40), noise)
    monkeypatch.setattr(segments, "_SPARE_BYTES", -4 * noise.nbytes)  # the control: as if there were no pixels
    with pytest.raises(ImageError, match="far larger than their pixels"), open_image(tmp_path / "a.tif") as source:
        source.read_rows(0, 1)
