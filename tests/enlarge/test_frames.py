"""Frames and pages: exact pixels compared with the oracle, the same durations and repetitions."""

import io
import struct
import subprocess
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.corpus import animated_png
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.running import COMMAND, ENVIRONMENT, names, upsample

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.metadata import ifd
from upsample_cli.images.open import open_animation, open_image, read_header

pytestmark = pytest.mark.usefixtures("in_tmp_path")

DURATIONS = [40, 130, 70]
SAVED = {"GIF": "gif", "WEBP": "webp", "PNG": "png"}


def frames_of(path):
    """Frames composed by Pillow, an independent reader, as RGBA; durations in ms, and the loop count."""
    with Image.open(path) as image:
        pixels, durations = [], []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            pixels.append(np.array(image.convert("RGBA")))
            durations.append(image.info.get("duration"))
        return pixels, durations, image.info.get("loop")


def saved(kind, count=3, *, size=(11, 17), mode="RGBA", loop=0, **settings):
    """An animation of noise; GIF's frames have at most seven colours."""
    path = Path(f"a.{SAVED[kind]}")
    channels = len(mode)
    images = []
    for seed in range(count):
        pixels = hostile_pixels((*size, channels), np.uint8, seed)
        if kind == "GIF":
            image = Image.fromarray(pixels[..., 0] % 7, "P")
            image.putpalette(hostile_pixels((7, 1, 3), np.uint8, seed + 50).tobytes())
        else:
            image = Image.frombytes(mode, size[::-1], pixels.tobytes())
        images.append(image)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    images[0].save(
        path,
        kind,
        save_all=True,
        append_images=images[1:],
        duration=DURATIONS[:count],
        loop=loop,
        **options,
        **settings,
    )
    return path


def expected(frame, factor=2):
    """By the oracle; colour under alpha 0 has no meaning."""
    has_alpha = bool((frame[..., 3] < 255).any())
    return expected_pixels(frame, factor, has_alpha=has_alpha)


@pytest.mark.parametrize("target", ["b.png", "b.webp"])
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_every_frame_is_exact_and_keeps_its_duration(kind, target):
    source = saved(kind)
    before, _, _ = frames_of(source)
    result = upsample_file(source, target)
    after, durations, loop = frames_of(target)
    assert len(after) == 3
    assert [float(duration) for duration in durations] == DURATIONS
    assert loop == 0
    assert result.warnings == ()
    for found, frame in zip(after, before, strict=True):
        assert_same_pixels(found, expected(frame))
    assert not np.array_equal(after[0], expected(before[1]))  # the control: frames differ


@pytest.mark.parametrize("count", [1, 2, 5])
def test_no_frame_is_lost(count):
    source = _many(count)
    for target in ("b.png", "b.webp"):
        upsample_file(source, target, 3)
        assert len(frames_of(target)[0]) == count


def _many(count):
    images = [Image.fromarray(hostile_pixels((5, 7, 3), np.uint8, seed)) for seed in range(count)]
    images[0].save("m.png", save_all=True, append_images=images[1:], duration=[100] * count)
    return Path("m.png")


def test_gif_stays_within_its_palette_and_close_to_the_exact_frames():
    """Blended colours are more than 256, so GIF can only come close; the control is another frame."""
    source = saved("GIF", size=(31, 17))
    before, _, _ = frames_of(source)
    result = upsample_file(source, "b.gif", 5)
    after, durations, _ = frames_of("b.gif")
    assert durations == DURATIONS
    assert any("256 colours" in line for line in result.warnings)
    for index, (found, frame) in enumerate(zip(after, before, strict=True)):
        wanted = expected(frame, 5).astype(int)
        error = np.abs(found - wanted).mean()
        wrong = np.abs(found - expected(before[index - 1], 5).astype(int)).mean()
        # Measured: 4 to 9 from dithering to 256 of the blended colours; two noise frames differ by 50.
        assert error < 16 < wrong
        with Image.open("b.gif") as image:
            image.seek(index)
            assert len(np.unique(found.reshape(-1, 4), axis=0)) <= 256


def test_gif_with_few_colours_is_exact():
    """In flat frames no colours are blended, so none are reduced."""
    images = [Image.new("RGB", (17, 11), colour) for colour in ((250, 1, 2), (0, 99, 3), (7, 8, 255))]
    images[0].save("a.gif", save_all=True, append_images=images[1:], duration=DURATIONS, loop=3)
    upsample_file("a.gif", "b.gif", 3)
    after, durations, loop = frames_of("b.gif")
    assert [frame[0, 0, :3].tolist() for frame in after] == [[250, 1, 2], [0, 99, 3], [7, 8, 255]]
    assert all((frame == frame[0, 0]).all() and frame.shape == (33, 51, 4) for frame in after)
    assert (durations, loop) == (DURATIONS, 3)


