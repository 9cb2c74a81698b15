"""Routes: every fast route gives the plain layer's pixels, and a route that does not is never used."""

import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from support.environment import ENVIRONMENT, FINDS_SUPPORT, NOT_COMPILED
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels

from upsample_cli import upsample
from upsample_cli.engine.exact import Arithmetic, exact_form
from upsample_cli.engine.routes import compiled, select
from upsample_cli.engine.routes.agreement import agrees
from upsample_cli.engine.routes.compiled import CompiledRoute
from upsample_cli.engine.routes.plain import PlainRoute
from upsample_cli.engine.routes.row_phases import RowPhaseRoute
from upsample_cli.engine.routes.select import chosen_route
from upsample_cli.engine.routes.uniform_alpha import UniformAlphaRoute
from upsample_cli.kernels.kernel import kernel_named, spread

UINT8 = np.dtype(np.uint8)
PIXEL_TYPES = [np.uint8, np.uint16]
FACTORS = [1, 2, 3, 4, 5, 6, 7, 8, 11]
SHAPES = [(1, 1), (1, 70), (67, 1), (2, 3), (17, 11), (5, 130)]


@pytest.fixture(autouse=True)
def _forget_routes():
    for cached in (select._chosen, select._built):
        cached.cache_clear()
    yield
    for cached in (select._chosen, select._built):
        cached.cache_clear()


def applied(route, tile, kernel, arithmetic):
    """The enlarged core of a padded tile; fails if anything next to it was written."""
    height, width = ((length - 2 * kernel.halo) * kernel.factor for length in tile.shape[:2])
    around = np.full((height, width + 6, tile.shape[2]), 77, tile.dtype)
    route(tile, around[:, 3:-3])
    assert (around[:, :3] == 77).all()
    assert (around[:, -3:] == 77).all()
    return around[:, 3:-3]


