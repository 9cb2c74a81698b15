"""Other libraries that resample bilinearly agree with us, each within its own rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torchvision.transforms.v2 import functional

from upsample_cli import upsample

PHOTOGRAPH = data.astronaut()[30:209, 150:351]  # odd, not square


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> int:
    return int(np.abs(ours.astype(int) - theirs.astype(int)).max())


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_pillow_agrees_within_one_level(factor: int) -> None:
    # Pillow rounds after each of its two passes, and its weights to 22 bits: at most one level away.
    height, width = (length * factor for length in PHOTOGRAPH.shape[:2])
    theirs = np.asarray(Image.fromarray(PHOTOGRAPH).resize((width, height), Image.Resampling.BILINEAR))
    assert largest_difference(upsample(PHOTOGRAPH, factor), theirs) <= 1
    assert largest_difference(upsample(PHOTOGRAPH, factor, border="zeros"), theirs) > 1
    assert largest_difference(upsample(PHOTOGRAPH, factor), np.roll(theirs, 1, axis=0)) > 1


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_torchvision_agrees_on_floats_within_rounding(factor: int) -> None:
    # torchvision computes pixel positions in float32, so its weights are off by the width times the machine epsilon on
    # each axis; pixels differ by at most 255 between neighbours.
    image = torch.from_numpy(PHOTOGRAPH.astype(np.float32)).permute(2, 0, 1)
    size = [length * factor for length in PHOTOGRAPH.shape[:2]]
    theirs = functional.resize(image, size, interpolation=functional.InterpolationMode.BILINEAR, antialias=False)
    tolerance = 2 * 255 * max(PHOTOGRAPH.shape) * torch.finfo(torch.float32).eps
    torch.testing.assert_close(upsample(image, factor), theirs, rtol=0, atol=tolerance)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(upsample(image, factor, border="zeros"), theirs, rtol=0, atol=tolerance)
