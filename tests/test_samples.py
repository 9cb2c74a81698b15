"""The sample images equal what their script draws, and have the properties that they are meant to have."""

import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, ImageSequence

FOLDER = Path(__file__).parent.parent / "samples"
KINDS = {  # format, mode, size, frames
    "scene.jpg": ("JPEG", "RGB", (640, 427), 1),
    "grey.jpg": ("JPEG", "L", (277, 187), 1),
    "text.png": ("PNG", "L", (321, 211), 1),
    "zoneplate.png": ("PNG", "L", (201, 157), 1),
    "gradients.png": ("PNG", "RGB", (256, 168), 1),
    "alpha.png": ("PNG", "RGBA", (163, 131), 1),
    "palette.png": ("PNG", "P", (32, 22), 1),
    "bilevel.png": ("PNG", "1", (131, 99), 1),
    "grey16.png": ("PNG", "I;16", (121, 83), 1),
    "rgb16.png": ("PNG", "RGB", (101, 77), 1),  # according to Pillow, which reads only the high bytes
    "oriented.jpg": ("JPEG", "RGB", (211, 151), 1),
    "cmyk.jpg": ("JPEG", "CMYK", (143, 111), 1),
    "chart.webp": ("WEBP", "RGB", (241, 161), 1),
    "animated.gif": ("GIF", "P", (97, 89), 3),
}
# In mean levels. JPEG codecs may round coefficients differently, and exp and pow may differ in their last bit
# between processors; letters are drawn by FreeType, whose releases shade edges differently. An image shifted by one
# pixel differs at least twice as much (tested below).
TOLERANCES = {name: 0.5 for name in KINDS if name.endswith(".jpg")} | {"text.png": 0.5}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples") / "new"
    script = [sys.executable, "-W", "error", FOLDER / "make_samples.py", folder]
    subprocess.run(script, check=True, capture_output=True, text=True, cwd="/")
    return folder


def frames(path):
    """All frames, as RGBA if there is a palette, because its order does not matter, otherwise as stored."""
    with Image.open(path) as image:
        return [
            np.asarray(f.convert("RGBA") if f.mode == "P" else f).astype(int) for f in ImageSequence.Iterator(image)
        ]


def difference(first, second):
    """Mean difference of two images with the same shape; infinite if the shapes differ."""
    one, other = frames(first), frames(second)
    if [frame.shape for frame in one] != [frame.shape for frame in other]:
        return float("inf")
    return max(np.abs(a - b).mean() for a, b in zip(one, other, strict=True))


def test_the_script_draws_exactly_the_existing_samples(drawn):
    """Enlarged samples are ignored: the README's first command writes one."""
    files = {path.name for path in FOLDER.iterdir() if path.suffix not in (".py", ".md") and path.is_file()}
    samples = {name for name in files if not re.search(r"_x[0-9]", name)}
    assert {path.name for path in drawn.iterdir()} == samples == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_equals_what_the_script_draws(drawn, name):
    assert difference(FOLDER / name, drawn / name) <= TOLERANCES.get(name, 0)


@pytest.mark.parametrize("name", TOLERANCES)
def test_a_shift_by_one_pixel_exceeds_the_tolerance(name):
    (pixels,) = frames(FOLDER / name)
    assert np.abs(pixels[:, 1:] - pixels[:, :-1]).mean() > 2 * TOLERANCES[name]


@pytest.mark.parametrize("name", KINDS)
def test_samples_have_the_expected_format_mode_size_and_frames(name):
    with Image.open(FOLDER / name) as image:
        assert (image.format, image.mode, image.size, getattr(image, "n_frames", 1)) == KINDS[name]


def test_all_samples_together_are_small():
    assert sum((FOLDER / name).stat().st_size for name in KINDS) < 300_000


def test_the_readme_has_one_line_for_each_sample():
    listed = re.findall(r"^\| `(.+?)` \|", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(KINDS)


def test_scene_has_a_profile_camera_date_and_resolution():
    with Image.open(FOLDER / "scene.jpg") as image:
        exif = image.getexif()
        assert image.info["dpi"] == (300, 300)
        assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])))
    assert (exif[ExifTags.Base.Make], exif[ExifTags.Base.Model]) == ("Camera obscura", "Pinhole No. 4")
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == exif[ExifTags.Base.DateTime]
    assert exif[ExifTags.Base.XResolution] == 300


def is_upright(image):
    """Blue along the stem of the F, nothing below its arms, and red where the arrow points."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    if pixels.shape != (211, 151, 3):
        return False
    blue, red = pixels[..., 2] - pixels[..., 0] > 60, pixels[..., 0] - pixels[..., 2] > 100
    return bool(blue[25:180, 40].all() and not blue[120:180, 70].any() and red[135, 122] and not red[185, 105])


def test_oriented_is_upright_only_after_turning_it_by_its_exif():
    with Image.open(FOLDER / "oriented.jpg") as image:
        assert image.getexif()[ExifTags.Base.Orientation] == 6
        assert is_upright(ImageOps.exif_transpose(image))
        for method in set(Image.Transpose) - {Image.Transpose.ROTATE_270}:
            assert not is_upright(image.transpose(method))


def test_oriented_has_a_thumbnail():
    with Image.open(FOLDER / "oriented.jpg") as image:
        tiff = image.info["exif"].removeprefix(b"Exif\0\0")
        entries = image.getexif().get_ifd(ExifTags.IFD.IFD1)
    start, size = entries[ExifTags.Base.JpegIFOffset], entries[ExifTags.Base.JpegIFByteCount]
    with Image.open(io.BytesIO(tiff[start : start + size])) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (80, 57))


def test_the_alpha_sample_hides_green_and_shows_none():
    (pixels,) = frames(FOLDER / "alpha.png")
    hidden = pixels[..., 3] == 0
    assert (pixels[hidden][:, :3] == (0, 255, 0)).all()
    assert (pixels[~hidden][:, 0] == 230).all()
    assert 0.3 < hidden.mean() < 0.7
    assert len(np.unique(pixels[..., 3])) > 100  # soft edges


def test_palette_has_a_transparent_and_a_half_transparent_colour():
    (pixels,) = frames(FOLDER / "palette.png")
    assert set(np.unique(pixels[..., 3])) == {0, 128, 255}


def test_grey16_needs_its_low_bytes():
    (pixels,) = frames(FOLDER / "grey16.png")
    assert np.array_equal(pixels[0], 30000 + 11 * np.arange(121))
    assert len(np.unique(pixels // 256)) < 50
    assert len(np.unique(pixels)) > 1000


def test_rgb16_needs_its_low_bytes():
    file = (FOLDER / "rgb16.png").read_bytes()
    assert struct.unpack_from(">IIBB", file, 16) == (101, 77, 16, 2)
    (length,) = struct.unpack_from(">I", file, 33)
    lines = np.frombuffer(zlib.decompress(file[41 : 41 + length]), np.uint8).reshape(77, -1)
    assert (lines[:, 0] == 2).all()  # each row as the difference from the row above
    pixels = np.cumsum(lines[:, 1:], axis=0, dtype=np.uint8).view(">u2").reshape(77, 101, 3)
    assert pixels[0, 0].tolist() == [257, 65000, 20011]
    assert pixels[76, 100].tolist() == [64257, 4200, 31387]
    assert len(np.unique(pixels % 256)) == 256


def test_frames_of_the_animation_differ():
    first, second, third = frames(FOLDER / "animated.gif")
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
