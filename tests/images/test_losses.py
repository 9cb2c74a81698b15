"""Losses that only the pixels show: reported only if they occur, and --strict leaves no file."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from support.facts import lines
from support.oracles import hostile_pixels
from support.running import names, upsample

from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.model import ImageInfo, Layout, Metadata
from upsample_cli.images.open import open_image
from upsample_cli.images.output_form import nearest_form
from upsample_cli.images.save import open_sink

pytestmark = pytest.mark.usefixtures("in_tmp_path")

COLOURS = "GIF holds at most 256 colours; this image has more and is reduced"
ALPHA = "GIF cannot hold half-transparent pixels; they became opaque or vanished"
GLOW = "light without opacity (colour above its alpha, which is stored multiplied) is left out"


def gif_losses(pixels):
    """The losses of writing these pixels as GIF, and the pixels read back as RGBA."""
    rows = np.array(pixels, np.uint8)
    file = io.BytesIO()
    sink = open_sink(
        file, FORMATS["gif"], height=len(rows), width=rows.shape[1], layout=Layout("rgb", alpha=rows.shape[2] == 4),
        metadata=Metadata(),
    )  # fmt: skip
    sink.write_rows(rows.copy())
    sink.finish()
    return list(lines(sink.losses)), np.array(Image.open(file).convert("RGBA"))


def ramp(count):
    """A row with this many colours, opaque."""
    level = np.arange(count)
    return np.stack([level % 256, level // 256 * 9, 255 - level % 256, np.full(count, 255)], axis=1)[np.newaxis]


@pytest.mark.parametrize(("count", "lost"), [(1, []), (256, []), (257, [COLOURS]), (5000, [COLOURS])])
def test_colours_are_lost_from_the_257th_on(count, lost):
    losses, found = gif_losses(ramp(count)[..., :3])
    assert losses == lost
    assert np.array_equal(found, ramp(count)) == (not lost)


@pytest.mark.parametrize("extension", ["png", "webp", "gif"])
def test_the_profile_of_another_colour_model_than_that_of_the_input_is_not_attached(extension):
    """A decoder ignores the RGB profile of a grey image, so an RGB output must not get it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode in ("L", "RGB"):
        Image.new(mode, (4, 3), 90).save(f"{mode}.png", icc_profile=profile)
    result = upsample_file("L.png", f"b.{extension}")
    assert result.warnings == ("the colour profile (ICC) is not one for GREY; it is left out",)
    upsample_file("RGB.png", f"c.{extension}")
    with Image.open(f"b.{extension}") as grey, Image.open(f"c.{extension}") as colour:
        assert "icc_profile" not in grey.info
        assert (colour.info.get("icc_profile") == profile) == (extension != "gif")


def test_many_comments_take_time_in_proportion():
    comments = tuple(("Comment", f"remark {number}") for number in range(100_000))
    header = ImageInfo("jpeg", 3, 4, Layout("rgb"))
    started = time.process_time()
    for name in ("jpeg", "gif", "webp"):
        form = nearest_form(header, Metadata(text=comments), FORMATS[name])
        assert bool(form.losses) == (name != "jpeg")
    assert time.process_time() - started < 10  # it took minutes when each was compared with all


@pytest.mark.parametrize(("count", "lost"), [(255, []), (256, [COLOURS])])
def test_transparency_takes_one_colour(count, lost):
    losses, found = gif_losses(np.concatenate([ramp(count), np.zeros((1, 1, 4), int)], axis=1))
    assert losses == lost
    assert found[0, -1, 3] == 0
    assert np.array_equal(found[:, :-1], ramp(count)) == (not lost)


def test_invisible_colours_do_not_count():
    hidden = ramp(5000) * (1, 1, 1, 0)
    losses, found = gif_losses(np.concatenate([ramp(255), hidden], axis=1))
    assert losses == []
    assert np.array_equal(found[:, :255], ramp(255))
    assert not found[:, 255:, 3].any()


def test_half_transparency_is_a_loss_only_if_present():
    assert gif_losses(ramp(9) * (1, 1, 1, 0))[0] == []
    assert gif_losses(np.array([[[1, 2, 3, 254], [1, 2, 3, 255]]]))[0] == [ALPHA]


def test_one_colour_with_many_opacities_is_one_colour():
    """128 opacities of 3 colours, and many invisible colours: no colour is lost or changed."""
    opacities = np.arange(256)[:, np.newaxis]
    pixels = np.zeros((256, 3, 4), int)
    pixels[..., 0], pixels[..., 3] = (9, 99, 199), opacities
    losses, found = gif_losses(pixels)
    assert losses == [ALPHA]
    assert np.array_equal(found[128:], pixels[128:] | (0, 0, 0, 255))
    assert not found[:128, :, 3].any()
    pixels[..., 1] = opacities  # the control: as many colours as opacities, half of them invisible
    assert gif_losses(pixels)[0] == [COLOURS, ALPHA]


def test_strict_refuses_only_a_gif_with_losses():
    Image.new("RGB", (7, 5), "red").save("flat.png")
    Image.fromarray(hostile_pixels((19, 31, 3), np.uint8)).save("noise.png")
    assert upsample("flat.png", "-o", "flat.gif", "--strict").status == 0
    before = names(".")
    refused = upsample("noise.png", "-o", "noise.gif", "--strict")
    assert refused.status == 1
    assert f"refused by --strict: {COLOURS}" in refused.errors[0]
    assert names(".") == before
    assert upsample_file("noise.png", "noise.gif").warnings == (COLOURS,)
    assert upsample_file("flat.png", "flat2.gif").warnings == ()


def test_the_plan_reports_possible_losses():
    Image.new("RGB", (7, 5), "red").save("flat.png")
    job = plan_job(Path("flat.png"), Options(format="gif", strict=True))
    assert lines(job.losses) == ("GIF holds at most 256 colours; an image that has more is reduced",)


def test_strict_refuses_an_animation_because_of_a_later_frame():
    images = [Image.new("RGB", (31, 19), "red"), Image.fromarray(hostile_pixels((19, 31, 3), np.uint8))]
    images[0].save("a.png", save_all=True, append_images=images[1:])
    with pytest.raises(ImageError, match="refused by strict: GIF holds at most"):
        upsample_file("a.png", "a.gif", strict=True)
    assert names(".") == ["a.png"]
    assert upsample_file("a.png", "a.gif").warnings == (COLOURS,)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("glows", [False, True])
def test_light_without_opacity_is_a_loss(dtype, glows):
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = np.zeros((9, 5, 4), dtype)
    pixels[:4] = full
    pixels[7, 2, 0] = full / 2 if glows else 0
    tifffile.imwrite("a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    assert upsample_file("a.tif", "b.tif").warnings == ((GLOW,) if glows else ())
    if glows:
        with pytest.raises(ImageError, match="refused by strict: light without opacity"):
            upsample_file("a.tif", "c.tif", strict=True)
        assert names(".") == ["a.tif", "b.tif"]


def test_light_above_its_opacity_is_kept_in_floating_point():
    pixels = np.full((3, 5, 4), 0.5, np.float32)
    pixels[..., 0] = 3
    tifffile.imwrite("a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    with open_image("a.tif") as source:
        np.testing.assert_array_equal(source.read_rows(0, 3)[1, 2], [6, 1, 1, 0.5])
        assert not source.losses
