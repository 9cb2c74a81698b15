"""A GPU gives exactly the pixels of the CPU. Without a GPU these tests are skipped."""

import numpy as np
import pytest
import torch
from support.network_files import expected, network_file, random_network
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from torch.nn import functional

from upsample_cli import upsample
from upsample_cli.engine.cuda import CudaSupport
from upsample_cli.engine.devices import pick_device
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.routes import race
from upsample_cli.engine.routes.agreement import agrees
from upsample_cli.engine.torch_device import device_layer
from upsample_cli.errors import DeviceError
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.kernels.profiles import PROFILES

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]

PIXEL_TYPES = [np.uint8, np.uint16]
# Even and odd, sums in float32 and float64, and 11, 14, 22, 27: with these the reciprocal of the divisor, by which CUDA
# multiplies if the divisor is a plain number, is too small.
FACTORS = [1, 2, 3, 4, 8, 9, 11, 14, 22, 27, 64]


def enlarged_on_cuda(pixels, factor, **keywords):
    """A (height, width, channels) array through a tensor on the device."""
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).cuda()
    found = upsample(tensor, factor, **keywords)
    assert found.device == tensor.device
    return found.permute(1, 2, 0).cpu().numpy()


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("factor", FACTORS)
def test_cuda_equals_the_cpu_and_the_oracle_bit_for_bit(factor, pixel_type, border):
    pixels = hostile_pixels((17, 11, 4), pixel_type)
    for has_alpha in (False, True):
        keywords = {"border": border, "has_alpha": has_alpha}
        expected = expected_pixels(pixels, factor, **keywords)
        assert_same_pixels(upsample(pixels, factor, **keywords), expected)
        for tile in (None, 1, 7):
            assert_same_pixels(enlarged_on_cuda(pixels, factor, tile=tile, **keywords), expected)
        # an array on the CPU, sent to the device tile by tile
        assert_same_pixels(upsample(pixels, factor, device="cuda", **keywords), expected)


@pytest.mark.parametrize("name", [name for name in PROFILES if name not in {"bilinear", "nearest"}])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_every_kernel_gives_the_pixels_of_the_cpu(factor, name):
    for pixel_type in PIXEL_TYPES:
        pixels = hostile_pixels((23, 17, 4), pixel_type)
        for has_alpha in (False, True):
            expected = upsample(pixels, factor, kernel=name, has_alpha=has_alpha)
            for tile in (None, 5):
                found = enlarged_on_cuda(pixels, factor, kernel=name, has_alpha=has_alpha, tile=tile)
                assert_same_pixels(found, expected)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_networks_give_the_definition_on_cuda(factor, tmp_path):
    path = network_file(tmp_path / "n.safetensors", random_network(factor, 24, 4), factor)
    for pixel_type in PIXEL_TYPES:
        pixels = hostile_pixels((29, 31, 4), pixel_type)
        pixels[6:, 6:, 3] = np.iinfo(pixel_type).max
        wanted = expected(path, pixels, factor, alpha=True)
        for tile in (None, 13):
            assert_same_pixels(enlarged_on_cuda(pixels, factor, kernel=path, has_alpha=True, tile=tile), wanted)
            found = enlarged_on_cuda(pixels[..., :3].copy(), factor, kernel=path, tile=tile)
            assert_same_pixels(found, expected(path, pixels[..., :3], factor))


@pytest.mark.parametrize("shape", [(1, 1, 6, 6), (3, 1, 4, 4), (3, 3, 4, 4)])
def test_weights_from_a_file_give_the_pixels_of_the_cpu(shape, tmp_path):
    weight = np.random.default_rng(5).normal(0.2, 0.1, shape) / shape[1]
    np.save(tmp_path / "up.npy", weight)
    for pixel_type in PIXEL_TYPES:
        pixels = hostile_pixels((23, 17, 3), pixel_type)
        expected = upsample(pixels, 2, kernel=f"{tmp_path}/up.npy")
        assert_same_pixels(enlarged_on_cuda(pixels, 2, kernel=f"{tmp_path}/up.npy", tile=7), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_is_exact_with_bilinear_and_nearest(channels):
    pixels = hostile_pixels((19, 33, channels), np.uint8)
    for kernel in ("bilinear", "nearest"):
        assert_same_pixels(
            enlarged_on_cuda(pixels, 3, kernel=kernel, tile=8), expected_pixels(pixels, 3, kernel=kernel)
        )


@pytest.mark.parametrize("factor", [11, 14, 27])
def test_flat_images_stay_flat_at_factors_with_an_inexact_reciprocal(factor):
    for pixel_type in PIXEL_TYPES:
        levels = np.linspace(0, np.iinfo(pixel_type).max, 97).astype(pixel_type)
        flat = np.broadcast_to(levels, (2, 3, 97)).copy()
        expected = np.broadcast_to(levels, (2 * factor, 3 * factor, 97))
        assert_same_pixels(enlarged_on_cuda(flat, factor), expected)


@pytest.fixture
def _tf32_everywhere():
    """The caller prefers speed to precision."""
    operators = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = [operator.fp32_precision for operator in operators]
    for operator in operators:
        operator.fp32_precision = "tf32"
    yield
    for operator, precision in zip(operators, before, strict=True):
        operator.fp32_precision = precision


@pytest.mark.usefixtures("_tf32_everywhere")
@pytest.mark.parametrize("factor", [1, 2, 3, 8])  # at 1 torch multiplies matrices, which have a separate TF32 setting
def test_pixels_are_exact_if_the_caller_allows_tf32(factor):
    # 16-bit pixels, and 8-bit pixels times alpha, have more digits than the eleven bits of TF32
    wide, clear = hostile_pixels((61, 43, 3), np.uint16), hostile_pixels((61, 43, 4), np.uint8)
    for tile in (None, 5):  # many bands, several threads
        assert_same_pixels(enlarged_on_cuda(wide, factor, tile=tile), expected_pixels(wide, factor))
        found = enlarged_on_cuda(clear, factor, tile=tile, has_alpha=True)
        assert_same_pixels(found, expected_pixels(clear, factor, has_alpha=True))
    assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "tf32"


@pytest.mark.parametrize("shape", [(7, 11), (3, 7, 11), (2, 3, 7, 11)])
def test_tensors_keep_axes_type_and_device(shape):
    tensor = torch.arange(int(np.prod(shape))).reshape(shape).to(torch.uint16).cuda()
    found = upsample(tensor, 3)
    assert (found.dtype, found.device) == (tensor.dtype, tensor.device)
    assert torch.equal(found.cpu(), upsample(tensor.cpu(), 3))


def test_channels_last_tensors_stay_channels_last():
    tensor = torch.from_numpy(hostile_pixels((2, 7, 11, 3), np.uint8)).cuda().permute(0, 3, 1, 2)
    found = upsample(tensor, 2)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found.cpu(), upsample(tensor.cpu(), 2))


