"""Processors that are not here, under QEMU: exact pixels with NEON, and an instruction set that each of them has."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.compiled_resize import made_at
from support.compiled_route import enlarged
from support.emulated import COMPILER, EMULATOR, NOT_EMULATED, EmulatedModule, built
from support.environment import NOT_COMPILED
from support.networks import expected_detail, expected_sum, random_network
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.resizing import expected, expected_behind_layer, layer_sums
from support.whole_weights import fitted_expectation

from upsample_cli.engine import resize
from upsample_cli.engine.exact import FLOAT32, FLOAT64, exact_form
from upsample_cli.engine.resize_axes import filter_for
from upsample_cli.engine.routes import compiled
from upsample_cli.engine.routes.agreement import applied
from upsample_cli.engine.routes.compiled import CompiledSums
from upsample_cli.kernels.kernel import kernel_named

X86 = shutil.which("qemu-x86_64-static")
needs_arm = pytest.mark.skipif(not (COMPILER and EMULATOR), reason=NOT_EMULATED)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return EmulatedModule(built(tmp_path_factory.mktemp("driver")))


@pytest.fixture
def arm(driver, monkeypatch):
    monkeypatch.setattr(compiled, "native", driver)


@needs_arm
@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("pixel_type", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("kernel", "factor"),
    [("bilinear", factor) for factor in (1, 2, 3, 4, 7, 33)]
    + [("nearest", 3), ("bicubic", 2), ("bicubic", 3), ("bspline", 3)],
)
def test_pixels_are_exact_on_arm(kernel, factor, pixel_type):
    """Sums of 16, 32 and 64 bits; two, four and other numbers of taps; vectors that end anywhere."""
    for channels, width in ((1, 37), (2, 3), (3, 12), (4, 5)):
        pixels = hostile_pixels((4, width, channels), pixel_type, factor)
        for has_alpha in {False, channels in (2, 4)}:
            found = enlarged(pixels, factor, "neon", kernel=kernel, has_alpha=has_alpha)
            assert_same_pixels(found, expected_pixels(pixels, factor, kernel=kernel, has_alpha=has_alpha))


@needs_arm
@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_kernel_that_is_not_separable_is_exact_on_arm(channels):
    pixels = hostile_pixels((4, 21, channels), np.uint8)
    for has_alpha in {False, channels in (2, 4)}:
        found = enlarged(pixels, 2, "neon", kernel="fitted", has_alpha=has_alpha)
        assert_same_pixels(found, fitted_expectation(pixels, 2, "fitted", has_alpha=has_alpha))


@needs_arm
@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_bytes_by_two_are_exact_on_arm(channels):
    edge = 3072 // channels
    for width in (1, 7, 8, 9, 15, 16, 17, 33, edge - 1, edge, edge + 1, 2 * edge + 7):
        pixels = hostile_pixels((3, width, channels), np.uint8, width)
        assert_same_pixels(enlarged(pixels, 2, "neon"), expected_pixels(pixels, 2))


@needs_arm
@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("pixel_type", [np.uint8, np.uint16])
def test_any_size_is_exact_on_arm(pixel_type):
    for channels, shape, size in (
        (1, (3, 17), (4, 25)),
        (2, (9, 7), (17, 13)),
        (3, (4, 9), (5, 3)),
        (4, (9, 9), (13, 13)),
    ):
        pixels = hostile_pixels((*shape, channels), pixel_type)
        for has_alpha in {False, channels in (2, 4)}:
            found = made_at(pixels, size, has_alpha=has_alpha, instructions="neon")
            assert_same_pixels(found, expected(pixels, size, has_alpha=has_alpha))


@needs_arm
@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("pixel_type", [np.uint8, np.uint16])
@pytest.mark.parametrize(("channels", "has_alpha"), [(3, False), (2, True), (4, True)])
def test_sums_are_exact_on_arm(channels, has_alpha, pixel_type):
    pixels = hostile_pixels((9, 11, channels), pixel_type)
    kernel, arithmetic = exact_form(kernel_named("lanczos3", 2), pixels.dtype, has_alpha=has_alpha)
    given = pixels.shape, (13, 17), kernel, "replicate", arithmetic, filter_for("lanczos3")
    reduced = resize._compiled(*given, instructions="neon")
    arithmetic = arithmetic._replace(sums_dtype=FLOAT32 if pixel_type == np.uint8 and not has_alpha else FLOAT64)
    tile = np.pad(pixels, ((kernel.halo, kernel.halo), (kernel.halo, kernel.halo), (0, 0)), mode="edge")
    sums = applied(CompiledSums(kernel, arithmetic, channels, instructions="neon"), tile, kernel, arithmetic)
    assert np.array_equal(sums, np.stack(layer_sums(tile, kernel, has_alpha=has_alpha), axis=2).astype(np.float64))
    made = np.concatenate(list(reduced.bands(lambda first, last: sums[first:last])))
    assert_same_pixels(made, expected_behind_layer(pixels, (13, 17), kernel, has_alpha=has_alpha))


@needs_arm
@pytest.mark.parametrize(("factor", "channels"), [(2, 24), (3, 13), (4, 32)])
def test_networks_are_exact_on_arm(factor, channels, driver):
    random = np.random.default_rng(factor)
    network = random_network(factor, channels, 3, seed=factor)
    luma = random.integers(0, 256, (5 + 2 * network.rim, 19 + 2 * network.rim), np.uint8)
    detail = np.zeros((5, 19, factor**2), np.int32)
    driver.net_detail(luma, network.layers, network.weight, network.offset, detail, "neon")
    assert np.array_equal(detail, expected_detail(luma, network))
    for colours, pixel_type in ((1, np.uint8), (3, np.uint8), (3, np.uint16), (4, np.uint16)):
        pixels = random.integers(0, np.iinfo(pixel_type).max, (11, 25, colours), pixel_type, endpoint=True)
        made = np.zeros((5 * factor, 19 * factor, colours), pixel_type)
        driver.net_combine(pixels, network.linear, detail // 64, network.bits, made, "neon")
        assert np.array_equal(made, expected_sum(pixels, network, detail // 64))
        assert 0 < made.mean() < np.iinfo(pixel_type).max


@needs_arm
@pytest.mark.usefixtures("arm")
def test_a_wrong_weight_is_seen_under_emulation(monkeypatch):
    """The control: the emulated kernels compute, and the oracle looks."""
    pixels = hostile_pixels((4, 37, 1), np.uint16)
    right = compiled.phase_taps
    monkeypatch.setattr(compiled, "phase_taps", lambda *axis: [(first, taps[::-1]) for first, taps in right(*axis)])
    assert not np.array_equal(enlarged(pixels, 3, "neon"), expected_pixels(pixels, 3))


ASKED = """
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = ExtensionFileLoader("_kernels", sys.argv[1])
loader.exec_module(module := module_from_spec(spec_from_loader("_kernels", loader)))
print(*module.instruction_sets())
for name in ("avx512", "avx2", "sse41", "portable"):
    try:
        module.enlarge_twofold(name, b"", bytearray(), False)
    except ValueError as error:  # the empty output is refused later
        if "does not have it" in str(error):
            print("without", name)
"""


@pytest.mark.skipif(not X86, reason=NOT_EMULATED)
@pytest.mark.skipif(compiled.native is None, reason=NOT_COMPILED)
@pytest.mark.parametrize(
    ("processor", "found"),
    [
        ("qemu64,-sse4.1", "portable\nwithout avx512\nwithout avx2\nwithout sse41"),
        ("Nehalem", "sse41 portable\nwithout avx512\nwithout avx2"),
        ("Haswell,-fma", "sse41 portable\nwithout avx512\nwithout avx2"),
        ("Haswell", "avx2 sse41 portable\nwithout avx512"),
    ],
)
def test_an_older_processor_is_offered_what_it_has(processor, found):
    python = getattr(sys, "_base_executable", sys.executable)
    command = [X86, "-cpu", processor, python, "-I", "-S", "-c", ASKED, compiled.native.__file__]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.stdout.strip() == found, ended.stderr
