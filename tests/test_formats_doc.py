"""docs/formats.md is the output of its generator, and the generator refuses files that contradict their table."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from upsample_cli.images.formats import FORMATS

ROOT = Path(__file__).parents[1]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate_formats.py"))


def test_the_page_matches_the_current_round_trips():
    written = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert GENERATOR["page"]() == written, "run python docs/generate_formats.py"


@pytest.mark.parametrize(
    ("name", "part", "column"), [("jpeg", "exif", "EXIF"), ("png", "iptc", "IPTC"), ("gif", "comment", "text")]
)
def test_a_part_that_the_format_table_lacks_is_shown_as_no(name, part, column, monkeypatch):
    """If the table says that a format cannot hold the part, the file lacks it, and the page says "no"."""
    fmt = replace(FORMATS[name], holds=FORMATS[name].holds - {part})
    assert GENERATOR["_COLUMNS"][column](FORMATS[name]) != "no"
    assert GENERATOR["_COLUMNS"][column](fmt) == "no"


def test_control_a_part_that_the_encoder_does_not_write_is_an_error():
    """A format claims to hold something that its encoder does not write."""
    fmt = replace(FORMATS["bmp"], holds=FORMATS["bmp"].holds | {"exif"})
    with pytest.raises(RuntimeError, match="BMP: Exif is not in the file, and fit says otherwise"):
        GENERATOR["_COLUMNS"]["EXIF"](fmt)
