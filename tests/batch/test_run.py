"""The order of events in a run with any executor: one result each, a journal, few in flight. No torch, no pixels."""

import subprocess
import sys
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from queue import Empty

import pytest
from support.environment import ENVIRONMENT
from support.jobs import job_of

from upsample_cli.batch import run
from upsample_cli.batch.entry import Entry
from upsample_cli.batch.memory import job_bytes
from upsample_cli.batch.run import run_entries
from upsample_cli.enlarge.job import Result
from upsample_cli.errors import DeviceError, Failure, Interrupted

LARGE = 2**11  # a side; one such image fills a slot


def entry(name, side=LARGE):
    job = job_of(name, f"o/{name}", side, side, source_format="bmp")  # decoded as a whole
    return Entry(Result.planned(job), job)


def done(job):
    return Result.planned(job).ended("written", elapsed_s=0.5)


class ManualExecutor:
    """An executor that ends images when the test says so and records how much is in flight."""

    def __init__(self, slots=2):
        self.slots, self.device = slots, None
        self.flying, self.most, self.most_bytes, self.begun, self.closed = {}, 0, 0, [], 0

    def submit(self, job):
        future = Future()
        self.flying[job.input.name] = (job, future)
        self.begun.append(job.input.name)
        self.most = max(self.most, len(self.flying))
        self.most_bytes = max(self.most_bytes, sum(job_bytes(each) for each, _ in self.flying.values()))
        return future

    def end(self, name, error=None):
        job, future = self.flying.pop(name)
        if error is None:
            future.set_result(done(job))
        else:
            future.set_exception(error)

    def close(self):
        self.closed += 1
        for name in list(self.flying):
            self.end(name, Interrupted())


class Written:
    """A journal in a list."""

    token = "0123abcd"

    def __init__(self):
        self.lines, self.blocks = [], 0

    @contextmanager
    def together(self):
        self.blocks += 1
        yield

    def started(self, job):
        self.lines.append(("started", job.input.name))

    def ended(self, job, result):
        self.lines.append((result.status, job.input.name))


@pytest.fixture
def ending(monkeypatch):
    """Whenever the run waits for a result, the oldest image in flight ends. `errors` maps names to their errors."""
    errors = {}
    executors = []

    class Queue:
        def __init__(self):
            self.items = []

        def put(self, item):
            self.items.append(item)

        def get(self, timeout):  # noqa: ARG002
            if not self.items:
                name = next(iter(executors[-1].flying))
                if isinstance(errors.get(name), KeyboardInterrupt):
                    raise errors.pop(name)
                executors[-1].end(name, errors.get(name))
            return self.items.pop(0)

        def get_nowait(self):
            if not self.items:
                raise Empty
            return self.items.pop(0)

    monkeypatch.setattr("upsample_cli.batch.run._GROUP_S", 0)
    monkeypatch.setattr("upsample_cli.batch.run.SimpleQueue", Queue)

    def start(entries, *, slots=2, journal=None, **keywords):
        executors.append(ManualExecutor(slots))
        return executors[-1], run_entries(entries, executor=executors[-1], journal=journal or Written(), **keywords)

    start.errors = errors
    return start


def test_known_results_come_first_and_every_entry_has_one_result(ending):
    known = Entry(Result(Path("bad"), status="failed", failure=Failure("damaged", "is bad", "", "bad")))
    executor, results = ending([entry("a"), known, entry("b")])
    assert [(result.input.name, result.status) for result in results] == [
        ("bad", "failed"),
        ("a", "written"),
        ("b", "written"),
    ]
    assert executor.closed


def test_a_run_without_entries_has_no_results(ending):
    executor, results = ending([])
    assert (list(results), executor.begun) == ([], [])
    assert executor.closed


@pytest.mark.parametrize("slots", [1, 3])
def test_one_more_large_image_than_slots_is_in_flight(ending, slots):
    executor, results = ending([entry(str(index)) for index in range(20)], slots=slots)
    assert len(list(results)) == 20
    assert executor.most == slots + 1


