"""libtorch's C interface: identical to Python's torch, owns its memory, and falls back to Python's torch."""

import ctypes
import gc
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.compiled_route import WrongTapRoute
from support.environment import ENVIRONMENT, FINDS_SUPPORT, NOT_COMPILED
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.running import COMMAND, save

from upsample_cli import upsample
from upsample_cli.engine import aten, library
from upsample_cli.engine.bands import enlarged_bands
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.libtorch import LibTorch
from upsample_cli.engine.pytorch import PyTorch
from upsample_cli.engine.routes import compiled, select
from upsample_cli.engine.routes.agreement import agrees
from upsample_cli.engine.routes.compiled import CompiledRoute, instruction_sets
from upsample_cli.engine.routes.plain import PlainRoute
from upsample_cli.errors import DeviceError, UsageError
from upsample_cli.kernels.kernel import kernel_named

needs_compiled = pytest.mark.skipif(not instruction_sets(), reason=NOT_COMPILED)
OURS, THEIRS = LibTorch(), PyTorch()
BILINEAR, SIXTEEN = kernel_named("bilinear", 2), Arithmetic(np.dtype(np.uint8), 16)
DTYPES = [np.float32, np.float64]


def noise(shape, dtype, seed=0):
    """Numbers of both signs with full significands, so that their sum depends on the order."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_same_bits(found, expected):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(np.ascontiguousarray(found).view(np.uint8), np.ascontiguousarray(expected).view(np.uint8))


STRIDED = {
    "contiguous": lambda array: array,
    "channels last": lambda array: np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "fortran": np.asfortranarray,
    "every second": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "one row": lambda array: np.lib.stride_tricks.as_strided(array, strides=(*array.strides[:2], 0, array.itemsize)),
}


# -- identical bits ----------------------------------------------------------------------------------------------------


@given(
    batch=st.integers(1, 4),
    groups=st.integers(1, 3),
    depth=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel_size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    stride=st.integers(1, 5),
    size=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    padding=st.integers(0, 2),
    dtype=st.sampled_from(DTYPES),
    way=st.sampled_from(sorted(STRIDED)),
)
@example(5, 1, (1, 1), (4, 4), 2, (17, 11), 1, np.float32, "contiguous")  # the channels of an image as a batch
@example(1, 3, (1, 1), (5, 5), 3, (17, 11), 1, np.float64, "channels last")
@settings(max_examples=150)
def test_the_layer_equals_torchs(batch, groups, depth, kernel_size, stride, size, padding, dtype, way):
    made = [(length - 1) * stride + taps - 2 * padding for length, taps in zip(size, kernel_size, strict=True)]
    if min(made) < 1:
        return
    weight = noise((groups * depth[0], depth[1], *kernel_size), dtype)
    image = STRIDED[way](noise((batch, groups * depth[0], *size), dtype, 1))
    shape = {"stride": stride, "padding": padding, "groups": groups}
    found = OURS.layer(weight, **shape)(image)
    assert found.shape == (batch, groups * depth[1], *made)
    with torch.inference_mode():
        layer = torch.nn.ConvTranspose2d(weight.shape[0], groups * depth[1], kernel_size, bias=False, **shape)
        layer.weight = torch.nn.Parameter(torch.from_numpy(weight), requires_grad=False)
        assert_same_bits(found, layer(torch.from_numpy(image)).numpy())
    assert_same_bits(found, THEIRS.layer(weight, **shape)(image))


@given(
    batch=st.integers(1, 3),
    depth=st.tuples(st.integers(1, 5), st.integers(1, 24)),
    kernel_size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    more=st.tuples(st.integers(0, 15), st.integers(0, 15)),
    dtype=st.sampled_from(DTYPES),
    way=st.sampled_from(sorted(STRIDED)),
    weights_way=st.sampled_from(["contiguous", "channels last"]),
)
@settings(max_examples=150)
def test_the_convolution_equals_torchs(batch, depth, kernel_size, stride, more, dtype, way, weights_way):
    size = [taps + extra for taps, extra in zip(kernel_size, more, strict=True)]
    weight = STRIDED[weights_way](noise((depth[1], depth[0], *kernel_size), dtype))
    image, bias = STRIDED[way](noise((batch, depth[0], *size), dtype, 1)), noise(depth[1], dtype, 2)
    found = OURS.convolution(image, weight, bias, list(stride))
    tensors = (torch.from_numpy(array) for array in (image, weight, bias))
    assert_same_bits(found, torch.nn.functional.conv2d(*tensors, stride=stride).numpy())
    assert_same_bits(found, THEIRS.convolution(image, weight, bias, list(stride)))


@given(
    stack=st.integers(0, 4),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)),
    dtype=st.sampled_from(DTYPES),
    is_transposed=st.booleans(),
)
@settings(max_examples=150)
def test_the_product_equals_torchs(stack, size, dtype, is_transposed):
    rows, depth, columns = size
    first = (stack,) if stack else ()
    left = noise((*first, rows, depth), dtype)
    right = noise((*first, columns, depth), dtype, 1).swapaxes(-1, -2)
    right = right if is_transposed else np.ascontiguousarray(right)
    found = OURS.product(left, right)
    assert_same_bits(found, torch.matmul(torch.from_numpy(left), torch.from_numpy(right)).numpy())
    assert_same_bits(found, THEIRS.product(left, right))


def test_a_changed_bit_a_sign_of_zero_and_another_padding_are_detected():
    """The control of the comparisons above."""
    image, weight = noise((2, 1, 9, 7), np.float32), noise((1, 1, 4, 4), np.float32, 1)
    found = OURS.layer(weight, stride=2, padding=1, groups=1)(image)
    zero = np.zeros(3, np.float32)
    for wrong in (np.nextafter(found, np.inf, where=np.arange(14) == 3, out=found.copy()), found.astype(np.float64)):
        with pytest.raises(AssertionError):
            assert_same_bits(wrong, found)
    with pytest.raises(AssertionError):
        assert_same_bits(-zero, zero)
    off = THEIRS.layer(weight, stride=2, padding=2, groups=1)(np.pad(image, ((0, 0), (0, 0), (0, 1), (0, 1))))
    assert off.shape == found.shape
    with pytest.raises(AssertionError):
        assert_same_bits(off, found)


def test_the_number_of_threads_equals_torchs():
    before = torch.get_num_threads()
    try:
        for count in (3, 1):
            OURS.set_threads(count)
            assert OURS.threads() == torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)


# -- memory -----------------------------------------------------------------------------------------------------------


class Counting(LibTorch):
    """Counts calls."""

    def __init__(self):
        self.calls = Counter()
        super().__init__()
        self.calls.clear()  # the calls of its own check

    def call(self, function, *arguments):
        super().call(function, *arguments)
        self.calls[function] += 1

    @property
    def alive(self):
        """Handles that were created and not deleted."""
        made = self.calls["create_tensor_from_blob"] + self.calls["cpu_convolution"]
        return made - self.calls["delete_tensor_object"]


def test_a_result_lives_as_long_as_a_view_of_it():
    library = Counting()
    image, weight = np.ones((1, 1, 300, 300), np.float32), np.full((1, 1, 2, 2), 3, np.float32)
    whole = library.layer(weight, stride=2, padding=0, groups=1)(image)
    view = whole[0, 0, ::2].T[5:]
    assert whole.flags.writeable
    assert library.alive == 1
    del image, weight, whole
    gc.collect()
    assert library.alive == 1
    others = [np.full(view.shape, 7, np.float32) for _ in range(50)]  # these would reuse freed memory
    assert (view == 3).all()
    del view, others
    gc.collect()
    assert library.alive == 0


def test_no_handle_is_left_when_a_call_fails():
    library = Counting()
    image, weight = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 1, 2, 2), np.float32)
    with pytest.raises(RuntimeError, match="cpu_convolution of libtorch failed"):
        library.layer(weight, stride=2, padding=0, groups=1)(image)
    with pytest.raises(RuntimeError, match="cpu_mm_out of libtorch failed"):
        library.product(np.ones((2, 3)), np.ones((2, 3)))
    assert library.calls["create_tensor_from_blob"] == 5
    assert library.alive == 0


def test_results_leave_no_handles():
    library = Counting()
    image, weight = np.ones((1, 2, 5, 5)), np.ones((4, 2, 2, 2))
    for _ in range(3):
        library.convolution(image, weight, np.ones(4), [1, 2])
        library.product(np.ones((2, 3, 4)), np.ones((2, 4, 5)))
    assert library.calls["cpu_convolution"] == library.calls["cpu_bmm_out"] == 3
    assert library.alive == 0


GROWTH = """
import sys
from pathlib import Path
import numpy as np
from upsample_cli.engine.libtorch import LibTorch
def used():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
layer = LibTorch().layer(np.ones((1, 1, 4, 4), np.float32), stride=2, padding=1, groups=1)
image = np.ones((3, 1, 200, 250), np.float32)  # the result has 2.4 MB
for _ in range(5):
    layer(image)
