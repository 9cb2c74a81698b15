"""`upsample`: every pixel compared with the oracle, with any tiles, and every kind of tensor and array."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from torch import nn
from torch.nn import functional

import upsample_cli
from upsample_cli import upsample
from upsample_cli.errors import DeviceError, UpsampleError, UsageError
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.kernels.profiles import PROFILES

PIXEL_TYPES = [np.uint8, np.uint16]


def array(rows, dtype=np.uint8):
    return np.array(rows, dtype=dtype)


# -- golden pixels ----------------------------------------------------------------------------------------------------


def test_golden_pixels_at_2():
    # Outputs are at -1/4, 1/4, 3/4 and 5/4 between the two pixels; outside, the edge pixels are repeated.
    assert upsample(array([[0, 100]]), 2).tolist() == [[0, 25, 75, 100]] * 2
    # A quarter of 1, 2 and 3 is 0.25, 0.5 and 0.75: halves are rounded up.
    assert upsample(array([[0, 1]]), 2)[0].tolist() == [0, 0, 1, 1]
    assert upsample(array([[0, 2]]), 2)[0].tolist() == [0, 1, 2, 2]
    # 3/4 of 2 is 1.5: half up gives 2, half to even too; 1/4 of 10 is 2.5: half up 3, half to even 2.
    assert upsample(array([[0, 10]]), 2)[0].tolist() == [0, 3, 8, 10]


def test_golden_pixels_at_3():
    # Outputs are on the pixels and a third away from them.
    assert upsample(array([[0, 90, 30]]), 3)[0].tolist() == [0, 0, 30, 60, 90, 70, 50, 30, 30]


def test_golden_edge_of_the_bare_layer():
    # Zeros outside: 3/4 of 100 on an edge, 9/16 of it, 56.25, in a corner.
    found = upsample(array([[100] * 3] * 2), 2, border="zeros")
    assert found[0].tolist() == [56, 75, 75, 75, 75, 56]
    assert found[1].tolist() == [75, 100, 100, 100, 100, 75]


def test_golden_reflection():
    # Mirrored about the edge pixel, 0 | 100 continues to the left as 100: a quarter of the way there is 25.
    assert upsample(array([[0, 100, 40]]), 2, border="reflect")[0].tolist() == [25, 25, 75, 85, 55, 55]


def test_golden_alpha():
    # Opaque red next to transparent green: the green must not bleed in, only the opacity falls off.
    pixels = array([[[200, 0, 0, 255], [0, 200, 0, 0]]])
    found = upsample(pixels, 2, has_alpha=True)
    assert found[0].tolist() == [[200, 0, 0, 255], [200, 0, 0, 191], [200, 0, 0, 64], [0, 0, 0, 0]]
    # Weights 3 and 1 at opacities 100 and 200: (3*100*40 + 1*200*90) / (3*100 + 1*200) = 60; opacity (300 + 200) / 4.
    found = upsample(array([[[40, 100], [90, 200]]]), 2, has_alpha=True)
    assert found[0, 1].tolist() == [60, 125]


# -- the oracle -------------------------------------------------------------------------------------------------------


def test_the_oracle_agrees_with_golden_pixels():
    assert expected_pixels(array([[[0], [10]]]), 2)[0, :, 0].tolist() == [0, 3, 8, 10]
    assert expected_pixels(array([[[0], [100], [40]]]), 2, border="reflect")[0, :, 0].tolist() == [
        25,
        25,
        75,
        85,
        55,
        55,
    ]
    assert expected_pixels(array([[[100]]]), 2, border="zeros")[..., 0].tolist() == [[56, 56], [56, 56]]
    assert expected_pixels(array([[[40, 100], [90, 200]]]), 2, has_alpha=True)[0, 1].tolist() == [60, 125]


@pytest.mark.parametrize("factor", range(1, MAX_FACTOR + 1))
def test_every_factor_is_exact(factor):
    for turn, pixel_type in enumerate(PIXEL_TYPES):
        pixels = hostile_pixels((5, 3, 4), pixel_type, seed=factor)
        border = BORDERS[(factor + turn) % len(BORDERS)]
        for has_alpha in (False, True):
            expected = expected_pixels(pixels, factor, border=border, has_alpha=has_alpha)
            assert_same_pixels(upsample(pixels, factor, border=border, has_alpha=has_alpha), expected)


@st.composite
def cases(draw):
    """Pixels, and keywords that both `upsample` and the oracle understand."""
    channels = draw(st.integers(1, 5))
    shape = (draw(st.integers(1, 39)), draw(st.integers(1, 31)), channels)
    pixels = hostile_pixels(shape, draw(st.sampled_from(PIXEL_TYPES)), draw(st.integers(0, 9)))
    keywords = {"border": draw(st.sampled_from(BORDERS)), "kernel": draw(st.sampled_from(["bilinear", "nearest"]))}
    return pixels, draw(st.integers(1, 9)), keywords | {"has_alpha": channels > 1 and draw(st.booleans())}


ONE_PIXEL = (hostile_pixels((1, 1, 4), np.uint8), 2, {"border": "reflect", "has_alpha": True})


@given(cases(), st.sampled_from([None, 1, 2, 3, 7, 16]))
@example(ONE_PIXEL, 1)
@settings(max_examples=250)
def test_pixels_are_exact_with_any_tiles(case, tile):
    pixels, factor, keywords = case
    if tile in {1, 2}:
        pixels = pixels[:13, :9]  # many tiles are slow
    assert_same_pixels(upsample(pixels, factor, tile=tile, **keywords), expected_pixels(pixels, factor, **keywords))


@given(cases(), st.integers(0, 400_000))
@settings(max_examples=80)
def test_pixels_are_exact_within_any_budget(case, spare_bytes):
    pixels, factor, keywords = case
    with pytest.raises(UsageError) as raised:
        upsample(pixels, factor, memory=1, **keywords)
    least = int(re.search(r"memory_bytes=(\d+)", str(raised.value))[1])
    found = upsample(pixels, factor, memory=least + spare_bytes, **keywords)
    assert_same_pixels(found, expected_pixels(pixels, factor, **keywords))


@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("kernel", PROFILES)
@pytest.mark.parametrize("border", ["replicate", "reflect"])
def test_flat_images_stay_flat_to_the_border(border, kernel, pixel_type):
    largest = int(np.iinfo(pixel_type).max)
    for factor in (2, 3, 6, 11, 14):  # with 1/121 and 1/784, multiplication by the reciprocal would be too small
        for level in (0, 1, largest // 2, largest - 1, largest):
            found = upsample(np.full((3, 5), level, dtype=pixel_type), factor, kernel=kernel, border=border, tile=2)
            assert np.unique(found).tolist() == [level]


def test_a_larger_image_is_exact_in_the_default_bands():
    pixels = hostile_pixels((701, 913, 3), np.uint8)
    assert_same_pixels(upsample(pixels, 2), expected_pixels(pixels, 2))


# -- negative controls: each wrong variant must fail the same check ---------------------------------------------------


def torch_layer(pixels, kernel_size, padding, border, *, rounding=True):
    """8-bit pixels through a bare layer at factor 3 or 2, with one pixel of border padded before and cropped after."""
    factor = (kernel_size + 1) // 2
    half = kernel_size % 2 or 0.5
    taps = 1 - (torch.arange(kernel_size) - factor + half).abs() / factor
    layer = nn.ConvTranspose2d(1, 1, kernel_size, stride=factor, padding=padding, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.outer(taps, taps))
        numbers = torch.from_numpy(pixels).permute(2, 0, 1)[:, None].double()
        pad_mode = {"wrap": "circular", "zeros": "constant"}.get(border, border)
        sums = layer(functional.pad(numbers, (1, 1, 1, 1), mode=pad_mode))[:, 0].permute(1, 2, 0)
    height, width = (length * factor for length in pixels.shape[:2])
    sums = sums[factor : factor + height, factor : factor + width]
    # doubles are off by about 1e-13, and exact values are multiples of 1/36 or 1/16: a shift of 1e-6 restores halves
    return (sums + 0.5 + 1e-6 if rounding else sums + 1e-6).floor().numpy().astype(np.uint8)


@pytest.mark.parametrize(("kernel_size", "padding"), [(4, 1), (5, 1)])
def test_the_bare_layer_of_torch_passes_the_same_check(kernel_size, padding):
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    for border in BORDERS:
        expected = expected_pixels(pixels, (kernel_size + 1) // 2, border=border)
        assert_same_pixels(torch_layer(pixels, kernel_size, padding, border), expected)


@pytest.mark.parametrize(
    ("label", "kernel_size", "padding", "border", "rounding"),
    [
        ("zeros instead of replicate", 4, 1, "zeros", True),
        ("reflect instead of replicate", 4, 1, "reflect", True),
        ("wrap instead of replicate", 4, 1, "wrap", True),
        ("truncated instead of rounded", 4, 1, "replicate", False),
        ("kernel 2s and padding s//2 for an odd factor", 6, 1, "replicate", True),
        ("one pixel off", 5, 0, "replicate", True),
    ],
)
def test_a_wrong_layer_is_detected(label, kernel_size, padding, border, rounding):
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    found = torch_layer(pixels, kernel_size, padding, border, rounding=rounding)
    expected = expected_pixels(pixels, (kernel_size + 1) // 2)
    assert found.shape == expected.shape
    with pytest.raises(AssertionError, match="numbers differ"):
        assert_same_pixels(found, expected)


def test_alpha_that_is_not_premultiplied_is_detected():
    pixels = hostile_pixels((17, 11, 4), np.uint8)
    with pytest.raises(AssertionError, match="numbers differ"):
        assert_same_pixels(upsample(pixels, 2, has_alpha=False), expected_pixels(pixels, 2, has_alpha=True))


def test_alpha_that_stays_premultiplied_is_detected():
    pixels = hostile_pixels((17, 11, 4), np.uint8)
    premultiplied = pixels.copy()
    premultiplied[..., :3] = pixels[..., :3].astype(int) * pixels[..., 3:] // 255
    with pytest.raises(AssertionError, match="numbers differ"):
        assert_same_pixels(upsample(premultiplied, 2), expected_pixels(pixels, 2, has_alpha=True))


# -- floating point ---------------------------------------------------------------------------------------------------


def floats(*shape, dtype=torch.float64):
    """Numbers in [0.25, 1), so that relative errors are meaningful."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=dtype) * 0.75 + 0.25


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7, 8, 16, 33, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_equal_interpolate_within_rounding(factor, dtype):
    image = floats(2, 3, 7, 5, dtype=dtype)
    theirs = functional.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)
    # Ours: nine products and their sum, ten roundings. Torch's: coordinates up to 7 are rounded on two axes, between
    # neighbours that differ by up to three times the smaller one, plus eight roundings.
    tolerance = (10 + 2 * 7 * 3 + 8) * torch.finfo(dtype).eps
    torch.testing.assert_close(upsample(image, factor), theirs, rtol=tolerance, atol=0)
    shifted = functional.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=True)
    if factor > 1:
        with pytest.raises(AssertionError):
            torch.testing.assert_close(upsample(image, factor), shifted, rtol=tolerance, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_rounded_once(dtype):
    image = floats(3, 7, 5).to(dtype)
    found = upsample(image, 3)
    assert found.dtype == dtype
    assert torch.equal(found, upsample(image.float(), 3).to(dtype))


def test_8_bit_pixels_equal_the_rounded_floats():
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    rounded = np.floor(upsample(pixels.astype(np.float64), 2) + 0.5).astype(np.uint8)  # sixteenths are exact in binary
    assert_same_pixels(upsample(pixels, 2), rounded)


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("tile", [1, 2, 7])
def test_tiles_change_floats_only_by_rounding(tile, has_alpha):
    # Integers are identical to the last bit; the order of float sums depends on the tile.
    image = floats(17, 11, 4).numpy()
    for factor in (2, 3):
        whole = upsample(image, factor, has_alpha=has_alpha)
        cut = upsample(image, factor, has_alpha=has_alpha, tile=tile)
        # nine products and their sum, twice where a division by alpha follows
        np.testing.assert_allclose(cut, whole, rtol=20 * np.finfo(np.float64).eps, atol=0)


def test_floats_may_have_any_value_and_are_not_clamped():
    image = np.array([[-3.0, 5.0], [1e30, -1e-30]])
    assert upsample(image, 1).tolist() == image.tolist()
    assert upsample(image[:1], 2)[0].tolist() == [-3, -1, 3, 5]


# -- every kind of tensor and array ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
@pytest.mark.parametrize("shape", [(7, 11), (3, 7, 11), (1, 3, 7, 11), (2, 3, 7, 11), (5, 1, 7, 11)])
def test_tensors_keep_their_axes(shape, dtype):
    largest = 255 if dtype == torch.uint8 else 65535
    tensor = torch.from_numpy(np.random.default_rng(1).integers(0, largest + 1, shape)).to(dtype)
    found = upsample(tensor, 3)
    assert found.shape == (*shape[:-2], 21, 33)
    assert (found.dtype, found.device) == (dtype, tensor.device)
    assert found.is_contiguous()
    assert not found.is_inference()
    planes = tensor.reshape(-1, 7, 11)
    for plane, result in zip(planes, found.reshape(-1, 21, 33), strict=True):
        alone = upsample(plane.numpy(), 3)
        # one channel and three may sum floats in different orders: at most nine products
        tolerance = 10 * torch.finfo(dtype).eps if dtype.is_floating_point else 0
        np.testing.assert_allclose(result.numpy(), alone, rtol=tolerance, atol=0)


@pytest.mark.parametrize("count", [1, 2])
def test_channels_last_tensors_stay_channels_last(count):
    tensor = torch.from_numpy(hostile_pixels((count, 7, 11, 3), np.uint8)).permute(0, 3, 1, 2)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    found = upsample(tensor, 2)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, upsample(tensor.contiguous(), 2))
    assert upsample(tensor.contiguous(), 2).is_contiguous()
    assert upsample(
        tensor[..., :1, :1].contiguous(), 2
    ).is_contiguous()  # one pixel has both layouts and counts as contiguous


