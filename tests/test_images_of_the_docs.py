"""The images in the README equal what their script makes from the samples and the commands."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "images"
SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_images.py"))
TOLERANCE = 0.5
"""Mean levels: letters and JPEG are as far off with other releases of FreeType and libjpeg (tests/test_samples.py)."""


DRAWN = {"rim.png": "sheet", "net.png": "kernels_sheet"}
"""File: the function that draws it."""


def words(svg):
    """The text of a screenshot. Versions of rich differ in layout and style names."""
    return re.sub(r"&#160;|\s", "", "".join(re.findall(r"<text[^>]*>(.*?)</text>", svg)))


def test_every_image_is_made_by_the_script_and_used_on_a_page():
    pages = "".join(path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {*DRAWN, *SCRIPT["SCREENS"]}
    assert all(f"images/{name}" in pages for name in names)


@pytest.mark.parametrize("name", DRAWN)
def test_the_crops_equal_those_of_the_samples(name):
    drawn = np.asarray(SCRIPT[DRAWN[name]]()).astype(int)
    with Image.open(FOLDER / name) as image:
        kept = np.asarray(image).astype(int)
    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).mean() <= TOLERANCE
    assert np.abs(drawn[1:] - kept[:-1]).mean() > 2 * TOLERANCE  # the control: one row off


def test_only_the_plain_layer_has_a_dark_border():
    nearest, plain, ours = (SCRIPT["panel"]("text.png", 0, 16, way) for way in SCRIPT["WAYS"].values())
    assert plain[0].max() < 160
    assert ours[0].min() == nearest[0].min() == 255


@pytest.mark.parametrize("name", SCRIPT["SCREENS"])
def test_a_screenshot_shows_the_output_of_the_command(name):
    kept = (FOLDER / name).read_text(encoding="utf-8")
    assert words(kept) == words(SCRIPT["screen"](*SCRIPT["SCREENS"][name])), "run python docs/make_images.py"


def test_control_a_screenshot_with_another_size_is_detected():
    command, columns = SCRIPT["SCREENS"]["shape.svg"]
    kept = (FOLDER / "shape.svg").read_text(encoding="utf-8")
    assert words(kept) != words(SCRIPT["screen"](command.replace("224x224", "224x225"), columns))


def test_a_screenshot_loads_no_external_resource():
    for name in SCRIPT["SCREENS"]:
        svg = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"url\((?!#)|href|@import|@font-face", svg)
