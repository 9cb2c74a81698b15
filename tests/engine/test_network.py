"""Networks of whole numbers: every route gives the definition's pixels, however the image is cut."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.network_files import expected, network_file, random_network

from upsample_cli import upsample
from upsample_cli.engine import cores, pool
from upsample_cli.engine.exact import Arithmetic, form_for_pixels
from upsample_cli.engine.routes import network_select
from upsample_cli.engine.routes.compiled import instruction_sets
from upsample_cli.engine.routes.network import ConvolvedNumbers, MultipliedNumbers, NetworkRoute
from upsample_cli.engine.routes.network_compiled import CompiledNetworkRoute
from upsample_cli.engine.routes.network_select import chosen_network_route
from upsample_cli.engine.routes.network_whole import WholeRoute, agrees_with_whole
from upsample_cli.engine.routes.plain import PlainRoute
from upsample_cli.engine.torch_device import TensorNumbers, TorchSupport, device_layer
from upsample_cli.errors import UsageError
from upsample_cli.kernels.choice import chosen_kernel

BORDERS = ("replicate", "reflect", "wrap", "zeros")
is_compiled = pytest.mark.skipif(not instruction_sets(), reason="the package was installed without a compiler")


@pytest.fixture(scope="module")
def file_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")

    @functools.cache
    def made(factor, channels=5, layers=2):
        path = folder / f"{factor}-{channels}-{layers}.safetensors"
        return network_file(path, random_network(factor, channels, layers, seed=factor), factor)

    return made


def pixels_of(shape, dtype="uint8", seed=0):
    """Noise, with extremes at the left."""
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    pixels[:, : shape[1] // 3] = np.where(pixels[:, : shape[1] // 3] > np.iinfo(dtype).max // 2, np.iinfo(dtype).max, 0)
    return pixels


def partly_opaque(shape, dtype="uint8"):
    pixels = pixels_of(shape, dtype)
    pixels[4:, : shape[1] * 2 // 3, -1] = np.iinfo(dtype).max
    return pixels


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_the_definition(factor, dtype, channels, file_of):
    pixels = pixels_of((13, 19, channels), dtype)
    for border in BORDERS:
        found = upsample(pixels, factor, kernel=file_of(factor), border=border)
        assert np.array_equal(found, expected(file_of(factor), pixels, factor, border=border))
    wrong = pixels.copy()
    wrong[6, 9] ^= 64
    assert not np.array_equal(found, expected(file_of(factor), wrong, factor, border=border))


@pytest.mark.parametrize("layers", [1, 4, 7])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 1), (1, 40, 3)])
def test_images_smaller_than_the_halo_and_deeper_trunks(layers, shape, file_of):
    path, pixels = file_of(2, 3, layers), pixels_of(shape)
    for border in BORDERS:
        assert np.array_equal(upsample(pixels, 2, kernel=path, border=border), expected(path, pixels, 2, border=border))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("factor", [2, 3])
def test_detail_is_added_only_where_everything_around_is_opaque(factor, channels, dtype, file_of):
    pixels = partly_opaque((27, 31, channels), dtype)
    for border in BORDERS:
        found = upsample(pixels, factor, kernel=file_of(factor), border=border, has_alpha=True)
        assert np.array_equal(found, expected(file_of(factor), pixels, factor, border=border, alpha=True))


def test_hidden_colours_do_not_change_visible_pixels(file_of):
    pixels = partly_opaque((27, 31, 4))
    pixels[10:14, 10:14, 3] = 0
    hidden = pixels.copy()
    hidden[10:14, 10:14, :3] ^= 255
    one, other = (upsample(image, 2, kernel=file_of(2), has_alpha=True) for image in (pixels, hidden))
    assert np.array_equal(one, other)
    hidden[10:14, 10:14, 3] = 1  # not hidden: the comparison can fail
    assert not np.array_equal(one, upsample(hidden, 2, kernel=file_of(2), has_alpha=True))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_opaque_image_is_that_without_alpha(dtype, file_of):
    pixels = pixels_of((15, 17, 3), dtype)
    opaque = np.dstack([pixels, np.full((15, 17, 1), np.iinfo(dtype).max, dtype)])
    found = upsample(opaque, 3, kernel=file_of(3), has_alpha=True)
    assert np.array_equal(found[..., :3], upsample(pixels, 3, kernel=file_of(3)))
    assert (found[..., 3] == np.iinfo(dtype).max).all()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_flat_images_stay_flat(factor, file_of):
    for level in (0, 1, 127, 254, 255):
        for dtype in ("uint8", "uint16"):
            flat = np.full((5, 6, 3), level * (257 if dtype == "uint16" else 1), dtype)
            assert (upsample(flat, factor, kernel=file_of(factor)) == flat[0, 0, 0]).all()


@pytest.mark.parametrize("channels", [3, 4])
def test_tiles_and_memory_do_not_change_pixels(channels, file_of):
    pixels = partly_opaque((41, 53, channels))
    for border in ("replicate", "wrap"):
        enlarged = functools.partial(upsample, pixels, 2, kernel=file_of(2), border=border, has_alpha=channels == 4)
        whole = enlarged()
        for settings in ({"tile": 1 + 6}, {"tile": 23}, {"memory": "1M"}):
            assert np.array_equal(enlarged(**settings), whole)


@pytest.mark.parametrize("count", [1, 5])
def test_the_number_of_threads_does_not_change_pixels(count, file_of, monkeypatch):
    pool._started_pool.cache_clear()
    monkeypatch.setattr(cores, "core_count", lambda: count)
    pixels = pixels_of((61, 43, 3))
    try:
        found = upsample(pixels, 2, kernel=file_of(2), tile=16)
        assert np.array_equal(found, expected(file_of(2), pixels, 2))
    finally:
        pool.compute_pool().shutdown()
        pool._started_pool.cache_clear()


# -- routes -----------------------------------------------------------------------------------------------------------


def routes(path, factor, dtype, channels, device=None):
    network, arithmetic = form_for_pixels(chosen_kernel(path, factor), np.dtype(dtype))
    plain = PlainRoute(network.linear, arithmetic)
    yield WholeRoute(network, arithmetic, channels)
    for numbers in (ConvolvedNumbers(), MultipliedNumbers()):
        yield NetworkRoute("a", network, arithmetic, channels, numbers, plain)
    for instructions in instruction_sets():
        yield CompiledNetworkRoute(network, arithmetic, channels, instructions=instructions)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_route_gives_the_definition_in_strips_too(dtype, channels, file_of, monkeypatch):
    path, pixels = file_of(3, 6, 3), pixels_of((17, 21, channels), dtype)
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="edge")
    wanted = expected(path, pixels, 3)
    monkeypatch.setattr("upsample_cli.engine.routes.network._STRIP_PIXELS", 29 * 5)
    for route in routes(path, 3, dtype, channels):
        out = np.zeros_like(wanted)
        route(padded, out)
        assert np.array_equal(out, wanted), route.name


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_code_of_other_devices_gives_the_definition(dtype, file_of):
    """On the CPU: what CUDA and MPS run, with torch's operators on tensors."""
    path, pixels = file_of(2), pixels_of((17, 21, 3), dtype)
    network, arithmetic = form_for_pixels(chosen_kernel(path, 2), np.dtype(dtype))
    cpu = torch.device("cpu")
    route = NetworkRoute("a", network, arithmetic, 3, TensorNumbers(cpu), device_layer(network.linear, arithmetic, cpu))
    padded = torch.from_numpy(np.pad(pixels, ((3, 3), (3, 3), (0, 0)), mode="edge"))
    out = torch.zeros((34, 42, 3), dtype=padded.dtype)
    with torch.inference_mode():
        route(padded, out)
    assert np.array_equal(out.numpy(), expected(path, pixels, 2))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_on_other_devices_gives_the_definition(dtype, file_of):
    path, pixels = file_of(2), partly_opaque((27, 31, 4), dtype)
    network, arithmetic = form_for_pixels(chosen_kernel(path, 2), np.dtype(dtype), has_alpha=True)
    route = TorchSupport("cpu").route(network, arithmetic, 4, "auto")
    padded = torch.from_numpy(np.pad(pixels, ((3, 3), (3, 3), (0, 0)), mode="edge"))
    out = torch.zeros((54, 62, 4), dtype=padded.dtype)
    with torch.inference_mode():
        route(padded, out)
    assert np.array_equal(out.numpy(), expected(path, pixels, 2, alpha=True))


