"""Jobs carried out: a result each, failures apart, few in flight, and a stop that cleans up. No torch, no pixels."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from upsample_cli.batch import run
from upsample_cli.batch.jobs import Entry
from upsample_cli.batch.run import run_entries
from upsample_cli.errors import DeviceError, Interrupted, OutputExistsError, PictureError, UsageError
from upsample_cli.job import Job, Options, Result

LONG_S = 30.0
"""No wait in here comes near it; it only keeps a failing test from hanging."""


class Watched:
    """A watcher that writes down what it is told."""

    def __init__(self):
        self.events = []

    def started(self, job):
        self.events.append(("started", job.input.name))

    def advanced(self, job, rows):
        self.events.append(("advanced", job.input.name, rows))

    def ended(self, job):
        self.events.append(("ended", job.input.name))


def entry(name, *, is_alone=False):
    job = Job(Path(name), Path(f"o/{name}"), "png", 7, 5, ("a loss",))
    return Entry(Result.planned(job, 2), job, is_alone)


def done(job):
    return Result.planned(job, 2).ended("written", elapsed_s=0.5)


@pytest.fixture
def carry_out(monkeypatch):
    """Runs entries with `enlarge(job, stop, on_rows)` in the place of the pipeline; gives results and events."""

    def carry_out(entries, enlarge, **keywords):
        def enlarge_picture(job, options, *, stop, on_rows):
            return enlarge(job, stop, on_rows)

        monkeypatch.setattr("upsample_cli.pipeline.enlarge_picture", enlarge_picture)
        watcher = Watched()
        settings = {"workers": 2, "watcher": watcher} | keywords
        return run_entries(entries, Options(), **settings), watcher.events

    return carry_out


def test_known_results_come_first_and_every_entry_has_one_result(carry_out):
    known = Entry(Result(Path("bad"), status="failed", error="bad: is bad"))
    results, events = carry_out([entry("a"), known, entry("b")], lambda job, *_: done(job))
    found = list(results)
    assert found[0] is known.result
    assert {result.input.name: result.status for result in found} == {"bad": "failed", "a": "written", "b": "written"}
    assert sorted(events) == [("ended", "a"), ("ended", "b"), ("started", "a"), ("started", "b")]


def test_nothing_to_do_is_no_result(carry_out):
    results, events = carry_out([], lambda *_: pytest.fail("there is no job"))
    assert (list(results), events) == ([], [])


ERRORS = {
    "damaged": (PictureError("damaged", "is damaged", "get another"), "damaged: is damaged; get another"),
    "refused": (UsageError("too little", "give more"), "refused: too little; give more"),
    "device": (DeviceError("no such device"), "device: no such device"),
    "memory": (
        MemoryError(),
        "memory: not enough memory to hold the picture; give --workers 1, or enlarge it elsewhere",
    ),
    "odd": (
        RuntimeError("two\n  lines"),
        "odd: RuntimeError: two lines; this should not happen: --debug shows where",
    ),
}


def test_each_failure_is_one_line_that_names_its_file_and_the_others_go_on(carry_out):
    def enlarge(job, *_):
        if job.input.name in ERRORS:
            raise ERRORS[job.input.name][0]
        return done(job)

    results, events = carry_out([entry(name) for name in (*ERRORS, "good", "better")], enlarge)
    found = {result.input.name: result for result in results}
    assert {name for name, result in found.items() if result.status == "written"} == {"good", "better"}
    assert {name: found[name].error for name in ERRORS} == {name: line for name, (_, line) in ERRORS.items()}
    for name in ERRORS:
        assert (found[name].status, found[name].output_height, found[name].output) == ("failed", 14, Path(f"o/{name}"))
        assert found[name].elapsed_s > 0
    assert Counter(kind for kind, _ in events) == {"started": 7, "ended": 7}


def test_a_usage_error_of_the_only_picture_is_the_runs_own(carry_out):
    def enlarge(*_):
        raise UsageError("too little", "give more")

    with pytest.raises(UsageError, match=r"^too little; give more$"):
        list(carry_out([entry("a", is_alone=True)], enlarge)[0])
    (result,) = carry_out([entry("a")], enlarge)[0]  # the control: a folder that holds one picture
    assert result.status == "failed"


def test_an_output_that_turns_up_meanwhile_is_passed_over_or_an_error(carry_out):
    def enlarge(job, *_):
        raise OutputExistsError(job.output)

    statuses = {}
    for is_alone in (False, True):
        (result,) = carry_out([entry("a", is_alone=is_alone)], enlarge)[0]
        statuses[is_alone] = result.status
        assert "exists already; add --overwrite" in (result.error or result.warnings[0])
        assert (result.error is None) == (result.status == "skipped")
    assert statuses == {False: "skipped", True: "failed"}


def test_debug_lets_the_unexpected_through_and_only_that(carry_out):
    def enlarge(job, *_):
        raise ERRORS[job.input.name][0]

    with pytest.raises(RuntimeError, match="two"):
        list(carry_out([entry("odd")], enlarge, debug=True)[0])
    (result,) = carry_out([entry("damaged")], enlarge, debug=True)[0]
    assert result.status == "failed"


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_pictures_are_in_flight_than_workers_and_those_many_are(carry_out, workers):
    lock, now, most = threading.Lock(), [0], [0]
    everyone = threading.Barrier(workers, timeout=LONG_S)

    def enlarge(job, *_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        everyone.wait()  # passes only if as many are in flight at once
        with lock:
            now[0] -= 1
        return done(job)

    results, _ = carry_out([entry(str(index)) for index in range(4 * workers)], enlarge, workers=workers)
    assert len(list(results)) == 4 * workers
    assert most[0] == workers


def test_a_hundred_thousand_entries_are_not_all_submitted_at_once(carry_out):
    """Results come while work is submitted: at the first result only what two workers look ahead has begun."""
    begun = []

    def enlarge(job, *_):
        begun.append(job)
        return done(job)

    results, _ = carry_out([entry(str(index)) for index in range(50)], enlarge)
    next(results)
    time.sleep(0.05)  # whatever was submitted has begun by now
    assert len(begun) <= 4
    assert len(list(results)) == 49


def test_closing_it_stops_what_runs_starts_nothing_new_and_removes_what_is_unfinished(carry_out, monkeypatch):
    removed = []
    monkeypatch.setattr(run, "_GRACE_S", LONG_S)  # it is not waited to its end: what was cancelled has nothing to stop
    monkeypatch.setattr(run, "remove_unfinished", lambda: removed.append(stopped.is_set()))
    begun, stopped, running = [], threading.Event(), threading.Event()

    def enlarge(job, stop, on_rows):
        begun.append(job.input.name)
        if job.input.name == "0":
            return done(job)
        running.set()
        assert stop.wait(LONG_S)
        stopped.set()
        raise Interrupted

    results, events = carry_out([entry(str(index)) for index in range(20)], enlarge)
    assert next(results).input.name == "0"
    assert running.wait(LONG_S)
    start_s = time.monotonic()
    results.close()
    assert time.monotonic() - start_s < LONG_S / 2
    assert removed == [True]  # once, after the running one had stopped
    assert len(begun) <= 4
    assert events.count(("ended", "1")) == 1


def test_a_picture_that_cannot_be_stopped_is_not_waited_for(carry_out, monkeypatch):
    monkeypatch.setattr(run, "_GRACE_S", 0.05)
    removed, release = [], threading.Event()
    monkeypatch.setattr(run, "remove_unfinished", lambda: removed.append(True))

    def enlarge(job, *_):
        if job.input.name == "deaf":
            release.wait(LONG_S)
        return done(job)

    results, _ = carry_out([entry("deaf"), entry("quick"), entry("quick too")], enlarge)
    try:
        next(results)
        start_s = time.monotonic()
        results.close()
        assert time.monotonic() - start_s < LONG_S / 2
        assert removed == [True]
    finally:
        release.set()


def test_a_second_interrupt_ends_the_wait_and_not_the_cleaning_up(carry_out, monkeypatch):
    removed, release = [], threading.Event()
    monkeypatch.setattr(run, "remove_unfinished", lambda: removed.append(True))
    wait = run.wait

    def interrupted_wait(pending, timeout=None, **keywords):
        if timeout is not None:
            raise KeyboardInterrupt
        return wait(pending, **keywords)

    monkeypatch.setattr(run, "wait", interrupted_wait)

    def enlarge(job, *_):
        if job.input.name == "slow":
            release.wait(LONG_S)
        return done(job)

    results, _ = carry_out([entry("slow"), entry("quick")], enlarge)
    try:
        next(results)
        with pytest.raises(KeyboardInterrupt):
            results.close()
        assert removed == [True]
    finally:
        release.set()


def test_progress_is_passed_on(carry_out):
    def enlarge(job, stop, on_rows):
        on_rows(3)
        on_rows(4)
        return done(job)

    results, events = carry_out([entry("a")], enlarge)
    list(results)
    assert events == [("started", "a"), ("advanced", "a", 3), ("advanced", "a", 4), ("ended", "a")]