before = used()
for _ in range(200):
    layer(image)
after = used()
kept = [layer(image) for _ in range(40)]
print(after - before, used() - after)
assert "torch" not in sys.modules
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_memory_does_not_grow_over_many_calls():
    ran = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, timeout=120, check=False)
    grown, control = (int(number) for number in ran.stdout.split())
    assert grown < 30e6, ran.stderr  # 200 results would take 480 MB
    assert control > 80e6  # 40 results that are kept take 96 MB


# -- fallbacks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def not_loaded(monkeypatch):
    """Make `aten` see a process in which neither the library nor Python's torch is loaded."""
    monkeypatch.setattr(aten, "_loaded", None)
    monkeypatch.setattr(aten, "_note", "")
    monkeypatch.delitem(sys.modules, "torch")
    for cached in (select._chosen, library.library_path):
        cached.cache_clear()
    yield
    for cached in (select._chosen, library.library_path):
        cached.cache_clear()


LIBRARY = library.library_path()
VERSION = f"__version__ = '{torch.__version__}'"


def installed(folder, version, library=None):
    """A folder that looks like an installed torch."""
    (folder / "lib").mkdir()
    if version is not None:
        (folder / "version.py").write_bytes(version if isinstance(version, bytes) else version.encode())
    if library is not None:
        library(folder / "lib" / LIBRARY.name)