def hostile_tiles(kernel, channels, pixel_type):
    largest = np.iinfo(pixel_type).max
    for height, width in SHAPES:
        shape = (height + 2 * kernel.halo, width + 2 * kernel.halo, channels)
        yield hostile_pixels(shape, pixel_type)
        yield np.full(shape, largest, pixel_type)
    chessboard = np.indices((19, 13)).sum(0) % 2 * largest
    yield np.repeat(chessboard[..., None], channels, axis=2).astype(pixel_type)
    spike = np.zeros((9, 7, channels), dtype=pixel_type)
    spike[4, 3, channels - 1] = largest
    yield spike


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", ["bilinear", "nearest"])
def test_fast_routes_equal_the_plain_layer_on_hostile_tiles(name, factor, pixel_type, has_alpha):
    kernel = kernel_named(name, factor)
    arithmetic = Arithmetic(np.dtype(pixel_type), kernel.denominator, has_alpha)
    plain = PlainRoute(kernel, arithmetic)
    for channels in (1, 2, 3, 4, 5):
        routes = []
        for kind in select._fast_routes(arithmetic):
            # no compiled module, or channels that are not colours with alpha
            with suppress(RuntimeError, AttributeError, ValueError):
                routes.append(kind(kernel, arithmetic, channels))
        tiles = list(hostile_tiles(kernel, channels, pixel_type))
        expected = [applied(plain, tile, kernel, arithmetic) for tile in tiles]
        for route in routes:
            found = [applied(route, tile, kernel, arithmetic) for tile in tiles]
            assert agrees(route, plain, kernel, arithmetic, channels)
            for pair in zip(found, expected, strict=True):
                assert_same_pixels(*pair)


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_fast_routes_of_float_pixels_equal_the_plain_layer_within_rounding(factor, dtype, has_alpha):
    kernel = kernel_named("bilinear", factor)
    arithmetic = Arithmetic(np.dtype(dtype), kernel.denominator, has_alpha)
    for channels in (1, 3, 4):
        for height, width in SHAPES:
            shape = (height + 2 * kernel.halo, width + 2 * kernel.halo, channels)
            tile = np.random.default_rng(5).random(shape, dtype) + dtype(0.1)
            expected = applied(PlainRoute(kernel, arithmetic), tile, kernel, arithmetic)
            found = applied(RowPhaseRoute(kernel, arithmetic, channels), tile, kernel, arithmetic)
            # At most nine products of numbers with one sign, summed in another order, for both dividend and divisor.
            np.testing.assert_allclose(found, expected, rtol=20 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("factor", FACTORS)
def test_the_plain_route_gives_the_exact_pixels(factor, pixel_type, monkeypatch):
    monkeypatch.setattr(select, "_fast_routes", lambda _arithmetic: [])
    pixels = hostile_pixels((17, 11, 4), pixel_type)
    for has_alpha in (False, True):
        expected = expected_pixels(pixels, factor, has_alpha=has_alpha)
        assert_same_pixels(upsample(pixels, factor, has_alpha=has_alpha), expected)


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_fast_route_is_chosen_on_a_cpu(is_compiled, monkeypatch):
    if not is_compiled:
        monkeypatch.setattr(compiled, "instruction_sets", list)
    elif not compiled.instruction_sets():
        pytest.skip(NOT_COMPILED)
    bilinear, lanczos = kernel_named("bilinear", 2), kernel_named("lanczos3", 2)
    words = chosen_route(bilinear, Arithmetic(np.dtype(np.uint16), 16), 3)
    assert type(words) is (CompiledRoute if is_compiled else RowPhaseRoute)
    picked = chosen_route(bilinear, Arithmetic(UINT8, 16), 3)
    assert (type(picked) is CompiledRoute) == is_compiled
    assert type(picked) is not PlainRoute
    # a kernel with its own grid is not an outer product
    direct = chosen_route(*exact_form(lanczos, np.dtype(np.uint16)), 3)
    assert type(direct) is (CompiledRoute if is_compiled else RowPhaseRoute)
    dense = spread(bilinear, 3, is_dense=True)
    assert type(chosen_route(dense, Arithmetic(np.dtype(np.uint16), 16), 3)) is RowPhaseRoute


# -- a route that is wrong or fails ------------------------------------------------------------------------------------


class OneLevelTooLow(RowPhaseRoute):
    """Wrong by one level in one pixel of a large tile."""

    def __call__(self, padded, out):
        super().__call__(padded, out)
        out[-1, -1, -1] -= 1


class Truncating(RowPhaseRoute):
    """Omits the rounding term."""

    def __call__(self, padded, out):
        plain = PlainRoute(kernel_named("bilinear", 2), Arithmetic(np.dtype(np.float32), 16))
        plain(padded.astype(np.float32), found := out.astype(np.float32))
        out[...] = found


def raising(error, *, at_once):
    class Raising(RowPhaseRoute):
        def __init__(self, *args):
            if at_once:
                raise error
            super().__init__(*args)

        def __call__(self, *_):
            raise error

    return Raising


BROKEN = {
    "one level too low in one pixel": OneLevelTooLow,
    "truncates": Truncating,
    "not implemented": raising(NotImplementedError("no such kernel"), at_once=False),
    "no operator in this build": raising(AttributeError("no attribute 'qconv_prepack'"), at_once=True),
    "refused when made": raising(RuntimeError("could not create a primitive"), at_once=True),
    "refused when run": raising(RuntimeError("could not create a primitive"), at_once=False),
    "other arguments than today": raising(TypeError("takes 3 arguments"), at_once=True),
    "another schema than today": raising(ValueError("schema"), at_once=False),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_route_is_skipped_and_the_pixels_are_correct(fault, monkeypatch):
    kernel, pixels = kernel_named("bilinear", 2), hostile_pixels((17, 11, 3), np.uint8)
    monkeypatch.setattr(select, "_fast_routes", lambda _arithmetic: [BROKEN[fault]])
    assert type(chosen_route(kernel, Arithmetic(UINT8, 16), 3)) is PlainRoute
    assert_same_pixels(upsample(pixels, 2), expected_pixels(pixels, 2))


@pytest.mark.parametrize("fault", BROKEN)
def test_the_next_fastest_route_is_tried(fault, monkeypatch):
    monkeypatch.setattr(select, "_fast_routes", lambda _arithmetic: [BROKEN[fault], RowPhaseRoute])
    assert type(chosen_route(kernel_named("bilinear", 2), Arithmetic(UINT8, 16), 3)) is RowPhaseRoute


@pytest.mark.parametrize("fault", ["one level too low in one pixel", "truncates"])
def test_without_the_check_wrong_pixels_are_returned(fault, monkeypatch):
    monkeypatch.setattr(select, "_fast_routes", lambda _arithmetic: [BROKEN[fault]])
    monkeypatch.setattr(select, "agrees", lambda *_: True)
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    with pytest.raises(AssertionError):
        assert_same_pixels(upsample(pixels, 2), expected_pixels(pixels, 2))


# -- alpha ------------------------------------------------------------------------------------------------------------


class Recording:
    name = "recording"
    bytes_per_value = 1
    is_compiled = False

    def __init__(self):
        self.calls = 0

    def __call__(self, *_):
        self.calls += 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_tiles_with_one_positive_alpha_use_the_straight_route(dtype):
    ways = {}
    for label, alpha in {"opaque": [[255, 255]], "even": [[9, 9]], "clear": [[0, 0]], "mixed": [[9, 8]]}.items():
        straight, premultiplied = Recording(), Recording()
        tile = np.concatenate([np.ones((1, 2, 3)), np.array(alpha)[..., None]], axis=2).astype(dtype)
        UniformAlphaRoute(straight, premultiplied)(tile, np.empty_like(tile))
        ways[label] = (straight.calls, premultiplied.calls)
    # colour under alpha 0 must become zero, which only the premultiplied route does
    assert ways == {"opaque": (1, 0), "even": (1, 0), "clear": (0, 1), "mixed": (0, 1)}


@pytest.mark.parametrize("border", ["replicate", "reflect", "zeros"])
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("alpha", [0, 1, 7, -1])
def test_uniform_alpha_is_exact_on_every_border(alpha, pixel_type, border):
    pixels = hostile_pixels((7, 11, 4), pixel_type)
    pixels[..., 3] = alpha % (np.iinfo(pixel_type).max + 1)
    for factor in (2, 3):
        expected = expected_pixels(pixels, factor, border=border, has_alpha=True)
        assert_same_pixels(upsample(pixels, factor, border=border, has_alpha=True), expected)


# -- NaN and infinity --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd_one", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("factor", [2, 3])
def test_nan_and_infinity_affect_only_the_pixels_that_depend_on_them(factor, odd_one):
    image = np.ones((9, 7, 3), dtype=np.float32)
    image[4, 3, 1] = odd_one
    found = upsample(image, factor)
    affected = np.zeros(found.shape, dtype=bool)
    reach = factor // 2  # the kernel's 2s - s % 2 outputs extend this far around the outputs of the pixel
    affected[4 * factor - reach : 5 * factor + reach, 3 * factor - reach : 4 * factor + reach, 1] = True
    assert (np.isfinite(found) == ~affected).all()
    assert (found[~affected] == 1).all()


# -- processors -------------------------------------------------------------------------------------------------------

OTHER_PROCESSOR = """
import numpy as np, torch
torch.set_num_threads(1)
from support.environment import ENVIRONMENT, FINDS_SUPPORT, NOT_COMPILED
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from upsample_cli.engine.routes import select
from upsample_cli import upsample
fast = select._fast_routes
select._fast_routes = lambda arithmetic: [route for route in fast(arithmetic) if route is not select.CompiledRoute]
for factor in (2, 3, 4, 6, 11):
    for channels in (1, 3, 4):
        pixels = hostile_pixels((17, 41, channels), np.uint8)
        assert_same_pixels(upsample(pixels, factor), expected_pixels(pixels, factor))
print("exact")
"""


@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE"])
def test_pixels_are_exact_on_older_processors(instructions):
    # Without VNNI, pairs of products can saturate in 16 bits; a variable makes oneDNN ignore newer instructions.
    ran = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESSOR],
        env=ENVIRONMENT | FINDS_SUPPORT | {"ONEDNN_MAX_CPU_ISA": instructions},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == ("exact\n", 0), ran.stderr


@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
@pytest.mark.parametrize(("factor", "channels", "pixel_type"), [(2, 4, np.uint8), (4, 4, np.uint8), (10, 2, np.uint16)])
def test_a_route_whose_rows_end_wrong_is_noticed(factor, channels, pixel_type, vector_bytes):
    """Its last bytes, which do not fill a vector, are zero."""
    kernel, arithmetic = exact_form(kernel_named("bilinear", factor), np.dtype(pixel_type))
    plain = PlainRoute(kernel, arithmetic)

    def wrong(padded, out):
        plain(padded, out)
        row = out.reshape(len(out), -1).view(np.uint8)
        row[:, row.shape[1] // vector_bytes * vector_bytes :] = 0

    assert agrees(plain, plain, kernel, arithmetic, channels)
    is_whole = factor * channels * np.dtype(pixel_type).itemsize % vector_bytes == 0  # at every width
    assert agrees(wrong, plain, kernel, arithmetic, channels) == is_whole