def spoiled(route_class, where):
    """A route whose network has one other weight."""

    class Spoiled(route_class):
        def __init__(self, network, *rest, **settings):
            if where == "detail":
                detail = network.detail.copy()
                detail[0, 0, 1, 1] ^= 1
                network = replace(network, detail=detail)
            else:
                layers = [layer._replace(weight=layer.weight.copy()) for layer in network.layers]
                layers[where].weight[0, 0, 1, 1] ^= 1
                network = replace(network, layers=tuple(layers))
            super().__init__(network, *rest, **settings)

    return Spoiled


@is_compiled
@pytest.mark.parametrize("where", ["detail", 0, 1])
def test_one_wrong_weight_is_found_and_the_compiled_route_not_used(where, file_of, monkeypatch):
    path = file_of(2)
    network, arithmetic = form_for_pixels(chosen_kernel(path, 2), np.dtype(np.uint8))
    assert chosen_network_route(network, arithmetic, 3).name == "compiled"
    network_select._chosen.cache_clear()
    monkeypatch.setattr(network_select, "CompiledNetworkRoute", spoiled(CompiledNetworkRoute, where))
    try:
        assert chosen_network_route(network, arithmetic, 3).name == "layer"
        with pytest.raises(UsageError, match="its pixels differ from those of whole numbers"):
            chosen_network_route(network, arithmetic, 3, "compiled")
    finally:
        network_select._chosen.cache_clear()


