"""The way of bands to a GPU and back, with a device that is none: what waits for what, and how much is on its way."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from oracles import assert_same_pixels, expected_pixels, hostile_pixels

from upsample_cli import cuda, engine
from upsample_cli.engine import Settings, enlarged_bands
from upsample_cli.kernels import kernel_named
from upsample_cli.pixels import Arithmetic
from upsample_cli.routes import PlainRoute

KERNEL, SIXTEEN = kernel_named("bilinear", 2), Arithmetic(torch.uint8, 16)
DEVICE = SimpleNamespace(type="cuda")


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


@pytest.fixture
def log(monkeypatch):
    """Everything that a device would do, done by the CPU, with a note of its order."""
    log, made = [], threading.local()

    def route(padded, out):
        log.append(("route", None, threading.get_ident()))
        PlainRoute(KERNEL, SIXTEEN, torch.device("cpu"))(padded, out)
        time.sleep(0.01)

    route.bytes_per_value = 16
    monkeypatch.setattr(engine, "chosen_route", lambda *_: route)
    monkeypatch.setattr(engine, "to_device", lambda tile, _: tile.clone())
    monkeypatch.setattr(engine, "empty_on", lambda _, out: torch.empty_like(out))
    monkeypatch.setattr(cuda, "_streams", made)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream(log))
    monkeypatch.setattr(torch.cuda, "stream", Entered)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream(log))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**33, 2**34))
    return log


def bands_of(pixels, **keywords):
    rows = torch.from_numpy(pixels)
    how = Settings(KERNEL, "replicate", DEVICE, **keywords)
    return enlarged_bands(lambda first, last: rows[first:last], pixels.shape, settings=how, arithmetic=SIXTEEN)


@pytest.mark.parametrize("tile_size", [None, 5])
def test_bands_come_back_whole_and_in_order(tile_size, log):
    pixels = hostile_pixels((23, 17, 3), np.uint8)
    found = torch.cat(list(bands_of(pixels, tile_size=tile_size))).numpy()
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
    assert len([what for what, *_ in log if what == "done"]) == cuda.LANES
    bands.close()


def test_a_band_that_fails_leaves_its_stream_empty(log, monkeypatch):
    def failing(padded, out):
        raise RuntimeError("no such kernel")

    failing.bytes_per_value = 16
    monkeypatch.setattr(engine, "chosen_route", lambda *_: failing)
    with pytest.raises(RuntimeError, match="no such kernel"):
        list(bands_of(hostile_pixels((9, 5, 3), np.uint8)))
    assert log[-1][0] == "done"


def test_tiles_that_are_fetched_are_several_and_those_that_stay_are_large(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**36, 2**37))
    assert cuda.tile_bytes(DEVICE, bytes_per_value=2, is_resident=False) == 2 * cuda.TILE_VALUES
    assert cuda.tile_bytes(DEVICE, bytes_per_value=2, is_resident=True) == cuda.MOST_TILE_BYTES
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (6 * 2**20, 2**37))  # hardly any left, for three at once
    for is_resident in (False, True):
        assert cuda.tile_bytes(DEVICE, bytes_per_value=16, is_resident=is_resident) == 2**20


def test_what_has_no_room_in_pinned_memory_goes_the_slow_way(monkeypatch):
    """Here there is no GPU, so there is no such memory: torch says so with the error that a full one raises."""
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(RuntimeError):
        torch.empty(1, pin_memory=True)
    assert cuda.empty_for_bus((3, 5), torch.uint8, DEVICE).shape == (3, 5)
