"""Workers started in advance: with the second planned image, never without need, never left behind."""

import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from support.running import ENVIRONMENT, in_threads

from tests.batch.test_workers import LONG_S, assert_all_gone, executor, job
from upsample_cli.batch.plan import Entry
from upsample_cli.batch.run import NullJournal, run_entries
from upsample_cli.batch.workers import processes, started
from upsample_cli.batch.workers.started import PrestartedWorkers, Worker, started_worker
from upsample_cli.cli import run, session
from upsample_cli.cli.request import Request
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import UsageError

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="signals of POSIX"),
]


class Fakes:
    """Starts nothing, and counts."""

    def __init__(self):
        self.made, self.killed = [], []

    def start(self):
        process, connection = mock.Mock(), mock.Mock()
        process.kill.side_effect = lambda: self.killed.append(process)
        self.made.append(Worker(process, connection))
        return self.made[-1]


def test_they_come_with_the_second_image_and_are_no_more_than_wanted(monkeypatch):
    fakes, asked = Fakes(), []
    monkeypatch.setattr(started, "started_worker", fakes.start)
    with PrestartedWorkers(lambda: asked.append(None) or 3) as prestarted:
        counts = []
        for _ in range(6):
            prestarted.planned(job("a"))
            counts.append(len(fakes.made))
        assert counts == [0, 2, 3, 3, 3, 3]
        assert len(asked) == 1
        assert [prestarted.take(), prestarted.take()] == fakes.made[:2]
    assert fakes.killed == [fakes.made[2].process]
    fakes.made[2].connection.close.assert_called_once()
    assert prestarted.take() is None


def test_a_run_takes_those_that_are_there(monkeypatch):
    def refuse():
        raise AssertionError("another was started")

    prestarted = PrestartedWorkers(lambda: 2)
    for name in ("a", "b"):
        prestarted.planned(job(name))
    pids = {worker.process.pid for worker in prestarted._waiting}
    monkeypatch.setattr(processes, "started_worker", refuse)
    jobs = [job(f"good{index}") for index in range(4)]
    pool = executor(prestarted=prestarted)
    found = list(
        run_entries([Entry(Result.planned(each), each) for each in jobs], executor=pool, journal=NullJournal())
    )
    assert [result.status for result in found] == ["written"] * 4
    assert prestarted.take() is None
    assert len(pids) == 2
    assert_all_gone(pool)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_run_that_has_none_starts_its_own():
    """The control of the test above: without prestarted the same pool starts two."""
    with mock.patch.object(processes, "started_worker", wraps=started_worker) as start:
        pool = executor()
        pool.submit(job("good")).result(LONG_S)
        pool.close()
    assert start.call_count == 2


def test_a_spare_leaves_when_its_run_has_gone():
    """As after SIGKILL of the run: it hears nothing, and its pipe ends."""
    worker = started_worker()
    worker.connection.close()
    worker.process.join(LONG_S)
    assert worker.process.exitcode == 0


def test_a_spare_that_dies_is_replaced_or_said():
    """It may be killed for want of memory before it has done anything: the run does not hang."""
    prestarted = PrestartedWorkers(lambda: 2)
    for name in ("a", "b"):
        prestarted.planned(job(name))
    prestarted._waiting[0].process.kill()
    prestarted._waiting[0].process.join(LONG_S)
    pool = executor(prestarted=prestarted)
    assert pool.submit(job("good")).result(LONG_S).status == "written"
    pool.close()
    assert_all_gone(pool)


def images(count):
    Path("in").mkdir()
    for index in range(count):
        Image.fromarray(np.full((5, 7, 3), index, np.uint8)).save(f"in/{index}.png")


def started_by(fakes=None, *, inputs=("in",), output="out/", **keywords):
    """How many workers a run of the command starts ahead; all its images go through threads."""
    fakes = fakes or Fakes()
    request = Request(inputs=inputs, output=output, options=Options(), quiet=True, **keywords)
    with (
        mock.patch.dict(os.environ, ENVIRONMENT),
        mock.patch.object(session, "executor_for", in_threads),
        mock.patch.object(started, "started_worker", fakes.start),
    ):
        run.run_upsample(request)
    return len(fakes.made)


def test_only_a_run_with_several_images_to_do_starts_any():
    images(3)
    assert started_by(dry_run=True, workers=2) == 0
    assert started_by(inputs=("in/0.png",), output="one.png", workers=2) == 0
    assert started_by(workers=2) == 2
    assert started_by(workers=2) == 0  # all is done
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save("in/new.png")
    assert started_by(workers=2) == 0  # one image is to do, and needs none


def test_a_plan_that_fails_leaves_none():
    """Both inputs would be written to one file."""
    fakes = Fakes()
    images(2)
    Path("more").mkdir()
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save("more/0.png")
    with pytest.raises(UsageError, match="would both be written to"):
        started_by(fakes, inputs=("in/0.png", "in/1.png", "more/0.png"), workers=2)
    assert len(fakes.killed) == len(fakes.made) == 2
