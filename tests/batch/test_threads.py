"""Images in threads: how many are in flight, what an interrupt stops, and what is not waited for. No torch."""

import threading
import time
from pathlib import Path

import pytest
from support.crashing import SubstituteCarrier
from support.jobs import job_of
from support.running import Watched

from upsample_cli import signals
from upsample_cli.batch import threads
from upsample_cli.batch.threads import ThreadExecutor
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, Interrupted

LONG_S = 30.0
"""No wait in this module comes close to it; it only keeps a failing test from hanging."""


def job(name):
    return job_of(Path(name), Path(f"o/{name}"), 7, 5)


def done(each):
    return Result.planned(each).ended("failed", Failure("unexpected", "not tried"), elapsed_s=0.5)


@pytest.fixture
def removed(monkeypatch):
    """How often unfinished files were removed."""
    found = []
    monkeypatch.setattr(threads, "remove_unfinished", lambda: found.append(True))
    return found


def executor(carry):
    return ThreadExecutor(SubstituteCarrier(carry), Options(), watcher=Watched(), token="0123abcd")


def test_the_carrier_receives_all_arguments_and_progress_is_reported(removed):
    def carry(each, options, *, token, stop, on_rows):
        assert (options, token, stop.is_set()) == (Options(), "0123abcd", False)
        on_rows(3)
        on_rows(4)
        return done(each)

    pool = executor(carry)
    assert pool.submit(job("a")).result(LONG_S) == done(job("a"))
    pool.close()
    assert pool._watcher.events == [("started", "a"), ("advanced", "a", 3), ("advanced", "a", 4), ("ended", "a")]
    assert not removed  # there were no unfinished files


def test_images_run_one_after_the_other(removed):
    running = threading.Lock()

    def carry(each, *_, **__):
        assert running.acquire(blocking=False)
        time.sleep(0.01)
        running.release()
        return done(each)

    pool = executor(carry)
    for future in [pool.submit(job(str(index))) for index in range(4)]:
        assert future.result(LONG_S).status == "failed"
    pool.close()


def test_closing_stops_the_running_image_starts_no_other_and_removes_unfinished_files(removed, monkeypatch):
    monkeypatch.setattr(signals, "GRACE_S", LONG_S)  # it is not waited to its end
    running = threading.Event()

    def carry(each, _options, *, token, stop, on_rows):
        running.set()
        assert stop.wait(LONG_S)
        raise Interrupted

    pool = executor(carry)
    first, second = pool.submit(job("a")), pool.submit(job("b"))
    assert running.wait(LONG_S)
    start_s = time.monotonic()
    pool.close()
    assert time.monotonic() - start_s < LONG_S / 2
    assert second.cancelled()
    assert isinstance(first.exception(LONG_S), Interrupted)
    assert [name for kind, name in pool._watcher.events if kind == "started"] == ["a"]


@pytest.mark.parametrize("again", [False, True])
def test_an_image_that_cannot_be_stopped_is_not_waited_for(removed, monkeypatch, again):
    """Either the grace period is over, or Ctrl-C was pressed a second time."""
    monkeypatch.setattr(signals, "GRACE_S", LONG_S if again else 0.05)
    monkeypatch.setattr(signals, "is_hurried", lambda: again)
    release, running = threading.Event(), threading.Event()

    def carry(each, *_, **__):
        running.set()
        release.wait(LONG_S)
        return done(each)

    pool = executor(carry)
    pool.submit(job("deaf"))
    assert running.wait(LONG_S)
    start_s = time.monotonic()
    pool.close()
    assert time.monotonic() - start_s < LONG_S / 2
    assert removed == [True]
    release.set()