def test_a_wrong_convolution_is_replaced_by_products_and_by_whole_numbers(file_of, monkeypatch):
    """An algorithm that rounds intermediate results, as Winograd's do, is one of the errors that this finds."""
    network, arithmetic = form_for_pixels(chosen_kernel(file_of(2), 2), np.dtype(np.uint8))

    def rounding(kind):
        correct = kind.convolution
        return lambda self, *arguments: correct(self, *arguments) * np.float32(1 - 2**-20)

    network_select._chosen.cache_clear()
    try:
        for kind, name in ((ConvolvedNumbers, "products"), (MultipliedNumbers, "whole numbers")):
            monkeypatch.setattr(kind, "convolution", rounding(kind))
            assert chosen_network_route(network, arithmetic, 1, "layer").name == name
            network_select._chosen.cache_clear()
    finally:
        network_select._chosen.cache_clear()


def test_the_oracle_sees_one_changed_weight(file_of, tmp_path):
    tensors = random_network(2, 5, 2, seed=2)
    pixels = pixels_of((9, 9, 3))
    before = expected(file_of(2), pixels, 2)
    tensors["trunk.1.weight"][0, 0, 1, 1] ^= 1
    tensors["detail.offset"] *= 0  # no longer valid, but the oracle does not check
    other = network_file(tmp_path / "a.safetensors", tensors, 2)
    assert not np.array_equal(expected(other, pixels, 2), before)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((5, 5, 3), "float32", "for whole pixels of 8 or 16 bits"),
        ((5, 5, 4), "uint8", "alpha only if colour is premultiplied"),
        ((5, 5, 2), "uint8", "alpha only if colour is premultiplied"),
        ((5, 5, 5), "uint8", "it needs luma"),
    ],
)
def test_pixels_without_luma_are_refused_in_one_line(shape, dtype, message, file_of):
    with pytest.raises(UsageError, match=message):
        upsample(np.zeros(shape, dtype), 2, kernel=file_of(2))


def test_a_network_has_no_gradient(file_of):
    from upsample_cli.engine.layer import enlarged_by_layer

    with pytest.raises(UsageError, match="for whole pixels"):
        enlarged_by_layer(torch.zeros(3, 4, 4, requires_grad=True), chosen_kernel(file_of(2), 2), "replicate")


def test_bytes_per_value_include_the_activations(file_of):
    """24 channels of float32, several times, outweigh the three output channels."""
    network, _ = form_for_pixels(chosen_kernel(file_of(2, 24, 2), 2), np.dtype(np.uint8))
    arithmetic = Arithmetic(np.dtype(np.uint8), 2**11, overshoots=True)
    plain = PlainRoute(network.linear, arithmetic)
    route = NetworkRoute("a", network, arithmetic, 3, ConvolvedNumbers(), plain)
    assert route.bytes_per_value * 3 * 4 >= 2 * 24 * 4 + 3 * 4 * 4
    assert agrees_with_whole(route, network, arithmetic, 3)
