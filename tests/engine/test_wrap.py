"""The border "wrap": a tile of a seamless texture is enlarged as if its copies were around it, byte for byte."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.oracles import assert_same_pixels, hostile_pixels

from upsample_cli import upsample
from upsample_cli.engine import cores, pool
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.pool import compute_pool
from upsample_cli.engine.resize import resized_bands
from upsample_cli.engine.resize_axes import filter_for
from upsample_cli.kernels.choice import chosen_kernel

KERNELS = ("nearest", "bilinear", "bicubic", "lanczos3")


def repeated(pixels, reach):
    """Copies of an image around it, at least `reach` pixels wide, and how many there are before it on each axis."""
    before = [-(-reach // length) for length in pixels.shape[:2]]
    return np.tile(pixels, (*(2 * count + 1 for count in before), 1)), before


def centre(enlarged, before, size):
    """The part of an enlarged image that is the enlarged tile in its centre."""
    rows, columns = (slice(count * length, (count + 1) * length) for count, length in zip(before, size, strict=True))
    return enlarged[rows, columns]


def layer_by_hand(pixels, kernel, mode):
    """A transposed convolution of whole numbers as the textbooks write it: every padded pixel adds its kernel.

    Args:
        pixels: (height, width, channels).
        kernel: its whole weights, factor and padding.
        mode: of `numpy.pad`.
    """
    factor, size, reach = kernel.factor, kernel.kernel_size, 8
    weights = np.array(kernel.weights, np.int64).reshape(size, size)
    padded = np.pad(pixels.astype(np.int64), ((reach, reach), (reach, reach), (0, 0)), mode=mode)
    rows, columns = ((length - 1) * factor + size for length in padded.shape[:2])
    sums = np.zeros((rows, columns, pixels.shape[2]), np.int64)
    for top, left in np.ndindex(padded.shape[:2]):
        place = np.s_[top * factor : top * factor + size, left * factor : left * factor + size]
        sums[place] += weights[..., None] * padded[top, left]
    start = reach * factor + kernel.padding
    height, width = (length * factor for length in pixels.shape[:2])
    rounded = (2 * sums + kernel.denominator) // (2 * kernel.denominator)
    inside = rounded[start : start + height, start : start + width]
    return inside.clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


@st.composite
def cases(draw):
    """Pixels, a factor, and keywords of `upsample`."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 4))
    pixels = hostile_pixels(shape, draw(st.sampled_from([np.uint8, np.uint16])), draw(st.integers(0, 9)))
    kernel, factor = draw(st.sampled_from((*KERNELS, "fitted"))), draw(st.integers(1, 5))
    return pixels, 2 if kernel == "fitted" else factor, kernel


ONE_PIXEL = (hostile_pixels((1, 1, 3), np.uint8), 3, "lanczos3")
ONE_ROW = (hostile_pixels((1, 9, 1), np.uint16), 2, "bicubic")


@given(cases(), st.sampled_from([None, 1, 2, 3, 7]))
@example(ONE_PIXEL, 1)
@example(ONE_ROW, 2)
@settings(max_examples=80)
def test_pixels_equal_those_of_a_layer_over_a_padded_image(case, tile):
    pixels, factor, name = case
    kernel, _ = exact_form(chosen_kernel(name, factor), pixels.dtype)
    found = upsample(pixels, factor, kernel=name, border="wrap", tile=tile)
    assert_same_pixels(found, layer_by_hand(pixels, kernel, "wrap"))


def test_control_the_edge_instead_of_the_other_end_is_detected():
    pixels = hostile_pixels((6, 7, 3), np.uint8)
    kernel, _ = exact_form(chosen_kernel("bicubic", 2), pixels.dtype)
    assert_same_pixels(upsample(pixels, 2, kernel="bicubic"), layer_by_hand(pixels, kernel, "edge"))
    with pytest.raises(AssertionError, match="numbers differ"):
        assert_same_pixels(upsample(pixels, 2, kernel="bicubic"), layer_by_hand(pixels, kernel, "wrap"))


