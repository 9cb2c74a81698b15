"""The fit and its scores: held out, for any number of photographs; and the shipped kernels."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from support.oracles import hostile_pixels

from benchmarks import fit_kernels
from upsample_cli import upsample
from upsample_cli.errors import UpsampleError, UsageError
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.kernels.shipped import FITTED_FILE, shipped_kernel
from upsample_cli.quality import fit as module
from upsample_cli.quality.degrade import degradation_named
from upsample_cli.quality.fit import PEERS, errors_of, fit_photos
from upsample_cli.quality.photos import Recipe
from upsample_cli.quality.pieces import whole_part

RECIPE = Recipe(2, 3, degradation_named("bicubic"))
FACTORS = (2, 3, 4)


@pytest.fixture
def photos(tmp_path):
    """Three pieces of photographs, 120x90."""
    paths = []
    for name in ("coffee.png", "chelsea.png", "rocket.jpg"):
        with Image.open(Path(skimage.data.__file__).parent / name) as image:
            image.crop((100, 100, 220, 190)).save(tmp_path / f"{Path(name).stem}.png")
        paths.append(tmp_path / f"{Path(name).stem}.png")
    return paths


def score(path, kernel):
    part = whole_part(path, factor=2, support=3)
    return errors_of(part, {"": kernel}, RECIPE.degradation)[""].psnr_db


def test_each_image_is_scored_with_a_kernel_fitted_to_the_others(photos):
    fit = fit_photos(photos, RECIPE)
    held_out = [score(path, fit_photos([p for p in photos if p != path], RECIPE).kernel) for path in photos]
    in_sample = [score(path, fit.kernel) for path in photos]
    assert fit.scores["fitted"].psnr_db == pytest.approx(np.mean(held_out), abs=1e-12)
    assert np.mean(in_sample) > np.mean(held_out) + 1e-3, "control: in-sample flatters"
    assert fit.protocol == "each image by a kernel fitted to the others"
    assert list(fit.scores) == [*PEERS, "fitted"]
    lanczos = [score(path, kernel_named("lanczos3", 2)) for path in photos]
    assert fit.scores["lanczos3"].psnr_db == pytest.approx(np.mean(lanczos), abs=1e-12)


def test_a_copy_of_an_image_counts_once(photos, tmp_path):
    """Otherwise a kernel fitted to one copy would be scored on the other, which makes it look too good."""
    with Image.open(photos[0]) as image:
        image.save(tmp_path / "again.tif")
        image.crop((0, 0, 118, 90)).save(tmp_path / "narrower.png")
    fit = fit_photos([*photos, tmp_path / "again.tif", photos[1]], RECIPE)
    assert [str(error).partition(": ")[2] for error in fit.skipped] == [
        f"is the same image as {photos[0]}", f"is the same image as {photos[1]}"
    ]  # fmt: skip
    alone = fit_photos(photos, RECIPE)
    assert (fit.images, fit.scores, fit.kernel) == (3, alone.scores, alone.kernel)
    assert fit_photos([photos[0], tmp_path / "narrower.png"], RECIPE).images == 2


def test_a_single_image_is_scored_by_halves(photos, tmp_path):
    fit = fit_photos(photos[:1], RECIPE)
    assert fit.protocol == "each half of the image by a kernel fitted to the other half"
    assert (fit.images, fit.scored) == (1, 2)
    Image.new("L", (40, 20)).save(tmp_path / "small.png")
    small = fit_photos([tmp_path / "small.png"], RECIPE)
    assert small.scores == {}
    assert small.protocol.startswith("no score")


def test_many_images_are_held_out_in_groups(photos, monkeypatch):
    monkeypatch.setattr("upsample_cli.quality.photos.MOST_FOLDS", 2)
    fit = fit_photos(photos, RECIPE)
    held_out = [fit_photos(others, RECIPE).kernel for others in ([photos[1]], [photos[0], photos[2]], [photos[1]])]
    expected = np.mean([score(path, kernel) for path, kernel in zip(photos, held_out, strict=True)])
    assert fit.scores["fitted"].psnr_db == pytest.approx(expected, abs=1e-12)
    assert fit.protocol == "each of 2 groups of images by a kernel fitted to the others"
    monkeypatch.setattr(module, "_MOST_SCORED", 2)
    assert fit_photos(photos, RECIPE).protocol.endswith("; 2 of 3 images scored")


def test_the_order_and_unreadable_files_do_not_change_the_fit(photos, tmp_path):
    (tmp_path / "broken.png").write_bytes(photos[0].read_bytes()[:3000])
    Image.new("L", (3, 3)).save(tmp_path / "tiny.png")
    bad = [tmp_path / "broken.png", tmp_path / "tiny.png", tmp_path / "missing.png"]
    fit = fit_photos([*bad, *photos[::-1]], RECIPE)
    assert fit.kernel == fit_photos(photos, RECIPE).kernel
    assert [Path(error.path).name for error in fit.skipped] == ["broken.png", "tiny.png", "missing.png"]
    with pytest.raises(
        UpsampleError, match=r"no image to learn from: .*broken\.png: .*, and 2 more cannot be used; get a"
    ) as refused:
        fit_photos(bad, RECIPE)
    assert (refused.value.failure.kind, refused.value.exit_status) == ("damaged", 1)


def test_progress_adds_up_to_two_readings_of_every_image(photos):
    shares = []
    fit_photos(photos, RECIPE, advanced=shares.append)
    assert sum(shares) == pytest.approx(6)


@pytest.mark.parametrize("change", [{"factor": 1}, {"factor": 17}, {"support": 4}, {"support": 9}, {"support": 1}])
def test_invalid_recipes_are_refused(change):
    with pytest.raises(UsageError):
        Recipe(**({"factor": 2, "support": 3, "degradation": RECIPE.degradation} | change))


def test_a_fitted_kernel_has_integer_weights_is_flat_and_symmetric_and_beats_lanczos(photos):
    fit = fit_photos(photos, RECIPE)
    kernel = fit.kernel
    assert kernel.is_flat
    assert max(map(abs, kernel.weights)) <= 127
    assert kernel.denominator & (kernel.denominator - 1) == 0, "a power of two: float32 holds every weight"
    weights = np.array(kernel.weights).reshape(6, 6)
    assert np.array_equal(weights, np.rot90(weights))
    assert fit.scores["fitted"].psnr_db > fit.scores["lanczos3"].psnr_db
    asymmetric = fit_photos(photos, Recipe(2, 3, RECIPE.degradation, symmetric=False)).kernel
    weights = np.array(asymmetric.weights).reshape(6, 6)
    assert asymmetric.is_flat
    assert not np.array_equal(weights, np.rot90(weights))


def test_the_shipped_kernels_can_be_reproduced_exactly():
    """From the photographs in the scikit-image package; takes about four seconds."""
    written = FITTED_FILE.read_text(encoding="utf-8")
    assert fit_kernels.document([fit_kernels.fitted(factor) for factor in FACTORS]) == written
    recipe = Recipe(2, 7, RECIPE.degradation)
    fewer = fit_kernels.equations(recipe, fit_kernels.PHOTOGRAPHS[:4])
    control = module.fitted_kernel(sum(fewer[1:], fewer[0]), recipe, fit_kernels.DENOMINATORS)
    assert control.weights != shipped_kernel(2).weights, "control: other photographs, another kernel"


@pytest.mark.parametrize("factor", FACTORS)
def test_the_shipped_kernels_are_flat_and_symmetric_and_fit_8_bits(factor):
    kernel = kernel_named("fitted", factor)
    weights = np.array(kernel.weights).reshape(kernel.kernel_size, -1)
    assert kernel.kernel_size == 7 * factor
    assert kernel.halo == 3
    assert np.abs(weights).max() <= 127
    assert np.array_equal(weights, weights.T)
    assert np.array_equal(weights, weights[::-1])
    for top in range(factor):
        for left in range(factor):
            assert weights[top::factor, left::factor].sum() == kernel.denominator


def test_other_factors_are_refused_with_a_next_step():
    with pytest.raises(UsageError, match=r"for factor 5, only for 2, 3, 4; use kernel=lanczos3, or fit one"):
        kernel_named("fitted", 5)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_with_a_shipped_kernel_are_exact_with_any_tiles(factor, dtype):
    pixels = hostile_pixels((17, 11, 3), dtype)
    kernel = kernel_named("fitted", factor)
    layer = torch.nn.ConvTranspose2d(
        1, 1, kernel.kernel_size, stride=factor, padding=0, bias=False, dtype=torch.float64
    )
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(kernel.weights, dtype=torch.float64).reshape(kernel.shape))
    padded = torch.from_numpy(np.pad(pixels.astype(np.float64), ((3, 3), (3, 3), (0, 0)), mode="edge"))
    sums = layer(padded.permute(2, 0, 1)[:, None])[:, 0].permute(1, 2, 0).detach().numpy()
    crop = 3 * factor + kernel.padding
    sums = np.rint(sums[crop : crop + 17 * factor, crop : crop + 11 * factor]).astype(np.int64)
    doubled = 2 * sums + kernel.denominator  # rounded half up, in integers
    expected = (doubled // (2 * kernel.denominator)).clip(0, np.iinfo(dtype).max).astype(dtype)
    found = upsample(pixels, factor, kernel="fitted")
    assert np.array_equal(found, expected)
    assert np.array_equal(upsample(pixels, factor, kernel="fitted", tile=5), expected)
    assert not np.array_equal(upsample(pixels, factor, kernel="lanczos3"), expected)


def test_the_file_of_shipped_kernels_has_their_recipe():
    about = json.loads(FITTED_FILE.read_text(encoding="utf-8"))
    assert (about["support"], about["degradation"], len(about["photographs"])) == (7, "bicubic", 13)
    assert FITTED_FILE.stat().st_size < 10_000
