"""Depth from file to file: 16 bits exact, floating point in float32, --depth, and images larger than memory."""

import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels

from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError, UsageError

HEIGHT, WIDTH = 17, 11
CHANNELS = {1: ("minisblack", []), 2: ("minisblack", ["unassalpha"]), 3: ("rgb", []), 4: ("rgb", ["unassalpha"])}


def write_tiff(path, pixels, **settings_):
    photometric, extra = CHANNELS[pixels.shape[2]]
    tifffile.imwrite(
        path, pixels if pixels.shape[2] > 1 else pixels[..., 0], photometric=photometric, extrasamples=extra,
        metadata=None, planarconfig="contig" if pixels.shape[2] > 1 else None, **settings_,
    )  # fmt: skip


def write_png(path, pixels):
    path.write_bytes(imagecodecs.png_encode(pixels))


READERS = {
    "png": lambda path: imagecodecs.png_decode(path.read_bytes()),
    "tif": tifffile.imread,
}
WRITERS = {"png": write_png, "tif": write_tiff}


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("target", READERS)
@pytest.mark.parametrize("source", WRITERS)
@pytest.mark.parametrize("factor", [2, 3])
def test_16_bits_are_exact_from_file_to_file(source, target, channels, factor, tmp_path):
    """Written and read back by libraries other than those that the package uses."""
    pixels = hostile_pixels((HEIGHT, WIDTH, channels), np.uint16, seed=channels)
    WRITERS[source](tmp_path / f"a.{source}", pixels)
    result = upsample_file(tmp_path / f"a.{source}", tmp_path / f"b.{target}", factor)
    assert result.warnings == ()
    found = READERS[target](tmp_path / f"b.{target}").reshape(HEIGHT * factor, WIDTH * factor, channels)
    wanted = expected_pixels(pixels, factor, has_alpha=channels in (2, 4))
    assert_same_pixels(found, wanted)
    cut = expected_pixels(pixels >> 8, factor, has_alpha=channels in (2, 4)).astype(np.uint16) * 257
    with pytest.raises(AssertionError, match="differ"):  # the control: a detour through 8 bits is detected
        assert_same_pixels(found, cut)


