"""The engine: devices, threads, borders, running out of memory, and stopping."""

import os
import platform
import re
import subprocess
import sys
import threading
import time
from concurrent import futures
from threading import Event

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.environment import NOT_COMPILED
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels

from upsample_cli import upsample
from upsample_cli.engine import cores, devices, enlargement, pool, support
from upsample_cli.engine.bands import enlarged_bands, whole_of
from upsample_cli.engine.borders import WrappedRows, joined, padded_tile
from upsample_cli.engine.cuda import CudaSupport
from upsample_cli.engine.devices import pick_device
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.pool import compute_pool, computed_together, layer_pool
from upsample_cli.engine.routes.compiled import instruction_sets
from upsample_cli.engine.routes.select import chosen_route
from upsample_cli.engine.torch_device import TorchSupport, device_layer
from upsample_cli.errors import DeviceError, Interrupted, UsageError
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.geometry.tiles import Plan, Span, Tile
from upsample_cli.kernels.kernel import Kernel, kernel_named

BILINEAR = kernel_named("bilinear", 2)
SIXTEEN = Arithmetic(np.dtype(np.uint8), 16)


def settings_of(tile_size=None, *, border="replicate", budget_bytes=None, kernel=BILINEAR):
    return Settings(kernel, border, "cpu", budget_bytes, tile_size)


@pytest.fixture
def fresh_pool():
    pool._started_pool.cache_clear()
    yield
    compute_pool().shutdown()
    pool._started_pool.cache_clear()


def bands_of(pixels, how, **keywords):
    """`enlarged_bands` over an array of 8-bit pixels."""
    arithmetic = Arithmetic(np.dtype(np.uint8), how.kernel.denominator)
    return enlarged_bands(
        lambda first, last: pixels[first:last], pixels.shape, settings=how, arithmetic=arithmetic, **keywords
    )


def enlarged(pixels, how, **keywords):
    return np.concatenate(list(bands_of(pixels, how, **keywords)))


# -- devices ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(devices, "has_cuda_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("name", "device"),
    [("auto", "cuda:0"), ("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")],
)
@pytest.mark.usefixtures("two_gpus")
def test_an_available_device_is_chosen(name, device):
    assert pick_device(name) == device


@pytest.mark.parametrize("name", ["cuda:2", "cuda:-1", "cuda:", "mps", "gpu", "", "CPU", "meta"])
@pytest.mark.usefixtures("two_gpus")
def test_a_missing_device_is_an_error_that_lists_the_available_devices(name):
    with pytest.raises(DeviceError) as raised:
        pick_device(name)
    assert str(raised.value) == f"there is no device {name!r} here; choose device=auto or one of cpu, cuda:0, cuda:1"
    assert raised.value.exit_status == 2


def test_without_a_gpu_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for has_driver in (False, True):
        monkeypatch.setattr(devices, "has_cuda_driver", lambda has_driver=has_driver: has_driver)
        assert pick_device("auto") == "cpu"
    assert pick_device("mps") == "mps"
    with pytest.raises(DeviceError, match=r"one of cpu, mps$"):
        pick_device("cuda")


@pytest.mark.parametrize("engine", ["auto", "layer"])
def test_mps_refuses_kernels_that_need_float64(engine):
    wide = Arithmetic(np.dtype(np.uint16), 18**2)
    with pytest.raises(DeviceError, match=r"no float64.*device=cpu"):
        enlargement.route_of(Settings(kernel_named("bilinear", 9), "replicate", "mps", engine=engine), wide, 3)


# -- borders and halos ------------------------------------------------------------------------------------------------

PAD_MODES = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap", "zeros": "constant"}


@st.composite
def spans(draw):
    length, halo = draw(st.integers(1, 9)), draw(st.integers(0, 4))
    start = draw(st.integers(0, length - 1))
    return Span(start, draw(st.integers(start + 1, length)), length, halo)


def _empty_tensor(shape, dtype):
    return torch.empty(shape, dtype=dtype)


