"""Other sizes with kernels that are not separable, and with networks: the enlargement is a step of its own."""

import numpy as np
import pytest
from support.compiled_resize import made_at
from support.environment import NOT_COMPILED
from support.oracles import assert_same_pixels, hostile_pixels
from support.resizing import expected_behind_layer, layer_sums

from upsample_cli.engine import resize
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import FLOAT32, FLOAT64, exact_form, form_for_pixels
from upsample_cli.engine.resize_axes import filter_for
from upsample_cli.engine.routes import compiled, select
from upsample_cli.engine.routes.agreement import applied
from upsample_cli.engine.routes.compiled import CompiledSums, instruction_sets
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.kernels.choice import chosen_kernel
from upsample_cli.kernels.kernel import Kernel, kernel_named, spread

needs_compiled = pytest.mark.skipif(not instruction_sets(), reason=NOT_COMPILED)
INSTRUCTIONS = instruction_sets() or [None]  # None: skipped because of `needs_compiled`
PIXEL_TYPES = [np.uint8, np.uint16]


def form_of_sums(kernel, pixel_type, *, has_alpha=False):
    made, arithmetic = exact_form(kernel, np.dtype(pixel_type), has_alpha=has_alpha)
    return made, resize._of_first_step(made, arithmetic)


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize(("channels", "has_alpha"), [(1, False), (3, False), (7, False), (2, True), (4, True)])
def test_sums_are_those_of_a_transposed_convolution(channels, has_alpha, pixel_type, instructions):
    """At widths around a block of vectors."""
    for name, factor in (("lanczos3", 2), ("fitted", 3), ("lanczos2", 5)):
        kernel, arithmetic = form_of_sums(kernel_named(name, factor), pixel_type, has_alpha=has_alpha)
        route = CompiledSums(kernel, arithmetic, channels, instructions=instructions)
        for width in (1, 5, 31, 33):
            tile = hostile_pixels((2 + 2 * kernel.halo, width + 2 * kernel.halo, channels), pixel_type)
            found = applied(route, tile, kernel, arithmetic)
            assert found.dtype == (FLOAT32 if pixel_type == np.uint8 and not has_alpha else FLOAT64)
            planes = layer_sums(tile, kernel, has_alpha=has_alpha)
            assert np.array_equal(found, np.stack(planes, axis=2).astype(np.float64))


@needs_compiled
@pytest.mark.parametrize("border", [border for border in BORDERS if border != "wrap"])
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("kernel", ["lanczos3", "fitted"])
def test_pixels_are_exact(kernel, pixel_type, border):
    for channels, has_alpha in ((1, False), (3, False), (2, True), (4, True)):
        pixels = hostile_pixels((9, 11, channels), pixel_type)
        chosen, _ = exact_form(kernel_named(kernel, 2), pixels.dtype, has_alpha=has_alpha)
        exact = expected_behind_layer(pixels, (13, 17), chosen, border, has_alpha=has_alpha)
        assert_same_pixels(made_at(pixels, (13, 17), kernel, border, has_alpha=has_alpha), exact)
    other, _ = exact_form(kernel_named("lanczos2", 2), pixels.dtype, has_alpha=True)
    assert (expected_behind_layer(pixels, (13, 17), other, border, has_alpha=True) != exact).any()  # the control


@needs_compiled
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel", ["lanczos3", "net"])
def test_any_border_gives_the_pixels_of_the_matrices(kernel, border):
    """Over several bands, of the enlargement and of the reduction, with opaque and transparent parts."""
    pixels = hostile_pixels((120, 700, 4), np.uint8)
    pixels[30:, 300:, 3] = 255
    pixels[60:, :, 3] = 0
    chosen, arithmetic = form_for_pixels(chosen_kernel(kernel, 2), pixels.dtype, has_alpha=True)
    settings = Settings(chosen, border, "cpu")

    def rows(first, last):
        return pixels[first:last]

    ways = []
    given = (pixels.shape, (180, 1051))
    bands = resize.resized_bands(
        rows, *given, settings=settings, arithmetic=arithmetic, weigh=filter_for(kernel), on_route=ways.append
    )
    found = np.concatenate(list(bands))
    assert set(ways) == {"compiled"}
    products = resize.bands_by_products(rows, *given, settings, arithmetic, filter_for(kernel))
    assert_same_pixels(found, np.concatenate(list(products)))


@needs_compiled
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("kernel", ["bilinear", "lanczos3"])
def test_transparent_parts_are_zero_up_to_their_edge(kernel, pixel_type):
    """Wider than what is computed together. Their colours must not be seen, also beside a faint pixel."""
    pixels = np.full((40, 400, 4), 200, pixel_type)
    pixels[..., 3] = 0
    pixels[:, 390:, 3] = 1
    made = made_at(pixels, (60, 600), kernel, has_alpha=True)
    assert not made[:, :560].any()
    assert made[:, 590:].all()
    assert_same_pixels(made, made_at(pixels, (60, 600), kernel, has_alpha=True, by_products=True))