def test_alpha_of_a_tensor_is_its_last_channel():
    pixels = hostile_pixels((7, 11, 4), np.uint8)
    found = upsample(torch.from_numpy(pixels).permute(2, 0, 1), 2, has_alpha=True)
    assert_same_pixels(found.permute(1, 2, 0).numpy(), expected_pixels(pixels, 2, has_alpha=True))


def test_the_result_of_a_tensor_with_a_graph_is_detached():
    leaf = floats(3, 5, 7).requires_grad_()
    found = upsample(leaf * 1, 2)
    assert not found.requires_grad
    found.requires_grad_()  # the result may start another graph
    (found * found).sum().backward()
    assert leaf.grad is None


def _as_field(pixels):
    records = np.zeros(pixels.shape, dtype=[("tag", np.uint8), ("pixel", pixels.dtype)])
    records["pixel"] = pixels
    return records["pixel"]


MEMORY_LAYOUTS = {
    "contiguous": lambda pixels: pixels,
    "fortran": np.asfortranarray,
    "flipped": lambda pixels: pixels[::-1, ::-1].copy()[::-1, ::-1],
    "every second": lambda pixels: np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)[::2, ::2],
    "channels first": lambda pixels: np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0),
    "channels reversed": lambda pixels: pixels[..., ::-1].copy()[..., ::-1],
    "other byte order": lambda pixels: pixels.astype(pixels.dtype.newbyteorder()),
    "a field of a record": _as_field,
}


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("way", MEMORY_LAYOUTS)
def test_arrays_may_have_any_memory_layout(way, pixel_type, writable):
    pixels = hostile_pixels((7, 11, 4), pixel_type)
    given_array = MEMORY_LAYOUTS[way](pixels)
    given_array.flags.writeable = writable
    before = given_array.copy()
    found = upsample(given_array, 2, has_alpha=True)
    assert_same_pixels(found, expected_pixels(pixels, 2, has_alpha=True))
    assert found.dtype.isnative
    assert (given_array == before).all()