def test_many_small_images_are_in_flight_but_not_all(ending):
    executor, results = ending([entry(str(index), 128) for index in range(500)])
    assert len(list(results)) == 500
    assert executor.most == 3 * 32  # a slot takes 32 of the smallest images; two slots and one slot's work in the queue


def test_ten_images_of_100_megapixels_do_not_start_at_once(ending):
    entries = [entry(str(index), 10_000) for index in range(10)]
    each_bytes = job_bytes(entries[0].job)
    for room, most in ((0.5, 1), (1.5, 1), (2.5, 2), (99, 9)):
        executor, results = ending(entries, slots=8, budget_bytes=int(room * each_bytes))
        assert len(list(results)) == 10
        assert executor.most == most, room
        assert executor.most_bytes <= max(room, 1) * each_bytes


def test_without_a_budget_they_do_start_at_once(ending):
    """The control."""
    executor, results = ending([entry(str(index), 10_000) for index in range(10)], slots=8)
    assert len(list(results)) == 10
    assert executor.most == 9


def test_the_largest_images_start_first(ending):
    executor, results = ending(
        [entry(name, side) for name, side in (("a", 2000), ("b", 9000), ("c", 2000), ("d", 4000))]
    )
    assert len(list(results)) == 4
    assert executor.begun == ["b", "d", "a", "c"]


def test_small_images_overtake_a_large_one_that_waits_for_memory(ending):
    large, small = [entry(name, 10_000) for name in "AB"], [entry(name, 500) for name in "abcd"]
    executor, results = ending([*large, *small], slots=4, budget_bytes=int(1.5 * job_bytes(large[0].job)))
    assert len(list(results)) == 6
    assert executor.begun[0] == "A"
    assert set(executor.begun[1:5]) == set("abcd")
    executor, results = ending([*large, *small], slots=4)  # the control: with enough memory the order stays
    assert len(list(results)) == 6
    assert executor.begun[:2] == ["A", "B"]


def test_the_journal_is_written_before_an_image_starts_and_after_it_ends(ending):
    journal = Written()
    executor, results = ending([entry(name) for name in "abcd"], slots=1, journal=journal)
    for _ in results:
        assert [name for kind, name in journal.lines if kind == "started"] == executor.begun
    assert sorted(journal.lines) == sorted([(kind, name) for kind in ("started", "written") for name in "abcd"])
    for name in "abcd":
        assert journal.lines.index(("started", name)) < journal.lines.index(("written", name))


def test_an_exception_ends_the_run_and_closes_the_executor(ending):
    ending.errors["b"] = DeviceError("no such device")
    executor, results = ending([entry(name) for name in "abcdefgh"], slots=1)
    with pytest.raises(DeviceError):
        list(results)
    assert executor.closed
    assert len(executor.begun) < 8


def test_ctrl_c_starts_no_more_images_and_still_yields_finished_ones(ending):
    ending.errors["c"] = KeyboardInterrupt()
    journal = Written()
    executor, results = ending([entry(name) for name in "abcdefgh"], slots=2, journal=journal)
    closed = executor.close

    def close():
        if "d" in executor.flying:  # it ends well while the others are stopped
            executor.end("d")
        closed()

    executor.close = close
    found = []
    with pytest.raises(KeyboardInterrupt):
        all(found.append(result.input.name) is None for result in results)
    assert found == ["a", "b", "d"]
    assert [name for kind, name in journal.lines if kind == "written"] == found
    assert len(executor.begun) < 8


def test_an_early_close_closes_the_executor_and_records_finished_images(ending):
    journal = Written()
    executor, results = ending([entry(name) for name in "abcdefgh"], slots=2, journal=journal)
    assert next(results).input.name == "a"
    executor.end("b")
    results.close()
    assert executor.closed
    assert [name for kind, name in journal.lines if kind == "written"] == ["a", "b"]
    assert len(executor.begun) < 8


def test_a_result_that_arrives_with_the_signal_is_not_lost(ending, monkeypatch):
    """The interrupt arrives after the queue has handed out the result and before the wait returns."""
    journal = Written()
    _, results = ending([entry(name) for name in "abcd"], slots=2, journal=journal)
    taken = run._first

    def first(ended, on_wait):
        if (one := taken(ended, on_wait)).job.input.name == "b":
            raise KeyboardInterrupt
        return one

    monkeypatch.setattr(run, "_first", first)
    found = []
    with pytest.raises(KeyboardInterrupt):
        all(found.append(result.input.name) is None for result in results)
    assert found == ["a", "b"]
    assert ("written", "b") in journal.lines