def other_library(path):
    path.symlink_to(next(path for path in LIBRARY.parent.iterdir() if path.stem.removeprefix("lib") == "c10"))


FAULTS = {
    "no library": ((VERSION,), rf"{LIBRARY.name}: .+"),
    "not a library": ((VERSION, lambda path: path.write_text("text")), rf"{LIBRARY.name}: .+"),
    "no such functions": ((VERSION, other_library), rf"{LIBRARY.name}: .*aoti_torch_create_tensor_from_blob.*"),
    "older": (("__version__ = '2.9.1+cpu'",), r"torch 2\.9\.1\+cpu is not known to have the C interface"),
    "newer": (("__version__ = '3.0.0'",), r"torch 3\.0\.0 is not known to have the C interface"),
    "no version": (("debug = False",), "torch of no version is not known to have the C interface"),
    "no version.py": ((None,), "torch of no version is not known to have the C interface"),
    "version.py of another encoding": ((b"\xff\xfe",), "torch of no version is not known to have the C interface"),
}


@pytest.mark.usefixtures("not_loaded")
@pytest.mark.parametrize("fault", FAULTS)
def test_python_torch_replaces_an_unusable_library(fault, tmp_path, monkeypatch):
    arguments, note = FAULTS[fault]
    installed(tmp_path, *arguments)
    spec = ModuleSpec("torch", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    assert isinstance(aten.operators(), PyTorch)
    assert re.fullmatch(note, aten.import_note())


@pytest.mark.usefixtures("not_loaded")
@pytest.mark.parametrize("spec", [None, ModuleSpec("torch", None)])
def test_a_torch_that_is_not_a_package_is_not_installed(spec, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    assert isinstance(aten.operators(), PyTorch)
    assert aten.import_note() == "torch is not installed"


@pytest.mark.usefixtures("not_loaded")
def test_a_usable_library_is_used():
    """The control of the tests above."""
    assert isinstance(aten.operators(), LibTorch)
    assert aten.operators() is aten.operators()
    assert aten.import_note() == ""


@pytest.mark.usefixtures("not_loaded")
def test_a_torch_that_the_caller_imported_is_used_without_a_note(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert isinstance(aten.operators(), PyTorch)
    assert aten.import_note() == ""


@pytest.mark.usefixtures("not_loaded")
def test_operators_are_replaced_once():
    aten.operators()
    assert aten.import_torch("a reason")
    assert isinstance(aten.operators(), PyTorch)
    assert not aten.import_torch("another")
    assert aten.import_note() == "a reason"


# -- a wrong fast route ------------------------------------------------------------------------------------------------


@needs_compiled
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_the_check_detects_every_single_wrong_tap(name):
    kernel = kernel_named(name, 2)
    arithmetic = Arithmetic(np.dtype(np.uint8), kernel.denominator, overshoots=kernel.overshoots)
    with mock.patch.object(compiled, "_is_twofold", return_value=False):
        route, plain = CompiledRoute(kernel, arithmetic, 3), PlainRoute(kernel, arithmetic)
    assert agrees(route, plain, kernel, arithmetic, 3)
    right = route._settings
    for place in range(right[5].size):
        tables = list(right)
        tables[5] = tables[5].copy()
        tables[5].flat[place] += 1
        route._settings = tuple(tables)
        assert not agrees(route, plain, kernel, arithmetic, 3)


def averages(a, b, c, d, *, terms=(True, True)):
    """Rounding averages as nested in `twofold.h`, with or without each of the two corrections."""

    def average(x, y):
        return (x + y + 1) >> 1

    s, t = average(a, d), average(b, c)
    k = average(s, t) - terms[0] * (((a ^ d) | (b ^ c) | (s ^ t)) & 1)
    m = average(k, t) - terms[1] * ((((b ^ c) & (s ^ t)) | (k ^ t)) & 1)
    return average(a, m)


@pytest.mark.parametrize(
    ("terms", "is_right"),
    [((True, True), True), ((False, True), False), ((True, False), False), ((False, False), False)],
)
def test_the_check_detects_averages_that_round_up_once_too_often(terms, is_right):
    """Other programs do this: on random pixels 72 in 100 differ by one."""

    def route(padded, out):
        near, (above, below) = padded[1:-1].astype(int), (padded[:-2].astype(int), padded[2:].astype(int))
        for phase, far in enumerate((above, below)):
            a, c = near[:, 1:-1], far[:, 1:-1]
            out[phase::2, 0::2] = averages(a, near[:, :-2], c, far[:, :-2], terms=terms)
            out[phase::2, 1::2] = averages(a, near[:, 2:], c, far[:, 2:], terms=terms)

    assert agrees(route, PlainRoute(BILINEAR, SIXTEEN), BILINEAR, SIXTEEN, 3) == is_right


@needs_compiled
@pytest.mark.usefixtures("not_loaded")
def test_a_wrong_fast_route_is_not_used_and_torch_is_imported(monkeypatch):
    monkeypatch.setattr(select, "CompiledRoute", WrongTapRoute)
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    assert isinstance(aten.operators(), LibTorch)
    assert_same_pixels(upsample(pixels, 2), expected_pixels(pixels, 2))
    assert isinstance(aten.operators(), PyTorch)
    assert aten.import_note() == "the route 'compiled' gave other pixels than the layer"
    assert not isinstance(select.chosen_route(BILINEAR, SIXTEEN, 3), CompiledRoute)


@needs_compiled
@pytest.mark.usefixtures("not_loaded")
def test_a_correct_fast_route_imports_nothing():
    """The control of the test above."""
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    assert_same_pixels(upsample(pixels, 2), expected_pixels(pixels, 2))
    assert isinstance(aten.operators(), LibTorch)
    assert isinstance(select.chosen_route(BILINEAR, SIXTEEN, 3), CompiledRoute)


@needs_compiled
@pytest.mark.usefixtures("not_loaded")
@pytest.mark.parametrize("has_alpha", [False, True])
def test_requesting_a_wrong_compiled_route_is_an_error(has_alpha, monkeypatch):
    arithmetic = Arithmetic(np.dtype(np.uint8), 16, has_alpha=has_alpha)
    monkeypatch.setattr(select, "CompiledRoute", WrongTapRoute)
    how = Settings(BILINEAR, "replicate", "cpu", engine="compiled")
    bands = enlarged_bands(lambda *_: None, (9, 7, 4), settings=how, arithmetic=arithmetic)
    with pytest.raises(UsageError, match=r"compiled route cannot .* its pixels differ .*; choose engine=auto or"):
        next(bands)
    assert isinstance(aten.operators(), PyTorch)


@pytest.mark.usefixtures("not_loaded")
def test_a_layer_that_fails_in_c_is_replaced_by_python_torch(monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("cpu_convolution of libtorch failed")

    monkeypatch.setattr(LibTorch, "_convolved", failing)
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    assert_same_pixels(upsample(pixels, 2, kernel="bilinear"), expected_pixels(pixels, 2))
    assert isinstance(aten.operators(), PyTorch)
    assert aten.import_note() == "cpu_convolution of libtorch failed"


# -- whole processes --------------------------------------------------------------------------------------------------


def run(code, folder):
    """Run code in a new process, in a folder."""
    return subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT | FINDS_SUPPORT, cwd=folder, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


PREPARED = """
import sys
import numpy as np
from PIL import Image
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from upsample_cli import upsample_file
from upsample_cli.engine import aten, library, libtorch
from upsample_cli.engine.routes import select
from upsample_cli.errors import DeviceError, UsageError
def saved(name, channels, dtype=np.uint8):
    pixels = hostile_pixels((17, 11, channels), dtype)
    Image.fromarray(pixels if channels > 1 else pixels[..., 0]).save(name)
    return pixels
def pixels_of(name):
    return np.asarray(Image.open(name))
assert "torch" not in sys.modules
"""

ALL_KINDS = """
rgb, rgba, deep = saved("rgb.png", 3), saved("rgba.png", 4), saved("deep.png", 1, np.uint16)
Image.fromarray(np.random.default_rng(1).random((17, 11), np.float32)).save("float.tif")
for number, (name, factor, options) in enumerate([
    ("rgb.png", 2, {}), ("rgb.png", 1.5, {}), ("rgb.png", 2, {"linear_light": True}),
    ("rgb.png", 2, {"kernel": "fitted"}),
    ("rgb.png", 1.5, {"kernel": "lanczos3"}), ("rgb.png", 2, {"engine": "layer"}), ("rgba.png", 2, {}),
    ("rgba.png", 1.5, {"linear_light": True}), ("deep.png", 2, {}), ("deep.png", 1.5, {}),
    ("deep.png", 2, {"kernel": "fitted"}), ("deep.png", 2, {"linear_light": True}),
    ("rgba.png", 1.5, {"kernel": "fitted"}), ("deep.png", 2.5, {"kernel": "bicubic", "linear_light": True}),
    ("float.tif", 1.5, {"kernel": "fitted"}), ("float.tif", 1.5, {}), ("float.tif", 2, {"kernel": "lanczos3"}),
]):
    upsample_file(name, str(number) + name[-4:], factor, device="cpu", **options)
    assert "torch" not in sys.modules, (name, factor, options, aten.import_note())
for number, expected in ((0, expected_pixels(rgb, 2)), (5, expected_pixels(rgb, 2)),
                         (6, expected_pixels(rgba, 2, has_alpha=True)), (8, expected_pixels(deep, 2)[..., 0])):
    assert_same_pixels(pixels_of(f"{number}.png"), expected)
assert isinstance(aten.operators(), libtorch.LibTorch)
aten.import_torch("the control")
assert "torch" in sys.modules
print("never imported")
"""


def test_torch_is_not_imported_for_any_kind_of_image(tmp_path):
    ran = run(PREPARED + ALL_KINDS, tmp_path)
    assert ran.stdout == "never imported\n", ran.stderr


WRONG_TAP = """
from support.compiled_route import WrongTapRoute
select.CompiledRoute = WrongTapRoute
pixels = saved("a.png", 3)
try:
    upsample_file("a.png", "never.png", 2, device="cpu", engine="compiled")
except UsageError as error:
    print(error)
"""


@needs_compiled
def test_pixels_of_a_wrong_fast_route_are_never_written(tmp_path):
    end = """
result = upsample_file("a.png", "b.png", 2, device="cpu")
assert result.engine in ("row-phases", "layer"), result.engine
assert_same_pixels(pixels_of("b.png"), expected_pixels(pixels, 2))
assert "torch" in sys.modules
print(aten.import_note())
"""
    ran = run(PREPARED + WRONG_TAP + end, tmp_path)
    refused, note = ran.stdout.splitlines() or [ran.stderr, ""]
    assert "its pixels differ from those of the layer on this machine" in refused
    assert note == "the route 'compiled' gave other pixels than the layer"
    assert not (tmp_path / "never.png").exists()


def test_a_process_without_the_library_writes_the_same_pixels(tmp_path):
    """Also at factor 1.5, which multiplies matrices, and with a kernel that is convolved in rows."""
    shutil.copy(Path(ctypes.__file__), tmp_path / "text.so")
    code = """
libtorch.library_path = lambda: __import__("pathlib").Path("text.so").absolute()
for number, (factor, options) in enumerate([(2, {}), (1.5, {}), (2, {"kernel": "lanczos3"})]):
    pixels = saved("a.png", 3)
    upsample_file("a.png", f"{number}.png", factor, device="cpu", **options)
assert_same_pixels(pixels_of("0.png"), expected_pixels(pixels, 2))
assert "torch" in sys.modules
print(aten.import_note())
"""
    ran = run(PREPARED + code, tmp_path)
    assert ran.stdout.startswith("text.so: "), ran.stderr
    control = """
for number, (factor, options) in enumerate([(2, {}), (1.5, {}), (2, {"kernel": "lanczos3"})]):
    upsample_file("a.png", f"again-{number}.png", factor, device="cpu", **options)
    assert_same_pixels(pixels_of(f"again-{number}.png"), pixels_of(f"{number}.png"))
assert "torch" not in sys.modules
print("the same")
"""
    ran = run(PREPARED + control, tmp_path)
    assert ran.stdout == "the same\n", ran.stderr


def test_a_run_that_fails_at_once_ends_normally(tmp_path):
    """A thread is still loading the library, which the process must not unload at the same time."""
    save(tmp_path / "a.png", (300, 400))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    for _ in range(8):
        command = [*COMMAND, "a.png", "-o", "b.png", "--device", "cpu"]
        ran = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=False, timeout=60)
        assert (ran.returncode, ran.stderr.count(b"\n")) == (1, 1), ran.stderr
        assert ran.stderr.startswith(b"error: a.png: is truncated")


@pytest.mark.usefixtures("not_loaded")
@pytest.mark.parametrize("changed", ["numbers", "failure"])
def test_a_changed_interface_is_not_used(changed, monkeypatch):
    """Simulates a version of torch with a changed argument of the convolution."""
    convolved = LibTorch._convolved

    def other(self, image, weight, *arguments, **named):
        if changed == "failure":
            raise RuntimeError("cpu_convolution of libtorch failed")
        return convolved(self, image, weight[..., ::-1].copy(), *arguments, **named)

    monkeypatch.setattr(LibTorch, "_convolved", other)
    assert isinstance(aten.operators(), PyTorch)
    assert (
        aten.import_note()
        == {
            "numbers": "libtorch's C interface gave other numbers than the layer",
            "failure": "cpu_convolution of libtorch failed",
        }[changed]
    )


@pytest.mark.usefixtures("not_loaded")
def test_a_torch_that_cannot_be_imported_is_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "upsample_cli.engine.pytorch", None)
    with pytest.raises(DeviceError, match=r"^torch cannot be imported: .+; free some memory, or install it again$"):
        aten.operators()


LEAVING = """
import atexit, contextlib, threading, time
from upsample_cli.engine import aten, library
from upsample_cli.errors import DeviceError
begun, path = threading.Event(), library.library_path()
if {is_control}:
    library.loading = contextlib.nullcontext
def dlopen(*_):
    begun.set()
    time.sleep(0.3)
    print("loaded", flush=True)
library._dlopen = lambda: dlopen
def load_twice():
    library.load_library(path)
    for load in (lambda: library.load_library(path), lambda: aten.import_torch("")):
        time.sleep(0.1)
        try:
            load()
        except DeviceError:
            print("refused", flush=True)
threading.Thread(target=load_twice, daemon=True).start()
begun.wait()
if {ends_slowly}:
    atexit._run_exitfuncs()
    time.sleep(1)
"""


@pytest.mark.parametrize(
    ("is_control", "ends_slowly", "printed"),
    [(False, False, ["loaded"]), (True, False, []), (False, True, ["loaded", "refused", "refused"])],
)
def test_a_process_does_not_exit_while_a_thread_loads_a_library(is_control, ends_slowly, printed):
    """The system destroys what the library has made so far, and the thread that is still making it crashes."""
    code = LEAVING.format(is_control=is_control, ends_slowly=ends_slowly)
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.split()) == (0, printed), ran.stderr