def test_a_broadcast_array_is_enlarged():
    found = upsample(np.broadcast_to(np.uint8(9), (5, 7, 3)), 2)
    assert (found == 9).all()
    assert found.shape == (10, 14, 3)


def test_grey_arrays_may_have_two_or_three_axes():
    pixels = hostile_pixels((7, 11, 1), np.uint8)
    expected = expected_pixels(pixels, 2)
    assert_same_pixels(upsample(pixels, 2), expected)
    assert_same_pixels(upsample(pixels[..., 0], 2), expected[..., 0])


def test_images_with_many_channels_are_exact():
    pixels = hostile_pixels((7, 5, 37), np.uint8)
    assert_same_pixels(upsample(pixels, 2), expected_pixels(pixels, 2))


def test_factor_one_is_a_copy():
    pixels = hostile_pixels((7, 11, 3), np.uint8)
    found = upsample(pixels, 1)
    assert_same_pixels(found, pixels)
    assert not np.shares_memory(found, pixels)


def test_numpy_integers_are_accepted():
    pixels = hostile_pixels((7, 11, 3), np.uint8)
    found = upsample(pixels, np.int64(2), tile=np.int32(3), memory=np.int64(10**9))
    assert_same_pixels(found, expected_pixels(pixels, 2))


def test_a_device_may_be_a_torch_device():
    pixels = hostile_pixels((7, 11, 3), np.uint8)
    assert_same_pixels(upsample(pixels, 2, device=torch.device("cpu")), upsample(pixels, 2, device="cpu"))