@given(spans(), spans(), st.sampled_from(BORDERS))
@settings(max_examples=300)
def test_a_padded_tile_equals_a_part_of_the_padded_image(rows, columns, border):
    image = hostile_pixels((rows.length, columns.length, 2), np.uint8)
    pad = ((rows.halo, rows.halo), (columns.halo, columns.halo), (0, 0))
    whole = np.pad(image, pad, mode=PAD_MODES[border])
    expected = whole[rows.start : rows.stop + 2 * rows.halo, columns.start : columns.stop + 2 * columns.halo]
    rows, columns = (span._replace(wraps=border == "wrap") for span in (rows, columns))
    of_rows = joined([image[start:stop] for start, stop in rows.runs], 0)
    taken = joined([of_rows[:, start:stop] for start, stop in columns.runs], 1)
    found = padded_tile(taken, Tile(rows, columns), border)
    assert found.flags.c_contiguous
    assert_same_pixels(found, expected)
    of_tensor = padded_tile(torch.from_numpy(taken), Tile(rows, columns), border, empty=_empty_tensor)
    assert of_tensor.is_contiguous()
    assert_same_pixels(of_tensor.numpy(), expected)


@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 20), st.booleans())
def test_rows_that_wrap_are_read_in_order_after_the_last_ones(height, reach, step, is_tensor):
    image = hostile_pixels((height, 3, 2), np.uint16)
    whole = np.pad(image, ((reach, reach), (0, 0), (0, 0)), mode="wrap")
    device = TorchSupport("cpu") if is_tensor else support.DeviceSupport()
    calls = []

    def read_rows(first, last):
        assert 0 <= first < last <= height
        calls.append(first)
        return device.taken(image[first:last])

    read = WrappedRows(read_rows, height, reach, device.joined)
    for first in range(0, height, step):
        found = read(first - reach, min(first + step, height) + reach)
        assert_same_pixels(np.asarray(found), whole[first : min(first + step, height) + 2 * reach])
    assert calls[1:] == sorted(calls[1:])  # a file is decoded twice at most


class ShortOfHalo(Kernel):
    """A kernel whose stated halo is one pixel too small."""

    @property
    def halo(self):
        return super().halo - 1


def test_a_halo_that_is_one_pixel_too_small_is_detected():
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    short = ShortOfHalo("short", 2, BILINEAR.weights, BILINEAR.denominator, BILINEAR.padding)
    expected = expected_pixels(pixels, 2)
    assert_same_pixels(enlarged(pixels, settings_of(5)), expected)
    with pytest.raises(AssertionError):
        assert_same_pixels(enlarged(pixels, settings_of(5, kernel=short)), expected)
    # tiles are right where no halo is needed, so the check above detects the halo
    assert_same_pixels(enlarged(pixels, settings_of(5, kernel=short))[2:8, 2:8], expected[2:8, 2:8])


# -- bands ------------------------------------------------------------------------------------------------------------


def test_bands_and_reads_are_in_order_and_the_look_ahead_is_bounded():
    pixels = hostile_pixels((41, 7, 3), np.uint8)
    reads = []

    def read_rows(first, last):
        reads.append((first, last))
        return pixels[first:last]

    parts = []
    for band in enlarged_bands(read_rows, pixels.shape, settings=settings_of(2), arithmetic=SIXTEEN):
        parts.append(band.copy())
        time.sleep(0.01)  # enough time for an unbounded producer to run ahead
        assert len(reads) <= len(parts) + cores.core_count() + 1
    assert_same_pixels(np.concatenate(parts), expected_pixels(pixels, 2))
    assert reads == [(max(0, top - 1), min(41, top + 3)) for top in range(0, 41, 2)]


def test_a_target_is_written_in_place():
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    out = np.zeros((34, 22, 3), np.uint8)
    for band in bands_of(pixels, settings_of(4), out=out):
        assert out.ctypes.data <= band.ctypes.data < out.ctypes.data + out.size
    assert_same_pixels(out, expected_pixels(pixels, 2))


def test_a_read_error_ends_the_bands_and_not_the_pool():
    def read_rows(first, last):
        if first > 8:
            raise OSError("file is truncated")
        return np.zeros((last - first, 7, 3), np.uint8)

    with pytest.raises(OSError, match="file is truncated"):
        list(enlarged_bands(read_rows, (41, 7, 3), settings=settings_of(2), arithmetic=SIXTEEN))
    assert compute_pool().submit(lambda: 1).result(timeout=10) == 1


def test_an_error_in_a_route_is_raised_to_the_consumer_of_the_bands(monkeypatch):
    def failing(padded, out):
        raise ValueError("no such thing")

    failing.name, failing.bytes_per_value, failing.is_compiled = "failing", 4, False
    monkeypatch.setattr(support, "chosen_route", lambda *_: failing)
    with pytest.raises(ValueError, match="no such thing"):
        list(bands_of(np.zeros((41, 7, 3), np.uint8), settings_of(2)))
    assert compute_pool().submit(lambda: 1).result(timeout=10) == 1


