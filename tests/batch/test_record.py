"""The record: valid whenever its process is killed, also during a commit, and locked while the process runs."""

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.environment import FINDS_SUPPORT
from support.jobs import job_of
from support.running import ENVIRONMENT

from upsample_cli.batch.record.file import record_errors
from upsample_cli.batch.record.record import RECORD_NAME, Record
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, RecordError, Setting

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
NO_LOCKS = "its disk has no locks for files, by which two runs stay apart; give another state, or no_state"

WRITING = """
from pathlib import Path
from upsample_cli.batch.record.file import record_errors
from upsample_cli.batch.record.record import RECORD_NAME, Record
from support.jobs import job_of
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
record = Record(Path("out", RECORD_NAME), Options())
record.begin()
first = len(record._rows("1"))
for index in range(first, first + 100_000):
    job = job_of(Path("in.png"), Path(f"out/{index:06}.png"), 3, 5)
    record.started(job)
    if index % 7:
        record.ended(job, Result.planned(job).ended("written"))
        print(index, flush=True)
"""


def test_a_kill_during_commits_loses_no_acknowledged_row(in_tmp_path):
    Path("in.png").touch()
    random_, acknowledged = random.Random(3), set()
    for _ in range(5):
        environment = ENVIRONMENT | FINDS_SUPPORT
        command = [sys.executable, "-c", WRITING]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        acknowledged.add(int(process.stdout.readline()))
        time.sleep(random_.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        acknowledged |= {int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")}
        process.stdout.close()
        process.wait()
        record = Record(Path("out", RECORD_NAME), Options())
        assert record._sql.database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        states = {int(Path(row.output).stem): row.status for row in record._rows("1")}
        record.close()
        assert all(states[index] == "written" for index in acknowledged)
        others = states.keys() - acknowledged
        assert {states[index] for index in others if index % 7 == 0} <= {"started"}
        assert sum(index % 7 > 0 for index in others) <= 5  # at most one row a kill was committed and not printed
    assert len(acknowledged) > 50


def test_a_record_is_locked_until_it_is_closed_and_then_is_a_single_file(tmp_path):
    path = tmp_path / "out" / RECORD_NAME
    record = Record(path, Options())
    assert not path.parent.exists()
    record.begin()
    with pytest.raises(RecordError, match="another run is at work"):
        Record(path, Options())
    looking = Record(path, Options(), is_read_only=True)
    assert looking.of_output(tmp_path / "out/a.png") is None
    looking.close()
    record.close()
    assert [each.name for each in path.parent.iterdir()] == [RECORD_NAME]
    Record(path, Options()).close()


def test_a_record_that_another_run_made_after_planning_ends_this_one(tmp_path):
    path = tmp_path / RECORD_NAME
    late = Record(path, Options())
    early = Record(path, Options())
    early.begin()
    with pytest.raises(RecordError, match="another run is at work"):
        late.begin()
    early.close()
    with pytest.raises(RecordError, match="another run has been at work here meanwhile; start this one again"):
        late.begin()


def test_an_image_skipped_during_the_run_leaves_no_row(tmp_path):
    record = Record(tmp_path / RECORD_NAME, Options())
    record.begin()
    job = job_of(tmp_path / "a.png", tmp_path / "a_x2.png", 3, 5)
    record.started(job)
    assert record.of_output(job.output).status == "started"
    record.ended(job, Result.planned(job).ended("skipped"))
    assert record.of_output(job.output) is None
    record.close()


def test_another_program_can_read_the_record(tmp_path):
    record = Record(tmp_path / RECORD_NAME, Options(factor=3))
    record.begin()
    job = job_of(tmp_path / "a.png", tmp_path / "sub" / "a_x3.png", 3, 5, factor=3)
    record.started(job)
    failure = Failure("no-space", "is bad", ("add ", Setting("overwrite", True)), "a.png")
    record.ended(job, Result.planned(job).ended("failed", failure, elapsed_s=0.25))
    record.close()
    db = sqlite3.connect(tmp_path / RECORD_NAME)
    row = db.execute("SELECT output, status, failure, may_pass, seconds, output_height FROM images").fetchone()
    db.close()
    *others, text = (*row[:2], *row[3:], row[2])
    assert others == ["sub/a_x3.png", "failed", 1, 0.25, 9]
    assert json.loads(text) == {
        "kind": "no-space", "cause": ["is bad"], "next_step": ["add ", ["overwrite", True]], "path": "a.png",
        "limit_s": None,
    }  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has locks of a descriptor")
@pytest.mark.parametrize(
    ("platform", "function", "number", "message"),
    [
        ("linux", "fcntl", errno.ENOLCK, NO_LOCKS),
        ("linux", "fcntl", errno.EOPNOTSUPP, NO_LOCKS),
        ("linux", "fcntl", errno.EAGAIN, "another run is at work here; "),
        ("darwin", "lockf", errno.ENOLCK, NO_LOCKS),
        ("darwin", "lockf", errno.EOPNOTSUPP, NO_LOCKS),
    ],
)
def test_a_disk_without_locks_is_not_another_run(platform, function, number, message, in_tmp_path, monkeypatch):
    """Simulates a network disk without a lock service."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    Path("out").mkdir()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(f"fcntl.{function}", refuse)
    record = Record(Path("out", RECORD_NAME), Options())
    with pytest.raises(RecordError, match=f"^out/{RECORD_NAME}: {message}"):
        record.begin()


def test_an_sqlite_lock_error_is_not_another_run_either(in_tmp_path):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_LOCK"
    with pytest.raises(RecordError, match="its disk has no locks"), record_errors(Path("r")):
        raise error


def test_rows_of_a_block_are_in_the_file_when_it_ends_also_by_an_interrupt(tmp_path):
    """The wal file is copied while the record is open, as a kill would leave it."""

    def committed():
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in tmp_path.glob(f"{RECORD_NAME}*"):
            (copy / path.name).write_bytes(path.read_bytes())
        with contextlib.closing(sqlite3.connect(copy / RECORD_NAME)) as db:
            return db.execute("SELECT count(*) FROM images").fetchone()[0]

    record = Record(tmp_path / RECORD_NAME, Options())
    record.begin()
    names = [tmp_path / f"{index}.png" for index in range(5)]
    with record.together():
        for name in names[:2]:
            record.started(job_of(tmp_path / "in.png", name, 3, 5))
        assert committed() == 0  # the control: they are written together
    assert committed() == 2
    with contextlib.suppress(KeyboardInterrupt), record.together():
        record.started(job_of(tmp_path / "in.png", names[2], 3, 5))
        raise KeyboardInterrupt
    assert committed() == 3
    record._sql.write("BEGIN")  # an interrupt came before the block was entered
    record.started(job_of(tmp_path / "in.png", names[3], 3, 5))
    record.close()
    assert committed() == 4
