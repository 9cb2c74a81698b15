"""The Triton kernel: exact where Triton interprets it on the CPU, and compiled for every kind of GPU."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.environment import ENVIRONMENT, FINDS_SUPPORT

from upsample_cli.engine.exact import Arithmetic, exact_form
from upsample_cli.kernels.kernel import kernel_named

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="this build of torch comes without Triton"
)

INTERPRETED = """
import numpy as np, torch
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from upsample_cli.engine.borders import padded_tile
from upsample_cli.engine.routes.triton import FusedRoute
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.engine.exact import exact_form
from upsample_cli.geometry.tiles import plan_for_budget

def enlarged(pixels, factor, kernel, has_alpha, route_of=FusedRoute):
    chosen, arithmetic = exact_form(kernel_named(kernel, factor), pixels.dtype, has_alpha=has_alpha)
    route = route_of(chosen, arithmetic, pixels.shape[2], torch.device("cpu"))
    plan = plan_for_budget(*pixels.shape[:2], halo=chosen.halo, bytes_per_pixel=1, budget_bytes=2**40, tile_size=None)
    tile = torch.from_numpy(padded_tile(pixels, next(iter(plan.bands()))[0], "replicate"))
    around = np.full((pixels.shape[0] * factor, pixels.shape[1] * factor + 2, pixels.shape[2]), 77, pixels.dtype)
    route(tile, torch.from_numpy(around)[:, 1:-1])
    assert (around[:, [0, -1]] == 77).all()
    return around[:, 1:-1]

# bicubic cuts off; 16 bits with alpha need sums of 64 bits
for kernel, factor in (("nearest", 2), ("bilinear", 1), ("bilinear", 2), ("bilinear", 5), ("bicubic", 2)):
    for pixel_type in (np.uint8, np.uint16):
        for channels, has_alpha in ((1, False), (3, False), (4, True)):
            pixels = hostile_pixels((3, 61, channels), pixel_type)
            expected = expected_pixels(pixels, factor, kernel=kernel, has_alpha=has_alpha)
            assert_same_pixels(enlarged(pixels, factor, kernel, has_alpha), expected)

for channels, width in ((1, 1024), (3, 683), (4, 257)):  # a row of one whole block, and of more than one
    pixels, has_alpha = hostile_pixels((2, width, channels), np.uint8), channels == 4
    assert_same_pixels(enlarged(pixels, 2, "bilinear", has_alpha), expected_pixels(pixels, 2, has_alpha=has_alpha))

class Truncating(FusedRoute):  # the control: without the rounding term
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._settings["divisor"] += 1

pixels = hostile_pixels((3, 61, 3), np.uint8)
assert not np.array_equal(enlarged(pixels, 2, "bilinear", False, Truncating), expected_pixels(pixels, 2))
print("exact")
"""


def test_the_interpreted_kernel_is_exact():
    ran = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env=ENVIRONMENT | FINDS_SUPPORT | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == ("exact\n", 0), ran.stderr


@pytest.mark.parametrize("capability", [75, 80, 90, 100])
def test_the_kernel_compiles_for_every_kind_of_gpu(capability, tmp_path, monkeypatch):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as compiled

    from upsample_cli.engine.routes.triton import FusedRoute, _enlarge_row

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    cases = [("bilinear", np.uint8, False), ("bicubic", np.uint16, True)]
    for name, dtype, has_alpha in cases:
        kernel, arithmetic = exact_form(kernel_named(name, 2), np.dtype(dtype), has_alpha=has_alpha)
        settings = FusedRoute(kernel, arithmetic, 4, torch.device("cpu"))._settings
        pixel, number = {np.uint8: ("u8", "i32"), np.uint16: ("u16", "i64")}[dtype]
        types = {"padded": f"*{pixel}", "out": f"*{pixel}", "weights": f"*{number}", "firsts": "*i32"}
        types |= dict.fromkeys(("samples", "blocks", "padded_row", "out_row"), "i32")
        types |= dict.fromkeys(settings, "constexpr")
        made = compiled(
            ASTSource(_enlarge_row, signature=types, constexprs=settings), GPUTarget("cuda", capability, 32)
        )
        assert f".target sm_{capability}" in made.asm["ptx"]
        assert len(made.asm["cubin"]) > 1000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_point_pixels_are_refused(dtype):
    from upsample_cli.engine.routes.triton import FusedRoute

    with pytest.raises(ValueError, match="only whole pixels"):
        FusedRoute(kernel_named("bilinear", 2), Arithmetic(np.dtype(dtype), 16), 3, torch.device("cpu"))


def test_without_python_headers_nothing_is_compiled(monkeypatch):
    """Triton's launchers are written in C, and a compiler without Python.h would print errors to stderr."""
    from upsample_cli.engine.routes.triton import FusedRoute

    kernel, arithmetic = exact_form(kernel_named("bilinear", 2), np.dtype(np.uint8))
    monkeypatch.setattr("sysconfig.get_path", lambda *_: "/nowhere")
    with pytest.raises(ValueError, match="no headers of Python"):
        FusedRoute(kernel, arithmetic, 3, torch.device("cuda:0"))


def test_the_kernel_is_not_specialized_for_the_size_or_position_of_a_tile():
    """Arguments that differ between tiles are not specialized as 1, as multiples of 16, or as aligned."""
    from upsample_cli.engine.routes.triton import _enlarge_row

    differing = [parameter for parameter in _enlarge_row.params if not parameter.is_constexpr]
    assert len(differing) == 8
    for parameter in differing:
        assert parameter.do_not_specialize or parameter.do_not_specialize_on_alignment


def test_working_memory_is_the_input_and_the_output():
    from upsample_cli.engine.routes.triton import FusedRoute

    for dtype, wanted in ((np.uint8, 2), (np.uint16, 4)):
        # The input and the output have the same size.
        kernel, arithmetic = exact_form(kernel_named("nearest", 1), np.dtype(dtype))
        assert FusedRoute(kernel, arithmetic, 3, torch.device("cpu")).bytes_per_value == wanted


def test_sums_are_as_wide_as_the_largest_sum_needs():
    from upsample_cli.engine.routes.triton import FusedRoute

    for factor, dtype, has_alpha, wanted in (
        (2, np.uint8, False, torch.int32),
        (64, np.uint8, True, torch.int32),  # 2 * 255 * 255 * 128 * 128 is just below 2**31
        (2, np.uint16, False, torch.int32),
        (2, np.uint16, True, torch.int64),
    ):
        kernel, arithmetic = exact_form(kernel_named("bilinear", factor), np.dtype(dtype), has_alpha=has_alpha)
        pixel = arithmetic.largest_pixel
        largest = (2 * pixel**2 + pixel if has_alpha else pixel + 1) * kernel.denominator
        route = FusedRoute(kernel, arithmetic, 4, torch.device("cpu"))
        assert route._weights.dtype == wanted
        assert (largest < 2**31) == (wanted == torch.int32)