# -- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 5, 20])
def test_a_stop_ends_the_bands_at_any_point(taken):
    stop, reads = Event(), []

    def read_rows(first, last):
        reads.append(first)
        return np.zeros((last - first, 7, 3), np.uint8)

    bands = enlarged_bands(read_rows, (42, 7, 3), settings=settings_of(2), arithmetic=SIXTEEN, stop=stop)
    for _ in range(taken):  # of 21
        next(bands)
    stop.set()
    before, threads = len(reads), threading.active_count()
    with pytest.raises(Interrupted) as raised:
        next(bands)
    assert raised.value.exit_status == 130
    assert len(reads) == before
    assert threading.active_count() <= max(threads, cores.core_count() + 1)
    # every thread of the pool is idle again
    futures = [compute_pool().submit(time.sleep, 0) for _ in range(2 * cores.core_count())]
    assert [future.result(timeout=10) for future in futures] == [None] * len(futures)


@pytest.mark.parametrize("height", [2, 42])
def test_a_stop_while_a_band_is_made_ends_the_bands(height):
    """Also of an image that is one tile."""
    stop = Event()

    def read_rows(first, last):
        stop.set()
        return np.zeros((last - first, 7, 3), np.uint8)

    with pytest.raises(Interrupted):
        list(enlarged_bands(read_rows, (height, 7, 3), settings=settings_of(), arithmetic=SIXTEEN, stop=stop))


@pytest.mark.usefixtures("fresh_pool")
def test_queued_bands_are_not_computed_after_an_error(monkeypatch):
    monkeypatch.setattr(cores, "core_count", lambda: 1)
    started, may_go_on = [], Event()

    def patient(padded, out):
        started.append(padded.shape)
        may_go_on.wait(timeout=30)

    patient.name, patient.bytes_per_value, patient.is_compiled = "patient", 4, False
    monkeypatch.setattr(support, "chosen_route", lambda *_: patient)

    def read_rows(first, last):
        if first > 2:  # two bands are queued by then, and the look-ahead continues
            raise OSError("file is truncated")
        return np.zeros((last - first, 2, 3), np.uint8)

    with pytest.raises(OSError, match="truncated"):
        list(enlarged_bands(read_rows, (41, 2, 3), settings=settings_of(2), arithmetic=SIXTEEN))
    may_go_on.set()
    compute_pool().submit(lambda: None).result(timeout=10)  # after everything that may still be queued
    assert len(started) <= 1  # bands are one tile wide here


def test_a_stop_event_that_is_not_set_has_no_effect():
    pixels = hostile_pixels((17, 11, 3), np.uint8)
    assert_same_pixels(enlarged(pixels, settings_of(3), stop=Event()), expected_pixels(pixels, 2))


# -- memory -----------------------------------------------------------------------------------------------------------


class ScarceMemoryRoute:
    """A route on a device whose memory has room only for tiles with this many pixels."""

    def __init__(self, route, most):
        self.route, self.most = route, most
        self.name, self.bytes_per_value, self.is_compiled = route.name, route.bytes_per_value, route.is_compiled
        self.done, self.refused = [], []

    def __call__(self, padded, out):
        pixels = (padded.shape[0] - 2) * (padded.shape[1] - 2)
        if pixels > self.most:
            self.refused.append(pixels)
            raise torch.OutOfMemoryError("out of memory")
        self.done.append(pixels)
        self.route(padded, out)


@pytest.fixture
def scarce(monkeypatch):
    """A torch device with little memory, simulated on the CPU."""

    def limit(most):
        route = ScarceMemoryRoute(device_layer(BILINEAR, SIXTEEN, torch.device("cpu")), most)
        monkeypatch.setattr(enlargement, "device_support", TorchSupport)
        monkeypatch.setattr(TorchSupport, "route", lambda *_: route)
        return route

    return limit


@pytest.mark.parametrize("tile_size", [None, 16, 40])
@pytest.mark.parametrize(("most", "border"), [(64, "replicate"), (100, "wrap"), (1000, "replicate"), (1000, "wrap")])
def test_out_of_memory_halves_the_tile_and_continues(most, border, tile_size, scarce):
    pixels = hostile_pixels((61, 83, 3), np.uint8)
    route = scarce(most)
    found = enlarged(pixels, settings_of(tile_size, border=border))
    assert_same_pixels(found, expected_pixels(pixels, 2, border=border))
    assert sum(route.done) == 61 * 83
    assert max(route.done) <= most
    if tile_size is None or tile_size**2 > most:
        # a size that failed is not tried again: the size halves with each refusal, separately in each thread
        assert 1 <= len(route.refused) <= cores.core_count() * 2 * np.log2(61 * 83 / most)
    else:
        assert not route.refused