# -- invalid arguments -------------------------------------------------------------------------------------------------

SMALL = np.zeros((3, 5), np.uint8)

WRONG_IMAGES = {
    "is not an image": [[[1, 2]], None, "photo.jpg", 3, b"pixels"],
    "cannot be enlarged": [
        np.zeros((0, 5), np.uint8),
        np.zeros((3, 0, 3), np.uint8),
        np.zeros((3, 5, 0), np.uint8),
        np.zeros(5, np.uint8),
        np.array(3, np.uint8),
        np.zeros((1, 2, 3, 4), np.uint8),
        torch.zeros(5),
        torch.zeros(()),
        torch.zeros(0, 3, 5, 7),
        torch.zeros(1, 1, 1, 2, 3),
    ],
    "of type": [
        np.zeros((3, 5), bool),
        np.zeros((3, 5), np.int8),
        np.zeros((3, 5), np.int64),
        np.zeros((3, 5), np.uint32),
        np.zeros((3, 5), complex),
        np.zeros((3, 5), object),
        np.array([["a", "b"]]),
        np.zeros((3, 5), np.longdouble),
        np.zeros((3, 5), "M8[s]"),
        torch.zeros(3, 5, dtype=torch.bool),
        torch.zeros(3, 5, dtype=torch.int32),
        torch.zeros(3, 5, dtype=torch.complex64),
    ],
}