@pytest.mark.parametrize(("gif", "others"), [(None, 1), (0, 0), (1, 2), (4, 5)])
def test_the_number_of_plays_is_converted_between_formats(gif, others):
    """GIF counts repetitions after the first play, PNG and WebP count all plays; 0 is endless in all of them."""
    images = [Image.new("RGB", (5, 3), colour) for colour in ("red", "blue")]
    images[0].save(
        "a.gif", save_all=True, append_images=images[1:], duration=100, **({} if gif is None else {"loop": gif})
    )
    for target in ("b.png", "b.webp"):
        upsample_file("a.gif", target)
        assert frames_of(target)[2] == others
        back = f"{target}.gif"
        upsample_file(target, back)
        assert frames_of(back)[2] == gif


def test_frames_are_composed_before_they_are_enlarged():
    """A small green frame is drawn on a red canvas and then removed: its corner must blend with the canvas."""
    canvas, small = np.zeros((9, 11, 4), np.uint8), np.zeros((3, 3, 4), np.uint8)
    canvas[:] = (255, 0, 0, 255)
    small[:] = (0, 255, 0, 255)
    Path("a.png").write_bytes(animated_png(9, 11, 8, 6, ((canvas, 0, 0, 0, 0), (small, 4, 2, 1, 1))))
    upsample_file("a.png", "b.png")
    after, _, _ = frames_of("b.png")
    composed = canvas.copy()
    composed[2:5, 4:7] = small
    assert_same_pixels(after[1], expected(composed))
    alone = expected(canvas)  # the control: a frame enlarged alone and then pasted has hard edges
    alone[4:10, 8:14] = expected(small)
    assert not np.array_equal(after[1], alone)


@pytest.mark.parametrize(
    ("target", "longest", "plays"),
    [("b.gif", 655350, 65535), ("b.png", 65535000, 2**31 - 1), ("b.webp", 2**24 - 1, 65535)],
)
def test_durations_and_plays_that_a_format_cannot_hold_are_a_loss(target, longest, plays):
    """The oracle is what another reader finds in the file; GIF counts repetitions after the first play."""
    whole, small = np.zeros((5, 7, 4), np.uint8), np.full((2, 2, 4), 255, np.uint8)
    still = animated_png(5, 7, 8, 6, ((whole, 0, 0, 0, 0), (small, 1, 1, 1, 1)))
    control, at = still.index(b"fcTL"), still.index(b"acTL")
    for seconds, count, is_lost in [((1, 50), 7, False), ((60000, 1), 9, True), ((1, 50), 2**31 - 1, True)]:
        data = bytearray(still)
        data[control + 24 : control + 28] = struct.pack(">HH", *seconds)
        data[at + 8 : at + 12] = struct.pack(">I", count)
        for start, size in ((control, 26), (at, 8)):
            data[start + 4 + size : start + 8 + size] = struct.pack(">I", zlib.crc32(data[start : start + 4 + size]))
        Path("a.png").write_bytes(data)
        result = upsample_file("a.png", target, overwrite=True)
        _, durations, loop = frames_of(target)
        is_kept = durations[0] == 1000 * seconds[0] / seconds[1] and loop == count - (target == "b.gif")
        kinds = [loss.kind for loss in result.losses if loss.kind == "timing"]
        assert bool(kinds) == (not is_kept), (seconds, count, durations, loop)
        assert is_kept or is_lost
        assert durations[0] <= longest
        assert loop <= plays
        if kinds:
            with pytest.raises(ImageError, match=r"other durations are changed|at most 6553[56] times"):
                upsample_file("a.png", target, overwrite=True, strict=True)


def test_durations_of_a_thirtieth_of_a_second_keep_their_sum_in_gif():
    whole, small = np.zeros((5, 7, 4), np.uint8), np.full((2, 2, 4), 255, np.uint8)
    Path("a.png").write_bytes(animated_png(5, 7, 8, 6, ((whole, 0, 0, 0, 0), (small, 1, 1, 1, 1))))
    upsample_file("a.png", "b.png")
    assert frames_of("b.png")[1] == pytest.approx([1000 / 30, 2000 / 30], abs=1e-9)
    images = [Image.new("RGB", (4, 3), (index * 40, 0, 0)) for index in range(6)]
    images[0].save("c.webp", save_all=True, append_images=images[1:], duration=33, lossless=True)
    upsample_file("c.webp", "c.gif")
    durations = frames_of("c.gif")[1]
    assert set(durations) <= {30, 40}
    assert sum(durations) == 200  # 198 ms, to the nearest hundredth of a second; rounding each frame would give 180


