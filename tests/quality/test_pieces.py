"""A photograph processed in pieces gives the same reduced image, sums and scores as the whole photograph."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from upsample_cli.errors import ImageError, UsageError
from upsample_cli.images.model import Layout
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.quality import pieces as module
from upsample_cli.quality import score
from upsample_cli.quality.degrade import degradation_named, degraded
from upsample_cli.quality.equations import equations, no_equations
from upsample_cli.quality.fit import enlarged, errors_of
from upsample_cli.quality.photos import Recipe, equations_of
from upsample_cli.quality.pieces import Part, halves, luma, pieces, whole_part


@pytest.fixture
def photo(tmp_path):
    """An image of 203x171 with edges, slopes and grain."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:171, :203]
    waves = 127 + 90 * np.sin(rows / 7 + columns / 11) * np.cos(columns / 5)
    pixels = (waves[..., None] + rng.normal(0, 12, (171, 203, 3)) + (rows > columns)[..., None] * 30).clip(0, 255)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def whole(path, factor, name):
    """High and low, computed in one piece."""
    high = np.asarray(Image.open(path).convert("L"))
    high = high[: high.shape[0] // factor * factor, : high.shape[1] // factor * factor]
    return high, degraded(high, factor, degradation_named(name))


def assembled(path, factor, name, support=3):
    part = whole_part(path, factor=factor, support=support)
    found = list(pieces(part, factor=factor, degradation=degradation_named(name)))
    own = [(piece.above, len(piece.low) - piece.below) for piece in found]
    high = [piece.high[top * factor : end * factor] for piece, (top, end) in zip(found, own, strict=True)]
    low = [piece.low[top:end] for piece, (top, end) in zip(found, own, strict=True)]
    return found, np.concatenate(high), np.concatenate(low)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("name", ["bicubic", "area", "lanczos", "jpeg35"])
def test_pieces_equal_parts_of_the_whole_image(photo, factor, name, monkeypatch):
    monkeypatch.setattr(module, "_PIECE_PIXELS", 1)
    found, high, low = assembled(photo, factor, name)
    expected_high, expected_low = whole(photo, factor, name)
    assert len(found) == -(-len(expected_low) // 8)
    assert np.array_equal(high, expected_high)
    assert np.array_equal(low, expected_low)
    assert margins_agree(found, expected_low)


def margins_agree(found, low):
    """Whether the inner pieces, of 8 rows each, are correct with 8 rows of margin on each side."""
    return all(
        np.array_equal(piece.low[: piece.above + 8], low[8 * number - 8 : 8 * number + 8])
        for number, piece in enumerate(found[1:-1], start=1)
    )


def test_a_piece_can_be_trimmed_to_a_smaller_margin(photo, monkeypatch):
    monkeypatch.setattr(module, "_PIECE_PIXELS", 1)
    first, second, *_ = assembled(photo, 2, "bicubic")[0]
    for piece, above in ((first, 0), (second, 3)):
        near = piece.trimmed(3)
        assert (near.above, near.below, len(near.low)) == (above, 3, above + 8 + 3)
        top = piece.above - above
        assert np.array_equal(near.low, piece.low[top : top + len(near.low)])
        assert np.array_equal(near.high, piece.high[2 * top : 2 * (top + len(near.low))])


@pytest.mark.parametrize(("constant", "value", "name"), [("FILTER_REACH", 1, "lanczos"), ("MARGIN", 4, "jpeg35")])
def test_control_pieces_with_too_small_a_margin_differ(photo, constant, value, name, monkeypatch):
    monkeypatch.setattr(module, "_PIECE_PIXELS", 1)
    monkeypatch.setattr(module, constant, value)
    found, _, low = assembled(photo, 2, name)
    expected = whole(photo, 2, name)[1]
    assert not (np.array_equal(low, expected) and margins_agree(found, expected))


@pytest.mark.parametrize("support", [3, 5, 7])
def test_sums_do_not_depend_on_the_pieces(photo, support, monkeypatch):
    monkeypatch.setattr(module, "_PIECE_PIXELS", 1)
    recipe = Recipe(2, support, degradation_named("bicubic"))
    part = whole_part(photo, factor=2, support=support)
    found, expected = equations_of(part, recipe), equations(*whole(photo, 2, "bicubic"), 2, support)
    assert found.count == expected.count
    assert np.array_equal(found.gram, expected.gram)
    assert np.array_equal(found.cross, expected.cross)
    parts = sum((equations_of(half, recipe) for half in halves(part, support)), no_equations(2, support))
    assert parts.count == expected.count
    assert np.array_equal(parts.gram, expected.gram)


def test_scores_do_not_depend_on_the_pieces_and_equal_those_of_scikit_image(photo, monkeypatch):
    high, low = whole(photo, 2, "bicubic")
    kernel = kernel_named("bicubic", 2)
    result = enlarged(low, kernel)
    monkeypatch.setattr(module, "_PIECE_PIXELS", 1)
    part = whole_part(photo, factor=2, support=3)
    found = errors_of(part, {"bicubic": kernel}, degradation_named("bicubic"))["bicubic"]
    assert found.psnr_db == pytest.approx(peak_signal_noise_ratio(high, result), abs=1e-9)
    similarity = structural_similarity(
        high, result, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert found.ssim == pytest.approx(similarity, abs=1e-9)  # float64 sums in another order
    assert found.windows == (high.shape[0] - 10) * (high.shape[1] - 10)
    monkeypatch.setattr(score, "_WINDOW", np.full(11, 1 / 11))  # the control
    assert errors_of(part, {"bicubic": kernel}, degradation_named("bicubic"))["bicubic"].ssim != found.ssim


def test_errors_of_equal_and_of_tiny_images():
    assert score.Errors(0, 99).psnr_db == 100
    assert score.Errors(1, 10**12).psnr_db == 100
    assert score.Errors(255**2, 1).psnr_db == 0
    assert score.Errors().ssim == 1
    assert score.ssim_map(np.zeros((9, 40), np.uint8), np.ones((9, 40), np.uint8)).size == 0


def test_luma_equals_pillows_and_transparency_is_blended_with_white():
    pixels = np.random.default_rng(0).integers(0, 256, (17, 11, 3), np.uint8)
    assert np.array_equal(luma(pixels, Layout("rgb")), np.asarray(Image.fromarray(pixels).convert("L")))
    assert luma(np.array([[[0, 0, 0, 0]]], np.uint8), Layout("rgb", alpha=True)).tolist() == [[255]]
    assert luma(np.array([[[65535], [257]]], np.uint16), Layout("grey", depth=16)).tolist() == [[255, 1]]


def test_an_image_must_contain_one_neighbourhood(photo, tmp_path):
    Image.new("L", (9, 40)).save(tmp_path / "narrow.png")
    with pytest.raises(ImageError, match=r"narrow\.png: 9x40 is too small to learn from; give images of 10x10"):
        whole_part(tmp_path / "narrow.png", factor=2, support=5)
    assert whole_part(tmp_path / "narrow.png", factor=3, support=3).width == 3
    assert halves(Part(photo, 15, 99, 0, 15), 3) == []
    assert [(half.top, half.bottom) for half in halves(Part(photo, 21, 99, 0, 21), 7)] == [(0, 8), (8, 21)]


@pytest.mark.parametrize("name", ["jpeg0", "jpeg101", "jpeg", "nearest", "", "jpeg9999", "JPEG90"])
def test_unknown_degradations_are_refused(name):
    with pytest.raises(UsageError, match="there is no degradation"):
        degradation_named(name)


def test_degradations_have_their_names():
    assert [str(degradation_named(name)) for name in ("area", "jpeg75")] == ["area", "jpeg75"]


def test_the_jpeg_degradation_has_the_quality_in_its_name():
    high = np.random.default_rng(0).integers(0, 256, (46, 34), np.uint8)
    coded = {}
    for quality in (35, 90):
        file = io.BytesIO()
        Image.fromarray(high).resize((17, 23), Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
        coded[quality] = np.asarray(Image.open(file))
        assert np.array_equal(degraded(high, 2, degradation_named(f"jpeg{quality}")), coded[quality])
    assert not np.array_equal(coded[35], coded[90])


def test_area_is_the_mean_of_each_block():
    high = np.random.default_rng(0).integers(0, 256, (18, 12), np.uint8)
    means = high.reshape(6, 3, 4, 3).mean(axis=(1, 3))
    # Pillow reduces along the width, rounds, then along the height, and rounds again: half a level each.
    assert np.abs(degraded(high, 3, degradation_named("area")) - means).max() <= 1
    assert np.abs(degraded(high, 3, degradation_named("bicubic")) - means).max() > 1


def test_an_image_wider_than_the_widest_piece_is_refused(photo, monkeypatch):
    assert whole_part(photo, factor=2, support=3).width == 101
    monkeypatch.setattr(module, "_MOST_WIDTH", 202)
    with pytest.raises(ImageError, match="is 203 pixels wide, too wide to learn from; cut it into pieces"):
        whole_part(photo, factor=2, support=3)
