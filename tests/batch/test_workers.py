"""Real worker processes: images that crash, hang or exhaust memory fail without affecting others. Small images."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from support import crashing
from support.environment import ENVIRONMENT, FINDS_SUPPORT
from support.jobs import job_of
from support.running import Watched

from upsample_cli.batch.carry import Carrier
from upsample_cli.batch.entry import Entry
from upsample_cli.batch.run import NullJournal, run_entries
from upsample_cli.batch.workers.processes import ProcessExecutor
from upsample_cli.batch.workers.worker import Assignment
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import DeviceError, UpsampleError

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
]

LONG_S = 60.0
"""No wait in this module comes close to it; it only keeps a failing test from hanging."""


def job(name, side=2000):
    return job_of(Path(f"{name}.png"), Path(f"{name}_x2.png").absolute(), side, side)


def executor(carry=crashing.carry, *, carrier=None, slots=2, device="cpu", options=None, **keywords):
    carrier = carrier or crashing.SubstituteCarrier(carry)
    assignment = Assignment(options or Options(device=device), NullJournal().token, carrier, cores=1)
    return ProcessExecutor(assignment, slots=slots, watcher=Watched(), **keywords)


def results(names, side=2000, **keywords):
    """{name: result} of a run, and the events that the watcher received."""
    jobs = [job(name, side) for name in names]
    pool = executor(**keywords)
    found = list(run_entries([Entry(Result.planned(job), job) for job in jobs], executor=pool, journal=NullJournal()))
    assert_all_gone(pool)
    return {result.input.stem: result for result in found}, pool._watcher.events


def assert_all_gone(pool):
    assert not pool._workers
    assert not pool._supervisor.is_alive()
    assert not list(Path().glob(".*.part"))


ENDS = {
    "segfault": "crashed the process that was at work on it (SIGSEGV); get a new copy of it, or convert it first",
    "killed": "the process at work on it was killed (SIGKILL), which is what the system does when memory runs out; "
    "give fewer workers or less memory_bytes, or enlarge it elsewhere",
    "exit": "crashed the process that was at work on it (status 3); get a new copy of it, or convert it first",
}


@pytest.mark.parametrize("side", [2000, 100])  # large images are assigned one at a time, small ones in groups
def test_an_image_that_crashes_its_worker_fails_alone_and_once(side):
    names = [f"good{index}" for index in range(20)]
    names[3:3], names[9:9], names[17:17] = ["segfault"], ["killed"], ["exit"]
    found, events = results(names, side)
    assert Counter(result.status for result in found.values()) == {"written": 20, "failed": 3}
    for name, line in ENDS.items():
        assert found[name].error == f"{name}.png: {line}"
        assert found[name].failure.may_pass == (name == "killed")
        assert (found[name].output_height, found[name].elapsed_s > 0) == (2 * side, True)
        assert not Path(f"{name}_x2.png").exists()
    assert {Path(f"good{index}_x2.png").read_bytes() for index in range(20)} == {b"half whole"}
    # Each was started once: the images queued on a crashed worker had not been started.
    assert Counter(events) == Counter([(kind, f"{name}.png") for name in names for kind in ("started", "ended")])


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_completed_by_a_worker_that_died_before_reporting_it_counts_as_written(overwrite):
    Path("old_x2.png").write_bytes(b"there before")  # the control: without --overwrite an existing file stays
    names = ["a", "small", *(["old"] if overwrite else [])]
    found, _ = results(names, side=100, carry=crashing.late, options=Options(overwrite=overwrite, device="cpu"))
    assert {name: result.status for name, result in found.items()} == {
        name: "failed" if name == "small" else "written" for name in names
    }
    assert (found["a"].error, found["a"].output_height, found["a"].elapsed_s > 0) == (None, 200, True)
    assert found["small"].error == f"small.png: {ENDS['killed']}"


def test_an_existing_file_does_not_count_as_the_output_of_a_dead_worker():
    Image.new("L", (200, 200)).save("killed_x2.png")
    found, _ = results(["killed"], side=100, options=Options(overwrite=True, device="cpu"))
    assert found["killed"].status == "failed"


def test_an_image_that_hangs_is_stopped_after_the_timeout():
    start_s = time.monotonic()
    found, _ = results(["good0", "hang", "good1", "slow0", "slow1", "slow2"], side=100, timeout_s=0.5)
    assert time.monotonic() - start_s < crashing.HANG_S / 2
    assert Counter(result.status for result in found.values()) == {"written": 5, "failed": 1}
    assert found["hang"].error == "hang.png: took longer than timeout_s=0.5 and was stopped; give it more seconds"
    assert found["hang"].elapsed_s >= 0.5
    assert not Path("hang_x2.png").exists()


def test_the_timeout_of_a_queued_image_starts_when_it_starts():
    """The control of the test above: 24 images in one group, each within the limit, together four times as long."""
    found, _ = results([f"slow{index}" for index in range(24)], side=100, slots=1, timeout_s=0.3)
    assert Counter(result.status for result in found.values()) == {"written": 24}


def test_a_worker_that_holds_too_much_memory_is_replaced():
    pool = executor(slots=1)
    entries = [Entry(Result.planned(each), each) for each in (job("good0"), job("grow"), job("good1"))]
    assert [result.status for result in run_entries(entries, executor=pool, journal=NullJournal())] == ["written"] * 3
    assert pool._started == 2


def test_both_workers_get_images():
    found, _ = results([str(index) for index in range(40)], side=100, carry=crashing.pid)
    shares = Counter(result.error for result in found.values())
    assert len(shares) == 2
    assert str(os.getpid()) not in shares


def test_an_error_raised_by_debug_has_its_traceback():
    with pytest.raises(RuntimeError, match=r"odd 1\.png") as caught:
        results(["1", "2", "3"], carry=crashing.raising, slots=1)
    assert "crashing.py" in "".join(caught.value.__notes__)


def test_a_missing_device_ends_the_run():
    with pytest.raises(DeviceError, match="there is no device 'cuda:99' here; choose device=auto or one of cpu"):
        results(["good0", "good1"], device="cuda:99", carrier=Carrier())


def test_workers_that_cannot_start_are_one_line(monkeypatch):
    # Called with a pipe, `os._exit` ends with a TypeError.
    monkeypatch.setattr("upsample_cli.batch.workers.worker.work", os._exit)
    with pytest.raises(UpsampleError, match="worker processes do not start: the last one ended by status 1; free"):
        results(["good0", "good1"])


@pytest.mark.parametrize(
    ("error", "next_step"),
    [
        (OSError(24, "Too many open files"), "raise the limit of open files"),
        (ConnectionRefusedError(111, "Refused"), "free some memory"),
        (EOFError(), "free some memory"),
    ],
)
def test_a_system_that_starts_no_worker_is_one_line(monkeypatch, error, next_step):
    def start(_process):
        raise error

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", start)
    why = error.strerror if isinstance(error, OSError) else "their server has ended"
    with pytest.raises(UpsampleError, match=f"worker processes do not start: {why}; {next_step}, or give fewer"):
        results(["good0", "good1"])


@pytest.mark.parametrize("name", ["hang", "slow"])
def test_an_early_close_leaves_no_process_and_no_temporary_file(name):
    pool = executor()
    futures = [pool.submit(job(f"{name}{index}")) for index in range(6)]
    while not any(Path().glob(".*.part")):
        time.sleep(0.005)
    pids = [worker.process.pid for worker in pool._workers]
    start_s = time.monotonic()
    pool.close()
    assert time.monotonic() - start_s < crashing.HANG_S / 2
    assert_all_gone(pool)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert all(future.done() for future in futures)
    assert sum(future.exception() is not None for future in futures) >= 3


KILLED_RUN = """
import os
from support import crashing
from pathlib import Path
from upsample_cli.batch.workers.worker import Assignment
from upsample_cli.batch.workers.processes import ProcessExecutor
from support.jobs import job_of

from upsample_cli.enlarge.options import Options
class Watcher:
    def started(self, job): pass
    def advanced(self, job, rows): pass
    def ended(self, job): pass
if __name__ == "__main__":
    assignment = Assignment(Options(), "0123abcd", crashing.SubstituteCarrier(crashing.carry), 1)
    pool = ProcessExecutor(assignment, slots=2, watcher=Watcher())
    pool.submit(job_of(Path("pid.png"), Path("pid_x2.png"), 2000, 2000)).result()
"""


def test_workers_end_with_a_killed_run():
    Path("run.py").write_text(KILLED_RUN, encoding="utf-8")
    environment = ENVIRONMENT | FINDS_SUPPORT
    with subprocess.Popen([sys.executable, "run.py"], env=environment, start_new_session=True) as process:
        while not (Path("pid").exists() and Path("pid").read_text(encoding="ascii")):
            assert process.poll() is None
            time.sleep(0.01)
        group = process.pid
        process.send_signal(signal.SIGKILL)
    end_s = time.monotonic() + LONG_S / 2
    while time.monotonic() < end_s:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            break
        time.sleep(0.02)
    else:
        pytest.fail("something of the run is still there")
    assert not list(Path().glob(".*.part"))
