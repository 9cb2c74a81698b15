"""Reading animated PNG: every pixel type, composed as by explicit arithmetic on single pixels."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.corpus import animated_png
from support.oracles import assert_same_pixels, expected_pixels

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.images.codecs.png.animation_writer import ApngWriter
from upsample_cli.images.model import Frames, Layout, Metadata
from upsample_cli.images.open import open_animation, open_image, read_header

pytestmark = pytest.mark.usefixtures("in_tmp_path")

HEIGHT, WIDTH = 7, 11
NONE, BACKGROUND, PREVIOUS = 0, 1, 2
SOURCE, OVER = 0, 1
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PALETTE = np.random.default_rng(4).integers(0, 256, (256, 3), np.uint8)
OPACITIES = np.random.default_rng(5).choice(np.array([0, 1, 99, 254, 255], np.uint8), 256)


# colour type, depth, tRNS: 1 for a key of one level or colour, a palette's opacities
KINDS = [
    (0, 1, None), (0, 2, b"\0\1"), (0, 4, None), (0, 4, b"\0\3"), (0, 8, None), (0, 8, b"\0\7"),
    (2, 8, None), (2, 8, b"\0\1\0\2\0\3"),
    (3, 1, None), (3, 2, "palette"), (3, 4, "palette"), (3, 8, None), (3, 8, "palette"),
    (4, 8, None), (6, 8, None), (4, 16, None), (6, 16, None), (2, 16, b"\0\1\0\2\0\3"), (0, 16, b"\0\7"),
]  # fmt: skip


def random_frames(seed, colour_type, depth):
    """Six frames, each with its own size, position, disposal and blending; few levels, so that some match the key."""
    random = np.random.default_rng(seed)
    levels = np.array([0, 1, 2, 3, 7, 2**depth // 2, 2**depth - 1])
    levels = levels[levels < 2**depth]
    frames = []
    for index in range(6):
        top, left = (0, 0) if index == 0 else (int(random.integers(HEIGHT)), int(random.integers(WIDTH)))
        tall = HEIGHT if index == 0 else int(random.integers(1, HEIGHT - top + 1))
        wide = WIDTH if index == 0 else int(random.integers(1, WIDTH - left + 1))
        pixels = random.choice(levels, (tall, wide, CHANNELS[colour_type])).astype(np.uint16)
        if colour_type == 2:
            pixels[random.random((tall, wide)) < 0.3] = (1, 2, 3)
        frames.append((pixels, left, top, int(random.integers(3)), int(random.integers(2))))
    return frames


def meaning(pixel, colour_type, depth, key):
    """(red, green, blue, alpha) of one stored pixel, with 8 or 16 bits each."""
    full = 65535 if depth == 16 else 255
    stored = [int(level) for level in pixel]
    if colour_type == 3:
        return [*map(int, PALETTE[stored[0]]), int(OPACITIES[stored[0]]) if key else 255]
    colour, alpha = (stored[:-1], stored[-1]) if colour_type in {4, 6} else (stored, full)
    if key and colour == [int.from_bytes(key[at : at + 2], "big") for at in range(0, len(key), 2)]:
        alpha = 0
    scaled = [level * full // (2**depth - 1) for level in colour]
    return [*(scaled * 3 if len(scaled) == 1 else scaled), alpha]


def blended(above, below, full):
    """Porter and Duff's "over" in fractions, rounded half up at the end."""
    opacity, under = Fraction(above[3], full), Fraction(below[3], full)
    alpha = opacity + under * (1 - opacity)
    if not alpha:
        return list(below)
    light = [opacity * a + (1 - opacity) * under * b for a, b in zip(above[:3], below[:3], strict=True)]
    return [int(level / alpha + Fraction(1, 2)) for level in light] + [int(alpha * full + Fraction(1, 2))]


def composed(frames, colour_type, depth, key, *, takes_back=True):
    """Every frame as the specification defines it, one pixel at a time."""
    full = 65535 if depth == 16 else 255
    canvas = [[[0, 0, 0, 0] for _ in range(WIDTH)] for _ in range(HEIGHT)]
    for pixels, left, top, disposal, blending in frames:
        before = [[list(pixel) for pixel in row] for row in canvas]
        places = [(y, x) for y in range(pixels.shape[0]) for x in range(pixels.shape[1])]
        for y, x in places:
            above, below = meaning(pixels[y, x], colour_type, depth, key), canvas[top + y][left + x]
            canvas[top + y][left + x] = blended(above, below, full) if blending == OVER else above
        yield np.array(canvas)
        for y, x in places:
            if disposal == BACKGROUND:
                canvas[top + y][left + x] = [0, 0, 0, 0]
            elif disposal == PREVIOUS and takes_back:
                canvas[top + y][left + x] = before[top + y][left + x]


