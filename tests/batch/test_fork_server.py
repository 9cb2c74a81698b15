"""Workers are forked from one process that has imported what they need and ends with the run."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import forkserver, spawn
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import psutil
import pytest
from PIL import Image
from support.running import ENVIRONMENT

from tests.batch.test_workers import LONG_S, assert_all_gone, executor, job
from upsample_cli.batch.carry import Carrier
from upsample_cli.batch.workers import fork_server, processes, started
from upsample_cli.batch.workers.fork_server import starting_processes
from upsample_cli.batch.workers.no_main import without_main_module
from upsample_cli.batch.workers.started import started_worker
from upsample_cli.cli import start
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.errors import UpsampleError

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no safe fork"),
]

RUN = "from upsample_cli.cli.start import upsample; upsample()"
# Starts a worker, prints its process ids, and is killed.
KILLED = """
import os, signal
from upsample_cli.batch.workers.started import started_worker
worker = started_worker()
print(worker.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def worker():
    worker = started_worker()
    yield worker
    worker.connection.close()
    worker.process.join(LONG_S)
    assert worker.process.exitcode == 0  # as after SIGKILL of the run: its pipe is closed


def images(count):
    Path("in").mkdir()
    for index in range(count):
        Image.fromarray(np.full((5, 7, 3), index, np.uint8)).save(f"in/{index}.png")


def run(*arguments, **variables):
    command = [sys.executable, "-P", "-c", RUN, *arguments]
    environment = os.environ | ENVIRONMENT | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONG_S, check=False)


def test_the_fork_server_has_one_thread_and_has_loaded_the_library(worker):
    server = psutil.Process(worker.process.pid).parent()
    assert server.pid != os.getpid()
    end_s = time.monotonic() + LONG_S
    while server.num_threads() > 1 and time.monotonic() < end_s:
        time.sleep(0.01)  # the thread that loaded the library has ended for Python, and is ending for the system
    assert server.num_threads() == 1  # a fork would copy locks that another thread holds
    assert any("libtorch_cpu" in mapping.path for mapping in server.memory_maps())
    assert not any("libtorch_python" in mapping.path for mapping in server.memory_maps())


def test_workers_share_the_loaded_library(worker):
    other = started_worker()
    assert psutil.Process(other.process.pid).parent() == psutil.Process(worker.process.pid).parent()
    other.connection.close()
    other.process.join(LONG_S)


def test_a_run_starts_as_many_workers_as_it_has_slots():
    with mock.patch.object(processes, "started_worker", wraps=started_worker) as start_one:
        pool = executor()
        assert pool.submit(job("good")).result(LONG_S).status == "written"
        pool.close()
    assert start_one.call_count == 2
    assert_all_gone(pool)


def test_a_worker_takes_less_than_250_mib():
    """Measured: 165 MiB after a small image, mostly shared libtorch pages. Importing torch in Python takes 560 MiB."""
    images(1)
    pool = executor(carrier=Carrier(), slots=1)
    found = pool.submit(plan_job(Path("in/0.png"), Options(), output=Path("0.png").absolute())).result(LONG_S)
    worker = psutil.Process(pool._workers[0].process.pid)
    held_bytes, mapped = worker.memory_info().rss, {Path(mapping.path).name for mapping in worker.memory_maps()}
    pool.close()
    assert found.status == "written", found.error
    assert "libtorch_cpu.so" in mapped
    assert "libtorch_python.so" not in mapped
    assert held_bytes < 250 * 2**20


def test_a_worker_that_dies_before_its_first_image_is_replaced():
    def dead():
        worker = started_worker()
        if not first:
            worker.process.kill()
            worker.process.join(LONG_S)
        first.append(worker)
        return worker

    first = []
    with mock.patch.object(processes, "started_worker", dead):
        pool = executor()
        assert pool.submit(job("good")).result(LONG_S).status == "written"
        pool.close()
    assert_all_gone(pool)


def test_a_run_survives_the_end_of_the_fork_server():
    pool = executor()
    assert pool.submit(job("good1")).result(LONG_S).status == "written"
    psutil.Process(pool._workers[0].process.pid).parent().kill()
    found = [pool.submit(job(name)).result(LONG_S) for name in ("good2", "segfault", "good3", "exit", "good4")]
    assert [result.status for result in found] == ["written", "failed", "written", "failed", "written"]
    pool.close()
    assert_all_gone(pool)


