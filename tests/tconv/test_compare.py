"""`tconv compare` compared with scikit-image's scores, Pillow's reductions and other combinations of our functions."""

import math

import numpy as np
import pytest
import skimage.data
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from upsample_cli.errors import ImageError, Loss, UsageError, spelled
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.quality.compare import CROP, busiest_square, compare, kernels_for
from upsample_cli.quality.degrade import Degradation, degradation_named
from upsample_cli.quality.fit import errors_of
from upsample_cli.quality.pair import Box, Limits, Pair, luma_of, reduced_pair, referenced_pair
from upsample_cli.quality.pieces import whole_part
from upsample_cli.quality.sheet import sheet

AMPLE = Limits(10**9)
BICUBIC = Degradation("bicubic")


def saved(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def grey(tmp_path):
    """A piece of a photograph, 219 wide and 143 high: odd, not square, and not both multiples of 2, 3 or 4."""
    return saved(tmp_path / "grey.png", skimage.data.camera()[100:243, 80:299])


@pytest.fixture
def colour(tmp_path):
    return saved(tmp_path / "colour.png", skimage.data.chelsea()[20:163, 90:309])


def one_by_one(pair, name):
    """The enlarged image, made with the public function."""
    from upsample_cli import upsample

    return upsample(pair.low, pair.factor, kernel=name)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_scores_equal_those_of_scikit_image(colour, factor):
    pair = reduced_pair(colour, factor, BICUBIC, AMPLE)
    found = compare(pair, ["bilinear", "lanczos3"], rounds=0)
    original = luma_of(pair.high)
    for entry in found.entries:
        seen = luma_of(one_by_one(pair, entry.name))
        psnr = peak_signal_noise_ratio(original, seen, data_range=255)
        _, windows = structural_similarity(
            original, seen, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        # The float64 sums differ in their order; our windows are completely inside.
        assert math.isclose(entry.errors.psnr_db, psnr, abs_tol=1e-9)
        assert math.isclose(entry.ssim, windows[5:-5, 5:-5].mean(), abs_tol=1e-9)
        assert not math.isclose(entry.ssim, windows.mean(), abs_tol=1e-9)


def test_luma_equals_pillows(colour):
    """Pillow's own conversion is the same sum in the same fixed-point arithmetic."""
    with Image.open(colour) as image:
        assert np.array_equal(luma_of(np.asarray(image)), np.asarray(image.convert("L")))


def test_grey_scores_equal_those_of_tconv_fit(grey):
    """`tconv fit` computes luma and reductions piece by piece, `tconv compare` in one piece."""
    names = ("nearest", "bilinear", "bicubic", "fitted")
    found = compare(reduced_pair(grey, 3, BICUBIC, AMPLE), names, rounds=0)
    kernels = {name: kernel_named(name, 3) for name in names}
    expected = errors_of(whole_part(grey, factor=3, support=1), kernels, BICUBIC)
    for entry in found.entries:
        assert entry.errors.squared == expected[entry.name].squared
        assert entry.errors.pixels == expected[entry.name].pixels
        assert math.isclose(entry.ssim, expected[entry.name].ssim, abs_tol=1e-12)  # sums in another order


def test_scores_do_not_depend_on_strips(monkeypatch, colour):
    pair = reduced_pair(colour, 2, BICUBIC, AMPLE)
    whole = compare(pair, ["mitchell"], rounds=0).entries[0].errors
    monkeypatch.setattr("upsample_cli.quality.compare._STRIP_PIXELS", 4 * 109 * 9)
    strips = compare(pair, ["mitchell"], rounds=0).entries[0].errors
    assert (strips.squared, strips.pixels, strips.windows) == (whole.squared, whole.pixels, whole.windows)
    assert math.isclose(strips.similarity, whole.similarity, rel_tol=1e-12)


@pytest.mark.parametrize("name", ["bicubic", "area", "lanczos"])
def test_the_small_image_equals_pillows_reduction(colour, name):
    """A multiple of the factor is kept from the top left corner: 219x143 becomes 216x140 at factor 4."""
    pair = reduced_pair(colour, 4, degradation_named(name), AMPLE)
    method = {"bicubic": Image.Resampling.BICUBIC, "area": Image.Resampling.BOX, "lanczos": Image.Resampling.LANCZOS}
    with Image.open(colour) as image:
        kept = image.crop((0, 0, 216, 140))
    assert np.array_equal(pair.high, np.asarray(kept))
    assert np.array_equal(pair.low, np.asarray(kept.resize((54, 35), method[name])))
    assert pair.remarks == (f"{colour}: 219x143 is compared as 216x140, a multiple of the factor",)


def test_a_jpeg_degradation_encodes_colour_and_reduces_the_score(colour):
    plain, coded = (reduced_pair(colour, 2, degradation_named(name), AMPLE) for name in ("bicubic", "jpeg40"))
    assert coded.low.shape == plain.low.shape == (71, 109, 3)
    scores = [compare(pair, ["lanczos3"], rounds=0).entries[0].errors.psnr_db for pair in (plain, coded)]
    assert scores[1] < scores[0] - 1


def test_a_reference_with_the_same_pixels_gives_the_same_scores(colour, tmp_path):
    pair = reduced_pair(colour, 2, BICUBIC, AMPLE)
    small, large = saved(tmp_path / "small.png", pair.low), saved(tmp_path / "large.png", pair.high)
    again = referenced_pair(small, large, None, AMPLE)
    assert again.factor == 2
    assert np.array_equal(again.low, pair.low)
    assert np.array_equal(again.high, pair.high)
    assert again.remarks == ()


def test_a_grey_image_and_a_colour_reference_are_compared_in_colour(colour, tmp_path):
    pair = reduced_pair(colour, 2, BICUBIC, AMPLE)
    small, large = saved(tmp_path / "small.png", luma_of(pair.low)), saved(tmp_path / "large.png", pair.high)
    mixed = referenced_pair(small, large, 2, AMPLE)
    assert mixed.low.shape == (71, 109, 3)
    assert compare(mixed, ["fitted"], rounds=0).entries[0].errors.psnr_db > 25


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    factor=st.integers(2, 8),
    most=st.integers(1, 9000),
    corner=st.tuples(st.integers(0, 100), st.integers(0, 100)) | st.none(),
)
def test_the_measured_box_is_inside_the_image_and_aligned_to_small_pixels(tmp_path_factory, size, factor, most, corner):
    pixels = (np.arange(size[0] * size[1]) % 251).astype(np.uint8).reshape(size)
    photo = saved(tmp_path_factory.mktemp("any") / "a.png", pixels)
    around = None if corner is None else Box(*corner, 5, 7)
    pair = reduced_pair(photo, factor, BICUBIC, Limits(most), around)
    box = pair.box
    assert all(length % factor == 0 for length in (box.top, box.left, box.height, box.width))
    assert min(box.top, box.left) >= 0
    assert min(box.height, box.width) >= factor
    assert box.top + box.height <= size[0]
    assert box.left + box.width <= size[1]
    assert box.height * box.width <= max(most, factor * max(*size, factor))  # never less than a row or column
    assert np.array_equal(pair.high, pixels[box.top : box.top + box.height, box.left : box.left + box.width])
    assert pair.low.shape == (box.height // factor, box.width // factor)


def test_a_large_image_is_measured_around_the_crop(tmp_path):
    photo = saved(tmp_path / "large.png", np.tile(skimage.data.camera()[:200, :300], (3, 3)))
    crop = Box(500, 30, 20, 40)
    pair = reduced_pair(photo, 2, BICUBIC, Limits(30_000), crop)
    assert pair.box.height * pair.box.width <= 30_000
    assert pair.box.left == 0
    assert f"{photo}: {pair.box} of 900x600 is measured; measure takes more" in map(spelled, pair.remarks)
    found = compare(pair, ["bilinear"], crop=crop, rounds=0)
    assert found.box == crop
    with Image.open(photo) as image:
        assert np.array_equal(found.crop, np.asarray(image)[500:520, 30:70])


@settings(deadline=None, max_examples=60)
@given(height=st.integers(1, 14), width=st.integers(1, 14), side=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_busiest_square_has_the_largest_sum(height, width, side, seed):
    values = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    box = busiest_square(values, side)
    tall, wide = min(side, height), min(side, width)
    assert (box.height, box.width) == (tall, wide)
    every = [
        int(values[top : top + tall, left : left + wide].sum())
        for top in range(height - tall + 1)
        for left in range(width - wide + 1)
    ]
    assert int(values[box.top : box.top + tall, box.left : box.left + wide].sum()) == max(every)


def test_the_crop_is_where_kernels_differ(tmp_path):
    """In a flat image with a busy corner, results differ only in the corner."""
    pixels = np.full((300, 410), 128, np.uint8)
    pixels[180:270, 250:340] = np.random.default_rng(5).integers(0, 256, (90, 90), dtype=np.uint8)
    photo = saved(tmp_path / "corner.png", pixels)
    for names in (["bilinear", "lanczos3"], ["bilinear"]):
        box = compare(reduced_pair(photo, 2, BICUBIC, AMPLE), names, rounds=0).box
        assert (box.height, box.width) == (CROP, CROP)
        assert box.top <= 180 <= box.top + CROP - 90
        assert box.left <= 250 <= box.left + CROP - 90


def test_the_best_kernel_comes_first_and_times_are_measured_on_request(colour):
    pair = reduced_pair(colour, 2, BICUBIC, AMPLE)
    found = compare(pair, ["bspline", "fitted", "bilinear"], rounds=2)
    assert [entry.name for entry in found.entries] == ["fitted", "bilinear", "bspline"]
    assert found.best == {"psnr_db": ["fitted"], "ssim": ["fitted"]}
    assert all(entry.ms_per_megapixel > 0 for entry in found.entries)
    assert all(entry.ms_per_megapixel is None for entry in compare(pair, ["nearest"], rounds=0).entries)


def test_kernels_with_equal_scores_share_the_first_place(colour):
    """bicubic and catmull-rom are two names for one kernel; on a flat image all kernels are equal."""
    pair = reduced_pair(colour, 2, BICUBIC, AMPLE)
    found = compare(pair, ["bicubic", "bilinear", "catmull-rom"], rounds=0)
    assert found.best == {score: ["bicubic", "catmull-rom"] for score in ("psnr_db", "ssim")}
    flat = np.full((60, 80, 3), 90, np.uint8)
    tied = compare(Pair(flat[::2, ::2].copy(), flat, 2, Box(0, 0, 80, 60), "flat"), ["nearest", "lanczos3"], rounds=0)
    assert {score: sorted(names) for score, names in tied.best.items()} == {
        score: ["lanczos3", "nearest"] for score in ("psnr_db", "ssim")
    }


def test_progress_adds_up_to_one(colour):
    shares = []
    compare(reduced_pair(colour, 2, BICUBIC, AMPLE), ["nearest", "bilinear"], rounds=3, advanced=shares.append)
    assert math.isclose(sum(shares), 1)


def test_each_kernel_is_compared_once_and_fitted_only_if_available():
    assert list(kernels_for(None, 2, 3)) == [
        "bilinear", "nearest", "bicubic", "bicubic-0.75", "mitchell", "lanczos2", "lanczos3", "bspline", "gaussian",
        "fitted", "net", "net-photo",
    ]  # fmt: skip
    assert not {"fitted", "net"} & kernels_for(None, 6, 1).keys()
    assert list(kernels_for(["bicubic", "catmull-rom"], 2, 1)) == ["bicubic", "catmull-rom"]
    with pytest.raises(UsageError, match="no fitted kernel for factor 6"):
        kernels_for(["fitted"], 6, 1)


def test_weights_for_three_channels_apply_only_to_colour(tmp_path):
    weight = np.zeros((3, 1, 4, 4), np.float32)
    weight[:] = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    np.save(tmp_path / "three.npy", weight)
    name = str(tmp_path / "three.npy")
    pixels = np.random.default_rng(2).integers(0, 256, (26, 34, 3), dtype=np.uint8)
    found = compare(reduced_pair(saved(tmp_path / "a.png", pixels), 2, BICUBIC, AMPLE), [name, "bilinear"], rounds=0)
    assert found.entries[0].errors == found.entries[1].errors
    with pytest.raises(UsageError, match="is for 3 channels, and the image has 1"):
        kernels_for([name], 2, 1)


@pytest.mark.parametrize(
    ("crop", "complaint"),
    [
        (Box(140, 0, 10, 10), "is outside what is measured"),
        (Box(0, 216, 1, 3), "is outside what is measured"),
        (Box(0, 0, 600, 9), "too large"),
    ],
)
def test_a_crop_that_cannot_be_shown_is_refused(colour, crop, complaint):
    with pytest.raises(UsageError, match=complaint):
        compare(reduced_pair(colour, 2, BICUBIC, AMPLE), ["nearest"], crop=crop, rounds=0)


def test_images_that_cannot_be_compared_are_refused(colour, grey, tmp_path):
    with pytest.raises(ImageError, match="9x2 is too small to be reduced 3 times; use a larger image, or"):
        reduced_pair(saved(tmp_path / "strip.png", np.zeros((2, 9), np.uint8)), 3, BICUBIC, AMPLE)
    with pytest.raises(ImageError, match="more than the limit of 100"):
        reduced_pair(colour, 2, BICUBIC, Limits(50, max_pixels=100))
    with pytest.raises(UsageError, match="is not a whole number of times as large"):
        referenced_pair(colour, grey, None, AMPLE)  # the same size, which is factor 1
    for factor in (-1, 0, 1, 65):
        with pytest.raises(UsageError, match="cannot be compared at factor"):
            reduced_pair(colour, factor, BICUBIC, AMPLE)


def test_transparency_depth_and_frames_are_reduced_with_a_remark(tmp_path):
    """Colour under alpha 0 must not count: over white it is white."""
    pixels = np.zeros((40, 50, 4), np.uint8)
    pixels[:, 25:] = 255
    clear = reduced_pair(saved(tmp_path / "clear.png", pixels), 2, BICUBIC, AMPLE)
    assert clear.high.min() == 255
    assert clear.remarks == (f"{tmp_path / 'clear.png'}: what is transparent is compared over white",)
    deep = saved(tmp_path / "deep.png", np.full((40, 50), 257 * 9, np.uint16))
    assert reduced_pair(deep, 2, BICUBIC, AMPLE).high.tolist() == [[9] * 50] * 40
    assert reduced_pair(deep, 2, BICUBIC, AMPLE).remarks == (f"{deep}: compared in 8 bits",)
    frames = [Image.new("RGB", (12, 10), shade) for shade in ("red", "blue", "lime")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert (
        "the first of its 3 images is compared" in reduced_pair(tmp_path / "moving.gif", 2, BICUBIC, AMPLE).remarks[0]
    )


@pytest.fixture
def texts(monkeypatch):
    """Every line of text that is drawn."""
    found = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda self, xy, text, *a, **k: (found.append(text), draw(self, xy, text, *a, **k))
    )
    return found


def test_every_crop_is_labelled_with_its_kernel_and_scores(colour, texts):
    found = compare(reduced_pair(colour, 2, BICUBIC, AMPLE), ["bspline", "fitted"], rounds=0)
    sheet(found, "a title")
    assert texts[0] == "a title"
    labels = [
        text
        for entry in found.entries
        for text in (entry.name, f"{entry.errors.psnr_db:.2f} dB, SSIM {entry.ssim:.4f}")
    ]
    labels[0] += " (best)"
    assert texts[-6:] == ["original", "where the crop lies", *labels]


def drawn(pair, names, **options):
    return np.asarray(sheet(compare(pair, names, rounds=0, **options), "a title")).astype(int)


def test_the_sheet_shows_every_crop_magnified_and_its_difference(colour, texts):
    """Found only by their pixels: crops of 32x32 magnified 9 times, and grey maps with the stated gain."""
    pair = reduced_pair(colour, 2, BICUBIC, AMPLE)
    crop = Box(40, 60, 32, 32)
    page = drawn(pair, ["bilinear", "fitted"], crop=crop)
    cut = (slice(40, 72), slice(60, 92))
    places = []
    for pixels in (pair.high, one_by_one(pair, "fitted"), one_by_one(pair, "bilinear")):
        places.append(found_at(page, pixels[cut].repeat(9, 0).repeat(9, 1)))
    (top, first), (_, second), (_, third) = places
    assert first < second < third
    original = luma_of(pair.high)[cut].astype(int)
    strengths = []
    below = page[top + 288 + 10 :]
    for (_, left), name in zip(places[1:], ("fitted", "bilinear"), strict=True):
        difference = luma_of(one_by_one(pair, name))[cut].astype(int) - original
        shown = below[:288:9, left : left + 288 : 9, 0] - 128
        gains = {int(a / b) for a, b in zip(shown.ravel(), difference.ravel(), strict=True) if b and abs(a) < 127}
        (gain,) = gains
        strengths.append(abs(difference))
        assert f" {gain} times as strong" in " ".join(texts)
    usual = np.quantile(strengths, 0.95)
    assert gain * usual < 128 <= 2 * gain * usual, "the largest gain that keeps most differences distinct"


def found_at(page, pixels):
    """(top, left) of pixels in a page, which must contain them exactly once."""
    height, width = pixels.shape[:2]
    hits = [
        (top, left)
        for top, left in np.argwhere((page[: -height + 1, : -width + 1] == pixels[0, 0]).all(axis=2))
        if np.array_equal(page[top : top + height, left : left + width], pixels)
    ]
    assert len(hits) == 1
    return tuple(map(int, hits[0]))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 90), (90, 2), (7, 300), (512, 512)])