def test_out_of_memory_on_the_smallest_tile_is_raised(scarce):
    route = scarce(31)
    with pytest.raises(torch.OutOfMemoryError):
        enlarged(hostile_pixels((61, 83, 3), np.uint8), settings_of())
    assert min(route.refused) <= 64
    assert compute_pool().submit(lambda: 1).result(timeout=10) == 1


def test_other_errors_do_not_count_as_out_of_memory(monkeypatch):
    calls = []

    def failing(padded, out):
        calls.append(padded.shape)
        raise RuntimeError("misaligned address")

    failing.name, failing.bytes_per_value, failing.is_compiled = "failing", 4, False
    monkeypatch.setattr(support, "chosen_route", lambda *_: failing)
    with pytest.raises(RuntimeError, match="misaligned"):
        enlarged(hostile_pixels((61, 83, 3), np.uint8), settings_of())
    assert len(calls) == 1


@pytest.mark.parametrize("factor", [2, 5])
def test_the_minimum_budget_in_an_error_is_enough_and_one_byte_less_is_not(factor):
    pixels, kernel = hostile_pixels((23, 31, 3), np.uint8), kernel_named("bilinear", factor)
    with pytest.raises(UsageError, match="too small for a single tile; give memory_bytes=") as raised:
        enlarged(pixels, settings_of(kernel=kernel, budget_bytes=1))
    least = int(re.search(r"\d+", str(raised.value))[0])
    with pytest.raises(UsageError):
        enlarged(pixels, settings_of(kernel=kernel, budget_bytes=least - 1))
    found = enlarged(pixels, settings_of(kernel=kernel, budget_bytes=least))
    assert_same_pixels(found, expected_pixels(pixels, factor))


@pytest.mark.parametrize("budget_bytes", [100_000, 300_000, 10**7])
def test_all_tiles_in_flight_stay_within_the_budget(budget_bytes, monkeypatch):
    route = ScarceMemoryRoute(chosen_route(BILINEAR, SIXTEEN, 3), 10**9)
    monkeypatch.setattr(support, "chosen_route", lambda *_: route)
    enlarged(hostile_pixels((200, 333, 3), np.uint8), settings_of(budget_bytes=budget_bytes))
    bytes_each = max(route.done) * 2 * 2 * 3 * route.bytes_per_value
    assert bytes_each * (cores.core_count() + 2) <= budget_bytes


# -- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_pool")
@pytest.mark.parametrize("count", [1, 3])
def test_the_callers_number_of_torch_threads_is_unchanged(count):
    before = torch.get_num_threads()
    seen = []
    try:
        torch.set_num_threads(count)
        enlarged(hostile_pixels((17, 11, 3), np.uint8), settings_of(2))
        assert torch.get_num_threads() == count
        assert {compute_pool().submit(torch.get_num_threads).result() for _ in range(8)} == {1}
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
    finally:
        torch.set_num_threads(before)
    assert seen == [count]


@pytest.mark.usefixtures("fresh_pool")
def test_concurrent_callers_share_one_pool():
    before, pools, at_once = torch.get_num_threads(), [], threading.Barrier(8)
    torch.set_num_threads(3)

    def call():
        at_once.wait()
        pools.append(layer_pool())

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=30)
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    torch.set_num_threads(before)
    assert len(pools) == 8
    assert len({id(pool) for pool in pools}) == 1
    assert seen == [3]  # a second pool would have read the number while the first had set it to one


@pytest.mark.usefixtures("fresh_pool")
def test_a_thread_that_does_not_start_leaves_none_that_waits_for_it(monkeypatch):
    """The system has no more threads, or the process is exiting: it would wait for the others without end."""
    monkeypatch.setattr(cores, "core_count", lambda: 3)
    waiting, submit = [], futures.ThreadPoolExecutor.submit

    def submit_two(executor, work):
        if len(waiting) == 2:
            raise RuntimeError("can't start new thread")
        waiting.append(submit(executor, work))
        return waiting[-1]

    monkeypatch.setattr(futures.ThreadPoolExecutor, "submit", submit_two)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        layer_pool()
    assert [type(future.exception(timeout=30)) for future in waiting] == [threading.BrokenBarrierError] * 2
    monkeypatch.undo()
    assert layer_pool().submit(torch.get_num_threads).result(timeout=30) == 1  # the control: all threads start


