"""The compiled network: the numbers of numpy's int64, with every instruction set, and no access outside its memory."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.environment import NOT_COMPILED
from support.networks import Network, expected_detail, expected_sum, random_network

from upsample_cli.engine.routes import compiled
from upsample_cli.engine.routes.compiled import instruction_sets

pytestmark = pytest.mark.skipif(not instruction_sets(), reason=NOT_COMPILED)
INSTRUCTIONS = instruction_sets() or [None]  # None: skipped because of `pytestmark`
every_set = pytest.mark.parametrize("instructions", INSTRUCTIONS)
PIXEL_TYPES = [np.uint8, np.uint16]
SIZES = [(1, 1), (1, 9), (7, 1), (5, 4), (2, 23), (4, 17)]


def random_luma(height, width, network, seed=0):
    """Luma with the rim that the network needs, in a part of a larger array."""
    rim = 2 * network.rim
    made = np.random.default_rng(seed).integers(0, 256, (height + rim, width + rim + 5), np.uint8)
    return made[:, 2:-3]


def detail_of(luma, network, instructions, *, module=None):
    height, width = (side - 2 * network.rim for side in luma.shape)
    out = np.full((height + 2, width, network.factor**2), 77, np.int32)
    net_detail = (module or compiled.native).net_detail
    net_detail(luma, network.layers, network.weight, network.offset, out[1:-1], instructions)
    assert (out[[0, -1]] == 77).all()
    return out[1:-1]


def sum_of(pixels, network, detail, instructions, *, module=None):
    height, width, channels = (*(side - 6 for side in pixels.shape[:2]), pixels.shape[2])
    around = np.full((height * network.factor + 2, width * network.factor + 2, channels), 77, pixels.dtype)
    out = around[1:-1, 1:-1]
    (module or compiled.native).net_combine(pixels, network.linear, detail, network.bits, out, instructions)
    outside = around.copy()
    outside[1:-1, 1:-1] = 77
    assert (outside == 77).all()
    return out


@every_set
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 7, 8, 13, 24, 32])
def test_detail_is_exact(channels, factor, instructions):
    for layer_count, size in zip((1, 2, 3, 4, 1, 16 if channels == 1 else 2), SIZES, strict=True):
        network = random_network(factor, channels, layer_count, seed=channels)
        luma = random_luma(*size, network)
        assert np.array_equal(detail_of(luma, network, instructions), expected_detail(luma, network))


@every_set
@pytest.mark.parametrize("width", [255, 256, 257, 515])
def test_detail_is_exact_at_every_width_around_that_of_a_strip(width, instructions):
    """`net_detail.h` computes 256 columns at a time."""
    network = random_network(2, 8, 2, seed=width)
    luma = random_luma(3, width, network)
    assert np.array_equal(detail_of(luma, network, instructions), expected_detail(luma, network))


@every_set
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("shift", [0, 15, 31])
def test_the_largest_sums_are_exact(shift, sign, instructions):
    """All activations are 255, and all weights as large as they can be."""
    channels = 32
    filled = np.full(channels, 255 * 9 * 127, np.int32)  # the first layer makes 0 of white
    layers = [(np.full((channels, 1, 3, 3), -127, np.int8), filled + 2**13 - 1, np.full(channels, 5, np.uint8))]
    weight = np.full((channels, channels, 3, 3), sign * 127, np.int8)
    bias = np.full(channels, sign * (2**24 - 1 - 255 * 127 * 9 * channels), np.int32)
    layers += [(weight, bias, np.full(channels, shift, np.uint8))] * 2
    network = Network(layers, np.full((4, channels, 3, 3), -127, np.int8), np.array([-7_000_000, 0, 1, 7]), None, 11)
    network = network._replace(offset=network.offset.astype(np.int32))
    for luma in (random_luma(3, 9, network), np.zeros((11, 17), np.uint8), np.full((11, 17), 255, np.uint8)):
        assert np.array_equal(detail_of(luma, network, instructions), expected_detail(luma, network))


@every_set
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_sum_is_exact(channels, factor, pixel_type, instructions):
    network = random_network(factor, 8, 1, seed=channels, bits=8 + factor + channels)
    random = np.random.default_rng(channels)
    most = np.iinfo(pixel_type).max
    for height, width in (*SIZES, (2, 255), (1, 256), (2, 257)):
        pixels = random.integers(0, most, (height + 6, width + 9, channels), pixel_type, endpoint=True)[:, 2:-1]
        detail = random.integers(-(2**network.bits) * 99, 2**network.bits * 99, (height, width, factor**2), np.int32)
        expected = expected_sum(pixels, network, detail)
        assert np.array_equal(sum_of(pixels, network, detail, instructions), expected)
        assert width < 9 or 0 < expected.mean() < most


@every_set
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("bits", [8, 11, 20])
def test_sums_of_any_numbers_are_exact(bits, pixel_type, instructions):
    """The largest weights, pixels and details that the types hold."""
    most = np.iinfo(pixel_type).max
    details = np.array([-(2**31), 2**31 - 1, -(2**30) - 1, 2**30 + 1, -(2**22), 2**22, 2**16, 0], np.int32)
    for weight in (-(2**15), -1, 0, 1, 2**15 - 1):
        network = random_network(2, 8, 1, seed=1)._replace(linear=np.full((4, 7, 7), weight, np.int16), bits=bits)
        for value in (0, 1, most - 1, most):
            pixels = np.full((8, 10, 3), value, pixel_type)
            detail = np.resize(details, (2, 4, 4))
            made = sum_of(pixels, network, detail, instructions)
            assert np.array_equal(made, expected_sum(pixels, network, detail))


@pytest.mark.parametrize("part", ["weights", "biases", "shifts", "detail", "offsets"])
def test_one_wrong_number_changes_the_detail(part):
    """The control of the tests above."""
    network = random_network(3, 13, 3, seed=1)
    luma = random_luma(9, 9, network)
    arrays = dict(zip(("weights", "biases", "shifts"), network.layers[1], strict=True))
    arrays |= {"detail": network.weight, "offsets": network.offset}
    expected = expected_detail(luma, network)
    arrays[part].flat[-1] += 9000 if part == "biases" else 1
    assert not np.array_equal(detail_of(luma, network, INSTRUCTIONS[0]), expected)
    assert np.array_equal(detail_of(luma, network, INSTRUCTIONS[0]), expected_detail(luma, network))


def test_one_wrong_weight_changes_the_sum():
    network = random_network(2, 8, 1, seed=1)
    pixels = np.random.default_rng(1).integers(0, 256, (15, 15, 3), np.uint8)
    detail = np.zeros((9, 9, 4), np.int32)
    expected = expected_sum(pixels, network, detail)
    network.linear[3, 6, 6] += 64
    assert not np.array_equal(sum_of(pixels, network, detail, INSTRUCTIONS[0]), expected)


def test_several_threads_compute_at_once():
    networks = [random_network(2, 24, 2, seed=seed) for seed in range(4)]
    lumas = [random_luma(40, 70, network, seed) for seed, network in enumerate(networks)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(detail_of, lumas * 4, networks * 4, INSTRUCTIONS[:1] * 16))
    expected = [expected_detail(luma, network) for luma, network in zip(lumas, networks, strict=True)]
    assert all(np.array_equal(found, expected[at % 4]) for at, found in enumerate(made))


@pytest.mark.parametrize("name", ["avx1024", "", "AVX2"])
def test_an_instruction_set_that_is_not_there_is_refused(name):
    network = random_network(2, 8, 2, seed=1)
    with pytest.raises(ValueError, match="was not compiled, or this processor does not have it"):
        detail_of(random_luma(3, 3, network), network, name)
    with pytest.raises(ValueError, match="was not compiled, or this processor does not have it"):
        sum_of(np.zeros((9, 9, 3), np.uint8), network, np.zeros((3, 3, 4), np.int32), name)


def test_without_a_name_the_fastest_is_taken():
    network = random_network(2, 8, 2, seed=1)
    luma, out = random_luma(3, 3, network), np.zeros((3, 3, 4), np.int32)
    compiled.native.net_detail(luma, network.layers, network.weight, network.offset, out)
    assert np.array_equal(out, expected_detail(luma, network))


def strided(array, shape, strides):
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def misaligned(array):
    """The same numbers at misaligned addresses."""
    return np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)


def over(out, array):
    """An array of the same shape in the memory of the output, or beyond its end."""
    strides = np.empty(array.shape, array.dtype).strides
    start = out.view(np.uint8).reshape(-1)[: array.itemsize].view(array.dtype)
    return strided(start, array.shape, strides)


def with_layer(given, **changed):
    """The second layer with other arrays."""
    names = ("weight", "bias", "shift")
    layer = dict(zip(names, given["layers"][1], strict=True)) | {
        name: change(given["layers"][1][names.index(name)]) for name, change in changed.items()
    }
    return given | {"layers": [given["layers"][0], tuple(layer.values()), *given["layers"][2:]]}


def changed(name, change):
    return lambda given: given | {name: change(given[name])}


DETAIL_REFUSED = {
    "luma of another type": changed("luma", lambda luma: luma.astype(np.int8)),
    "luma of another byte order": changed("luma", lambda luma: luma.astype(">u2")),
    "luma of another width": changed("luma", lambda luma: luma[:, :-1]),
    "luma of another height": changed("luma", lambda luma: luma[1:]),
    "luma with columns apart": changed("luma", lambda luma: luma.repeat(2, axis=1)[:, ::2]),
    "luma from the bottom up": changed("luma", lambda luma: luma[::-1]),
    "luma of one row": changed("luma", lambda luma: strided(luma, luma.shape, (0, 1))),
    "luma of rows that overlap": changed("luma", lambda luma: strided(luma, luma.shape, (luma.shape[1] - 1, 1))),
    "luma with an axis more": changed("luma", lambda luma: luma[..., None]),
    "a size beyond 64 bits": changed("luma", lambda luma: strided(luma, (2**61, 13), (13, 1))),
    "no luma": changed("luma", lambda luma: luma[:0]),
    "luma that gives no memory": changed("luma", lambda luma: luma.tolist()),
    "no layers": changed("layers", lambda layers: layers[:0]),
    "a layer less": changed("layers", lambda layers: layers[:-1]),
    "too many layers": changed("layers", lambda layers: layers * 9),
    "a layer that is a list": changed("layers", lambda layers: [list(layer) for layer in layers]),
    "a layer without a shift": changed("layers", lambda layers: [layer[:2] for layer in layers]),
    "layers that are not listed": changed("layers", lambda _: None),
    "a first layer of many inputs": changed("layers", lambda layers: layers[1:] + layers[1:2]),
    "a later layer of one input": changed("layers", lambda layers: layers[:1] * 2 + layers[2:]),
    "a layer of fewer outputs": lambda given: with_layer(given, weight=lambda weight: weight[:-1]),
    "filters of another height": lambda given: with_layer(given, weight=lambda weight: weight[:, :, :2].copy()),
    "weights that are apart": lambda given: with_layer(given, weight=lambda weight: weight.repeat(2, axis=0)[::2]),
    "weights in another order": lambda given: with_layer(given, weight=lambda weight: weight.swapaxes(0, 1)),
    "weights of another type": lambda given: with_layer(given, weight=lambda weight: weight.view(np.uint8)),
    "fewer biases": lambda given: with_layer(given, bias=lambda bias: bias[1:]),
    "biases of another type": lambda given: with_layer(given, bias=lambda bias: bias.astype(np.float32)),
    "misaligned biases": lambda given: with_layer(given, bias=misaligned),
    "a bias beyond exact sums": lambda given: with_layer(given, bias=lambda bias: bias + 2**24),
    "a negative bias beyond exact sums": lambda given: with_layer(
        given, bias=lambda bias: np.full_like(bias, -(2**31))
    ),
    "biases that are apart": lambda given: with_layer(given, bias=lambda bias: bias.repeat(2)[::2]),
    "fewer shifts": lambda given: with_layer(given, shift=lambda shift: shift[1:]),
    "a shift of 32": lambda given: with_layer(given, shift=lambda shift: shift * 0 + 32),
    "details of fewer channels": changed("weight", lambda weight: weight[:, 1:].copy()),
    "details of another number": changed("weight", lambda weight: weight[1:]),
    "details that are apart": changed("weight", lambda weight: weight.repeat(2, axis=0)[::2]),
    "an offset beyond exact sums": changed("offset", lambda offset: offset - 2**24),
    "fewer offsets": changed("offset", lambda offset: offset[1:]),
    "an output of another type": changed("out", lambda out: out.astype(np.int64)),
    "an output of floats": changed("out", lambda out: out.view(np.float32)),
    "an output of another width": changed("out", lambda out: out[:, 1:]),
    "an output of five phases": changed("out", lambda out: np.resize(out, (3, 5, 5))),
    "an output with rows apart": changed("out", lambda out: out.repeat(2, axis=0)[::2]),
    "an output from the bottom up": changed("out", lambda out: out[::-1]),
    "an empty output": changed("out", lambda out: out[:0]),
    "an output of one row": changed("out", lambda out: strided(out, out.shape, (0, *out.strides[1:]))),
    "an output that cannot be written": changed(
        "out", lambda out: np.frombuffer(out.tobytes(), np.int32).reshape(out.shape)
    ),
    "luma in the output": lambda given: given | {"luma": over(given["out"], given["luma"])},
    "offsets in the output": lambda given: given | {"offset": over(given["out"], given["offset"])},
    "biases in the output": lambda given: with_layer(given, bias=lambda bias: over(given["out"], bias)),
}

SUM_REFUSED = {
    "pixels of another type": changed("pixels", lambda pixels: pixels.astype(np.int16)),
    "pixels of floats": changed("pixels", lambda pixels: pixels.astype(np.float32)),
    "pixels of another byte order": lambda given: (
        given | {"pixels": given["pixels"].astype(">u2"), "out": given["out"].astype(np.uint16)}
    ),
    "pixels of another width": changed("pixels", lambda pixels: pixels[:, 1:]),
    "pixels of another height": changed("pixels", lambda pixels: pixels[1:]),
    "pixels from the bottom up": changed("pixels", lambda pixels: pixels[::-1]),
    "pixels that are apart": changed("pixels", lambda pixels: pixels.repeat(2, axis=1)[:, ::2]),
    "five channels": lambda given: (
        given | {name: np.zeros((*given[name].shape[:2], 5), np.uint8) for name in ("pixels", "out")}
    ),
    "no channels": lambda given: given | {name: given[name][..., :0] for name in ("pixels", "out")},
    "a kernel of another size": changed("linear", lambda linear: linear[:, :6].copy()),
    "a kernel of another number": changed("linear", lambda linear: linear[1:]),
    "a kernel of another type": changed("linear", lambda linear: linear.view(np.uint16)),
    "kernels that are apart": changed("linear", lambda linear: linear.repeat(2, axis=0)[::2]),
    "a detail of another type": changed("detail", lambda detail: detail.astype(np.float32)),
    "a detail of another height": changed("detail", lambda detail: detail[1:]),
    "a detail of five phases": changed("detail", lambda detail: np.resize(detail, (3, 5, 5))),
    "a detail that is apart": changed("detail", lambda detail: detail.repeat(2, axis=0)[::2]),
    "a misaligned detail": changed("detail", misaligned),
    "no rows": lambda given: (
        given | {"pixels": given["pixels"][:6], "detail": given["detail"][:0], "out": given["out"][:0]}
    ),
    "too few bits": changed("bits", lambda _: 7),
    "too many bits": changed("bits", lambda _: 21),
    "an output of another type": changed("out", lambda out: out.astype(np.uint16)),
    "an output of another width": changed("out", lambda out: out[:, 1:]),
    "an output of another height": changed("out", lambda out: out[1:]),
    "an output of other channels": changed("out", lambda out: out[..., :2].copy()),
    "an output with columns apart": changed("out", lambda out: out.repeat(2, axis=1)[:, ::2]),
    "an output from the bottom up": changed("out", lambda out: out[::-1]),
    "an output of one row": changed("out", lambda out: strided(out, out.shape, (0, *out.strides[1:]))),
    "an output of rows that overlap": changed("out", lambda out: strided(out, out.shape, (29, *out.strides[1:]))),
    "rows that end beyond 64 bits": changed("out", lambda out: strided(out, out.shape, (2**61, *out.strides[1:]))),
    "an output that cannot be written": changed(
        "out", lambda out: np.frombuffer(out.tobytes(), np.uint8).reshape(out.shape)
    ),
    "pixels in the output": lambda given: given | {"pixels": over(given["out"], given["pixels"])},
    "a detail in the output": lambda given: given | {"detail": over(given["out"], given["detail"])},
}


@pytest.mark.parametrize("fault", [None, *DETAIL_REFUSED])
def test_invalid_arguments_of_the_detail_are_refused_before_memory_is_accessed(fault):
    network = random_network(2, 8, 3, seed=1)
    luma = random_luma(3, 5, network)
    given = {
        "luma": luma, "layers": network.layers, "weight": network.weight, "offset": network.offset,
        "out": np.full((3, 5, 4), 77, np.int32),
    }  # fmt: skip
    if fault is None:  # the control
        compiled.native.net_detail(*given.values())
        assert np.array_equal(given["out"], expected_detail(luma, network))
        return
    with pytest.raises((ValueError, TypeError, BufferError)):
        compiled.native.net_detail(*DETAIL_REFUSED[fault](given).values())
    assert (given["out"] == 77).all()


@pytest.mark.parametrize("fault", [None, *SUM_REFUSED])
def test_invalid_arguments_of_the_sum_are_refused_before_memory_is_accessed(fault):
    network = random_network(2, 8, 1, seed=1)
    given = {
        "pixels": np.full((9, 11, 3), 5, np.uint8), "linear": network.linear, "detail": np.zeros((3, 5, 4), np.int32),
        "bits": network.bits, "out": np.full((6, 10, 3), 77, np.uint8),
    }  # fmt: skip
    if fault is None:  # the control
        compiled.native.net_combine(*given.values())
        assert (given["out"] == 5).all()
        return
    with pytest.raises((ValueError, TypeError, BufferError)):
        compiled.native.net_combine(*SUM_REFUSED[fault](given).values())
    assert (given["out"] == 77).all()