@pytest.mark.parametrize("is_server_killed", [True, False])
def test_an_image_whose_worker_ended_after_the_fork_server_may_be_tried_again(is_server_killed):
    """Nobody knows how the worker ended, so the image is not to blame. The control: a crash is that of the image."""
    pool = executor(slots=1)
    assert pool.submit(job("good1")).result(LONG_S).status == "written"
    server = psutil.Process(pool._workers[0].process.pid).parent()
    if is_server_killed:
        server.kill()
        server.wait(LONG_S)
    failure = pool.submit(job("segfault")).result(LONG_S).failure
    pool.close()
    assert (failure.kind, failure.may_pass) == (("killed", True) if is_server_killed else ("crashed", False))


def test_a_killed_run_leaves_neither_processes_nor_a_socket(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    command = [sys.executable, "-P", "-c", KILLED]
    ended = subprocess.run(
        command, env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    end_s = time.monotonic() + LONG_S
    while (psutil.pid_exists(int(ended.stdout)) or any(folder.iterdir())) and time.monotonic() < end_s:
        time.sleep(0.05)
    assert not any(folder.iterdir())
    assert not psutil.pid_exists(int(ended.stdout))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("after_s", [0, 0.1, 0.3])
def test_a_run_interrupted_while_starting_leaves_no_socket_and_no_pipe(number, after_s, tmp_path):
    images(2)
    folder = tmp_path / "t"
    folder.mkdir()
    command = [sys.executable, "-P", "-c", RUN, "in", "-o", "out"]
    environment = os.environ | ENVIRONMENT | {"TMPDIR": str(folder)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while not any("forkserver" in " ".join(each.cmdline()) for each in psutil.Process(process.pid).children()):
            assert process.poll() is None
        time.sleep(after_s)
        process.send_signal(number)
        process.communicate(timeout=LONG_S)  # until the last process has closed the pipe
    end_s = time.monotonic() + LONG_S
    while any(folder.iterdir()) and time.monotonic() < end_s:
        time.sleep(0.05)
    assert not any(folder.iterdir())


def test_a_run_whose_fork_server_was_killed_leaves_no_socket(tmp_path):
    images(200)
    folder = tmp_path / "t"
    folder.mkdir()
    command = [sys.executable, "-P", "-c", RUN, "in", "-o", "out", "-q"]
    environment = os.environ | ENVIRONMENT | {"TMPDIR": str(folder)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        while not list(Path().glob("out/*.png")):
            assert process.poll() is None
            time.sleep(0.01)
        servers = [
            child for child in psutil.Process(process.pid).children() if "forkserver" in " ".join(child.cmdline())
        ]
        assert any(folder.iterdir())  # the control
        for server in servers:
            server.kill()
        assert (process.wait(LONG_S), process.stderr.read()) == (0, b"")
    assert len(servers) == 1
    assert not any(folder.iterdir())


def limited(before):
    """A run of three images in a process in which `before` has been called."""
    images(3)
    command = [sys.executable, "-P", "-c", f"import resource, signal; {before}; {RUN}", "in", "-o", "out"]
    environment = os.environ | ENVIRONMENT
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONG_S, check=False)


def test_a_run_that_inherits_blocked_signals_ends():
    """The fork server learns from SIGCHLD that a worker has ended, and the run waits for that."""
    ended = limited("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(list(Path("out").glob("*.png"))) == 3


def test_a_run_that_may_not_open_enough_files_is_one_line():
    """The fork server, to which the run cannot send the pipes of a worker, adds nothing."""
    ended = limited("resource.setrlimit(resource.RLIMIT_NOFILE, (18, 18))")
    assert ended.returncode == 1
    assert ended.stderr == (
        "upsample: worker processes do not start: Too many open files; "
        "raise the limit of open files, or give fewer --workers\n"
    )
    assert not list(Path("out").glob(".*.part"))


def test_workers_that_cannot_start_end_the_run_with_a_message():
    images(3)
    command = [sys.executable, "-E", "-c", f"import sys; sys.path[:] = {sys.path}; {RUN}", "in", "-o", "out"]
    ended = subprocess.run(
        command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert "Python was started with -E" in ended.stderr


@pytest.mark.parametrize("arguments", [("-o", "out"), ("-o", "out", "--workers", "1")])
def test_a_batch_leaves_no_socket_and_prints_nothing(arguments, tmp_path):
    images(3)
    folder = tmp_path / "t"
    folder.mkdir()
    ended = run("-q", "in", *arguments, TMPDIR=str(folder), PYTHONWARNINGS="error")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(list(Path("out").glob("*.png"))) == 3
    assert not list(folder.iterdir())


def test_workers_start_without_a_fork_server_if_its_socket_path_is_too_long(tmp_path):
    """The path of a socket has at most 108 bytes."""
    images(2)
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    ended = run("in", "-o", "out", TMPDIR=str(folder))
    assert ended.returncode == 0, ended.stderr
    assert len(list(Path("out").glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("arguments", "server", "library"),
    [
        (["in"], 1, 0), (["in/0.png", "in/1.png"], 1, 0), (["in/0.png", "-o", "out/"], 0, 1),
        (["in", "-n"], 0, 0), (["in", "--cluster", "tcp://localhost:1"], 0, 0), (["--help"], 0, 0), ([], 0, 0),
    ],
)  # fmt: skip
def test_the_fork_server_starts_only_for_several_images_on_this_machine(arguments, server, library, monkeypatch):
    images(2)
    monkeypatch.setattr(sys, "argv", ["upsample", *arguments])
    with (
        mock.patch("upsample_cli.batch.workers.fork_server.begin_fork_server") as begun,
        mock.patch("upsample_cli.engine.library.begin_loading") as loading,
        mock.patch("upsample_cli.cli.upsample.main"),
    ):
        start.upsample()
    assert (begun.call_count, loading.call_count) == (server, library)


def test_two_runs_that_start_workers_at_the_same_time_leave_nothing_changed(monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.setattr(main, "__file__", "/a/script.py", raising=False)
    prepared, environment = spawn.get_preparation_data, dict(os.environ)
    is_second_in, calls, passed_on = threading.Event(), [], []

    def ensure_running():
        calls.append(threading.current_thread())
        if len(calls) == 1:
            is_second_in.wait(0.3)  # it comes in if nothing keeps it out
        else:
            is_second_in.set()
            calls[0].join(LONG_S)

    def start():
        with starting_processes(), without_main_module("ours"):
            fork_server.worker_context()
            passed_on.append("init_main_from_path" in spawn.get_preparation_data("ours"))

    monkeypatch.setattr(forkserver, "ensure_running", ensure_running)
    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(calls) == 2
        assert passed_on == [False, False]
        assert dict(os.environ) == environment
        assert spawn.get_preparation_data is prepared
    finally:
        monkeypatch.setattr(spawn, "get_preparation_data", prepared)


def test_a_process_forked_while_a_worker_starts_can_start_workers_too():
    is_in, may_leave = threading.Event(), threading.Event()

    def start():
        with starting_processes():
            is_in.set()
            may_leave.wait(LONG_S)

    thread = threading.Thread(target=start)
    thread.start()
    is_in.wait()
    threading.Timer(0.1, may_leave.set).start()
    child = os.fork()
    if not child:
        signal.alarm(int(LONG_S))  # the end of a child that waits
        try:
            with starting_processes():
                os._exit(0)
        finally:
            os._exit(1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("failures", [1, 4, 5])
def test_a_worker_is_started_again_if_the_fork_server_is_just_ending(failures, monkeypatch):
    """The control: it is not tried without end."""
    tries = []

    class Process:
        def __init__(self, **_settings):
            self.pid = 1

        def start(self):
            tries.append(self)
            if len(tries) <= failures:
                raise (EOFError if len(tries) % 2 else ConnectionRefusedError)

    context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Process)
    monkeypatch.setattr(started, "worker_context", lambda: context)
    monkeypatch.setattr(started, "_PAUSE_S", 0)
    if failures == 5:
        with pytest.raises(UpsampleError, match="their server has ended"):
            started_worker()
    else:
        assert started_worker().process is tries[-1]
    assert len(tries) == min(failures + 1, 5)
