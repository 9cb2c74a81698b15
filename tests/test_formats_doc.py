"""docs/formats.md is the output of its generator, and the generator refuses a file that is not as announced."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from upsample_cli.images.formats import FORMATS

ROOT = Path(__file__).parents[1]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate_formats.py"))


def test_the_page_is_what_the_round_trips_say_today():
    written = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert GENERATOR["page"]() == written, "run python docs/generate_formats.py"


@pytest.mark.parametrize(
    ("name", "part", "column"), [("jpeg", "exif", "EXIF"), ("png", "iptc", "IPTC"), ("gif", "comment", "text")]
)
def test_control_a_plan_that_announces_a_loss_that_is_none_ends_it(name, part, column, monkeypatch):
    """`fit` is told of a format that cannot hold the part; the file then lacks it, and says so: no error but a no."""
    fmt = replace(FORMATS[name], holds=FORMATS[name].holds - {part})
    assert GENERATOR["_COLUMNS"][column](FORMATS[name]) != "no"
    assert GENERATOR["_COLUMNS"][column](fmt) == "no"


def test_control_a_reader_that_does_not_find_what_was_announced_ends_it():
    """A format is said to hold what its encoder does not write."""
    fmt = replace(FORMATS["bmp"], holds=FORMATS["bmp"].holds | {"exif"})
    with pytest.raises(RuntimeError, match="BMP: Exif is not in the file, and fit says otherwise"):
        GENERATOR["_COLUMNS"]["EXIF"](fmt)