def test_small_images_that_end_together_are_recorded_together(ending, monkeypatch):
    journal = Written()
    executor, results = ending([entry(str(index), 128) for index in range(200)], slots=1, journal=journal)

    def rest(_seconds):  # what ends while the run waits for more
        for name in list(executor.flying)[:20]:
            executor.end(name)

    monkeypatch.setattr("upsample_cli.batch.run.time.sleep", rest)
    assert [result.status for result in results] == ["written"] * 200
    assert journal.blocks < 2 * 200 / 10
    large = Written()
    assert len(list(ending([entry(str(index)) for index in range(20)], journal=large)[1])) == 20
    assert large.blocks == 2 * 20  # the control: a large image does not wait for others


def test_results_that_end_together_with_an_error_are_not_lost(ending, monkeypatch):
    journal = Written()
    executor, results = ending([entry(str(index), 128) for index in range(40)], slots=1, journal=journal)

    def rest(_seconds):
        for name in list(executor.flying)[:3]:
            executor.end(name, DeviceError("gone") if name == "2" else None)

    monkeypatch.setattr("upsample_cli.batch.run.time.sleep", rest)
    found = []
    with pytest.raises(DeviceError):
        all(found.append(result.input.name) is None for result in results)
    assert found == ["0", "1", "3"]
    assert {name for kind, name in journal.lines if kind == "written"} == {"0", "1", "3"}


def test_the_thread_of_the_run_reads_no_future_that_others_may_lock(ending, monkeypatch):
    """An interrupt inside a lock of a future would leave it locked: `result` and `exception` run where it is set."""
    setting, read = [], []

    class Watched(Future):
        def set_result(self, result):
            setting.append(self)
            super().set_result(result)
            setting.remove(self)

        def result(self, timeout=None):
            read.append(self in setting)
            return super().result(timeout)

        def exception(self, timeout=None):
            read.append(self in setting)
            return super().exception(timeout)

    monkeypatch.setattr(f"{__name__}.Future", Watched)
    _, results = ending([entry(str(index), 128) for index in range(30)])
    assert len(list(results)) == 30
    assert read
    assert all(read)


def test_a_signal_waits_for_the_end_of_a_deferring_block():
    """The control is the same signal without such a block."""
    code = """
import os, signal
from upsample_cli.signals import interrupt_deferred, stop_by_signals
for is_deferred in (True, False):
    steps = []
    try:
        with stop_by_signals():
            if is_deferred:
                with interrupt_deferred(), interrupt_deferred():
                    os.kill(os.getpid(), signal.SIGINT)
                    steps.append("inside")
                steps.append("after")
            else:
                os.kill(os.getpid(), signal.SIGINT)
                steps.append("after")
    except KeyboardInterrupt:
        print(steps)
"""
    ended = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert ended.stdout == "['inside']\n[]\n"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_that_arrives_in_a_callback_of_python_stops_the_run(number):
    """Python ignores an interrupt there. In one of importlib's callbacks it also keeps a lock, and later imports wait.

    The control is the same signal with Python's own hook, which prints the interrupt.
    """
    code = f"""
import os, signal, sys, time, weakref
from upsample_cli.signals import stop_by_signals, stop_status
class Referred: pass
def interrupted(_reference):
    os.kill(os.getpid(), signal.{number})
    for _ in range(1000):
        pass
for is_control in (False, True):
    try:
        with stop_by_signals():
            if is_control:
                sys.unraisablehook = sys.__unraisablehook__
            one = Referred()
            reference = weakref.ref(one, interrupted)
            del one
            time.sleep(1)
            print("not stopped")
    except KeyboardInterrupt:
        print("stopped", stop_status() == 128 + signal.{number})
"""
    ended = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert ended.stdout == "stopped True\nnot stopped\n"
    assert ended.stderr.count("Exception ignored") == 1