@pytest.mark.parametrize("target", ["b.jpg", "b.bmp", "b.avif", "b.tif"])
def test_a_format_for_one_image_gets_the_first_frame_with_a_warning(target):
    result = upsample_file(saved("GIF"), target)
    assert any("is not written with several frames; of 3 the first is kept (PNG, WebP, GIF and JPEG XL can)" in line
               for line in result.warnings)  # fmt: skip
    assert "refused by --strict" in upsample("a.gif", "-o", f"c{target}", "--strict").errors[0]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_frame_can_be_selected(number):
    source = saved("PNG")
    before, _, _ = frames_of(source)
    result = upsample_file(source, "b.png", frame=number)
    after, _, _ = frames_of("b.png")
    assert (len(after), result.warnings) == (1, ())
    assert_same_pixels(after[0], expected(before[number - 1]))


def test_a_missing_frame_is_one_line():
    saved("GIF")
    Image.new("RGB", (3, 5)).save("one.png")
    assert upsample("a.gif", "--frame", 4).errors == [
        "a.gif: has no frame 4; there are 3; give --frame 1 to 3, or leave it out"
    ]
    assert "it holds one image" in upsample("one.png", "--frame", 2).errors[0]
    images = [Image.new("RGB", (5, 3), colour) for colour in ("red", "blue")]
    images[0].save("one.tif")
    images[0].save("two.tif", save_all=True, append_images=images[1:])
    assert "has no frame 2; it holds one image" in upsample("one.tif", "--frame", 2).errors[0]
    assert "has no frame 3; there are 2" in upsample("two.tif", "--frame", 3).errors[0]
    assert upsample("one.png", "--frame", 1).status == 0
    assert upsample("one.png", "--frame", 0).status == 2


def test_a_damaged_animation_leaves_no_output():
    data = saved("PNG").read_bytes()
    Path("bad.png").write_bytes(data[: data.index(b"IDAT") + 12])
    with pytest.raises(ImageError):
        upsample_file("bad.png", "b.png")
    assert names(".") == ["a.png", "bad.png"]


def test_frames_are_decoded_one_at_a_time():
    """The reader decodes each frame on demand: only the last frame is damaged, and the first two can be read."""
    data = bytearray(saved("PNG").read_bytes())
    at = data.rindex(b"fdAT")
    data[at + 20 : at + 40] = bytes(20)
    frames = open_animation(io.BytesIO(bytes(data)))
    for wanted in (40, 130):
        _, duration_ms = next(frames)
        assert duration_ms == Fraction(wanted)
    assert "frame 3 of 3 is left out" in str(next(frames))


