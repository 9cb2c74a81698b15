"""Arrivals of a watched folder: each settled file once, again after a change; the cost of polling is bounded."""

import contextlib
import itertools
import os
from concurrent.futures import Future
from unittest import mock

import pytest

from upsample_cli.batch import watch
from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.watch import KeptOpen, arrivals
from upsample_cli.errors import Failure


class NoMoreStepsError(Exception):
    pass


def rounds(folder, steps, **options):
    """The arrivals at each scan; each of `steps` runs between two scans."""
    taken, pauses, looks = {}, [], itertools.count()
    coming = iter(steps)

    def look():
        taken[next(looks)] = []
        return find_inputs([str(folder)], recursive=options.get("recursive", False), exclude=options.get("exclude"))

    def wait(seconds):
        pauses.append(seconds)
        step = next(coming, None)
        if step is None:
            raise NoMoreStepsError
        step()

    with contextlib.suppress(NoMoreStepsError), mock.patch.object(watch.time, "sleep", wait):
        for found in arrivals(look):
            taken[len(taken) - 1] = [os.path.relpath(each.path, folder) for each in found]
    assert min(pauses) >= watch.PAUSE_S
    return [names for _, names in sorted(taken.items())]


def nothing():
    pass


def writer(path, text):
    def write():
        path.write_bytes(text)
        os.utime(path, ns=(0, next(_TIMES)))

    return write


_TIMES = itertools.count(10**18, 10**9)


def test_existing_files_arrive_first_and_new_files_arrive_once_they_stop_changing(tmp_path):
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    writer(a, b"a")()
    steps = [nothing, writer(b, b"b"), writer(b, b"bb"), nothing, nothing]
    assert rounds(tmp_path, steps) == [[], ["a.png"], [], [], ["b.png"], []]


def test_a_changed_or_recreated_file_arrives_again(tmp_path):
    a = tmp_path / "a.png"
    writer(a, b"a")()
    steps = [nothing, writer(a, b"b"), nothing, a.unlink, writer(a, b"b"), nothing, nothing]
    assert rounds(tmp_path, steps) == [[], ["a.png"], [], ["a.png"], [], [], ["a.png"], []]


def test_other_files_and_the_output_folder_inside_do_not_arrive(tmp_path):
    out = tmp_path / "out"
    for name in ("a.png", ".a.png.0123abcd.part", "notes.txt", "deep/b.png", "out/a_x2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert rounds(tmp_path, [nothing], recursive=True, exclude=out)[1] == ["a.png", "deep/b.png"]
    assert rounds(tmp_path, [nothing], recursive=True)[1] == ["a.png", "deep/b.png", "out/a_x2.png"]  # the control


def test_a_folder_that_cannot_be_read_is_reported_once(tmp_path, monkeypatch):
    monkeypatch.setattr(watch.time, "sleep", lambda _seconds: None)
    gone = [watch.Found(str(tmp_path), str(tmp_path), Failure("unreadable", "cannot be opened"))]
    looks = iter([gone, gone, gone, [], gone, gone, None])
    arrived = arrivals(lambda: next(looks))
    errors = []
    with contextlib.suppress(TypeError):  # the iterator of scans is exhausted
        errors.extend(found[0].failure and found[0].failure.sentence() for found in arrived)
    assert errors == ["cannot be opened"] * 2


def test_slow_scans_are_far_apart(tmp_path, monkeypatch):
    clock = itertools.count(0, 7.0)
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    pauses = []

    def wait(seconds):
        pauses.append(seconds)
        raise NoMoreStepsError

    monkeypatch.setattr(watch.time, "sleep", wait)
    with pytest.raises(NoMoreStepsError):
        next(arrivals(lambda: []))
    assert pauses == [140.0]


class Executor:
    slots, device = 1, "cpu"

    def __init__(self):
        self.futures, self.closed = [], 0

    def submit(self, _job):
        self.futures.append(Future())
        return self.futures[-1]

    def close(self):
        self.closed += 1


def test_an_executor_stays_open_only_after_a_run_that_finished():
    inner = Executor()
    kept = KeptOpen(inner)
    kept.submit(None)
    inner.futures[0].set_result(None)
    kept.close()
    assert inner.closed == 0
    kept.submit(None)
    kept.close()
    assert inner.closed == 1