@needs_compiled
def test_sums_are_used_only_if_they_agree_with_the_layer(monkeypatch):
    pixels = hostile_pixels((21, 30, 3), np.uint8)
    right = made_at(pixels, (31, 44), "lanczos3")
    real = compiled.native

    class Wrong:
        instruction_sets = staticmethod(real.instruction_sets)
        resample = staticmethod(real.resample)

        @staticmethod
        def enlarge_sums(instructions, padded, out, *settings_):
            real.enlarge_sums(instructions, padded, out, *settings_)
            out[0, 0, 0] += 1

    caches = (resize._agreeing, resize._agrees, select._chosen, select._built)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr(compiled, "native", Wrong)
    kernel, arithmetic = form_of_sums(kernel_named("lanczos3", 2), np.uint8)
    assert select.chosen_route(kernel, arithmetic, 3).name == "layer"
    assert_same_pixels(made_at(pixels, (31, 44), "lanczos3"), right)
    for cached in caches:
        cached.cache_clear()


# Not separable, and so small that float32 would hold the sums of 16-bit pixels.
SMALL = Kernel("small", 2, (0, 1, 1, 0, 1, 6, 6, 1, 1, 6, 6, 1, 0, 1, 1, 0), 8, 1)


def made_and_routes(kernel, pixels, size, engine="auto"):
    """The pixels at another size, the names of the routes, and the arithmetic."""
    kernel, arithmetic = exact_form(kernel, pixels.dtype)
    settings, routes = Settings(kernel, "replicate", "cpu", engine=engine), []
    bands = resize.resized_bands(
        lambda first, last: pixels[first:last], pixels.shape, size,
        settings=settings, arithmetic=arithmetic, weigh=filter_for("lanczos3"), on_route=routes.append,
    )  # fmt: skip
    return np.concatenate(list(bands)), set(routes), arithmetic


@needs_compiled
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
def test_kernels_with_small_weights_are_computed_by_compiled_code(pixel_type):
    pixels = hostile_pixels((9, 11, 3), pixel_type)
    found, routes, arithmetic = made_and_routes(SMALL, pixels, (13, 17), "compiled")
    assert arithmetic.sum_dtype == FLOAT32
    assert routes == {"compiled"}
    assert_same_pixels(found, expected_behind_layer(pixels, (13, 17), SMALL))


@needs_compiled
def test_a_layer_whose_sums_are_reduced_is_named():
    """A kernel for each channel is run by the layer only."""
    pixels, kernel = hostile_pixels((9, 11, 3), np.uint8), kernel_named("lanczos3", 2)
    by_layer, routes, _ = made_and_routes(spread(kernel, 3, is_dense=False), pixels, (13, 17))
    assert routes == {"compiled", "layer"}
    compiled_only, others, _ = made_and_routes(kernel, pixels, (13, 17))
    assert others == {"compiled"}  # the control
    assert_same_pixels(by_layer, compiled_only)


def changed(**settings_):
    return lambda given: {**given, **settings_}


REFUSED = {
    "unknown pixels": changed(pixel_bytes=4),
    "sums of another type": lambda given: {**given, "out": given["out"].astype(np.int16)},
    "float32 for 16 bits": changed(pixel_bytes=2),
    "alpha in float32": changed(has_alpha=True),
    "too few pixels": lambda given: {**given, "padded": given["padded"][:-1]},
    "too few weights": lambda given: {**given, "weights": given["weights"][:-1]},
    "too few first inputs": lambda given: {**given, "firsts": given["firsts"][:-1]},
    "inputs far outside": lambda given: {**given, "firsts": given["firsts"] + 9},
    "inputs before the tile": lambda given: {**given, "firsts": given["firsts"] - 1},
    "no taps": changed(taps=0),
    "a factor of zero": changed(factor=0),
    "a window larger than memory": changed(window=2**31 - 1),
    "numbers apart": lambda given: {**given, "out": given["out"].repeat(2, axis=1)[:, ::2]},
    "an output that is not aligned": lambda given: {
        **given,
        "out": np.zeros(8 * 10 * 3 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(8, 10, 3),
    },
    "rows that are not aligned": lambda given: {
        **given,
        "out": np.lib.stride_tricks.as_strided(np.zeros(2000, np.float32), (8, 10, 3), (122, 12, 4)),
    },
    "an output over its weights": lambda given: {**given, "out": given["weights"].reshape(4, 2, 2, 1)[0, :, :]},
}


@needs_compiled
@pytest.mark.parametrize("fault", [None, *REFUSED])
def test_invalid_arguments_are_refused_before_memory_is_accessed(fault):
    given = {
        "padded": np.ones((6, 7, 3), np.uint8), "out": np.full((8, 10, 3), 77, np.float32), "pixel_bytes": 1,
        "factor": 2, "taps": 2, "window": 3, "firsts": np.array([0, 1], np.int32),
        "weights": np.ones((2, 2, 2, 2), np.float32), "has_alpha": False,
    }  # fmt: skip
    if fault is None:  # the control
        compiled.native.enlarge_sums(instruction_sets()[0], *given.values())
        assert (given["out"] == 4).all()
        return
    with pytest.raises((ValueError, BufferError)):
        compiled.native.enlarge_sums(instruction_sets()[0], *REFUSED[fault](given).values())
    assert (given["out"] == 77).all()
    assert (given["weights"] == 1).all()
