"""Frames of animated GIFs, composed as browsers do. The files and the expected frames are made here, without Pillow."""

import io
import struct
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageSequence

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.open import open_animation, open_image, probe

NONE, LEAVE, CLEAR, RESTORE = range(4)


def coded(indices):
    """LZW of 8-bit indices that starts again before its codes get longer."""
    codes = [256]
    for count, index in enumerate(indices, start=1):
        codes.append(int(index))
        if count % 254 == 0:
            codes.append(256)
    codes.append(257)
    bits = "".join(f"{code:09b}" for code in reversed(codes))
    data = int(bits, 2).to_bytes(-(-len(bits) // 8), "little")
    return b"\x08" + b"".join(
        bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)
    )


class Shown(NamedTuple):
    indices: Any
    top: int
    left: int
    disposal: int
    clear: int | None
    colours: Any
    delay: int
    interlaced: bool


def frame(indices, top=0, left=0, *, disposal=LEAVE, clear=None, colours=None, delay=4, interlaced=False):
    return Shown(np.asarray(indices), top, left, disposal, clear, colours, delay, interlaced)


def gif(height, width, frames, colours):
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x87, 3, 0) + colours.astype(np.uint8).tobytes()
    for one in frames:
        flags = one.disposal << 2 | (one.clear is not None)
        out += b"\x21\xf9\4" + struct.pack("<BHB", flags, one.delay, one.clear or 0) + b"\0"
        indices, own = one.indices, one.colours
        if one.interlaced:
            indices = np.concatenate([indices[start::step] for start, step in ((0, 8), (4, 8), (2, 4), (1, 2))])
        tall, wide = indices.shape
        packed = (0 if own is None else 0x87) | 0x40 * one.interlaced
        out += b"," + struct.pack("<HHHHB", one.left, one.top, wide, tall, packed)
        out += b"" if own is None else own.astype(np.uint8).tobytes()
        out += coded(indices.ravel()) + b"\0"
    return out + b";"


def composed(height, width, frames, colours):
    """What browsers show: nothing where no frame has pixels or a frame is cleared."""
    canvas, shown = np.zeros((height, width, 4), np.uint8), []
    for one in frames:
        before = canvas.copy()
        palette = colours if one.colours is None else one.colours
        for y, row in enumerate(one.indices, start=one.top):
            for x, index in enumerate(row, start=one.left):
                if index != one.clear and y < height and x < width:
                    canvas[y, x] = (*palette[index], 255)
        shown.append(canvas.copy())
        if one.disposal == CLEAR:
            tall, wide = one.indices.shape
            canvas[one.top : one.top + tall, one.left : one.left + wide] = 0
        elif one.disposal == RESTORE:
            canvas = before
    return np.stack(shown)


def frames_of(data):
    found = list(open_animation(io.BytesIO(data)))
    assert not any(isinstance(one, Loss) for one in found)
    rows = []
    for source, _ in open_animation(io.BytesIO(data)):
        rows.append(source.read_rows(0, source.info.height))
    rows = np.stack(rows)
    opaque = np.full((*rows.shape[:3], 1), 255, np.uint8)
    return (rows if rows.shape[3] == 4 else np.concatenate([rows, opaque], axis=3)), [float(one[1]) for one in found]


def some_frames(rng, height, width):
    frames = []
    for _ in range(rng.integers(2, 6)):
        sides = rng.integers(1, height + 1), rng.integers(1, width + 1)
        tall, wide = (height, width) if rng.random() < 0.3 else sides
        indices = rng.integers(0, 256 if rng.random() < 0.5 else 4, (tall, wide))
        top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
        clear = int(rng.integers(0, 4)) if rng.random() < 0.6 else None
        colours = rng.integers(0, 256, (256, 3)) if rng.random() < 0.4 else None
        disposal, delay, interlaced = int(rng.integers(0, 4)), int(rng.integers(0, 700)), bool(rng.random() < 0.3)
        frames.append(Shown(indices, top, left, disposal, clear, colours, delay, interlaced))
    return frames


def test_frames_are_composed_as_browsers_do():
    """The control: Pillow composes some of them in another way."""
    rng, others = np.random.default_rng(11), 0
    for _ in range(80):
        height, width = rng.integers(1, 24, 2)
        frames, colours = some_frames(rng, height, width), rng.integers(0, 256, (256, 3))
        data, wanted = gif(height, width, frames, colours), composed(height, width, frames, colours)
        rows, durations = frames_of(data)
        np.testing.assert_array_equal(rows, wanted)
        assert durations == [10 * one.delay for one in frames]
        assert probe(io.BytesIO(data)).frames.layout.alpha or (wanted[..., 3] == 255).all()
        pillows = [np.array(one.convert("RGBA")) for one in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]
        others += any((ours != pillow).any() for ours, pillow in zip(wanted, pillows, strict=True))
    assert others > 10


COLOURS = np.arange(768).reshape(256, 3) % 256
FULL, PART = np.full((6, 8), 9), np.full((3, 4), 7)
GREYS = np.arange(256)[:, None].repeat(3, axis=1)