def test_floats_equal_interpolate_within_rounding():
    image = torch.rand(2, 3, 17, 11, generator=torch.Generator().manual_seed(3)).cuda() * 0.75 + 0.25
    theirs = functional.interpolate(image, scale_factor=3, mode="bilinear", align_corners=False)
    # ten roundings of ours, eight of torch's, and coordinates up to 17, rounded on two axes between neighbours
    # that differ by up to three times the smaller one; with TF32 the error would be a hundred times larger
    tolerance = (10 + 8 + 2 * 17 * 3) * torch.finfo(torch.float32).eps
    torch.testing.assert_close(upsample(image, 3), theirs, rtol=tolerance, atol=0)


def test_out_of_memory_halves_the_tile_and_continues(monkeypatch):
    refused = []

    def noting(*arguments):
        route = real(*arguments)

        def noted(padded, out):
            try:
                route(padded, out)
            except RuntimeError:
                refused.append(padded.shape)
                raise

        noted.name, noted.bytes_per_value, noted.is_compiled = route.name, route.bytes_per_value, False
        return noted

    real = CudaSupport.route
    race.raced_route.cache_clear()
    monkeypatch.setattr(CudaSupport, "route", noting)
    monkeypatch.setattr(race, "cuda_routes", lambda *_: [])  # only the layer: it needs the most memory
    pixels = hostile_pixels((1501, 2003, 3), np.uint8)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    allowed = torch.cuda.memory_reserved() + 64 * 2**20  # the enlarged image in float32 alone takes 144 MB
    try:
        torch.cuda.set_per_process_memory_fraction(allowed / total)
        found = upsample(pixels, 2, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
        race.raced_route.cache_clear()
    assert_same_pixels(found, expected_pixels(pixels, 2))
    assert refused


@pytest.mark.parametrize("route", ["fused", "grouped", "dense"])
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("factor", FACTORS)
def test_every_route_gives_the_pixels_of_the_layer(factor, pixel_type, route):
    """Tests every route, whichever is fastest on this GPU."""
    if route == "fused":
        pytest.importorskip("triton", reason="this build of torch comes without Triton")
    device = torch.device("cuda:0")
    for name in ("bilinear", "lanczos3") if factor < 5 else ("bilinear",):
        for has_alpha in (False, True):
            kernel, arithmetic = exact_form(kernel_named(name, factor), np.dtype(pixel_type), has_alpha=has_alpha)
            made = list(race.cuda_routes(kernel, arithmetic, 4, device))
            candidate = made[["fused", "grouped", "dense"].index(route)]
            with torch.inference_mode(), CudaSupport("cuda:0").exact_convolutions(stride=factor):
                plain = device_layer(kernel, arithmetic, device)
                transfers = {"send": race._sender(device), "fetch": race._fetched}
                assert agrees(candidate(), plain, kernel, arithmetic, 4, **transfers)


def test_a_large_photograph_is_transferred_in_several_bands():
    pixels = hostile_pixels((2001, 3003, 3), np.uint8)
    found = upsample(pixels, 3, device="cuda")
    assert_same_pixels(found, upsample(pixels, 3))


@pytest.mark.parametrize("device", [None, "cpu"])
def test_pending_work_of_the_caller_is_waited_for(device):
    """Pixels that a stream of the caller still computes, and a result that the caller uses at once in that stream."""
    shape = (3, 501, 703)
    ours, here = torch.empty(shape, dtype=torch.uint8, device="cuda"), torch.cuda.current_device()
    upsample(torch.zeros_like(ours), 2, device=device)  # choosing a route takes longer than the wait below
    side = torch.cuda.Stream(here)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        ours.fill_(3)
        torch.cuda._sleep(200_000_000)
        ours.fill_(9)
        assert not side.query()  # the control: the stream is not done, and the image still has its old contents
        found = upsample(ours, 2, device=device)
        assert (found == 9).all()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs another CUDA device")
def test_the_last_gpu_gives_the_same_pixels():
    pixels = hostile_pixels((301, 203, 3), np.uint8)
    expected, last = expected_pixels(pixels, 2), f"cuda:{torch.cuda.device_count() - 1}"
    assert_same_pixels(upsample(pixels, 2, device=last), expected)
    assert_same_pixels(enlarged_on_cuda(pixels, 2, device=last), expected)  # through one GPU to another and back


def test_available_cuda_devices_are_accepted():
    assert pick_device("auto") == pick_device("cuda") == "cuda:0"
    with pytest.raises(DeviceError, match=r"there is no device 'cuda:99' here; .* cpu, cuda:0"):
        pick_device("cuda:99")
