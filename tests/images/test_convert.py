"""Conversions of rows, compared with independent integer arithmetic and with Pillow."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from PIL import Image

from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.model import ImageInfo, Layout, Metadata
from upsample_cli.images.output_form import nearest_form

LAYOUTS = [
    Layout(colour, alpha, depth)
    for colour in ("grey", "rgb", "cmyk")
    for alpha in (False, True)
    for depth in (8, 16)
    if not (colour == "cmyk" and alpha)
]


def half_up(value):
    return floor(value + Fraction(1, 2))


def test_16_bits_become_8_rounded_half_up():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    rows = convert_rows(values, Layout("grey", depth=16), Layout("grey"))
    wanted = [half_up(Fraction(value * 255, 65535)) for value in range(65536)]
    assert rows.dtype == np.uint8
    assert rows.ravel().tolist() == wanted
    assert (values >> 8).ravel().tolist() != wanted  # the control: dropping the low byte is not rounding


@pytest.mark.parametrize("depth", [8, 16])
def test_transparency_is_blended_with_white_and_rounded_half_up(depth):
    full = 2**depth - 1
    samples = (
        range(256) if depth == 8 else [0, 1, 2, 255, 256, 32767, 32768, 65533, 65534, 65535, *range(7, 65535, 997)]
    )
    colour, alpha = np.meshgrid(samples, samples)
    source = Layout("grey", alpha=True, depth=depth)
    rows = convert_rows(np.stack([colour, alpha], axis=2).astype(source.dtype), source, Layout("grey", depth=depth))
    wanted = [
        half_up(Fraction(c * a + full * (full - a), full)) for c, a in zip(colour.ravel(), alpha.ravel(), strict=True)
    ]
    assert rows.ravel().tolist() == wanted


def test_full_ink_is_opaque_black_and_white_is_transparent():
    source = Layout("rgb", alpha=True)
    rows = np.array([[[0, 0, 0, 255], [9, 9, 9, 0]]], np.uint8)
    assert convert_rows(rows, source, Layout("rgb")).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_cmyk_becomes_rgb_as_in_pillow():
    """Every ink level with every key level; the inks are treated equally, so one plane of pairs is enough."""
    ink, key = np.meshgrid(np.arange(256), np.arange(256))
    rows = np.stack([ink, ink[::-1], 255 - ink, key], axis=2).astype(np.uint8)
    wanted = np.asarray(Image.frombytes("CMYK", (256, 256), rows.tobytes()).convert("RGB"))
    made = convert_rows(rows, Layout("cmyk"), Layout("rgb"))
    np.testing.assert_array_equal(made, wanted)
    truncated = ((255 - rows[..., :3].astype(int)) * (255 - rows[..., 3:].astype(int)) // 255).astype(np.uint8)
    assert not np.array_equal(truncated, wanted)  # the control


def test_grey_becomes_rgb_and_keeps_its_alpha():
    rows = np.array([[[7, 200]], [[9, 0]]], np.uint8)
    made = convert_rows(rows, Layout("grey", alpha=True), Layout("rgb", alpha=True))
    assert made.tolist() == [[[7, 7, 7, 200]], [[9, 9, 9, 0]]]


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("source", LAYOUTS, ids=str)
def test_every_conversion_that_a_format_needs_is_supported(source, fmt):
    target = nearest_form(ImageInfo("png", 3, 5, source), Metadata(), fmt).layout
    rows = np.full((3, 5, source.channels), 2**source.depth - 1, source.dtype)
    made = convert_rows(rows, source, target)
    assert made.shape == (3, 5, target.channels)
    assert made.dtype == target.dtype
    full = 2**target.depth - 1
    wanted = 0 if source.colour == "cmyk" != target.colour else full  # full ink is black, everything else is white
    assert (made == wanted).all()


def test_a_conversion_to_the_same_layout_returns_the_same_array():
    rows = np.zeros((3, 5, 3), np.uint8)
    assert convert_rows(rows, Layout("rgb"), Layout("rgb")) is rows


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Layout("rgb"), Layout("grey")),
        (Layout("rgb"), Layout("cmyk")),
        (Layout("grey"), Layout("grey", alpha=True)),
        (Layout("grey"), Layout("grey", depth=32)),
    ],
)
def test_a_conversion_that_no_format_needs_is_a_programming_error(source, target):
    with pytest.raises(ValueError, match="is not made into"):
        convert_rows(np.zeros((1, 1, source.channels), source.dtype), source, target)


def test_floats_are_blended_with_white_and_keep_what_is_beyond_it():
    source = Layout("grey", alpha=True, depth=32)
    pairs = [(0.5, 0.25), (1.5, 0.5), (-2, 1), (7, 0), (np.inf, 0.5), (np.nan, 1)]
    rows = convert_rows(np.array([pairs], np.float32), source, Layout("grey", depth=32))
    np.testing.assert_array_equal(rows.ravel(), np.array([0.875, 1.25, -2, 1, np.inf, np.nan], np.float32))


def test_cmyk_in_floats_becomes_rgb_as_in_whole_numbers():
    levels = np.random.default_rng(6).integers(0, 256, (8, 8, 4)).astype(np.uint8)
    wanted = convert_rows(levels, Layout("cmyk"), Layout("rgb"))
    floats = levels.astype(np.float32) / 255
    rows = convert_rows(floats, Layout("cmyk", depth=32), Layout("rgb", depth=32))
    assert np.abs(rows * 255 - wanted).max() < 1.01
    assert np.abs((1 - floats[..., :3]) * 255 - wanted).max() > 20  # the control: black counts
