"""Draw the sample images: `python samples/make_samples.py [FOLDER]` (default: the folder of this file).

Needs numpy and Pillow only, reads nothing, and draws the same pixels every time.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageFont
from scene import scene

Array = NDArray[Any]

_DATE = "2024:06:21 21:14:07"
_MAKE, _MODEL, _X_RESOLUTION, _Y_RESOLUTION, _DATE_TIME, _ORIENTATION = 0x010F, 0x0110, 0x011A, 0x011B, 0x0132, 0x0112
_EXIF_IFD, _DATE_TIME_ORIGINAL, _FOCAL_LENGTH = 0x8769, 0x9003, 0x920A


def _distance(down: Array, across: Array) -> Array:
    result: Array = np.sqrt(down**2 + across**2)  # the same on every machine, which hypot need not be
    return result


def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)  # instead of the time of making
    return bytes(profile)


def _camera() -> Image.Exif:
    exif = Image.Exif()
    exif[_MAKE], exif[_MODEL], exif[_DATE_TIME] = "Camera obscura", "Pinhole No. 4", _DATE
    exif[_X_RESOLUTION] = exif[_Y_RESOLUTION] = 300.0
    exif.get_ifd(_EXIF_IFD).update({_DATE_TIME_ORIGINAL: _DATE, _FOCAL_LENGTH: 35.0})
    return exif


def scene_jpg(path: Path) -> None:
    """A photograph: sRGB profile, Exif with camera and date, 300 dpi."""
    image = Image.fromarray(scene())
    image.save(path, quality=90, subsampling=0, dpi=(300, 300), exif=_camera(), icc_profile=_srgb_profile())


def grey_jpg(path: Path) -> None:
    """One channel."""
    Image.fromarray(scene()).convert("L").crop((180, 130, 457, 317)).save(path, quality=88)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow, laid out without the help of Raqm, which not all have."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise SystemExit("this Pillow has no FreeType to draw letters with; install one of its wheels")
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


def text_png(path: Path) -> None:
    """Letters of several sizes, black on white."""
    image = Image.new("L", (321, 211), 255)
    draw, top = ImageDraw.Draw(image), 4
    for size, letters in (
        (9, "Sphinx of black quartz, judge my vow. 0123456789 &@%"),
        (11, "Sphinx of black quartz, judge my vow. 012345678"),
        (14, "Sphinx of black quartz, judge my vow"),
        (18, "Sphinx of black quartz, judge"),
        (24, "ConvTranspose2d(k=4)"),
        (32, "Hamburgefonts"),
        (44, "Ragged &c"),
    ):
        draw.text((6, top), letters, 0, _font(size))
        top += round(size * 1.25) + 2
    image.save(path, optimize=True)


def zoneplate_png(path: Path) -> None:
    """Rings, ever finer, up to the finest that pixels can hold at the edge of the longer side."""
    height, width = 157, 201
    y, x = np.mgrid[:height, :width].astype(float)
    radius2 = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2
    rings = 127.3 + 127 * np.cos(np.pi / width * radius2)  # 127.3: no value falls on a half
    Image.fromarray(np.rint(rings).astype(np.uint8)).save(path, optimize=True)


def gradients_png(path: Path) -> None:
    """Red, green, blue and grey ramps, each way, and a plane of hues."""
    ramp = np.arange(256, dtype=np.uint8)
    grey = np.stack([ramp] * 3, -1)
    strips = [grey * np.array(colour, np.uint8) for colour in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))]
    strips += [255 - strip for strip in strips]
    plane = np.stack(np.broadcast_arrays(ramp[None], ramp[:64, None] * np.uint8(4), 255 - ramp[None]), -1)
    Image.fromarray(np.concatenate([np.repeat(np.stack(strips), 13, axis=0), plane])).save(path, optimize=True)


def alpha_png(path: Path) -> None:
    """A soft-edged disc with a sharp (antialiased) hole; under alpha 0 lies a glaring green that must never show."""
    height, width = 131, 163
    y, x = np.mgrid[:height, :width].astype(float)
    soft = np.clip((58 - _distance(y - 65, x - 81)) / 16, 0, 1)
    hole = np.clip(_distance(y - 52, x - 96) - 17 + 0.5, 0, 1)
    opacity = np.rint(255 * soft**2 * (3 - 2 * soft) * hole).astype(np.uint8)
    colour = np.stack([230 + 0 * x, 60 + y, 40 + 0.6 * x], -1).astype(np.uint8)
    colour[opacity == 0] = (0, 255, 0)
    Image.fromarray(np.dstack([colour, opacity])).save(path, optimize=True)


_BOAT = """\
................................
...............#................
...............#a...............
...............#aa..............
..............b#aaa.............
.............bb#aaaa............
............bbb#aaaaa...........
...........bbbb#aaaaaa..........
..........bbbbb#aaaaaaa.........
.........bbbbbb#aaaaaaaa........
........bbbbbbb#aaaaaaaaa.......
.......bbbbbbbb#aaaaaaaaaa......
......bbbbbbbbb#aaaaaaaaaaa.....
...............#................
....#######################.....
....cccccccccccccccccccccc......
.....cccccccdcccdcccdcccc.......
......cccccccccccccccccc........
www....cccccccccccccccc....wwww.
wwwwwwwsssssssssssssssswwwwwwwww
.wwwvvwwssssssssssssssswwvvwwww.
..wwwwwwwwwwwvvvwwwwwwwwwwwww...
"""
_BOAT_COLOURS = {  # red, green, blue, opacity
    ".": (255, 0, 255, 0), "#": (74, 52, 40, 255), "a": (245, 238, 220, 255), "b": (222, 96, 62, 255),
    "c": (150, 74, 44, 255), "d": (250, 220, 120, 255), "w": (60, 130, 190, 255), "v": (170, 215, 235, 255),
    "s": (20, 50, 90, 128),
}  # fmt: skip


def palette_png(path: Path) -> None:
    """Pixel art in nine colours, of which one is transparent and one half so."""
    keys = list(_BOAT_COLOURS)
    indices = np.array([[keys.index(key) for key in line] for line in _BOAT.splitlines()], np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(bytes(number for colour in _BOAT_COLOURS.values() for number in colour[:3]))
    image.save(path, transparency=bytes(colour[3] for colour in _BOAT_COLOURS.values()), optimize=True)


def bilevel_png(path: Path) -> None:
    """One bit: a globe of dots, by ordered dithering."""
    order = np.zeros((1, 1), int)
    for _ in range(3):
        order = np.block([[4 * order, 4 * order + 2], [4 * order + 3, 4 * order + 1]])
    height, width = 99, 131
    y, x = np.mgrid[:height, :width].astype(float)
    across, down = (x - 65) / 45, (y - 49) / 45
    inside = across**2 + down**2 < 1
    depth = np.sqrt(np.maximum(0, 1 - across**2 - down**2))
    light = np.where(inside, np.clip(0.15 - 0.5 * across - 0.45 * down + 0.6 * depth, 0, 1), 0.75)
    dots = 64 * light > np.tile(order, (13, 17))[:height, :width] + 0.5
    Image.fromarray(dots).save(path, optimize=True)


def _png16(path: Path, pixels: Array) -> None:
    """(height, width, 1 or 3) uint16 as a PNG, which Pillow writes of grey alone: filter Up on each row."""
    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    lines = np.full((height, 1 + rows.shape[1]), 2, np.uint8)
    lines[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2}[channels], 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")):
        file += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(file)


def grey16_png(path: Path) -> None:
    """A ramp so gentle that 8 bits would show six steps, under a soft hill."""
    y, x = np.mgrid[:83, :121]
    hill = 9000 * np.maximum(0, 1 - ((y - 41) ** 2 + (x - 60) ** 2) / 1500.3) ** 2
    _png16(path, (30000 + 11 * x + 3 * y + hill.astype(np.int64)).astype(np.uint16)[..., None])


def rgb16_png(path: Path) -> None:
    """Three ramps whose low bytes matter."""
    y, x = np.mgrid[:77, :101]
    _png16(path, np.stack([257 + 640 * x, 65000 - 800 * y, 20011 + 37 * x + 101 * y], -1).astype(np.uint16))


def _exif_with_thumbnail(orientation: int, thumbnail: bytes) -> bytes:
    """An Exif block of two directories: the image's orientation, and a JPEG thumbnail (TIFF 6, Exif 2.3)."""
    short, long = 3, 4
    first = struct.pack(">HHHIHHI", 1, _ORIENTATION, short, 1, orientation, 0, 8 + 18)
    entries = [(0x0103, short, 6 << 16), (0x0201, long, 8 + 18 + 42), (0x0202, long, len(thumbnail))]
    second = struct.pack(">H", 3) + b"".join(struct.pack(">HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"Exif\0\0MM\0*\0\0\0\x08" + first + second + struct.pack(">I", 0) + thumbnail


def oriented_jpg(path: Path) -> None:
    """A letter F and an arrow upwards, lying on their side; Exif says how to turn them, and holds a thumbnail."""
    upright = Image.new("RGB", (151, 211), (245, 240, 228))
    draw = ImageDraw.Draw(upright)
    for box in ((29, 20, 51, 186), (29, 20, 114, 42), (29, 90, 92, 112)):
        draw.rectangle(box, (30, 60, 120))
    draw.polygon([(122, 120), (143, 150), (128, 150), (128, 190), (116, 190), (116, 150), (101, 150)], (200, 60, 40))
    stored, small = upright.transpose(Image.Transpose.ROTATE_90), BytesIO()
    stored.resize((80, 57)).save(small, "JPEG", quality=60)
    stored.save(path, quality=90, exif=_exif_with_thumbnail(6, small.getvalue()))


def cmyk_jpg(path: Path) -> None:
    """Four inks, each in a disc of its own."""
    y, x = np.mgrid[:111, :143].astype(float)
    inks = [np.clip(255 * (42 - _distance(y - row, x - column)) / 14, 0, 255) for row, column in
            ((40, 50), (40, 92), (72, 50), (72, 92))]  # fmt: skip
    Image.fromarray(np.stack(inks, -1).astype(np.uint8), "CMYK").save(path, quality=90)


def chart_webp(path: Path) -> None:
    """Flat colours and thin lines, without loss."""
    image = Image.new("RGB", (241, 161), "white")
    draw = ImageDraw.Draw(image)
    for row in range(20, 141, 24):
        draw.line([(24, row), (230, row)], (215, 215, 215))
    for i, (tall, colour) in enumerate(
        zip((64, 91, 47, 110, 78), ("#3b6ea5", "#c8553d", "#588157", "#e0a030", "#6d597a"), strict=True)
    ):
        draw.rectangle([36 + 40 * i, 140 - tall, 60 + 40 * i, 140], colour)
    draw.line([(48 + 40 * i, 140 - tall) for i, tall in enumerate((80, 70, 101, 95, 118))], (20, 20, 20), 2)
    draw.line([(24, 12), (24, 140), (232, 140)], (0, 0, 0))
    image.save(path, lossless=True, quality=100)


def animated_gif(path: Path) -> None:
    """Three frames of a ball that bounces."""
    frames = []
    for row in (20, 44, 70):
        frame = Image.new("P", (97, 89), 0)
        frame.putpalette([250, 248, 240, 40, 40, 48, 214, 72, 60, 250, 180, 160])
        draw = ImageDraw.Draw(frame)
        draw.rectangle([0, 84, 96, 88], 1)
        draw.ellipse([48 - 13, row - 13, 48 + 13, row + 13], 2)
        draw.ellipse([42 - 4, row - 9, 42 + 4, row - 2], 3)
        frames.append(frame)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[160, 90, 160], loop=0)


SAMPLES: dict[str, Callable[[Path], None]] = {
    "scene.jpg": scene_jpg, "grey.jpg": grey_jpg, "text.png": text_png, "zoneplate.png": zoneplate_png,
    "gradients.png": gradients_png, "alpha.png": alpha_png, "palette.png": palette_png, "bilevel.png": bilevel_png,
    "grey16.png": grey16_png, "rgb16.png": rgb16_png, "oriented.jpg": oriented_jpg, "cmyk.jpg": cmyk_jpg,
    "chart.webp": chart_webp, "animated.gif": animated_gif,
}  # fmt: skip


def main() -> None:
    """Draw them all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in SAMPLES.items():
        draw(folder / name)
        print(folder / name)


if __name__ == "__main__":
    main()