@pytest.mark.usefixtures("fresh_pool")
@pytest.mark.parametrize("count", [1, 5])
def test_the_number_of_threads_does_not_change_pixels(count, monkeypatch):
    monkeypatch.setattr(cores, "core_count", lambda: count)
    pixels = hostile_pixels((61, 43, 3), np.uint8)
    threads = set()
    real = enlargement.Enlargement.compute_band

    def noting(self, *args):
        threads.add(threading.current_thread().name)
        return real(self, *args)

    monkeypatch.setattr(enlargement.Enlargement, "compute_band", noting)
    for how in (settings_of(2), settings_of()):
        assert_same_pixels(enlarged(pixels, how), expected_pixels(pixels, 2))
    assert 1 <= len(threads - {threading.current_thread().name}) <= count  # one band is computed in this thread


def test_concurrent_callers_get_their_own_images():
    images = [hostile_pixels((31, 23, 3), np.uint8, seed) for seed in range(6)]
    found = [None] * len(images)

    def call(index):
        found[index] = enlarged(images[index], settings_of(3))

    callers = [threading.Thread(target=call, args=(index,)) for index in range(len(images))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=30)
    for image, result in zip(images, found, strict=True):
        assert_same_pixels(result, expected_pixels(image, 2))


def cudnn_flags():
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision


def test_cudnn_flags_are_restored():
    before = cudnn_flags()
    for _ in range(20):
        enlarged(np.zeros((40, 5, 3), np.uint8), settings_of(2))
    assert cudnn_flags() == before


def test_no_thread_uses_tf32_on_cuda():
    before, met = cudnn_flags(), []

    def work():
        for _ in range(50):
            with CudaSupport("cuda:0").exact_convolutions(stride=2):
                time.sleep(0)
                met.append(cudnn_flags())

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=30)
    assert set(met) == {(before[0], False, True, "ieee")}  # enabled as before, no benchmark, deterministic, no TF32
    assert len(met) == 200
    assert cudnn_flags() == before
    with CudaSupport("cuda:0").exact_convolutions(stride=1):
        assert not torch.backends.cudnn.enabled  # otherwise it may use algorithms that do not sum the products directly
    assert cudnn_flags() == before


