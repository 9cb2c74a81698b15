"""Images enlarged by networks: the pixels of the network on the whole image, in tiles, with alpha, in every depth."""

import imagecodecs
import numpy as np
import pytest
from support import spandrel_networks as networks
from support.spandrel_networks import whole, write_network

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError, UsageError
from upsample_cli.models.alpha import FILL_REACH, visible_colour
from upsample_cli.models.network import Network


def random_pixels(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def enlarged(folder, pixels, model, **options):
    (folder / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    result = upsample_file(folder / "a.png", folder / "b.png", model=str(model), overwrite=True, **options)
    made = imagecodecs.png_decode((folder / "b.png").read_bytes())
    return result, made.reshape(*made.shape[:2], -1)


def assert_within_rounding(found, expected):
    """Each level is the nearest, or the next one if float rounding decides."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 0.5 + np.iinfo(found.dtype).max * 1e-5
    assert expected.std() > 1  # the control: the network makes something


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("make", "tile", "halo"), [(networks.compact, 7, 4), (networks.swinir, 5, None), (networks.safmn, 16, None)]
)
def test_tiles_give_the_pixels_of_the_network_on_the_whole_image(make, tile, halo, dtype, tmp_path):
    oracle = write_network(tmp_path / "n.safetensors", make)
    pixels = random_pixels((101, 90, 3), dtype)
    result, found = enlarged(tmp_path, pixels, tmp_path / "n.safetensors", tile=tile)
    assert (result.output_height, result.output_width) == (202, 180)
    assert_within_rounding(found, whole(oracle, pixels))
    assert result.engine.startswith("network ")


def test_a_global_network_runs_on_the_whole_image_and_is_refused_in_tiles(tmp_path):
    oracle = write_network(tmp_path / "n.pth", networks.rcan)
    pixels = random_pixels((40, 30, 3))
    _, found = enlarged(tmp_path, pixels, tmp_path / "n.pth", tile=40)
    assert_within_rounding(found, whole(oracle, pixels))
    for options, cause in (({"tile": 16}, "tile=16 cuts it"), ({"memory_bytes": 1000}, "1000 bytes may be used")):
        with pytest.raises(ImageError, match=f"RCAN is not tileable: the whole image needs about .* KiB, and {cause}"):
            enlarged(tmp_path, pixels, tmp_path / "n.pth", **options)


def test_the_memory_limits_the_tiles(tmp_path):
    oracle = write_network(tmp_path / "n.pth", networks.compact)
    pixels = random_pixels((60, 50, 3))
    _, found = enlarged(tmp_path, pixels, tmp_path / "n.pth", memory_bytes=40_000)
    assert_within_rounding(found, whole(oracle, pixels))
    with pytest.raises(ImageError, match=r"reaches 4 pixels, so a tile needs about .*, and 1000 bytes may be used"):
        enlarged(tmp_path, pixels, tmp_path / "n.pth", memory_bytes=1000)


@pytest.mark.parametrize("make", [networks.compact, networks.grey])
def test_grey_images_are_enlarged_by_either_kind_of_network(make, tmp_path):
    oracle = write_network(tmp_path / "n.pth", make)
    pixels = random_pixels((30, 20, 1))
    _, found = enlarged(tmp_path, pixels[..., 0], tmp_path / "n.pth")
    assert_within_rounding(found, whole(oracle, pixels))


def test_8_bits_become_16_without_rounding_to_8(tmp_path):
    oracle = write_network(tmp_path / "n.pth", networks.compact)
    pixels = random_pixels((30, 20, 3))
    _, found = enlarged(tmp_path, pixels, tmp_path / "n.pth", depth="16")
    assert found.dtype == np.uint16
    assert_within_rounding(found, whole(oracle, pixels.astype(np.uint16) * 257))


@pytest.mark.parametrize("tile", [None, 9])
def test_alpha_is_that_of_the_bilinear_layer_and_hidden_colour_is_not_shown(tile, tmp_path):
    oracle = write_network(tmp_path / "n.pth", networks.compact)
    pixels = random_pixels((50, 40, 4))
    pixels[:25, :, 3] = 0  # a transparent half, with random colour under it
    _, found = enlarged(tmp_path, pixels, tmp_path / "n.pth", tile=tile)
    (tmp_path / "alpha.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels[..., 3])))
    upsample_file(tmp_path / "alpha.png", tmp_path / "alpha2.png", 2)
    alpha = imagecodecs.png_decode((tmp_path / "alpha2.png").read_bytes())
    assert np.array_equal(found[..., 3], alpha)
    expected = whole(oracle, visible_colour(pixels))
    assert_within_rounding(found[alpha > 0][None, :, :3], expected[alpha > 0][None])
    assert not found[alpha == 0].any()
    _, straight = enlarged(tmp_path, pixels, tmp_path / "n.pth", tile=tile, alpha="straight")
    assert_within_rounding(straight[..., :3], whole(oracle, pixels[..., :3]))


def test_a_hidden_pixel_takes_the_mean_of_its_visible_neighbours():
    rows = np.zeros((1, 30, 2), np.uint8)
    rows[0, :, 0] = 9
    rows[0, 10], rows[0, 12] = (100, 255), (200, 255)
    colour = visible_colour(rows)[0, :, 0]
    assert colour[11] == 150
    assert colour[12 + FILL_REACH] == 200
    assert colour[13 + FILL_REACH] == 9
    assert (colour[10], colour[12]) == (100, 200)


def test_values_that_are_not_finite_are_reported_and_not_written(tmp_path, monkeypatch):
    write_network(tmp_path / "n.pth", networks.compact)
    pixels = random_pixels((20, 20, 3)) // 2
    pixels[19, 19] = 255  # within the reach of that tile, and not of those before it
    plain = Network._forward
    monkeypatch.setattr(Network, "_forward", lambda self, image: plain(self, image) / float(image.max() < 1))
    with pytest.raises(ImageError, match="infinities or NaN in columns 8 to 15 and rows 8 to 15"):
        enlarged(tmp_path, pixels, tmp_path / "n.pth", tile=8)
    assert not (tmp_path / "b.png").exists()


def test_infinities_that_spandrel_would_limit_are_noticed(tmp_path):
    """Weights near the largest float: sums become infinite."""
    import torch

    write_network(tmp_path / "n.pth", networks.compact)
    state = torch.load(tmp_path / "n.pth", weights_only=True)
    kernel = [key for key in state if key.endswith("weight") and state[key].ndim == 4][-1]
    state[kernel] = state[kernel].sign() * 3e38
    state[kernel.replace("weight", "bias")] += 3e38
    torch.save(state, tmp_path / "n.pth")
    with pytest.raises(UsageError, match="cannot run: it makes infinities or NaN"):
        enlarged(tmp_path, random_pixels((20, 20, 3)), tmp_path / "n.pth")


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"factor": 3}, "enlarges 2 times, not by factor=3"),
        ({"kernel": "nearest"}, "kernel cannot be combined with model"),
        ({"size": (9, 9)}, "size cannot be combined with model"),
        ({"border": "zeros"}, "border cannot be combined with model"),
        ({"linear_light": True}, "linear_light cannot be combined with model"),
        ({"engine": "layer"}, "engine cannot be combined with model"),
    ],
)
def test_settings_that_contradict_the_network_are_refused(options, cause, tmp_path):
    write_network(tmp_path / "n.pth", networks.compact)
    with pytest.raises(UsageError, match=cause):
        enlarged(tmp_path, random_pixels((20, 20, 3)), tmp_path / "n.pth", **options)


def test_a_grey_network_refuses_colour_and_every_network_cmyk_and_floats(tmp_path):
    import tifffile

    write_network(tmp_path / "grey.pth", networks.grey)
    with pytest.raises(ImageError, match="is RGB, and RealESRGAN Compact of these weights is for grey images"):
        enlarged(tmp_path, random_pixels((20, 20, 3)), tmp_path / "grey.pth")
    write_network(tmp_path / "n.pth", networks.compact)
    for name, pixels, photometric in (
        ("is CMYK", random_pixels((9, 9, 4)), "separated"),
        ("floating", np.ones((9, 9, 3), np.float32), "rgb"),
    ):
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric)
        with pytest.raises(ImageError, match=name):
            upsample_file(tmp_path / "a.tif", tmp_path / "b.tif", model=str(tmp_path / "n.pth"))
