"""A run's order of events with any executor: one result each, a journal, few in flight. No torch, no pixels."""

from concurrent.futures import Future
from pathlib import Path

import pytest
from support.jobs import job_of

from upsample_cli.batch import run
from upsample_cli.batch.memory import job_bytes
from upsample_cli.batch.plan import Entry
from upsample_cli.batch.run import run_entries
from upsample_cli.enlarge.job import Result
from upsample_cli.errors import DeviceError, Failure, Interrupted

LARGE = 2**11  # a side: one such image is a slot's work


def entry(name, side=LARGE):
    job = job_of(name, f"o/{name}", side, side)
    return Entry(Result.planned(job), job)


def done(job):
    return Result.planned(job).ended("written", elapsed_s=0.5)


class ByHand:
    """An executor whose images end when the test says so; it writes down what is in flight."""

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
    """A journal that is a list."""

    token = "0123abcd"

    def __init__(self):
        self.lines = []

    def started(self, job):
        self.lines.append(("started", job.input.name))

    def ended(self, job, result):
        self.lines.append((result.status, job.input.name))


@pytest.fixture
def ending(monkeypatch):
    """Whenever the run waits for a result, the image begun first ends. `errors` says which of them end badly."""
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

    monkeypatch.setattr("upsample_cli.batch.run.SimpleQueue", Queue)

    def start(entries, *, slots=2, journal=None, **keywords):
        executors.append(ByHand(slots))
        return executors[-1], run_entries(entries, executor=executors[-1], journal=journal or Written(), **keywords)

    start.errors = errors
    return start


def test_known_results_come_first_and_every_entry_has_one_result(ending):
    known = Entry(Result(Path("bad"), status="failed", failure=Failure("damaged", "is bad", "", "bad")))
    executor, results = ending([entry("a"), known, entry("b")])
    assert [(each.input.name, each.status) for each in results] == [
        ("bad", "failed"),
        ("a", "written"),
        ("b", "written"),
    ]
    assert executor.closed


def test_nothing_to_do_is_no_result(ending):
    executor, results = ending([])
    assert (list(results), executor.begun) == ([], [])
    assert executor.closed


@pytest.mark.parametrize("slots", [1, 3])
def test_of_large_images_one_more_than_slots_is_in_flight_so_that_no_slot_waits(ending, slots):
    executor, results = ending([entry(str(index)) for index in range(20)], slots=slots)
    assert len(list(results)) == 20
    assert executor.most == slots + 1


def test_of_small_ones_there_are_many_in_flight_but_not_all(ending):
    executor, results = ending([entry(str(index), 128) for index in range(500)])
    assert len(list(results)) == 500
    assert executor.most == 3 * 32  # a slot's work is 32 of the smallest; two slots, and one to follow


def test_ten_images_of_100_megapixels_do_not_start_at_once(ending):
    entries = [entry(str(index), 10_000) for index in range(10)]
    each_bytes = job_bytes(entries[0].job)
    for room, most in ((0.5, 1), (1.5, 1), (2.5, 2), (99, 9)):
        executor, results = ending(entries, slots=8, budget_bytes=int(room * each_bytes))
        assert len(list(results)) == 10
        assert executor.most == most, room
        assert executor.most_bytes <= max(room, 1) * each_bytes


def test_without_a_budget_they_would(ending):
    """The control."""
    executor, results = ending([entry(str(index), 10_000) for index in range(10)], slots=8)
    assert len(list(results)) == 10
    assert executor.most == 9


def test_the_largest_begin_first_so_that_none_is_left_for_the_end(ending):
    executor, results = ending(
        [entry(name, side) for name, side in (("a", 2000), ("b", 9000), ("c", 2000), ("d", 4000))]
    )
    assert len(list(results)) == 4
    assert executor.begun == ["b", "d", "a", "c"]


def test_where_a_large_one_has_to_wait_for_memory_small_ones_pass_it(ending):
    large, small = [entry(name, 10_000) for name in "AB"], [entry(name, 500) for name in "abcd"]
    executor, results = ending([*large, *small], slots=4, budget_bytes=int(1.5 * job_bytes(large[0].job)))
    assert len(list(results)) == 6
    assert executor.begun[0] == "A"
    assert set(executor.begun[1:5]) == set("abcd")
    executor, results = ending([*large, *small], slots=4)  # the control: with room there is nothing to pass
    assert len(list(results)) == 6
    assert executor.begun[:2] == ["A", "B"]


def test_the_journal_is_told_before_an_image_begins_and_after_it_ended(ending):
    journal = Written()
    executor, results = ending([entry(name) for name in "abcd"], slots=1, journal=journal)
    for _ in results:
        assert [name for kind, name in journal.lines if kind == "started"] == executor.begun
    assert sorted(journal.lines) == sorted([(kind, name) for kind in ("started", "written") for name in "abcd"])
    for name in "abcd":
        assert journal.lines.index(("started", name)) < journal.lines.index(("written", name))


def test_an_exception_of_an_image_ends_the_run_and_closes_it(ending):
    ending.errors["b"] = DeviceError("no such device")
    executor, results = ending([entry(name) for name in "abcdefgh"], slots=1)
    with pytest.raises(DeviceError):
        list(results)
    assert executor.closed
    assert len(executor.begun) < 8


def test_ctrl_c_begins_nothing_more_and_still_yields_what_has_ended(ending):
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
        all(found.append(each.input.name) is None for each in results)
    assert found == ["a", "b", "d"]
    assert [name for kind, name in journal.lines if kind == "written"] == found
    assert len(executor.begun) < 8


def test_closing_it_early_closes_the_executor_and_writes_down_what_has_ended(ending):
    journal = Written()
    executor, results = ending([entry(name) for name in "abcdefgh"], slots=2, journal=journal)
    assert next(results).input.name == "a"
    executor.end("b")
    results.close()
    assert executor.closed
    assert [name for kind, name in journal.lines if kind == "written"] == ["a", "b"]
    assert len(executor.begun) < 8


def test_a_result_that_the_signal_came_with_is_not_lost(ending, monkeypatch):
    """The wait for it ends by the interrupt, after the queue has given it away."""
    journal = Written()
    _, results = ending([entry(name) for name in "abcd"], slots=2, journal=journal)
    taken = run._first

    def first(ended):
        if (job := taken(ended)).input.name == "b":
            raise KeyboardInterrupt
        return job

    monkeypatch.setattr(run, "_first", first)
    found = []
    with pytest.raises(KeyboardInterrupt):
        all(found.append(each.input.name) is None for each in results)
    assert found == ["a", "b"]
    assert ("written", "b") in journal.lines