FORKED = """
import os, signal, sys
import numpy as np
from PIL import Image
from upsample_cli import upsample, upsample_file
if sys.argv[1:]:
    import torch
pixels = np.random.default_rng(1).integers(0, 256, (31, 37, 3), dtype=np.uint8)
Image.fromarray(pixels).save("a.png")
def enlarged():
    for array in (pixels, pixels.astype(np.uint16) * 257, pixels.astype(np.float32)):
        for factor, kernel in ((2, "bilinear"), (3, "bilinear"), (2, "lanczos3")):
            yield upsample(array, factor, kernel=kernel, device="cpu")
    for engine in ("auto", "layer"):
        upsample_file("a.png", "b.png", 1.5, device="cpu", engine=engine, overwrite=True)
        yield np.asarray(Image.open("b.png"))
def new():  # of a kernel not met before
    return upsample(pixels, 4, kernel="bicubic", device="cpu")
expected = list(enlarged())
child = os.fork()
if child == 0:
    signal.alarm(40)
    np.save("new.npy", new())
    os._exit(0 if all(map(np.array_equal, enlarged(), expected)) else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status, np.array_equal(np.load("new.npy"), new()), "torch" in sys.modules)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("imported", [[], ["torch"]])
def test_a_forked_process_can_enlarge(imported, tmp_path):
    # the threads of the pool do not survive a fork, as in the workers of a DataLoader
    command = [sys.executable, "-c", FORKED, *imported]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert ran.stdout == f"0 True {bool(imported)}\n", ran.stderr


def test_the_engine_plans_with_the_halo_of_the_kernel():
    run = enlargement.Enlargement(settings_of(3), SIXTEEN, 3)
    assert run.plan(17, 11) == Plan(17, 11, halo=1, tile_height=3, tile_width=3)


@pytest.mark.parametrize("budget_bytes", [None, 10**12])
def test_tiles_on_a_cpu_fit_in_its_cache_with_any_budget(budget_bytes):
    run = enlargement.Enlargement(settings_of(budget_bytes=budget_bytes), SIXTEEN, 3)
    plan = run.plan(5000, 7000)
    assert plan.tile_height * plan.tile_width * 2 * 2 * 3 * run.route.bytes_per_value <= support.CACHE_BYTES


def test_an_image_is_divided_among_the_cores_unless_it_is_tiny(monkeypatch):
    monkeypatch.setattr(cores, "core_count", lambda: 4)
    run = enlargement.Enlargement(settings_of(), SIXTEEN, 3)
    assert len(list(run.plan(1000, 900).bands())) == 4
    assert len(list(run.plan(100, 90).bands())) == 1  # an image of one millisecond is not worth sharing
    assert len(list(run.plan(274, 365).bands())) == 1  # nor one of which a core would get a few rows


class Slow:
    """A pool whose threads wake up too late to help."""

    def submit(self, *_work):
        return futures.Future()  # cancelled while it waits


@pytest.mark.skipif(not instruction_sets(), reason=NOT_COMPILED)
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("tile", [None, 3])
def test_an_image_in_memory_does_not_wait_for_a_thread_to_wake_up(tile, has_alpha, monkeypatch):
    pixels = hostile_pixels((11, 9, 4), np.uint8)
    upsample(pixels, 2, has_alpha=has_alpha)  # chooses the route in the pool
    monkeypatch.setattr(cores, "core_count", lambda: 4)
    monkeypatch.setattr(pool, "compute_pool", Slow)
    monkeypatch.setattr(pool, "_settled", lambda *_: None)  # which waits for every thread
    found = upsample(pixels, 2, tile=tile, has_alpha=has_alpha)
    assert_same_pixels(found, expected_pixels(pixels, 2, has_alpha=has_alpha))


@pytest.mark.usefixtures("fresh_pool")
def test_items_are_shared_by_the_computing_threads_and_the_caller(monkeypatch):
    monkeypatch.setattr(cores, "core_count", lambda: 3)
    met, all_at_work = [], threading.Barrier(3)

    def work(item):
        all_at_work.wait(timeout=30)  # three threads, this one included
        met.append((threading.current_thread(), item))

    computed_together(work, range(3))
    assert len({thread for thread, _ in met}) == 3
    assert sorted(item for _, item in met) == [0, 1, 2]


@pytest.mark.usefixtures("fresh_pool")
def test_after_an_error_no_thread_takes_another_item(monkeypatch):
    monkeypatch.setattr(cores, "core_count", lambda: 2)
    taken = []

    def work(item):
        taken.append(item)
        raise IndexError(item)

    with pytest.raises(IndexError):
        computed_together(work, range(100))
    assert len(taken) <= 2  # one for each thread


FAULTS = """
import resource, sys
import numpy as np
from upsample_cli import upsample
def faults(run):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
image = np.zeros((1500, 2000, 3), np.uint8)
for _ in range(3):
    upsample(image, 4)
print(sorted(faults(lambda: upsample(image, 4)) for _ in range(5))[2]
      - sorted(faults(lambda: np.empty((6000, 8000, 3), np.uint8).fill(1)) for _ in range(5))[2])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="depends on how the C library reuses freed memory")
def test_tiles_reuse_freed_memory():
    # If freed memory went back to the system, each call would need some 10,000 new pages at this size.
    ran = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, timeout=120, check=False)
    assert int(ran.stdout) < 4000, ran.stderr


# -- small images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("height", "width", "channels"), [(1, 1, 1), (5, 7, 3), (128, 96, 4)])
def test_a_small_image_is_enlarged_at_once_as_in_bands(border, height, width, channels):
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)
    how = settings_of(border=border)
    whole = whole_of(pixels.shape, settings=how, arithmetic=SIXTEEN)
    assert (whole is None) == (border == "wrap")
    if whole is not None:
        assert np.array_equal(whole.enlarged(pixels), enlarged(pixels, settings_of(3, border=border)))
        assert whole.enlarged(pixels) is not whole.enlarged(pixels)


@pytest.mark.parametrize("how", [settings_of(4), Settings(BILINEAR, "replicate", "cpu", engine="layer")])
def test_only_what_one_compiled_tile_holds_is_enlarged_at_once(how):
    assert whole_of((64, 64, 3), settings=how, arithmetic=SIXTEEN) is None
    assert whole_of((64, 64, 3), settings=settings_of(), arithmetic=SIXTEEN).route == "compiled"  # the control