@pytest.mark.parametrize(
    ("frames", "alpha"),
    [
        ([frame(FULL), frame(PART, 1, 2)], False),
        ([frame(FULL), frame(PART, 1, 2, clear=7)], False),
        ([frame(FULL, disposal=CLEAR), frame(FULL, disposal=CLEAR)], False),
        ([frame(FULL), frame(PART, 1, 2, disposal=RESTORE), frame(PART)], False),
        ([frame(PART, 1, 2), frame(FULL)], True),
        ([frame(FULL, clear=9), frame(FULL)], True),
        ([frame(FULL, disposal=CLEAR), frame(PART)], True),
        ([frame(FULL), frame(PART, 1, 2, disposal=CLEAR), frame(PART)], True),
        ([frame(FULL, disposal=RESTORE), frame(PART)], True),
    ],
)
def test_an_animation_has_alpha_only_if_something_shows_through(frames, alpha):
    data = gif(6, 8, frames, COLOURS)
    assert probe(io.BytesIO(data)).frames.layout.alpha == alpha
    np.testing.assert_array_equal(frames_of(data)[0], composed(6, 8, frames, COLOURS))
    assert alpha == (composed(6, 8, frames, COLOURS)[..., 3] == 0).any()


@pytest.mark.parametrize("others", [[], [frame(FULL)]], ids=["still", "animation"])
@pytest.mark.parametrize("clear", [None, 7, 200])
@pytest.mark.parametrize(("colours", "top", "left"), [(COLOURS, 1, 2), (GREYS, 9, 0)])
def test_the_first_frame_alone_is_what_browsers_show(colours, top, left, clear, others):
    """The control: Pillow fills what the frame does not cover, unless an index is transparent."""
    rng = np.random.default_rng(3)
    frames = [frame(rng.integers(0, 256, (3, 4)), top, left, clear=clear), *others]
    data, wanted = gif(6, 8, frames, colours), composed(max(6, top + 3), 8, frames, colours)[0]
    pillow = np.array(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert (pillow[..., 3] == wanted[..., 3]).all() == (clear is not None)
    for number in (None, 1):
        with open_image(io.BytesIO(data), frame=number) as source:
            assert source.info.layout.alpha
            rows = source.read_rows(0, len(wanted))
        rows = rows[..., [0, 0, 0, 1]] if rows.shape[2] == 2 else rows
        np.testing.assert_array_equal(rows[..., 3], wanted[..., 3])
        np.testing.assert_array_equal(rows[wanted[..., 3] > 0], wanted[wanted[..., 3] > 0])


def test_a_damaged_frame_leaves_the_others_as_they_are():
    frames = [frame(FULL), frame(PART, 1, 2), frame(PART, 3, 0, delay=9)]
    data = gif(6, 8, frames, COLOURS)
    second = data.index(b",\2\0\1\0")
    damaged = data[: second + 10] + b"\x0d" + data[second + 11 :]  # codes of more bits than there are
    found = list(open_animation(io.BytesIO(damaged)))
    assert [isinstance(one, Loss) for one in found] == [False, True, False]
    wanted = composed(6, 8, [frames[0], frames[2]], COLOURS)
    (source, duration) = found[2]
    np.testing.assert_array_equal(source.read_rows(0, 6), wanted[1][..., :3])
    assert duration == 90


def test_a_frame_outside_the_canvas_is_refused_if_it_is_too_large():
    large = struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0)
    data = gif(6, 8, [frame(FULL), frame(PART)], COLOURS)
    at = data.rindex(b",") + 1
    with pytest.raises(ImageError, match="more than the limit"):
        list(open_animation(io.BytesIO(data[:at] + large + data[at + 9 :])))


def test_the_size_of_frames_is_checked_before_pillow_opens_the_file(monkeypatch):
    """Pillow allocates the area that the first frame clears: 1.3 GB for a file of 2 KB (found by mutation)."""
    data = gif(6, 8, [frame(FULL, disposal=CLEAR), frame(PART)], COLOURS)
    at = data.index(b",\0\0\0\0\x08\0\x06\0") + 1
    probe(io.BytesIO(data))

    def forbidden(*_):
        raise AssertionError("opened")

    monkeypatch.setitem(Image.OPEN, "GIF", (forbidden, None))
    with pytest.raises(ImageError, match="more than the limit"):
        probe(io.BytesIO(data[:at] + struct.pack("<HHHH", 0, 0, 50_000, 30_000) + data[at + 8 :]))
    with pytest.raises(ImageError, match="is damaged"):  # the control
        probe(io.BytesIO(data))


def test_the_writer_of_this_file_agrees_with_another_reader():
    indices = np.arange(48).reshape(6, 8) * 5
    data = gif(6, 8, [frame(indices), frame(PART)], COLOURS)
    np.testing.assert_array_equal(imagecodecs.gif_decode(data, index=0)[..., :3], COLOURS[indices])
