"""Animated PNG with 16 bits: every bit is kept, and frames are composed as another reader composes 8-bit ones."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from support.corpus import animated_png, png_chunk
from support.facts import lines
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import Loss
from upsample_cli.images.model import Layout
from upsample_cli.images.open import open_animation, open_image, read_header

pytestmark = pytest.mark.usefixtures("in_tmp_path")

HEIGHT, WIDTH = 9, 13
COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}
NONE, BACKGROUND, PREVIOUS = 0, 1, 2
SOURCE, OVER = 0, 1


def apng(*frames, still=None, key=b""):
    """A frame is (pixels, left, top, disposal, blending)."""
    first = frames[0][0]
    chunks = [(b"tRNS", key)] if key else []
    return animated_png(HEIGHT, WIDTH, 8 * first.itemsize, COLOUR_TYPES[first.shape[2]], frames, *chunks, still=still)


def whole(seed, channels):
    return hostile_pixels((HEIGHT, WIDTH, channels), np.uint16, seed), 0, 0, NONE, SOURCE


def read(data):
    """Every frame as our reader composes it."""
    found = []
    for source, _ in open_animation(io.BytesIO(data)):
        with source:
            found.append(source.read_rows(0, source.info.height))
    return found


@pytest.mark.parametrize("channels", COLOUR_TYPES)
def test_every_bit_of_every_frame_is_kept(channels):
    frames = [whole(seed, channels) for seed in range(3)]
    Path("a.png").write_bytes(apng(*frames))
    result = upsample_file("a.png", "b.png")
    assert result.warnings == ()
    found = imagecodecs.apng_decode(Path("b.png").read_bytes())
    for index, (pixels, *_) in enumerate(frames):
        wanted = expected_pixels(pixels, 2, has_alpha=channels in {2, 4})
        assert_same_pixels(found[index].reshape(wanted.shape), wanted)
    in_eight = expected_pixels((frames[0][0] >> 8).astype(np.uint8), 2, has_alpha=channels in {2, 4})
    assert not np.array_equal(found[0].reshape(wanted.shape) >> 8, in_eight)  # the control: 8 bits would differ
    with Image.open("b.png") as image:
        assert image.n_frames == 3
    durations = [duration for _, duration in open_animation("b.png")]
    assert durations == [Fraction(1000 * number, 30) for number in (1, 2, 3)]


def composed_by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        for index in range(image.n_frames):
            image.seek(index)
            yield np.array(image)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("channels", [3, 4])
def test_frames_are_composed_as_pillow_composes_them_in_8_bits(seed, channels):
    """Levels times 257 and alpha of 0 or 255, so that neither reader has to round.

    Pillow keeps what a reverted frame blended over the canvas, and clears to black without alpha, so
    the test uses neither.
    """
    random = np.random.default_rng(seed)
    small = []
    for index in range(5):
        top, left = (0, 0) if index == 0 else (int(random.integers(0, HEIGHT - 1)), int(random.integers(0, WIDTH - 1)))
        tall, wide = (HEIGHT, WIDTH) if index == 0 else random.integers(1, (HEIGHT - top, WIDTH - left))
        pixels = random.integers(0, 256, (int(tall), int(wide), channels), np.uint8)
        if channels == 4:
            pixels[..., 3] = np.where(pixels[..., 3] > 99, 255, 0)
        blending = int(random.integers(0, 2)) if channels == 4 else SOURCE
        kinds = [NONE, *([BACKGROUND] if channels == 4 else []), *([PREVIOUS] if blending == SOURCE and index else [])]
        small.append((pixels, left, top, int(random.choice(kinds)), blending))
    deep = [(frame[0].astype(np.uint16) * 257, *frame[1:]) for frame in small]
    found = read(apng(*deep))
    for ours, theirs in zip(found, composed_by_pillow(apng(*small)), strict=True):
        if channels == 4:  # colour under alpha 0 has no meaning
            ours[ours[..., 3] == 0], theirs[theirs[..., 3] == 0] = 0, 0
        assert_same_pixels(ours, theirs.astype(np.uint16) * 257)
    assert any(not np.array_equal(ours, found[0]) for ours in found)  # the control


@pytest.mark.parametrize("blending", [SOURCE, OVER])
@pytest.mark.parametrize("channels", [3, 4])
def test_reverted_and_cleared_frames_restore_the_canvas(blending, channels):
    """Red, a green dot that is reverted, and a blue dot that is cleared; neither dot remains after its frame."""
    red = np.zeros((HEIGHT, WIDTH, channels), np.uint16)
    red[..., 0], red[..., 3:] = 40_001, 65535
    green, blue = np.roll(red, 1, axis=2)[:2, :3].copy(), np.roll(red, 2, axis=2)[:1, :2].copy()
    green[..., 3:] = blue[..., 3:] = 65535
    last = red[:1, :1] // 2
    last[..., 3:] = 65535
    frames = read(apng(
        (red, 0, 0, NONE, SOURCE), (green, 4, 3, PREVIOUS, blending), (blue, 6, 5, BACKGROUND, blending),
        (last, 0, 0, NONE, blending),
    ))  # fmt: skip
    assert [image.shape[2] for image in frames] == [4] * 4
    opaque = np.dstack([red[..., :3], np.full((HEIGHT, WIDTH), 65535, np.uint16)])
    wanted = [opaque, opaque.copy(), opaque.copy(), opaque.copy()]
    wanted[1][3:5, 4:7, :3] = green[..., :3]
    wanted[2][5:6, 6:8, :3] = blue[..., :3]
    wanted[3][5:6, 6:8] = 0
    wanted[3][0, 0, 0] = 20_000
    for found, each in zip(frames, wanted, strict=True):
        assert_same_pixels(found, each)


def test_a_first_frame_that_is_reverted_leaves_an_empty_canvas():
    """The specification says so, because nothing precedes the first frame."""
    frames = read(apng((whole(1, 3)[0], 0, 0, PREVIOUS, SOURCE), (whole(2, 3)[0][:1, :1], 0, 0, NONE, SOURCE)))
    assert frames[1].shape == (HEIGHT, WIDTH, 4)
    assert frames[1][..., 3].astype(bool).sum() == 1


def test_half_transparent_frames_are_blended_by_the_formula():
    below, above = (hostile_pixels((HEIGHT, WIDTH, 4), np.uint16, seed) for seed in (1, 2))
    found = read(apng((below, 0, 0, NONE, SOURCE), (above, 0, 0, NONE, OVER)))[1]
    full = 65535
    for y, x in np.ndindex(HEIGHT, WIDTH):
        over, under = Fraction(int(above[y, x, 3]), full), Fraction(int(below[y, x, 3]), full)
        alpha = over + under * (1 - over)
        assert found[y, x, 3] == int(alpha * full + Fraction(1, 2))
        for channel in range(3):
            light = over * int(above[y, x, channel]) + (1 - over) * under * int(below[y, x, channel])
            # With alpha 0 nothing is blended.
            wanted = int(light / alpha + Fraction(1, 2)) if alpha else below[y, x, channel]
            assert found[y, x, channel] == wanted


def test_a_separate_still_image_is_left_out_with_a_loss():
    frames = [whole(seed, 3) for seed in range(2)]
    data = apng(*frames, still=whole(9, 3)[0])
    info, _ = read_header(io.BytesIO(data))
    assert (info.frames.count, info.frames.layout) == (2, Layout("rgb", depth=16))
    assert any("still image" in line for line in lines(info.frames.losses))
    for found, (pixels, *_) in zip(read(data), frames, strict=True):
        assert_same_pixels(found, pixels)


def test_a_transparent_colour_applies_to_every_frame():
    frames = [whole(seed, 3) for seed in range(2)]
    for pixels, *_ in frames:
        pixels[2, 3] = (1, 500, 65000)
    found = read(apng(*frames, key=struct.pack(">3H", 1, 500, 65000)))
    assert [image[2, 3, 3] for image in found] == [0, 0]
    assert found[1].shape == (HEIGHT, WIDTH, 4)
    assert (found[1][3:, :, 3] == 65535).all()


def test_one_frame_can_be_selected_and_other_formats_get_the_first():
    frames = [whole(seed, 3) for seed in range(3)]
    Path("a.png").write_bytes(apng(*frames))
    for number in (1, 2, 3):
        with open_image("a.png", frame=number) as source:
            assert_same_pixels(source.read_rows(0, HEIGHT), frames[number - 1][0])
    result = upsample_file("a.png", "b.tif")
    assert any("of 3 the first is kept" in line for line in result.warnings)
    assert any("16 bits per channel" in line for line in upsample_file("a.png", "b.webp").warnings)


def damaged():
    good = apng(*(whole(seed, 3) for seed in range(3)))
    at = good.rindex(b"fdAT")
    yield "a wrong checksum", good[: at + 9] + b"\xff" + good[at + 10 :]
    yield "a frame missing", good[: good.rindex(b"fcTL") - 4] + png_chunk(b"IEND", b"")
    yield "a frame outside", apng(whole(0, 3), (whole(1, 3)[0], 1, 0, NONE, SOURCE))
    yield "cut", good[: len(good) * 3 // 4]
    yield "a frame without pixels", good[: at - 4] + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(("name", "data"), list(damaged()))
def test_a_damaged_frame_is_one_line(name, data):
    found = list(open_animation(io.BytesIO(data)))
    losses = [*(frame for frame in found if isinstance(frame, Loss)), *read_header(io.BytesIO(data))[0].losses]
    assert [loss.kind for loss in losses] == ["frames"]
    assert sum(isinstance(frame, tuple) for frame in found) == (1 if name == "a frame outside" else 2)