@given(cases(), st.sampled_from([None, 1, 2, 5]), st.booleans(), st.sampled_from(["replicate", "wrap", "zeros"]))
@example((hostile_pixels((5, 4, 4), np.uint8), 3, "bilinear"), None, True, "replicate")
@settings(max_examples=80)
def test_a_tile_is_enlarged_as_the_centre_of_its_copies(case, tile, has_alpha, border):
    """Also with alpha. The border of the copies does not matter."""
    pixels, factor, kernel = case
    how = {"kernel": kernel, "has_alpha": has_alpha and pixels.shape[2] > 1}
    found = upsample(pixels, factor, border="wrap", tile=tile, **how)
    copies, before = repeated(pixels, 4)
    size = [length * factor for length in pixels.shape[:2]]
    assert_same_pixels(found, centre(upsample(copies, factor, border=border, **how), before, size))


@pytest.mark.parametrize("border", ["replicate", "reflect", "zeros"])
def test_control_no_other_border_gives_the_centre_of_the_copies(border):
    pixels = hostile_pixels((5, 4, 3), np.uint8)
    expected = centre(upsample(np.tile(pixels, (3, 3, 1)), 2), (1, 1), (10, 8))
    assert_same_pixels(upsample(pixels, 2, border="wrap"), expected)
    with pytest.raises(AssertionError, match="numbers differ"):
        assert_same_pixels(upsample(pixels, 2, border=border), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_floats_wrap_too(dtype):
    pixels = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(dtype)
    for kernel in KERNELS:
        expected = centre(upsample(np.tile(pixels, (3, 3, 1)), 3, kernel=kernel), (1, 1), (18, 15))
        assert_same_pixels(upsample(pixels, 3, kernel=kernel, border="wrap"), expected)


def test_a_pattern_that_repeats_in_the_image_repeats_in_the_result():
    """Shifting a seamless texture shifts its enlargement."""
    pixels = hostile_pixels((7, 9, 3), np.uint8)
    rolled = np.roll(pixels, (2, -4), (0, 1))
    found = upsample(rolled, 3, kernel="lanczos3", border="wrap")
    assert_same_pixels(found, np.roll(upsample(pixels, 3, kernel="lanczos3", border="wrap"), (6, -12), (0, 1)))
    edge = upsample(rolled, 3, kernel="lanczos3")
    assert not np.array_equal(edge, np.roll(upsample(pixels, 3, kernel="lanczos3"), (6, -12), (0, 1)))


@pytest.mark.parametrize("count", [1, 5])
def test_the_number_of_threads_does_not_change_pixels(count, monkeypatch):
    monkeypatch.setattr(cores, "core_count", lambda: count)
    pool._started_pool.cache_clear()
    pixels = hostile_pixels((61, 43, 3), np.uint8)
    kernel, _ = exact_form(chosen_kernel("bicubic", 2), pixels.dtype)
    expected = layer_by_hand(pixels, kernel, "wrap")
    for how in ({"tile": 4}, {"memory": 300_000 * count}, {}):
        assert_same_pixels(upsample(pixels, 2, kernel="bicubic", border="wrap", **how), expected)
    compute_pool().shutdown()
    pool._started_pool.cache_clear()


def resized(pixels, size, kernel, border, *, engine="auto"):
    """(height, width, channels) at another size, as the command computes it."""
    factor = max(-(-made // given_) for made, given_ in zip(size, pixels.shape[:2], strict=True))
    fine, arithmetic = exact_form(chosen_kernel(kernel, factor), pixels.dtype)
    bands = resized_bands(
        lambda first, last: pixels[first:last],
        pixels.shape,
        size,
        settings=Settings(fine, border, "cpu", engine=engine),
        arithmetic=arithmetic,
        weigh=filter_for(kernel),
    )
    return np.concatenate(list(bands))


@pytest.mark.parametrize("engine", ["auto", "layer"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("shape", "size"),
    [((7, 12), (11, 17)), ((1, 6), (2, 9)), ((29, 4), (31, 7)), ((9, 5), (4, 9)), ((24, 9), (10, 4))],
)
def test_a_tile_in_another_size_is_the_centre_of_its_copies(shape, size, kernel, engine):
    """The reduction after the enlargement wraps too, also where one or both sides become shorter."""
    for dtype in (np.uint8, np.uint16):
        pixels = hostile_pixels((*shape, 2), dtype)
        copies, before = repeated(pixels, 12)
        whole = [(2 * count + 1) * length for count, length in zip(before, size, strict=True)]
        expected = centre(resized(copies, tuple(whole), kernel, "replicate", engine=engine), before, size)
        assert_same_pixels(resized(pixels, size, kernel, "wrap", engine=engine), expected)
        if kernel != "nearest" and min(shape) > 1:  # the control: another border differs
            assert not np.array_equal(resized(pixels, size, kernel, "replicate", engine=engine), expected)
