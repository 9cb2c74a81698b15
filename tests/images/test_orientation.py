"""One table of orientations turns boxes and whole images alike, and ignores an invalid number."""

import io

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from upsample_cli.images.about import about_image
from upsample_cli.images.orientation import TURNS

HEIGHT, WIDTH = 5, 3
STORED = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1)
BY_NUMPY = {
    1: STORED, 2: STORED[:, ::-1], 3: STORED[::-1, ::-1], 4: STORED[::-1],
    5: STORED.swapaxes(0, 1), 6: np.rot90(STORED, -1), 7: np.rot90(STORED, 2).swapaxes(0, 1), 8: np.rot90(STORED),
}  # fmt: skip


@pytest.mark.parametrize("orientation", list(BY_NUMPY))
def test_a_box_of_the_upright_image_is_found_in_the_stored_one(orientation):
    turn, upright = TURNS[orientation], BY_NUMPY[orientation]
    np.testing.assert_array_equal(turn.upright(STORED), upright)
    height, width = upright.shape[:2]
    top, bottom, left, right = turn.stored((1, height, 0, width - 1), height, width)
    np.testing.assert_array_equal(turn.upright(STORED[top:bottom, left:right]), upright[1:, : width - 1])


@pytest.mark.parametrize(("stated", "found"), [(6, 6), (9, 1), (0, 1)])
def test_what_is_told_of_a_tiff_is_an_orientation(stated, found):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = stated
    file = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT)).save(file, "TIFF", tiffinfo=tags)
    assert about_image(io.BytesIO(file.getvalue()), factor=2, max_pixels=100).orientation == found
