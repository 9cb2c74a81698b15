"""The order of bands to a GPU and back, on a substitute for it: what waits for what, and how many are in flight."""

import math
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels

from upsample_cli.engine import cuda, devices, torch_device
from upsample_cli.engine.bands import Settings, enlarged_bands
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes import race
from upsample_cli.engine.torch_device import device_layer
from upsample_cli.kernels.kernel import kernel_named

KERNEL, SIXTEEN = kernel_named("bilinear", 2), Arithmetic(np.dtype(np.uint8), 16)
DEVICE = "cuda:0"
LAYER = device_layer(KERNEL, SIXTEEN, torch.device("cpu"))


class Stream:
    def __init__(self, log):
        self.log, self.is_busy = log, False

    def record_event(self):
        return "what the caller asked for"

    def wait_event(self, event):
        self.log.append(("waits for", event, threading.get_ident()))

    def synchronize(self):
        self.is_busy = False
        self.log.append(("done", None, threading.get_ident()))


class Entered:
    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        self.stream.is_busy = True

    def __exit__(self, *_):
        assert not self.stream.is_busy  # left only when all that was asked for is done


def has_free(monkeypatch, free, *, reserved=0, allocated=0):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 2**37))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: allocated)


def computes(monkeypatch, route):
    """Have the substitute take this route."""
    route.name, route.bytes_per_value = "substitute", 16
    monkeypatch.setattr(cuda.CudaSupport, "route", lambda *_: route)


@pytest.fixture
def log(monkeypatch):
    """Everything that a device would do, done by the CPU, with a note of its order."""
    log, made, empty = [], threading.local(), torch.empty

    def empty_on_the_cpu(*shape, device=None, **keywords):
        assert device in (None, torch.device(DEVICE))
        return empty(*shape, **keywords)

    def route(padded, out):
        log.append(("route", None, threading.get_ident()))
        LAYER(padded, out)
        time.sleep(0.01)

    computes(monkeypatch, route)
    monkeypatch.setattr(cuda.CudaSupport, "_send", lambda _, tile: tile.clone())
    monkeypatch.setattr(cuda.CudaSupport, "_fetch", lambda _, made, out: out.copy_(made))
    monkeypatch.setattr(torch, "empty", empty_on_the_cpu)
    monkeypatch.setattr(cuda, "_streams", made)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream(log))
    monkeypatch.setattr(torch.cuda, "stream", Entered)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream(log))
    has_free(monkeypatch, 2**33)
    return log


def bands_of(pixels, **keywords):
    how = Settings(KERNEL, "replicate", DEVICE, **keywords)
    return enlarged_bands(lambda first, last: pixels[first:last], pixels.shape, settings=how, arithmetic=SIXTEEN)


@pytest.mark.parametrize("tile_size", [None, 5])
def test_bands_come_back_whole_and_in_order(tile_size, log):
    pixels = hostile_pixels((23, 17, 3), np.uint8)
    found = np.concatenate(list(bands_of(pixels, tile_size=tile_size)))
    assert_same_pixels(found, expected_pixels(pixels, 2))
    by_thread = {}
    for what, event, thread in log:
        by_thread.setdefault(thread, []).append((what, event))
    for steps in by_thread.values():
        while steps:  # for each band: what was before, its tiles, and nothing of it left when it is handed over
            assert steps.pop(0) == ("waits for", "what the caller asked for")
            assert steps.pop(0) == ("route", None)
            while steps[0] == ("route", None):
                steps.pop(0)
            assert steps.pop(0) == ("done", None)


def test_three_bands_are_on_their_way_and_no_more(log):
    bands = bands_of(hostile_pixels((200, 3, 3), np.uint8), tile_size=4)
    next(bands)
    time.sleep(0.5)
    assert len([what for what, *_ in log if what == "done"]) == torch_device.LANES
    bands.close()


