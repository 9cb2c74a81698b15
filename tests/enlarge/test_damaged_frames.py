"""A damaged frame is left out: the others are written, a warning names it, and strict refuses the file."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from support.corpus import HEIGHT, WIDTH, animated_png, png_chunk, saved
from support.running import names

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.open import open_image

pytestmark = pytest.mark.usefixtures("in_tmp_path")

COUNT = 5
COLOURS = [(40 * index, 255 - 40 * index, 30) for index in range(COUNT)]


def gradient(index):
    image = Image.new("RGB", (WIDTH, HEIGHT), COLOURS[index])
    image.paste((index, 2, 3), (index, 1, WIDTH - 3, HEIGHT - 2))
    return image


FRAMES = [gradient(index) for index in range(COUNT)]
MANY = {"save_all": True, "append_images": FRAMES[1:], "duration": 100}


def starts(data, mark):
    at, found = data.find(mark), []
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def damaged_gif(*bad):
    data = bytearray(saved(FRAMES[0], "GIF", **MANY))
    places = starts(bytes(data), b"\x21\xf9\x04")
    assert len(places) == COUNT
    for index in bad:
        image_at = data.index(b",", places[index] + 8)
        flags = data[image_at + 9]
        code_at = image_at + 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        data[code_at + 2 : code_at + 6] = b"\xff\xff\xff\xff"
    return bytes(data)


def damaged_webp(*bad):
    data = bytearray(saved(FRAMES[0], "WEBP", lossless=True, minimize_size=False, kmax=1, kmin=0, **MANY))
    places = starts(bytes(data), b"ANMF")
    assert len(places) == COUNT
    for index in bad:
        at = data.index(b"VP8L", places[index]) + 8
        data[at + 6 : at + 26] = b"\xff" * 20
    return bytes(data)


def headless_webp(*bad):
    data = bytearray(damaged_webp())
    for index in bad:
        data[data.index(b"VP8L", starts(bytes(data), b"ANMF")[index]) + 8] = 0  # its own signature
    return bytes(data)


def damaged_png(*bad):
    data = bytearray(animated_png(HEIGHT, WIDTH, 8, 2, tuple((np.array(f), 0, 0, 0, 0) for f in FRAMES)))
    places = starts(bytes(data), b"fcTL")
    for index in bad:
        at = min(place for place in (data.find(b"fdAT", places[index]), data.find(b"IDAT", places[index])) if place > 0)
        data[at + 12] ^= 0xFF
    return bytes(data)


def uncontrolled_png(*bad):
    data = bytearray(damaged_png())
    for index in bad:
        data[starts(bytes(data), b"fcTL")[index] + 10] ^= 0xFF
    return bytes(data)


KINDS = {"gif": damaged_gif, "webp": damaged_webp, "headless.webp": headless_webp, "png": damaged_png,
         "control.png": uncontrolled_png}  # fmt: skip


def frames_in(path):
    image = Image.open(io.BytesIO(Path(path).read_bytes()))
    return [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [(0,), (2,), (4,), (1, 3), ()])
def test_good_frames_are_written_and_damaged_frames_are_named(kind, bad):
    name, output = f"a.{kind}", f"b.{kind.rpartition('.')[2].replace('gif', 'png')}"
    Path(name).write_bytes(KINDS[kind](*bad))
    result = upsample_file(name, output, kernel="nearest", overwrite=True)
    found = frames_in(result.output)
    right = [np.array(FRAMES[index]).repeat(2, 0).repeat(2, 1) for index in range(COUNT) if index not in bad]
    assert len(found) == len(right)
    assert all(np.abs(a.astype(int) - b).max() < 2 for a, b in zip(found, right, strict=True))
    message = " ".join(line for line in result.warnings if "left out" in line)
    assert all(f" {index + 1}" in message for index in bad)
    assert bool(message) == bool(bad)


@pytest.mark.parametrize("kind", KINDS)
def test_strict_refuses_a_damaged_frame_and_leaves_no_output(kind):
    Path(f"a.{kind}").write_bytes(KINDS[kind](2))
    with pytest.raises(ImageError, match="refused by strict"):
        upsample_file(f"a.{kind}", "b.png", strict=True)
    assert names(".") == [f"a.{kind}"]


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_file_without_a_good_frame_fails(kind):
    Path(f"a.{kind}").write_bytes(KINDS[kind](*range(COUNT)))
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        upsample_file(f"a.{kind}", "b.png")
    assert names(".") == [f"a.{kind}"]


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_truncated_file_keeps_its_complete_frames(kind):
    data = KINDS[kind]()
    mark = {"gif": b"\x21\xf9\x04", "webp": b"ANMF", "png": b"fcTL"}[kind]
    Path(f"a.{kind}").write_bytes(data[: starts(data, mark)[3] + 60])
    result = upsample_file(f"a.{kind}", "b.png", kernel="nearest")
    assert len(frames_in("b.png")) == 3
    assert any(loss.kind == "frames" for loss in result.losses)


def test_a_written_animation_counts_its_actual_frames():
    Path("a.png").write_bytes(damaged_png(1))
    upsample_file("a.png", "b.png")
    data = Path("b.png").read_bytes()
    count = data[data.index(b"acTL") + 4 :][:8]
    assert png_chunk(b"acTL", count) in data
    assert int.from_bytes(count[:4], "big") == len(starts(data, b"fcTL")) == COUNT - 1


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_frame_after_a_damaged_one_can_be_selected(kind):
    Path(f"a.{kind}").write_bytes(KINDS[kind](1))
    with open_image(f"a.{kind}", frame=4) as source:
        assert np.abs(source.read_rows(0, HEIGHT)[..., :3].astype(int) - np.array(FRAMES[3])).max() < 2
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        open_image(f"a.{kind}", frame=2)
