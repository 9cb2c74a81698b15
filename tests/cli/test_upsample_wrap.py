"""`--border wrap` on files: seamless textures stay seamless, whatever the format and however it is read."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.running import names, pixels_of, save, upsample

from upsample_cli.images.open import open_image

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def texture(height, width):
    """A seamless texture: noise made smooth in the Fourier domain, where every image repeats itself."""
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None, None], np.fft.fftfreq(width)[:, None])
    noise = np.random.default_rng(7).normal(size=(height, width, 3))
    smooth = np.fft.ifft2(np.fft.fft2(noise, axes=(0, 1)) * np.exp(-((frequencies / 0.12) ** 2)), axes=(0, 1)).real
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def save_texture(name):
    pixels = texture(40, 52)
    if name == "a.tif":
        tifffile.imwrite(name, pixels, photometric="rgb", rowsperstrip=7, compression="zlib")
    else:
        Image.fromarray(pixels).save(name, **({"quality": 95, "subsampling": 0} if name == "a.jpg" else {}))
    with open_image(name) as source:
        return source.read_rows(0, source.info.height)


def seam(pixels):
    """The steps where copies of an image meet, compared with the steps inside it."""
    numbers = pixels.astype(float)
    meeting = abs(numbers[0] - numbers[-1]).mean() + abs(numbers[:, 0] - numbers[:, -1]).mean()
    return meeting / (abs(np.diff(numbers, axis=0)).mean() + abs(np.diff(numbers, axis=1)).mean())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_the_enlarged_texture_has_no_seam(name):
    before = save_texture(name)
    for factor in (4, 1.5):
        for kernel in ("bilinear", "bicubic"):
            line = (name, "-f", factor, "--kernel", kernel, "--overwrite")
            assert upsample(*line, "-o", "wrap.png", "--border", "wrap", "--tile", 9).status == 0
            assert upsample(*line, "-o", "edge.png").status == 0
            assert seam(pixels_of("wrap.png")) < 1.5
            if factor == 4:  # the control
                assert seam(pixels_of("edge.png")) > 2.5
    assert upsample(name, "-o", "exact.png", "--border", "wrap", "-f", 3).status == 0
    assert_same_pixels(pixels_of("exact.png"), expected_pixels(before, 3, border="wrap"))


def save_copies(source, target):
    """Save nine copies of an image, three in each direction."""
    with Image.open(source) as opened:
        image = opened.convert("RGB") if opened.mode == "P" else opened
        whole = Image.new(image.mode, (image.width * 3, image.height * 3))
        for row, column in np.ndindex(3, 3):
            whole.paste(image, (column * image.width, row * image.height))
    whole.save(target)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGBA", ()),
        ("RGBA", ("--alpha", "straight")),
        ("I;16", ("--kernel", "lanczos3")),
        ("RGB", ("--linear-light",)),
        ("RGBA", ("--linear-light", "--kernel", "bicubic")),
        ("LA", ("--depth", 16)),
        ("P", ("--kernel", "fitted")),
        ("RGB", ("-f", "7/2")),
        ("RGB", ("-f", 3, "--tile", 2)),
        ("RGB", ("-f", 3, "--engine", "layer")),
        ("1", ("-f", 5)),
    ],
)
def test_the_enlarged_image_is_the_centre_of_nine_enlarged_copies(mode, options):
    save("a.png", (14, 22), mode)
    save_copies("a.png", "nine.png")
    assert upsample("a.png", "-o", "wrap.png", "--border", "wrap", *options).status == 0
    assert upsample("nine.png", "-o", "nine_large.png", *options).status == 0
    found, nine = pixels_of("wrap.png"), pixels_of("nine_large.png")
    height, width = found.shape[:2]
    assert_same_pixels(found, nine[height : 2 * height, width : 2 * width])
    assert upsample("a.png", "-o", "edge.png", *options).status == 0
    assert not np.array_equal(found, pixels_of("edge.png"))  # the control


def test_frames_wrap_too():
    frames = [Image.fromarray(hostile_pixels((9, 11, 3), np.uint8, seed)) for seed in range(3)]
    frames[0].save("a.png", save_all=True, append_images=frames[1:], duration=40)
    frames[0].save("a.tif", save_all=True, append_images=frames[1:])
    for name, output in (("a.png", "a_x2.png"), ("a.tif", "a_x2.tif")):
        assert upsample(name, "--border", "wrap").status == 0
        with Image.open(output) as made:
            for number, frame in enumerate(frames):
                made.seek(number)
                assert_same_pixels(np.array(made.convert("RGB")), expected_pixels(np.array(frame), 2, border="wrap"))


def test_a_cut_image_leaves_no_output():
    whole = save("whole.png", (64, 64)).read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    ended = upsample("cut.png", "whole.png", "--border", "wrap", "--tile", 4)
    assert (ended.status, len(ended.errors)) == (1, 1)
    assert names(".") == ["cut.png", "whole.png", "whole_x2.png"]


def test_the_border_is_in_the_report():
    save("a.png")
    document = upsample("a.png", "--border", "wrap", "--json").document
    assert (document["border"], document["files"][0]["status"]) == ("wrap", "written")