def test_a_band_that_fails_leaves_its_stream_empty(log, monkeypatch):
    def failing(padded, out):
        raise RuntimeError("no such kernel")

    computes(monkeypatch, failing)
    with pytest.raises(RuntimeError, match="no such kernel"):
        list(bands_of(hostile_pixels((9, 5, 3), np.uint8)))
    assert log[-1][0] == "done"


def test_tiles_that_are_fetched_are_several_and_those_that_stay_are_large(monkeypatch):
    has_free(monkeypatch, 2**36)
    assert cuda.CudaSupport(DEVICE).tile_bytes(0, bytes_per_value=2, is_resident=False) == 2 * cuda.TILE_VALUES
    assert cuda.CudaSupport(DEVICE).tile_bytes(0, bytes_per_value=2, is_resident=True) == torch_device.MOST_TILE_BYTES
    has_free(monkeypatch, 6 * 2**20)  # hardly any left, for three at once
    for is_resident in (False, True):
        assert cuda.CudaSupport(DEVICE).tile_bytes(0, bytes_per_value=16, is_resident=is_resident) == 2**20


def test_what_torch_holds_and_nobody_uses_is_free(monkeypatch):
    has_free(monkeypatch, 0, reserved=2**34, allocated=2**34 - 6 * 2**20)
    assert cuda.CudaSupport(DEVICE).tile_bytes(0, bytes_per_value=16, is_resident=True) == 2**20


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), False),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_every_voice_that_says_out_of_memory(error, is_one):
    assert cuda.CudaSupport(DEVICE).is_out_of_memory(error) == is_one


def test_a_tile_that_some_library_has_no_memory_for_is_halved(log, monkeypatch):
    def cramped(padded, out):
        if out.shape[0] * out.shape[1] > 1000:
            raise RuntimeError("GET was unable to find an engine to execute this computation")
        log.append(("route", None, threading.get_ident()))
        LAYER(padded, out)

    computes(monkeypatch, cramped)
    pixels = hostile_pixels((53, 37, 3), np.uint8)
    assert_same_pixels(np.concatenate(list(bands_of(pixels))), expected_pixels(pixels, 2))
    assert len([what for what, *_ in log if what == "route"]) > 4


def test_what_is_made_on_another_gpu_is_waited_for_by_the_caller(log, monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: log.append(str(device)) or Stream(log))
    rows, out = (SimpleNamespace(device=torch.device(name)) for name in ("cuda:0", "cpu"))
    one, other = cuda.CudaSupport("cuda:0"), cuda.CudaSupport("cuda:1")
    assert devices.work_of_caller(other, rows, out, None) == "what the caller asked for"
    assert [log[0], log[1][0], *log[2:]] == ["cuda:0", "done", "cuda:1"]
    log.clear()
    assert devices.work_of_caller(one, rows, out, None) == "what the caller asked for"
    assert log == ["cuda:0"]  # nothing to wait for: its own event follows what made the rows
    log.clear()
    assert devices.work_of_caller(torch_device.TorchSupport("mps"), rows, None) is None
    assert [log[0], log[1][0]] == ["cuda:0", "done"]
    log.clear()
    for array in (torch.empty(1), np.empty(1)):
        assert devices.work_of_caller(devices.device_support("cpu"), array, None) is None
    assert not log


def test_of_routes_the_fastest_is_taken_and_slow_ones_run_no_longer_than_needed(monkeypatch):
    """By a clock that counts a second for each time that a route is asked to work, times its own pace."""
    ran, paces = [], {"fast": 1.0, "a little faster": 0.9, "slow": 5.0, "refusing": math.inf}

    def pacing(name):
        def route(padded, out):
            ran.append(name)
            if name == "refusing":
                raise RuntimeError("CUDA error: out of memory")

        return route

    def seconds(work, _):
        work()
        return paces[ran[-1]]

    monkeypatch.setattr(race, "seconds", seconds)
    monkeypatch.setattr(race, "_TIMED_OUTPUTS", 2**8)
    routes = {name: pacing(name) for name in paces}

    def fastest(*names):
        ran.clear()
        return race._fastest([routes[name] for name in names], KERNEL, SIXTEEN, 3, torch.device("cpu"))

    assert fastest("refusing", "fast", "a little faster", "slow") is routes["a little faster"]
    assert (ran.count("fast"), ran.count("a little faster"), ran.count("slow")) == (6, 6, 2)
    assert fastest("slow", "fast") is routes["fast"]
    assert fastest("refusing", "refusing") is routes["refusing"]  # which then says itself what is wrong