def test_a_gif_is_opaque_only_if_every_composed_frame_is_opaque():
    """Pillow writes unchanged pixels as transparent, which leaves no hole. A cleared frame does leave one."""
    images = [Image.new("RGB", (17, 11), "white") for _ in range(3)]
    for index, image in enumerate(images):
        image.paste("red", (index, 0, index + 3, 3))
    images[0].save("a.gif", save_all=True, append_images=images[1:], duration=50)
    assert not read_header("a.gif")[0].frames.layout.alpha
    clear = [Image.new("RGBA", (17, 11)) for _ in range(3)]
    for index, image in enumerate(clear):
        image.paste("red", (index, 0, index + 3, 3))
    clear[0].save("b.gif", save_all=True, append_images=clear[1:], duration=50, disposal=2)
    assert read_header("b.gif")[0].frames.layout.alpha
    before, _, _ = frames_of("b.gif")
    upsample_file("b.gif", "c.png", kernel="nearest")
    for found, frame in zip(frames_of("c.png")[0], before, strict=True):
        assert_same_pixels(found[..., 3], frame[..., 3].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_page_of_a_tiff_keeps_its_size_pixel_type_and_texts(byteorder):
    pages = [
        (hostile_pixels((11, 17, 3), np.uint8), {"photometric": "rgb"}),
        (hostile_pixels((7, 5), np.uint16), {"description": "second", "resolution": (300, 150), "resolutionunit": 2}),
        (
            hostile_pixels((6, 13, 4), np.uint8),
            {"photometric": "rgb", "extrasamples": ["unassalpha"], "software": "Ours"},
        ),
    ]
    with tifffile.TiffWriter("a.tif", byteorder=byteorder) as writer:
        for pixels, settings in pages:
            writer.write(pixels, metadata=None, **settings)
    result = upsample_file("a.tif", "b.tif", 3)
    assert result.warnings == ()
    with tifffile.TiffFile("b.tif") as tiff:
        assert len(tiff.pages) == 3
        for page, (pixels, _) in zip(tiff.pages, pages, strict=True):
            rows = pixels if pixels.ndim == 3 else pixels[..., None]
            wanted = expected_pixels(rows, 3, has_alpha=rows.shape[2] == 4)
            assert_same_pixels(page.asarray().reshape(wanted.shape), wanted)
        second, third = tiff.pages[1].tags, tiff.pages[2].tags
        assert tiff.pages[1].description == "second"
        assert second["XResolution"].value == (300, 1)
        assert second["YResolution"].value == (150, 1)
        assert third["Software"].value == "Ours"
        assert second["Software"].value != "Ours"
    upsample_file("a.tif", "c.tif", 3, frame=2)
    with tifffile.TiffFile("c.tif") as tiff:
        assert (len(tiff.pages), tiff.pages[0].shape, tiff.pages[0].description) == (1, (21, 15), "second")


def test_one_page_is_read_without_the_pages_after_it(monkeypatch):
    """Otherwise reading all pages one by one would take time proportional to the square of their number."""
    with tifffile.TiffWriter("a.tif") as writer:
        for seed in range(40):
            writer.write(hostile_pixels((3, 5), np.uint8, seed), metadata=None)
    with tifffile.TiffFile("a.tif") as tiff:
        pages = [page.offset for page in tiff.pages]
    read, directories = ifd.read_directory, set()

    def counted(tiff, at):
        directories.add(at)
        return read(tiff, at)

    monkeypatch.setattr(ifd, "read_directory", counted)
    with open_image("a.tif", frame=3) as source:
        assert_same_pixels(source.read_rows(0, 3), hostile_pixels((3, 5), np.uint8, 2)[..., None])
    assert directories.intersection(pages) == set(pages[:4])  # page 4 may be a mask of page 3
    read_header("a.tif")
    assert directories.issuperset(pages)  # the control: a call without a page number lists all pages


def test_pages_are_not_an_animation():
    images = [Image.new("RGB", (5, 3), colour) for colour in ("red", "blue")]
    images[0].save("a.tif", save_all=True, append_images=images[1:])
    result = upsample_file("a.tif", "b.png")
    assert result.warnings == ("PNG is not written with several pages; of 2 the first is kept (TIFF can)",)


def test_metadata_of_an_animation_is_kept():
    exif = Image.Exif()
    exif[0x010E] = "a ball"
    source = saved("WEBP", exif=exif, xmp=b"<x/>", icc_profile=b"p" * 200)
    upsample_file(source, "b.webp")
    upsample_file(source, "b.png")
    for target in ("b.webp", "b.png"):
        with Image.open(target) as image:
            image.seek(2)
            assert image.getexif()[0x010E] == "a ball"
            assert image.info["icc_profile"] == b"p" * 200
            assert image.info["xmp"] == b"<x/>"


@pytest.mark.parametrize("count", [1, 2])
def test_pages_from_a_pipe_equal_those_of_the_file(count):
    """The name of a spooled pipe is None. tifffile once failed on that, and Pillow then read the page with 8 bits."""
    with tifffile.TiffWriter("a.tif") as writer:
        for seed in range(count):
            writer.write(hostile_pixels((7, 5, 3), np.uint16, seed), photometric="rgb", metadata=None)
    upsample_file("a.tif", "b.tif")
    command = [*COMMAND, "-", "-o", "-", "--format", "tiff"]
    done = subprocess.run(command, input=Path("a.tif").read_bytes(), capture_output=True, check=True, env=ENVIRONMENT)
    with tifffile.TiffFile(io.BytesIO(done.stdout)) as piped, tifffile.TiffFile("b.tif") as whole:
        assert len(piped.pages) == len(whole.pages) == count
        for one, other in zip(piped.pages, whole.pages, strict=True):
            assert_same_pixels(one.asarray(), other.asarray())
            assert one.dtype == np.uint16


def test_only_a_description_that_states_the_size_is_dropped():
    pages = hostile_pixels((6, 20, 30), np.uint8)
    tifffile.imwrite("shaped.tif", pages, photometric="minisblack")  # writes {"shape": [6, 20, 30]}
    tifffile.imwrite("told.tif", pages, photometric="minisblack", description="six leaves", metadata=None)
    for name, description in (("shaped", None), ("told", "six leaves")):
        upsample_file(f"{name}.tif", f"{name}_x2.tif")
        with tifffile.TiffFile(f"{name}_x2.tif") as file:
            tag = file.pages[0].tags.get("ImageDescription")
            assert (tag and tag.value) == description
            assert len(file.pages) == 6
            assert_same_pixels(file.pages[5].asarray()[..., None], expected_pixels(pages[5][..., None], 2))