def as_rgba(rows, full):
    """The rows of our reader in the form of the oracle; colour under alpha 0 has no meaning."""
    colour, alpha = (
        (rows[..., :-1], rows[..., -1:]) if rows.shape[2] in {2, 4} else (rows, np.full_like(rows[..., :1], full))
    )
    return without_hidden(np.concatenate([colour.repeat(3 // colour.shape[2], axis=2), alpha], axis=2))


def without_hidden(pixels):
    return np.where(pixels[..., 3:] == 0, 0, pixels).astype(int)


def read(data):
    found = []
    for source, _ in open_animation(io.BytesIO(data)):
        with source:
            found.append(source.read_rows(0, source.info.height))
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("colour_type", "depth", "key"), KINDS)
def test_frames_of_every_pixel_type_are_composed_as_specified(colour_type, depth, key, seed):
    frames = random_frames(seed, colour_type, depth)
    chunks = [(b"PLTE", PALETTE[: 2**depth].tobytes())] if colour_type == 3 else []
    if key:
        chunks.append((b"tRNS", OPACITIES[: 2**depth].tobytes() if key == "palette" else key))
    found = read(animated_png(HEIGHT, WIDTH, depth, colour_type, frames, *chunks))
    full = 65535 if depth == 16 else 255
    wanted = list(composed(frames, colour_type, depth, key))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == (np.uint16 if depth == 16 else np.uint8)
        assert_same_pixels(as_rgba(ours, full), without_hidden(theirs))
    if PREVIOUS in [frame[3] for frame in frames[:-1]]:  # the control: without reverting, the frames differ
        left = list(composed(frames, colour_type, depth, key, takes_back=False))
        assert any(not np.array_equal(without_hidden(a), without_hidden(b)) for a, b in zip(left, wanted, strict=True))


def red_and(*later):
    red = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    red[:] = (200, 0, 0, 255)
    return ((red, 0, 0, NONE, SOURCE), *later)


def test_a_reverted_frame_is_gone_from_the_enlarged_frame():
    """Pillow does not revert the frame: it leaves the green dot in place."""
    green, blue = np.full((2, 3, 4), (0, 90, 0, 255), np.uint8), np.full((1, 1, 4), (0, 0, 70, 255), np.uint8)
    frames = red_and((green, 4, 3, PREVIOUS, OVER), (blue, 0, 0, NONE, OVER))
    Path("a.png").write_bytes(animated_png(HEIGHT, WIDTH, 8, 6, frames))
    upsample_file("a.png", "b.png")
    last = frames[0][0].copy()
    last[0, 0] = (0, 0, 70, 255)
    with Image.open("b.png") as image:
        image.seek(2)
        assert_same_pixels(np.array(image.convert("RGBA")), expected_pixels(last, 2, has_alpha=False))
    with open_image("a.png", frame=3) as source:
        assert_same_pixels(source.read_rows(0, HEIGHT), last)


def test_a_cleared_opaque_frame_leaves_a_hole_and_not_black():
    red = np.full((HEIGHT, WIDTH, 3), (200, 0, 0), np.uint8)
    dot = np.full((2, 3, 3), (0, 90, 0), np.uint8)
    data = animated_png(HEIGHT, WIDTH, 8, 2, ((red, 0, 0, NONE, 0), (dot, 4, 3, BACKGROUND, 0), (dot, 0, 0, NONE, 0)))
    assert read_header(io.BytesIO(data))[0].frames.layout.alpha
    last = read(data)[2]
    assert (last[3:5, 4:7, 3] == 0).all()
    assert (last[..., 3] == 0).sum() == 6
    uncleared = animated_png(HEIGHT, WIDTH, 8, 2, ((red, 0, 0, NONE, 0), (dot, 4, 3, NONE, 0)))
    assert not read_header(io.BytesIO(uncleared))[0].frames.layout.alpha  # the control


@pytest.mark.parametrize(
    ("size", "left", "top"), [((3, 4), WIDTH - 3, 0), ((3, 4), 0, HEIGHT - 2), ((0, 4), 0, 0), ((3, 0), 0, 0)]
)
def test_a_frame_outside_the_canvas_or_without_a_size_is_damage(size, left, top):
    data = animated_png(HEIGHT, WIDTH, 8, 6, red_and((np.zeros((*size, 4), np.uint8), left, top, NONE, SOURCE)))
    first, second = open_animation(io.BytesIO(data))
    assert isinstance(first, tuple)
    assert "frame 2 of 2 is left out: is damaged" in str(second)


class Pipe(io.BytesIO):
    def seekable(self):
        return False


def written(file, count, announced, side=8):
    """Frames of noise that is brighter in each, in several chunks of pixels."""
    writer = ApngWriter(file, Frames(announced, "animation", Layout("grey")))
    rows = np.random.default_rng(1).integers(0, 256, (side, side, 1)).astype(np.uint8)
    for number in range(count):
        sink = writer.frame(
            height=side, width=side, layout=Layout("grey"), metadata=Metadata(), duration_ms=Fraction(40)
        )  # fmt: skip
        for top in range(0, side, 100):
            sink.write_rows(rows[top : top + 100] + np.uint8(number))
        sink.finish()
    writer.finish()
    return rows


def test_frames_of_several_chunks_are_written_and_counted():
    for announced in (2, 3):
        file = io.BytesIO()
        rows = written(file, 2, announced, side=2200)
        assert file.getvalue().count(b"IDAT") > 2
        with Image.open(file) as image:
            assert (image.n_frames, image.info["duration"]) == (2, 40)
            for number in range(2):
                image.seek(number)
                assert (np.asarray(image.convert("L")) == (rows + np.uint8(number))[..., 0]).all()


def test_a_count_that_is_wrong_is_an_error_if_it_cannot_be_corrected():
    written(Pipe(), 2, 2)
    with pytest.raises(OSError, match="1 of 3 frames are damaged, and what is written counts them"):
        written(Pipe(), 2, 3)
    for count in (0, 3):
        with pytest.raises(ValueError, match=f"{count} frames came where 2 were announced"):
            written(io.BytesIO(), count, 2)
