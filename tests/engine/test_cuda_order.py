"""The order of bands to and from a GPU, simulated on the CPU: what waits for what, and how many are in flight."""

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
from upsample_cli.engine.bands import enlarged_bands
from upsample_cli.engine.enlargement import Settings
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
        assert not self.stream.is_busy  # leave only when all queued work is done


def set_free_memory(monkeypatch, free, *, reserved=0, allocated=0):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 2**37))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: allocated)


def use_route(monkeypatch, route):
    """Let the simulated device use this route."""
    route.name, route.bytes_per_value, route.is_compiled = "substitute", 16, False
    monkeypatch.setattr(cuda.CudaSupport, "route", lambda *_: route)


@pytest.fixture
def log(monkeypatch):
    """Simulates a device on the CPU and records the order of its operations."""
    log, made, empty = [], threading.local(), torch.empty

    def empty_on_the_cpu(*shape, device=None, **keywords):
        assert device in (None, torch.device(DEVICE))
        return empty(*shape, **keywords)

    def route(padded, out):
        log.append(("route", None, threading.get_ident()))
        LAYER(padded, out)
        time.sleep(0.01)

    use_route(monkeypatch, route)
    monkeypatch.setattr(cuda.CudaSupport, "_send", lambda _, tile: tile.clone())
    monkeypatch.setattr(cuda.CudaSupport, "_fetch", lambda _, made, out: out.copy_(made))
    monkeypatch.setattr(torch, "empty", empty_on_the_cpu)
    monkeypatch.setattr(cuda, "_streams", made)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream(log))
    monkeypatch.setattr(torch.cuda, "stream", Entered)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream(log))
    set_free_memory(monkeypatch, 2**33)
    return log


def bands_of(pixels, **keywords):
    how = Settings(KERNEL, "replicate", DEVICE, **keywords)
    return enlarged_bands(lambda first, last: pixels[first:last], pixels.shape, settings=how, arithmetic=SIXTEEN)


@pytest.mark.parametrize("tile_size", [None, 5])
def test_bands_return_complete_and_in_order(tile_size, log):
    pixels = hostile_pixels((23, 17, 3), np.uint8)
    found = np.concatenate(list(bands_of(pixels, tile_size=tile_size)))
    assert_same_pixels(found, expected_pixels(pixels, 2))
    by_thread = {}
    for what, event, thread in log:
        by_thread.setdefault(thread, []).append((what, event))
    for steps in by_thread.values():
        while steps:  # for each band: the caller's work, its tiles, and an empty stream when the band is handed over
            assert steps.pop(0) == ("waits for", "what the caller asked for")
            assert steps.pop(0) == ("route", None)
            while steps[0] == ("route", None):
                steps.pop(0)
            assert steps.pop(0) == ("done", None)


def test_at_most_three_bands_are_in_flight(log):
    bands = bands_of(hostile_pixels((200, 3, 3), np.uint8), tile_size=4)
    next(bands)
    time.sleep(0.5)
    assert len([what for what, *_ in log if what == "done"]) == torch_device.LANES
    bands.close()


def test_a_band_that_fails_leaves_its_stream_empty(log, monkeypatch):
    def failing(padded, out):
        raise RuntimeError("no such kernel")

    use_route(monkeypatch, failing)
    with pytest.raises(RuntimeError, match="no such kernel"):
        list(bands_of(hostile_pixels((9, 5, 3), np.uint8)))
    assert log[-1][0] == "done"


def test_fetched_tiles_are_small_and_resident_tiles_are_large(monkeypatch):
    set_free_memory(monkeypatch, 2**36)
    assert cuda.CudaSupport(DEVICE).tile_bytes(0, bytes_per_value=2, is_resident=False) == 2 * cuda.TILE_VALUES
    assert cuda.CudaSupport(DEVICE).tile_bytes(0, bytes_per_value=2, is_resident=True) == torch_device.MOST_TILE_BYTES
    set_free_memory(monkeypatch, 6 * 2**20)  # little memory left, for three bands at once
    for is_resident in (False, True):
        assert cuda.CudaSupport(DEVICE).tile_bytes(0, bytes_per_value=16, is_resident=is_resident) == 2**20