def float_oracle(pixels, factor):
    """Linear interpolation between pixel centres in float64, edges repeated: no kernel, no phases."""
    for axis in (0, 1):
        length = pixels.shape[axis]
        at = np.clip((np.arange(length * factor) + 0.5) / factor - 0.5, 0, length - 1)
        low = np.minimum(at.astype(int), max(length - 2, 0))
        weight = (at - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        high = np.minimum(low + 1, length - 1)
        pixels = np.take(pixels, low, axis) * (1 - weight) + np.take(pixels, high, axis) * weight
    return pixels


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_floating_point_is_within_a_millionth(channels, factor, tmp_path):
    """Relative error 1e-6: three float32 roundings of 6e-8 each (products, sums of four, a quotient); all positive."""
    pixels = (10 ** np.random.default_rng(3).uniform(-3, 3, (HEIGHT, WIDTH, channels))).astype(np.float32)
    write_tiff(tmp_path / "a.tif", pixels)
    assert upsample_file(tmp_path / "a.tif", tmp_path / "b.tif", factor).warnings == ()
    found = tifffile.imread(tmp_path / "b.tif").reshape(HEIGHT * factor, WIDTH * factor, channels)
    assert found.dtype == np.float32
    wanted = float_oracle(pixels.astype(np.float64), factor)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    halved = float_oracle(pixels.astype(np.float16).astype(np.float64), factor)
    with pytest.raises(AssertionError, match="rtol"):  # the control
        np.testing.assert_allclose(found, halved, rtol=1e-6)


def test_floating_point_with_alpha_weighs_colour_by_it(tmp_path):
    """Within 2e-6 of the exact value: a premultiplied product and its quotient add three roundings."""
    generator = np.random.default_rng(4)
    pixels = generator.uniform(0.1, 4, (HEIGHT, WIDTH, 4)).astype(np.float32)
    pixels[..., 3] = generator.uniform(0.25, 1, (HEIGHT, WIDTH))
    write_tiff(tmp_path / "a.tif", pixels)
    upsample_file(tmp_path / "a.tif", tmp_path / "b.tif")
    found = tifffile.imread(tmp_path / "b.tif")
    wide = pixels.astype(np.float64)
    alpha = float_oracle(wide[..., 3:], 2)
    wanted = np.concatenate([float_oracle(wide[..., :3] * wide[..., 3:], 2) / alpha, alpha], axis=2)
    np.testing.assert_allclose(found, wanted, rtol=2e-6)
    assert np.abs(found - float_oracle(wide, 2)).max() > 0.1  # the control: straight alpha gives a different image


def test_nan_and_infinity_affect_only_the_outputs_around_them(tmp_path):
    """Bilinear by 2: the 4 x 4 outputs around a pixel, in the same channel."""
    pixels = np.random.default_rng(5).random((HEIGHT, WIDTH, 3)).astype(np.float32)
    pixels[5, 4, 1], pixels[11, 8, 0] = np.nan, np.inf
    write_tiff(tmp_path / "a.tif", pixels)
    upsample_file(tmp_path / "a.tif", tmp_path / "b.tif")
    found = tifffile.imread(tmp_path / "b.tif")
    wrong = np.zeros(found.shape, bool)
    wrong[9:13, 7:11, 1] = wrong[21:25, 15:19, 0] = True
    np.testing.assert_array_equal(~np.isfinite(found), wrong)
    assert np.isnan(found[9:13, 7:11, 1]).all()
    assert np.isposinf(found[21:25, 15:19, 0]).all()
    pixels[5, 4, 1] = pixels[11, 8, 0] = 0
    np.testing.assert_allclose(found[~wrong], float_oracle(pixels.astype(np.float64), 2)[~wrong], rtol=1e-6)


def test_8_bits_become_16_before_interpolation(tmp_path):
    pixels = hostile_pixels((HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert upsample_file(tmp_path / "a.png", tmp_path / "b.png", depth="16").warnings == ()
    found = imagecodecs.png_decode((tmp_path / "b.png").read_bytes())
    assert_same_pixels(found, expected_pixels(pixels.astype(np.uint16) * 257, 2))
    with pytest.raises(AssertionError, match="differ"):  # the control: rounded to 8 bits first
        assert_same_pixels(found, expected_pixels(pixels, 2).astype(np.uint16) * 257)


def test_16_bits_become_8_with_one_rounding(tmp_path):
    """Compared with the exact 8-bit value: 16-bit sums over 257 times their divisor, rounded half up."""
    pixels = hostile_pixels((HEIGHT, WIDTH, 3), np.uint16)
    write_png(tmp_path / "a.png", pixels)
    assert upsample_file(tmp_path / "a.png", tmp_path / "b.png", depth="8").warnings == ()
    found = np.asarray(Image.open(tmp_path / "b.png"))
    # At factor 2, sums are in 16ths: enlarging 16 times the pixels in int64 makes each sum exact.
    sums = expected_pixels(pixels.astype(np.int64) * 16, 2)
    wanted = (2 * sums + 16 * 257) // (2 * 16 * 257)
    assert_same_pixels(found, wanted.astype(np.uint8))
    assert not np.array_equal(found, (sums // 16 >> 8).astype(np.uint8))  # the control: truncation is not rounding


@pytest.mark.parametrize(("depth", "full"), [("8", 255), ("16", 65535)])
def test_floating_point_becomes_integers_on_request(depth, full, tmp_path):
    pixels = np.array([-1, 0, 0.25, 0.5, 1, 7, np.nan, np.inf], np.float32).reshape(1, 8, 1)
    write_tiff(tmp_path / "a.tif", pixels)
    assert upsample_file(tmp_path / "a.tif", tmp_path / "b.tif", depth=depth, kernel="nearest").warnings == ()
    found = tifffile.imread(tmp_path / "b.tif")[0, ::2]
    half, quarter = (full + 1) // 2, (full + 2) // 4
    assert found.tolist() == [0, 0, quarter, half, full, full, 0, full]


def test_a_format_without_the_depth_names_formats_that_have_it_and_strict_refuses(tmp_path):
    write_png(tmp_path / "a.png", hostile_pixels((HEIGHT, WIDTH, 3), np.uint16))
    write_tiff(tmp_path / "a.tif", np.ones((HEIGHT, WIDTH, 3), np.float32))
    for source, target, line in (
        ("a.png", "b.jpg", "JPEG cannot hold 16 bits per channel; they become 8 (PNG, TIFF and JPEG XL can)"),
        ("a.tif", "b.webp", "WebP cannot hold floating point; 0 to 1 becomes black to white in 8 bits per channel, "
         "values outside are cut off (TIFF and JPEG XL can)"),
    ):  # fmt: skip
        assert upsample_file(tmp_path / source, tmp_path / target).warnings == (line,)
        with pytest.raises(ImageError, match="refused by strict"):
            upsample_file(tmp_path / source, tmp_path / target, strict=True, overwrite=True)
    assert upsample_file(tmp_path / "a.png", tmp_path / "c.jpg", depth="8", strict=True).warnings == ()
    with pytest.raises(UsageError, match="there is no depth='12'; choose one of keep, 8, 16"):
        Options(depth="12")


GIANT = r"""
import re, sys
from pathlib import Path
import numpy as np
from upsample_cli.images.model import Layout, Metadata
from upsample_cli.images.codecs.tiff.writer import TiffSink
from upsample_cli.enlarge.run import upsample_file
height, width, streamed = int(sys.argv[2]), 4000, sys.argv[3] == "streamed"
source = Path(sys.argv[1]) / f"{height}.tif"
band = np.random.default_rng(0).integers(0, 256, (100, width, 3), np.uint8) // 64
with source.open("w+b") as file:
    sink = TiffSink(file, height=height, width=width, layout=Layout("rgb"), metadata=Metadata())
    for _ in range(height // 100):
        sink.write_rows(band)
    sink.finish()
if not streamed:
    from upsample_cli.images import open as sources
    import upsample_cli.enlarge.run as pipeline
    def whole(*arguments, **settings):
        opened = sources.open_image(*arguments, **settings)
        rows = opened.read_rows(0, opened.info.height)
        opened.read_rows = lambda top, bottom: rows[top:bottom].copy()
        return opened
    pipeline.open_image = whole
upsample_file(source, source.with_suffix(".out.tif"), overwrite=True)
# Not ru_maxrss: that begins at what the process had that started this one.
print(int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


def peak_bytes(folder, height, how):
    done = subprocess.run(
        [sys.executable, "-c", GIANT, str(folder), str(height), how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has peak memory in /proc")
def test_memory_does_not_grow_with_the_image(tmp_path):
    """8000 more rows, 96 MB in and 384 MB out: less than 60 MB more memory, which is noise.

    Both images are long enough to fill the queue before the encoder, some ten bands.
    """
    small, large = peak_bytes(tmp_path, 4000, "streamed"), peak_bytes(tmp_path, 12_000, "streamed")
    assert large - small < 60e6
    assert peak_bytes(tmp_path, 12_000, "whole") - small > 80e6  # the control: an input held in memory is detected
