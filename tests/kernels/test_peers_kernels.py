"""Other libraries that resample with the same kernels agree with us, each within its own rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data
from torch.nn import functional

from upsample_cli import upsample

PHOTOGRAPH = data.astronaut()[30:209, 150:351]  # odd, not square
FACTORS = [2, 3, 4, 7]


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())


def enlarged_by_pillow(factor: int, filter_: Image.Resampling) -> np.ndarray:
    height, width = (length * factor for length in PHOTOGRAPH.shape[:2])
    return np.asarray(Image.fromarray(PHOTOGRAPH).resize((width, height), filter_))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    ("name", "filter_", "wrong"),
    [
        ("bicubic", Image.Resampling.BICUBIC, "bicubic-0.75"),  # Pillow's a is -1/2
        ("lanczos3", Image.Resampling.LANCZOS, "lanczos2"),
    ],
)
def test_pillow_agrees_within_one_level_inside(name: str, filter_: Image.Resampling, wrong: str, factor: int) -> None:
    # Pillow truncates its kernel at the edge of the image and divides by what remains, while we continue the edge, so
    # only the inside is compared. Pillow rounds after each of its two passes and clips overshoot after the first, so
    # pixels next to black and white may differ more. Levels from 30 to 225 are not affected.
    inside = np.s_[3 * factor : -3 * factor, 3 * factor : -3 * factor]
    theirs = enlarged_by_pillow(factor, filter_)[inside]
    near = ndimage.minimum_filter(PHOTOGRAPH, (7, 7, 1)), ndimage.maximum_filter(PHOTOGRAPH, (7, 7, 1))
    low, high = (np.repeat(np.repeat(bound, factor, 0), factor, 1)[inside] for bound in near)
    safe = (low > 30) & (high < 225)
    assert safe.mean() > 0.2
    assert largest_difference(upsample(PHOTOGRAPH, factor, kernel=name)[inside][safe], theirs[safe]) <= 1
    assert largest_difference(upsample(PHOTOGRAPH, factor, kernel=wrong)[inside][safe], theirs[safe]) > 1


@pytest.mark.parametrize("factor", FACTORS)
def test_torch_bicubic_equals_our_bicubic_with_a_of_three_quarters(factor: int) -> None:
    # Both continue the edge. In float64, torch's result is off by some roundings of coordinates up to 200; ours by a
    # grid of 2**-52 for the weights: 255 levels, twice, times a gain below 2.
    image = torch.from_numpy(PHOTOGRAPH.astype(np.float64)).permute(2, 0, 1)
    theirs = functional.interpolate(image[None], scale_factor=factor, mode="bicubic", align_corners=False)[0]
    torch.testing.assert_close(upsample(image, factor, kernel="bicubic-0.75"), theirs, rtol=0, atol=1e-10)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(upsample(image, factor, kernel="bicubic"), theirs, rtol=0, atol=1e-10)
    # as integers: rounded half up, except for values within the grid's error of a half
    rounded = (theirs + 0.5).floor().clamp(0, 255).permute(1, 2, 0).numpy()
    ours = upsample(PHOTOGRAPH, factor, kernel="bicubic-0.75")
    assert largest_difference(ours, rounded) <= 1
    assert (ours != rounded).mean() < 0.01


@pytest.mark.parametrize("factor", FACTORS)
def test_opencv_cubic_equals_our_bicubic_with_a_of_three_quarters(factor: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    # In float32 with weights rounded to float32: 255 levels times 16 products and their sum, of weights below one.
    image = PHOTOGRAPH.astype(np.float32)
    theirs = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    assert largest_difference(upsample(image, factor, kernel="bicubic-0.75"), theirs) < 1e-2
    assert largest_difference(upsample(image, factor, kernel="bicubic"), theirs) > 1


@pytest.mark.parametrize("factor", FACTORS)
def test_scipy_spline_without_prefilter_equals_our_bspline(factor: int) -> None:
    # scipy's coordinates are samples; ours for output o is (o + 1/2) / factor - 1/2. "nearest" continues the edge.
    image = PHOTOGRAPH[..., 0].astype(np.float64)
    rows, columns = ((np.arange(length * factor) + 0.5) / factor - 0.5 for length in image.shape)
    where = np.meshgrid(rows, columns, indexing="ij")
    theirs = ndimage.map_coordinates(image, where, order=3, mode="nearest", prefilter=False)
    assert largest_difference(upsample(image, factor, kernel="bspline"), theirs) < 1e-9
    filtered = ndimage.map_coordinates(image, where, order=3, mode="nearest", prefilter=True)
    assert largest_difference(upsample(image, factor, kernel="bspline"), filtered) > 1


@pytest.mark.parametrize("factor", [3, 5])
def test_scipy_gaussian_after_zero_insertion_equals_our_gaussian(factor: int) -> None:
    # Zero insertion: zeros between samples, then a convolution; scipy's kernel has a sigma of factor / 2 outputs. It is
    # centred on samples, which coincide with outputs at odd factors. The weights of each phase are divided by their
    # sum, as ours are.
    image = PHOTOGRAPH[..., 0].astype(np.float64)
    spread, counts = (np.zeros([length * factor for length in image.shape]) for _ in range(2))
    spread[factor // 2 :: factor, factor // 2 :: factor] = image
    counts[factor // 2 :: factor, factor // 2 :: factor] = 1
    blurred, weight = (
        ndimage.gaussian_filter(plane, factor / 2, mode="constant", radius=2 * factor - 1) for plane in (spread, counts)
    )
    inside = np.s_[2 * factor : -2 * factor, 2 * factor : -2 * factor]
    found = upsample(image, factor, kernel="gaussian")[inside]
    assert largest_difference(found, (blurred / weight)[inside]) < 1e-9