def test_memory_cached_by_torch_counts_as_free(monkeypatch):
    set_free_memory(monkeypatch, 0, reserved=2**34, allocated=2**34 - 6 * 2**20)
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
def test_every_kind_of_out_of_memory_error_is_recognized(error, is_one):
    assert cuda.CudaSupport(DEVICE).is_out_of_memory(error) == is_one


def test_a_tile_too_large_for_a_library_is_halved(log, monkeypatch):
    def cramped(padded, out):
        if out.shape[0] * out.shape[1] > 1000:
            raise RuntimeError("GET was unable to find an engine to execute this computation")
        log.append(("route", None, threading.get_ident()))
        LAYER(padded, out)

    use_route(monkeypatch, cramped)
    pixels = hostile_pixels((53, 37, 3), np.uint8)
    assert_same_pixels(np.concatenate(list(bands_of(pixels))), expected_pixels(pixels, 2))
    assert len([what for what, *_ in log if what == "route"]) > 4


def test_the_caller_waits_for_work_on_another_gpu(log, monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: log.append(str(device)) or Stream(log))
    rows, out = (SimpleNamespace(device=torch.device(name)) for name in ("cuda:0", "cpu"))
    one, other = cuda.CudaSupport("cuda:0"), cuda.CudaSupport("cuda:1")
    assert devices.work_of_caller(other, rows, out, None) == "what the caller asked for"
    assert [log[0], log[1][0], *log[2:]] == ["cuda:0", "done", "cuda:1"]
    log.clear()
    assert devices.work_of_caller(one, rows, out, None) == "what the caller asked for"
    assert log == ["cuda:0"]  # nothing to wait for: the event was recorded after the rows were made
    log.clear()
    assert devices.work_of_caller(torch_device.TorchSupport("mps"), rows, None) is None
    assert [log[0], log[1][0]] == ["cuda:0", "done"]
    log.clear()
    for array in (torch.empty(1), np.empty(1)):
        assert devices.work_of_caller(devices.device_support("cpu"), array, None) is None
    assert not log


def test_the_fastest_route_is_chosen_and_slow_routes_are_timed_briefly(monkeypatch):
    """The simulated clock counts a second times a route's own pace for each call."""
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
    assert fastest("refusing", "refusing") is routes["refusing"]  # the route then raises its own error


def test_routes_are_timed_once_for_similar_images(monkeypatch):
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


def test_a_thread_at_factor_1_disables_cudnn_only_for_itself():
    """A thread at factor 2 starts while another one at factor 1 is running."""
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


def test_mps_devices_are_accepted_with_a_number(monkeypatch):
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
    "statements",
    [
        "",
        "backends.cudnn.allow_tf32 = True; torch.set_float32_matmul_precision('high')",
        "backends.cudnn.allow_tf32 = False; backends.cudnn.benchmark = True",
        "backends.fp32_precision = 'tf32'",
        "backends.cudnn.conv.fp32_precision = 'tf32'; backends.cudnn.enabled = False",
    ],
)
def test_tf32_settings_of_the_caller_do_not_affect_sums_and_are_restored(statements):
    """In a new process, because some of these settings cannot be undone. None of them causes a warning."""
    ran = subprocess.run(
        [sys.executable, "-c", CALLERS_PRECISION, statements], capture_output=True, text=True, timeout=100, check=False
    )
    assert (ran.stdout, ran.stderr) == ("put back\n", "")


def test_transfers_fall_back_to_pageable_memory(monkeypatch):
    """Without a GPU there is no pinned memory, and torch raises the same error as when it is full."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(RuntimeError):
        torch.empty(1, pin_memory=True)
    assert cuda.CudaSupport(DEVICE).empty_for_transfer((3, 5), torch.uint8).shape == (3, 5)