@pytest.mark.parametrize(
    ("words", "image"), [(words, image) for words, group in WRONG_IMAGES.items() for image in group]
)
def test_an_invalid_image_is_refused(words, image):
    with pytest.raises(UsageError, match=words) as raised:
        upsample(image, 2)
    assert "\n" not in str(raised.value)
    assert raised.value.next_step


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"factor": 0}, "factor 0"),
        ({"factor": 65}, "factor 65"),
        ({"factor": 2.0}, r"factor 2\.0"),
        ({"factor": "2"}, "factor 2"),
        ({"factor": True}, "factor True"),
        ({"factor": None}, "factor None"),
        ({"kernel": "lanczos"}, "choose one of bilinear, nearest"),
        ({"border": "mirror"}, "choose one of replicate, reflect, wrap, zeros"),
        ({"border": None}, "no border None"),
        ({"tile": 0}, "tile cannot be 0 pixels"),
        ({"tile": -3}, "tile cannot be -3 pixels"),
        ({"tile": 2.5}, r"tile cannot be 2\.5 pixels"),
        ({"tile": "7"}, "tile cannot be 7 pixels; give a whole number"),
        ({"memory": 0}, "memory budget cannot be 0 bytes"),
        ({"memory": -1}, "memory budget cannot be -1 bytes"),
        ({"memory": 1e9}, "memory budget cannot be 1000000000.0 bytes"),
        ({"memory": 1}, "too small for a single tile"),
        ({"memory": "much"}, "memory 'much' is not a quantity"),
        ({"factor": [2]}, r"factor \[2\]"),
        ({"kernel": None}, "kernel=None is not text"),
        ({"tile": True}, "tile cannot be True pixels"),
        ({"has_alpha": "no"}, "has_alpha='no' is neither true nor false"),
        ({"has_alpha": []}, r"has_alpha=\[\] is neither"),
        ({"device": ""}, "no device ''"),
        ({"device": 0}, "no device '0'"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(keywords, words):
    with pytest.raises(UsageError, match=words) as raised:
        upsample(SMALL, **keywords)
    assert "\n" not in str(raised.value)


def test_an_image_whose_parts_would_be_ignored_is_refused():
    masked = np.ma.masked_array(SMALL, SMALL > 99)
    for image, words in [(masked, r"image\.filled"), (torch.eye(3).to_sparse(), r"image\.to_dense")]:
        with pytest.raises(UsageError, match=words):
            upsample(image)
    assert_same_pixels(upsample(masked.filled(0)), upsample(np.where(SMALL > 99, 0, SMALL).astype(SMALL.dtype)))


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch calls nested tensors a prototype
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_tensor_is_refused(layout):
    parts = [torch.rand(3, 4), torch.rand(5, 4)]
    with pytest.raises(UsageError, match="a nested tensor cannot be enlarged; give its parts"):
        upsample(torch.nested.nested_tensor(parts, layout=layout))
    assert [tuple(upsample(part).shape) for part in parts] == [(6, 8), (10, 8)]  # control


def test_a_lazily_negated_tensor_is_negated():
    values = torch.rand(3, 4)
    assert torch.equal(upsample(torch._neg_view(values)), upsample(-values))


def test_a_kernel_may_be_a_path(tmp_path):
    np.save(tmp_path / "k.npy", np.full((1, 1, 2, 2), 1, np.float32))
    assert_same_pixels(upsample(SMALL, kernel=tmp_path / "k.npy"), upsample(SMALL, kernel="nearest"))


def test_a_missing_device_is_refused():
    for image, keywords in [(SMALL, {"device": "tpu"}), (torch.zeros(3, 5, device="meta"), {})]:
        with pytest.raises(DeviceError, match="there is no device"):
            upsample(image, 2, **keywords)


# -- the package ------------------------------------------------------------------------------------------------------


def test_the_package_exports_all_names_in_its_list():
    for name in set(upsample_cli.__all__) - {"__version__"}:
        assert getattr(upsample_cli, name).__name__ == name
    assert upsample_cli.upsample is upsample
    assert upsample_cli.UpsampleError is UpsampleError
    with pytest.raises(AttributeError, match="has no attribute 'downsample'"):
        upsample_cli.downsample  # noqa: B018


IMPORTS = """
import sys
import upsample_cli, upsample_cli.errors, upsample_cli.kernels.kernel, upsample_cli.geometry.tiles
heavy = {"torch", "torchvision", "numpy", "PIL"} & set(sys.modules)
assert not heavy, heavy
upsample_cli.bilinear_kernel
assert "torch" in sys.modules
print("cheap")
"""


def test_importing_the_package_does_not_import_torch():
    ran = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "cheap\n", ran.stderr