def test_routes_race_once_for_images_alike(monkeypatch):
    raced = []
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(race, "device_layer", lambda *_: LAYER)
    monkeypatch.setattr(race, "cuda_routes", lambda *_: [])
    monkeypatch.setattr(race, "_fastest", lambda routes, *_: raced.append(routes) or routes[-1])
    race.raced_route.cache_clear()
    try:
        for channels in (3, 3, 4, 3):
            assert cuda.CudaSupport(DEVICE).route(KERNEL, SIXTEEN, channels, "auto") is LAYER
        assert len(raced) == 2
    finally:
        race.raced_route.cache_clear()


def test_a_thread_at_factor_1_turns_cudnn_off_for_itself_alone():
    """Here one at factor 2 starts while another, at factor 1, is at work."""
    met, before = [], torch.backends.cudnn.enabled

    def at_factor_2():
        with cuda.CudaSupport(DEVICE).exact_convolutions(stride=2):
            met.append(torch.backends.cudnn.enabled)

    other = threading.Thread(target=at_factor_2)
    with cuda.CudaSupport(DEVICE).exact_convolutions(stride=1):
        assert not torch.backends.cudnn.enabled
        other.start()
        time.sleep(0.1)
    other.join(timeout=10)
    assert met == [before] == [True]
    assert torch.backends.cudnn.enabled == before


def test_a_tensor_of_mps_names_its_device_by_number(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.pick_device("mps:0") == devices.pick_device("mps") == "mps"


CALLERS_PRECISION = """
import sys, warnings
import torch
from torch.nn import functional
from upsample_cli.engine.cuda import CudaSupport

backends = torch.backends
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch calls the older names old: that is the caller's affair
    exec(sys.argv[1])

def state():
    cudnn = backends.cudnn
    return [cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision,
            backends.cuda.matmul.fp32_precision, backends.fp32_precision]

before = state()
for stride in (1, 2):
    with CudaSupport("cuda:0").exact_convolutions(stride=stride):
        assert state()[:4] == [before[0] and stride > 1, False, True, "ieee"], state()
        assert state()[5] == "ieee"
        functional.conv_transpose2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2), stride=stride)
    assert state() == before, state()
print("put back")
"""


@pytest.mark.parametrize(
    "said",
    [
        "",
        "backends.cudnn.allow_tf32 = True; torch.set_float32_matmul_precision('high')",
        "backends.cudnn.allow_tf32 = False; backends.cudnn.benchmark = True",
        "backends.fp32_precision = 'tf32'",
        "backends.cudnn.conv.fp32_precision = 'tf32'; backends.cudnn.enabled = False",
    ],
)
def test_nothing_a_caller_says_of_tf32_reaches_the_sums_or_is_lost(said):
    """In a process of its own, as some of these cannot be taken back. Nor does any of it warn."""
    ran = subprocess.run(
        [sys.executable, "-c", CALLERS_PRECISION, said], capture_output=True, text=True, timeout=100, check=False
    )
    assert (ran.stdout, ran.stderr) == ("put back\n", "")


def test_what_has_no_room_in_pinned_memory_goes_the_slow_way(monkeypatch):
    """Here there is no GPU, so there is no such memory: torch says so with the error that a full one raises."""
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(RuntimeError):
        torch.empty(1, pin_memory=True)
    assert cuda.CudaSupport(DEVICE).empty_for_transfer((3, 5), torch.uint8).shape == (3, 5)