def test_the_sheet_has_a_bounded_size_for_any_crop(height, width):
    pixels = np.random.default_rng(1).integers(0, 256, (512, 512), dtype=np.uint8)
    pair = Pair(pixels[::2, ::2].copy(), pixels, 2, Box(0, 0, 512, 512), "every other pixel")
    names = ["nearest", "bilinear", "fitted"]
    page = sheet(compare(pair, names, crop=Box(0, 0, height, width), rounds=0), "long/" * 60 + "name.png")
    assert page.width <= 1900 + 20
    assert page.height <= 4500


def test_a_flat_image_has_no_error_and_a_grey_sheet(tmp_path):
    photo = saved(tmp_path / "flat.png", np.full((8, 12, 3), 90, np.uint8))
    found = compare(reduced_pair(photo, 2, BICUBIC, AMPLE), None, rounds=0)
    assert all(entry.errors.squared == 0 for entry in found.entries)
    assert all(entry.ssim is None for entry in found.entries)
    assert found.best == {"psnr_db": [entry.name for entry in found.entries]}
    page = np.asarray(sheet(found, "flat"))
    assert (page == 128).all(axis=2).sum() >= len(found.entries) * 8 * 12 * 24**2


def test_losses_of_the_files_are_kept_as_objects_until_printed(tmp_path):
    double = tmp_path / "double.tif"
    tifffile.imwrite(double, np.zeros((40, 50)))
    lost = Loss("depth", (f"{double}: ", "64-bit floating point is read as 32-bit"))
    assert lost in reduced_pair(double, 2, BICUBIC, AMPLE).remarks
