"""Row phases in blocks of pixels: the sums of the layer with any blocks, interleaved in the right order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles import assert_same_pixels

from upsample_cli.engine.exact import Arithmetic, exact_form
from upsample_cli.engine.pytorch import torch_layer
from upsample_cli.engine.routes.phases import Blocks, best_blocks, row_phases
from upsample_cli.engine.routes.plain import PlainRoute, layer_settings, layer_weight
from upsample_cli.engine.routes.row_phases import RowPhaseRoute
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.kernels.of_weights import kernel_of_weights

UINT8, FLOAT64 = np.dtype(np.uint8), np.dtype(np.float64)


def sums_of_the_layer(kernel, tile):
    """The core of the output of `nn.ConvTranspose2d` for a padded tile (height, width, channels) of integers."""
    layer = torch_layer(layer_weight(kernel, FLOAT64), **layer_settings(kernel))
    numbers = torch.from_numpy(tile.astype(np.float64)).permute(2, 0, 1)
    sums = layer(numbers[:, None])[:, 0] if kernel.channels == 1 else layer(numbers[None])[0]
    crop = kernel.halo * kernel.factor
    return sums.permute(1, 2, 0)[crop : sums.shape[1] - crop, crop : sums.shape[2] - crop].numpy()


def sums_in_blocks(kernel, blocks, tile):
    """The same sums by row phases."""
    channels = tile.shape[2]
    height, width = (length - 2 * kernel.halo for length in tile.shape[:2])
    numbers = blocks.grouped(blocks.widened(tile, width)[None])
    out = np.full((height * kernel.factor, width * kernel.factor, channels), -1.0)
    mixing, bias = np.eye(channels), np.arange(channels, dtype=np.float64)
    for number, phase in enumerate(row_phases(kernel, blocks, mixing, bias)):
        phase.write(phase.convolved(numbers, height), out[number :: kernel.factor])
    return out - bias


def tile_of(kernel, height, width, channels):
    shape = (height + 2 * kernel.halo, width + 2 * kernel.halo, channels)
    return np.random.default_rng(3).integers(0, 256, shape).astype(np.float64)


def blocks_of(kernel, pixels, group, kind=Blocks):
    return kind(pixels, group, kernel.factor, kernel.halo, kernel.padding)


@st.composite
def cases(draw):
    name, factor = draw(st.sampled_from(["bilinear", "nearest", "bicubic", "lanczos3"])), draw(st.integers(1, 5))
    kernel, _ = exact_form(kernel_named(name, factor), UINT8)
    group = draw(st.integers(1, 4))
    pixels = group * draw(st.integers(1, 5))
    return kernel, blocks_of(kernel, pixels, group), draw(st.integers(1, 3)), draw(st.integers(1, 23))


@given(cases(), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_any_blocks_give_the_sums_of_the_layer(case, channels):
    kernel, blocks, height, width = case
    tile = tile_of(kernel, height, width, channels)
    assert np.array_equal(sums_in_blocks(kernel, blocks, tile), sums_of_the_layer(kernel, tile))


@given(cases())
@settings(max_examples=150, deadline=None)
def test_blocks_cover_the_core_and_every_block_is_needed(case):
    kernel, blocks, _, width = case
    padded = blocks.padded_width(width)
    count = (padded - blocks.columns) // blocks.pixels + 1
    assert padded % blocks.group == 0
    assert padded >= width + 2 * kernel.halo
    assert blocks.offset + width * kernel.factor <= count * blocks.pixels * kernel.factor
    one_fewer = padded - blocks.group
    if one_fewer >= width + 2 * kernel.halo:
        fewer = (one_fewer - blocks.columns) // blocks.pixels + 1
        assert blocks.offset + width * kernel.factor > fewer * blocks.pixels * kernel.factor


class OneOutputEarly(Blocks):
    """Writes its outputs one position too early."""

    @property
    def offset(self):
        return super().offset + 1


def test_outputs_written_one_position_off_are_detected():
    kernel = kernel_named("bilinear", 3)
    tile = tile_of(kernel, 3, 17, 3)
    phases = row_phases(kernel, blocks_of(kernel, 3, 1), np.eye(3), np.zeros(3))
    off = [phase._replace(blocks=blocks_of(kernel, 3, 1, OneOutputEarly)) for phase in phases]
    for found, is_right in ((phases, True), (off, False)):
        out = np.zeros((9, 51, 3))
        for number, phase in enumerate(found):
            numbers = phase.blocks.grouped(phase.blocks.widened(tile, 17)[None])
            phase.write(phase.convolved(numbers, 3), out[number::3])
        assert np.array_equal(out, sums_of_the_layer(kernel, tile)) == is_right


@pytest.mark.parametrize("is_dense", [False, True])
def test_kernels_with_weights_for_each_channel_use_blocks_too(is_dense):
    shape = (3, 3 if is_dense else 1, 5, 5)
    weights = np.random.default_rng(8).integers(-9, 10, shape) / 16
    kernel = kernel_of_weights("mine", 3, weights.flatten().tolist(), shape)
    tile = tile_of(kernel, 5, 11, 3)
    for pixels in (1, 2, 3):
        found = sums_in_blocks(kernel, blocks_of(kernel, pixels, 1), tile)
        assert np.array_equal(found, sums_of_the_layer(kernel, tile))


def test_blocks_fill_vectors_and_grey_pixels_are_grouped():
    # 16 sums per vector. RGB at x2: 2 pixels have 12 sums, 1 has 6. RGBA at x4: 1 pixel has 16. Grey at x2: 8 pixels
    # have 16, in groups of 2, because a convolution over one channel wastes steps.
    def chosen(factor, channels):
        blocks = best_blocks(kernel_named("bilinear", factor), channels)
        return blocks.pixels, blocks.group

    assert {case: chosen(*case) for case in ((2, 3), (4, 4), (2, 1), (2, 2))} == {
        (2, 3): (2, 1),
        (4, 4): (1, 1),
        (2, 1): (8, 2),
        (2, 2): (4, 1),
    }
    assert chosen(64, 3) == chosen(64, 1) == (1, 1)  # more sums than the registers hold, with any blocks


# -- separate channels -------------------------------------------------------------------------------------------------


def route_and_tile(channels, pixel_dtype=UINT8, name="lanczos3"):
    kernel, arithmetic = exact_form(kernel_named(name, 2), pixel_dtype)
    tile = tile_of(kernel, 5, 37, channels).astype(pixel_dtype)
    return RowPhaseRoute(kernel, arithmetic, channels), kernel, arithmetic, tile


def pixels_by(route, kernel, tile):
    out = np.zeros((10, 74, tile.shape[2]), tile.dtype)
    route(tile, out)
    return out


@pytest.mark.parametrize(("channels", "is_planar"), [(1, False), (3, False), (17, True), (32, True)])
def test_many_channels_are_convolved_separately(channels, is_planar):
    route, kernel, arithmetic, tile = route_and_tile(channels)
    assert route._is_planar == is_planar
    plain = PlainRoute(kernel, arithmetic)
    assert_same_pixels(pixels_by(route, kernel, tile), pixels_by(plain, kernel, tile))


def test_channels_with_float64_sums_are_convolved_separately():
    route, kernel, arithmetic, tile = route_and_tile(3, np.dtype(np.uint16), "bicubic")
    assert (arithmetic.sum_dtype, route._is_planar) == (FLOAT64, True)
    plain = PlainRoute(kernel, arithmetic)
    assert_same_pixels(pixels_by(route, kernel, tile), pixels_by(plain, kernel, tile))


@pytest.mark.parametrize("interleaving", [-100, 100])
def test_interleaved_and_separate_channels_give_the_same_pixels(interleaving, monkeypatch):
    expected = pixels_by(*[route_and_tile(5)[index] for index in (0, 1, 3)])
    monkeypatch.setattr("upsample_cli.engine.routes.row_phases._INTERLEAVING", interleaving)
    route, kernel, _, tile = route_and_tile(5)
    assert route._is_planar == (interleaving < 0)
    assert_same_pixels(pixels_by(route, kernel, tile), expected)


def test_alpha_keeps_channels_together():
    kernel = kernel_named("bilinear", 2)
    assert not RowPhaseRoute(kernel, Arithmetic(np.dtype(np.uint16), 16, has_alpha=True), 4)._is_planar
