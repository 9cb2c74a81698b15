"""A real Dask cluster on loopback: a scheduler and two worker processes, some of which are killed or misbehave."""

import contextlib
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import crashing, crashing_on_cluster
from support.environment import FINDS_SUPPORT
from support.jobs import job_of
from support.running import COMMAND, ENVIRONMENT, Watched, names, save, tree, upsample, upsample_process

from upsample_cli import __version__
from upsample_cli.atomic.temporaries import new_token, remove_temporaries, temporary_path
from upsample_cli.batch.cluster import executor as cluster_module
from upsample_cli.batch.cluster import scheduler, worker
from upsample_cli.batch.cluster.executor import ClusterExecutor
from upsample_cli.batch.cluster.scheduler import check_workers, connected, version_line
from upsample_cli.batch.cluster.wire import received, sent
from upsample_cli.batch.cluster.worker import RunSpec, StorageProbe, enlarge, misfit
from upsample_cli.batch.entry import Entry
from upsample_cli.batch.json_values import plain_failure
from upsample_cli.batch.run import NullJournal, run_entries
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, Interrupted, Loss, Setting, UpsampleError, UsageError

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")  # it comes with distributed

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
]

LONG_S = 60.0
"""No wait in this module comes close to it; it only keeps a failing test from hanging."""

ALLOWED_FAILURES = 1
"""Dask's default is 3; a worker takes a second to come back."""


LOOPBACK = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
"""`--no-dashboard` leaves an HTTP server, which listens on all interfaces unless it has an address."""


@contextlib.contextmanager
def dask_process(*arguments, **environment):
    """One of Dask's programs. It listens only on loopback, and its child processes end with it."""
    settings = FINDS_SUPPORT | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(ALLOWED_FAILURES)}
    command = [sys.executable, "-m", "dask", *map(str, arguments), *LOOPBACK]
    log = subprocess.DEVNULL
    with subprocess.Popen(command, env=ENVIRONMENT | settings | environment, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
            for child in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


@contextlib.contextmanager
def dask_scheduler(folder, *arguments, **environment):
    """(address, process) of a scheduler without workers."""
    file = folder / "scheduler.json"
    with dask_process("scheduler", "--port", 0, "--scheduler-file", file, *arguments, **environment) as process:
        while not file.exists() or not file.read_text(encoding="utf-8").endswith("}"):
            assert process.poll() is None
            time.sleep(0.02)
        yield json.loads(file.read_text(encoding="utf-8"))["address"], process


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(address, the two nanny processes, each of which restarts its worker after a crash)."""
    folder = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as stack:
        address, scheduler_process = stack.enter_context(dask_scheduler(folder))
        settings = ("--nthreads", 1, "--memory-limit", 0, "--local-directory", folder)
        nannies = [stack.enter_context(dask_process("worker", address, *settings)) for _ in range(2)]
        with client_of(address) as client:
            client.wait_for_workers(2, timeout=LONG_S)
        yield SimpleNamespace(address=address, nannies=nannies, scheduler=scheduler_process)


def client_of(address):
    return contextlib.closing(connected(address, warn=pytest.fail))


def spawned(process, by="spawn_main"):
    """The child processes that a process started through multiprocessing."""
    return [each for each in process.children() if by in " ".join(each.cmdline())]


def worker_processes(cluster):
    """The processes that enlarge images on a cluster: the workers started them."""
    workers = [process for nanny in cluster.nannies for process in spawned(psutil.Process(nanny.pid))]
    servers = [process for worker in workers for process in spawned(worker, by="forkserver")]
    return [process for server in servers for process in server.children()]


def job(name, side=20):
    return job_of(Path(f"{name}.png"), Path(f"{name}_x2.png"), side, side + 2)


def executor(cluster, **spec):
    keywords = {"options": Options(), "token": new_token(), "carrier": crashing_on_cluster.CARRIER}
    client = connected(cluster.address, warn=pytest.fail)
    client.wait_for_workers(2, timeout=LONG_S)
    sent = RunSpec(**keywords | spec)
    return ClusterExecutor(client, cluster.address, sent, watcher=Watched(), warn=pytest.fail)


def results(cluster, wanted, **spec):
    """{name: result} of a run, and the events that the watcher received."""
    pool = executor(cluster, **spec)
    jobs = [job(name) for name in wanted]
    found = list(run_entries([Entry(Result.planned(job), job) for job in jobs], executor=pool, journal=NullJournal()))
    assert not list(Path().glob(".*.part"))
    return {result.input.stem: result for result in found}, pool._watcher.events


def exposed(listening):
    """The listening addresses that other machines can reach."""
    return [address for address in listening if not ipaddress.ip_address(address).is_loopback]


def test_the_cluster_of_the_tests_listens_only_on_loopback(cluster):
    with client_of(cluster.address):
        ours = psutil.Process()
        pids = {ours.pid, *(process.pid for process in ours.children(recursive=True))}
        found = [
            connection
            for connection in psutil.net_connections("inet")
            if connection.status == "LISTEN" and connection.pid in pids
        ]
    # From the scheduler, the two nannies and their two workers, and the HTTP servers of the scheduler and the nannies.
    servers = [cluster.scheduler, *cluster.nannies]
    assert {server.pid for server in servers} <= {each.pid for each in found}
    assert len(found) >= 8
    assert exposed(each.laddr.ip for each in found) == []
    assert exposed(["127.0.0.1", "0.0.0.0", "::1", "::", "10.1.2.3"]) == ["0.0.0.0", "::", "10.1.2.3"]


def test_a_cluster_run_with_a_killed_worker_equals_the_local_run(cluster):
    for index in range(30):
        save(f"in/{index:02}.{('png', 'jpg', 'bmp')[index % 3]}", (300 + index, 401), seed=index)
    Path("in/bad.png").write_bytes(b"no image")
    command = [*COMMAND, "in", "-o", "out", "--json", "--cluster", cluster.address]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        while not Path("out").exists() or len(names("out")) < 5:
            assert run.poll() is None, run.communicate()
            time.sleep(0.005)
        (worker,) = spawned(psutil.Process(cluster.nannies[0].pid))
        worker.kill()
        done_before = len(names("out"))
        out, err = run.communicate(timeout=LONG_S)
    assert done_before < 25  # it was killed during the run
    document = json.loads(out)
    assert run.returncode == 1, err
    assert document["summary"] == {"written": 30, "skipped": 0, "failed": 1, "planned": 0}
    assert document["device"] == "cpu"
    local = upsample("in", "-o", "local", "--json")
    assert tree("out") == tree("local")
    assert [file["error"] for file in document["files"]] == [file["error"] for file in local.document["files"]]
    assert [file["input"] for file in document["files"]] == [file["input"] for file in local.document["files"]]
    # The record is the same too: a run on this machine finds nothing to do, and the absent cluster is not asked.
    for where in ((), ("--cluster", "tcp://127.0.0.1:1")):
        again = upsample("in", "-o", "out", "--json", *where).document["summary"]
        assert again == {"written": 0, "skipped": 30, "failed": 1, "planned": 0}


def test_an_image_that_crashes_or_hangs_fails_alone_and_its_dask_worker_survives(cluster):
    wanted = [f"good{index}" for index in range(12)]
    wanted[2:2], wanted[5:5], wanted[9:9] = ["segfault"], ["hang"], ["exit"]
    with client_of(cluster.address) as client:
        client.wait_for_workers(2, timeout=LONG_S)  # an earlier test may have killed one
        before = set(client.nthreads())
    start_s = time.monotonic()
    found, events = results(cluster, wanted, timeout_s=1.0)
    assert time.monotonic() - start_s < crashing.HANG_S / 2
    assert Counter(result.status for result in found.values()) == {"written": 12, "failed": 3}
    assert found["segfault"].error.startswith("segfault.png: crashed the process that was at work on it (SIGSEGV); ")
    assert found["exit"].error.startswith("exit.png: crashed the process that was at work on it (status 3); ")
    assert found["hang"].error == "hang.png: took longer than timeout_s=1 and was stopped; give it more seconds"
    assert found["good3"].output == Path("good3_x2.png")
    assert {Path(f"good{index}_x2.png").read_bytes() for index in range(12)} == {b"half whole"}
    assert Counter(events) == Counter((kind, f"{name}.png") for name in wanted for kind in ("started", "ended"))
    with client_of(cluster.address) as client:
        assert set(client.nthreads()) == before


def test_an_image_that_kills_dask_workers_fails_and_the_run_continues(cluster):
    pool = executor(cluster)
    result = pool.submit(job("poison")).result(timeout=LONG_S)
    assert (result.status, result.failure.may_pass) == ("failed", True)
    assert result.error == "poison.png: 2 Dask workers were lost while they had it; look at their logs"
    assert Path("poison.begun").read_text(encoding="ascii") == "x" * (ALLOWED_FAILURES + 1)
    assert pool.submit(job("good")).result(timeout=LONG_S).status == "written"
    left = temporary_path(job("poison").output, f"{pool._spec.token}0000")
    left.touch()  # a machine that loses power leaves this file
    pool.close()
    assert not left.exists()


def test_an_output_that_a_lost_worker_wrote_counts_as_written(cluster):
    found, _ = results(cluster, ["late"])
    assert Path("late.begun").read_text(encoding="ascii") == "x"
    assert (found["late"].status, found["late"].losses) == ("written", ())
    # The control: a file that appears while no worker is lost belongs to someone else.
    save("existing_x2.png", (40, 44))
    found, _ = results(cluster, ["existing"])
    assert found["existing"].status == "skipped"


def test_an_early_close_leaves_no_process_and_no_temporary_file(cluster):
    pool = executor(cluster)
    futures = [pool.submit(job(f"hang{index}")) for index in range(6)]
    while len(begun := list(Path().glob(".*.part"))) < 2:
        time.sleep(0.005)
    # Each Dask worker uses its own names: a disconnected worker may still run while another redoes its images.
    tokens = {path.name.split(".")[-2] for path in begun}
    assert len(tokens) == 2
    assert all(token.startswith(pool._spec.token) for token in tokens)
    start_s = time.monotonic()
    pool.close()
    assert time.monotonic() - start_s < crashing.HANG_S / 2
    assert all(isinstance(future.exception(), Interrupted) for future in futures)
    assert not list(Path().glob(".*.part"))
    assert worker_processes(cluster) == []


def test_ctrl_c_ends_a_cluster_run_and_the_next_run_resumes_it(cluster):
    for index in range(6):
        save(f"in/{index}.png", (90, 121), seed=index)
    command = [*COMMAND, "in", "-o", "out", "--cluster", cluster.address]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        while not worker_processes(cluster):  # they begin by importing torch
            assert run.poll() is None, run.communicate()
            time.sleep(0.005)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=LONG_S)
    assert (run.returncode, err) == (130, "")
    assert worker_processes(cluster) == []
    left = names("out")
    assert not [name for name in left if name.endswith(".part")]
    summary = upsample("in", "-o", "out", "--json").document["summary"]
    assert summary == {"written": 6 - len(left), "skipped": len(left), "failed": 0, "planned": 0}


def test_unsuitable_workers_are_named(cluster):
    save("a.png")
    with client_of(cluster.address) as client:
        check_workers(client, cluster.address, [job_of(Path("a.png"), Path("deep/er/a.png"), 11, 17)])
    assert names(".") == ["a.png"]  # no probe file remains
    answers = {
        "has no upsample-cli; install version": Exception("ImportError(\"No module named 'upsample_cli'\")"),
        "has upsample-cli 0.0; install version": ("0.0", ""),
        "failed: two lines; look at its log": RuntimeError("two\nlines"),
        "cannot see /x; give folders that all machines share": (__version__, "cannot see /x"),
        "sent what upsample-cli does not send; install version": (__version__, "", "more"),
        "sent what upsample-cli does not send; install": None,
    }
    for line, answer in answers.items():
        client = SimpleNamespace(
            run=lambda *_, answer=answer, **__: {"tcp://a:1": (__version__, ""), "tcp://b:2": answer}
        )
        with pytest.raises(UsageError, match=f"the Dask worker tcp://b:2 {line}"):
            check_workers(client, "tcp://s:3", [])


def test_the_storage_that_a_worker_sees_is_compared():
    save("a.png")
    here, size = Path.cwd(), Path("a.png").stat().st_size
    mark = here / "mark"
    mark.touch()
    assert misfit([]) == misfit([StorageProbe(here / "a.png", size, here, mark)]) == (__version__, "")
    assert misfit([StorageProbe(here / "a.png", size, here, None)])[1] == ""
    assert misfit([StorageProbe(here / "a.png", size + 1, here, mark)])[1] == f"sees another file at {here}/a.png"
    assert misfit([StorageProbe(here / "b.png", size, here, mark)])[1] == f"cannot see {here}/b.png"
    assert misfit([StorageProbe(here / "a.png", size, here / "o", mark)])[1] == f"cannot write to {here}/o"
    mark.unlink()
    assert misfit([StorageProbe(here / "a.png", size, here, mark)])[1] == f"sees another folder at {here}"


def test_a_scheduler_without_workers_or_with_a_lost_connection_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "CONNECT_S", 2.0)  # no test needs to wait for a reconnection
    with dask_scheduler(tmp_path) as (address, process), client_of(address) as client:
        with pytest.raises(UsageError, match=f"the cluster at {address} has no workers; start some: dask worker"):
            check_workers(client, address, [])
        spec = RunSpec(Options(), new_token(), crashing_on_cluster.CARRIER)
        pool = ClusterExecutor(client, address, spec, watcher=Watched(), warn=pytest.fail)
        future = pool.submit(job("good"))
        process.kill()
        with pytest.raises(
            UpsampleError, match=f"the connection to the scheduler at {address} was lost; written outputs"
        ):
            future.result(timeout=LONG_S)
        pool.close()


def test_a_missing_scheduler_is_one_line_within_seconds():
    save("a.png")
    start_s = time.monotonic()
    ended = upsample_process("a.png", "-o", "b.png", "--cluster", "tcp://127.0.0.1:1")
    assert time.monotonic() - start_s < 25  # Dask's own timeout is 30 s
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert ended.err.startswith("upsample: --cluster tcp://127.0.0.1:1: no scheduler answers there; give the address")
    assert names(".") == ["a.png"]


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "tcp://",
        "tcp://host",
        "foo://host:1",
        "tcp://a/b:1",
        "::1:8786",
        "a:1:2",
        "a b:1",
        "a:\u0661",
    ],
)
def test_an_invalid_address_is_refused_at_once(address):
    with pytest.raises(
        UsageError, match=f"cluster={address} is not the address of a scheduler; give it such as tcp://"
    ):
        connected(address, warn=pytest.fail)


@contextlib.contextmanager
def other_program(answer):
    """The port of a program that is not a scheduler: it accepts connections and sends the same to each."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def accept():
            with contextlib.suppress(OSError):  # the server is closed
                while True:
                    kept.append(server.accept()[0])
                    kept[-1].sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for connection in kept:
            connection.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("scheme", "answer"),
    [("tcp", b""), ("tcp", b"HTTP/1.0 400 Bad Request\r\n\r\n"), ("ws", b"HTTP/1.0 400 Bad Request\r\n\r\n")],
)
def test_another_program_at_the_address_is_one_line_within_seconds(scheme, answer, monkeypatch):
    monkeypatch.setattr(scheduler, "CONNECT_S", 0.5)
    with (
        other_program(answer) as port,
        pytest.raises(UsageError, match=f"cluster={scheme}://127.0.0.1:{port}: no scheduler answers there"),
    ):
        connected(f"{scheme}://127.0.0.1:{port}", warn=pytest.fail)


def test_a_slash_after_the_address_is_ignored(cluster):
    with client_of(f"{cluster.address}/") as client:
        assert client.status == "running"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_silent", [True, False])
def test_workers_that_do_not_answer_are_one_line(is_silent, monkeypatch):
    monkeypatch.setattr(scheduler, "ANSWER_S", 0.2)
    save("a.png")
    ending = threading.Event()

    def run(asked, probes, **_):
        if is_silent:
            ending.wait(LONG_S)
        return {"tcp://a:1": asked(probes)}

    client, jobs = SimpleNamespace(run=run), [job_of("a.png", "a_x2.png", 11, 17)]
    if is_silent:
        with pytest.raises(UsageError, match=r"cluster at tcp://s:3 does not answer; look at their logs"):
            check_workers(client, "tcp://s:3", jobs)
        ending.set()
    else:
        check_workers(client, "tcp://s:3", jobs)
    assert names(".") == ["a.png"]


@pytest.mark.parametrize("other", ["in/b/1.png", "out/b", None])
def test_a_worker_must_see_each_folder(other):
    """`other` is another file, or another folder, for the worker."""
    jobs = []
    for name in ("a/0", "b/1", "b/2"):
        save(f"in/{name}.png", seed=len(jobs))
        jobs.append(job_of(f"in/{name}.png", f"out/{name}.png", 11, 17))
    Path("out/b").mkdir(parents=True)
    save("in/a/gone.png")
    jobs.append(job_of("in/a/gone.png", "out/c/gone.png", 11, 17))
    Path("in/a/gone.png").unlink()  # after it was planned

    def run(asked, probes, **_):
        if other == "in/b/1.png":
            shutil.rmtree("in/b")
        elif other:
            for mark in Path(other).glob(".*"):
                mark.unlink()
        return {"tcp://a:1": asked(probes)}

    expected = pytest.raises(UsageError, match=r"the Dask worker tcp://a:1 (cannot see|sees another folder at) .*/b")
    with expected if other else contextlib.nullcontext():
        check_workers(SimpleNamespace(run=run), "tcp://s:3", jobs)
    assert not [path for path in Path("out").rglob("*") if path.is_file()]


class Task:
    """A Dask task that the test ends."""

    def __init__(self):
        self.calls = []

    def add_done_callback(self, call):
        self.calls.append(call)

    def end(self, result):
        self.result = result
        for call in self.calls:
            call(self)


def executor_without_dask(warn=pytest.fail, workers=1):
    """A `ClusterExecutor` whose cluster does nothing, and its tasks."""
    tasks = []

    def submit(*_, **__):
        tasks.append(Task())
        return tasks[-1]

    nothing = {
        name: lambda *_, **__: None for name in ("subscribe_topic", "unsubscribe_topic", "cancel", "run", "close")
    }
    client = SimpleNamespace(
        nthreads=lambda: dict.fromkeys(map(str, range(workers)), 1), status="running", submit=submit, **nothing
    )
    spec = RunSpec(Options(), new_token(), crashing_on_cluster.CARRIER)
    return ClusterExecutor(client, "tcp://s:3", spec, watcher=Watched(), warn=warn), tasks


@pytest.mark.parametrize("is_closing", [True, False])
def test_a_task_that_ends_while_the_run_ends_has_one_outcome(is_closing):
    pool, tasks = executor_without_dask()
    future = pool.submit(job("good"))

    def result():
        if is_closing:
            pool.close()
        raise CancelledError

    tasks[0].end(result)
    assert isinstance(future.exception(timeout=1), Interrupted if is_closing else UpsampleError)
    pool.close()


@pytest.mark.parametrize("error", [distributed.comm.CommClosedError, CancelledError, OSError])
def test_a_connection_that_is_lost_while_a_result_arrives_ends_the_run(error):
    pool, tasks = executor_without_dask()
    future = pool.submit(job("good"))

    def result():
        raise error("lost")

    tasks[0].end(result)
    if error is OSError:  # the control: any other error is that of the image
        assert future.result(timeout=1).error == "good.png: failed on the cluster: OSError: lost"
    else:
        assert "the connection to the scheduler at tcp://s:3 was lost" in str(future.exception(timeout=1))
    pool.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_without_workers_says_once_that_it_waits(workers, monkeypatch):
    monkeypatch.setattr(cluster_module, "_WITHOUT_S", 0.02)
    lines = []
    pool, _ = executor_without_dask(lines.append, workers)
    time.sleep(0.5)
    pool.close()
    waits = "the cluster at tcp://s:3 has lost all its workers; the run waits until one is back"
    assert lines == ([] if workers else [waits])


def test_a_missing_dask_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"cluster needs dask.distributed; pip install 'upsample-cli\[cluster\]'"):
        connected("tcp://127.0.0.1:1", warn=pytest.fail)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("a.png", "--cluster", ""), "--cluster has no address"),
        (("a.png", "--cluster", "tcp://h:1", "--workers", "2"), "--workers cannot be combined with --cluster"),
        (("-", "--cluster", "tcp://h:1"), "--cluster cannot be combined with -"),
    ],
)
def test_options_that_conflict_with_a_cluster_are_refused(arguments, line):
    ended = upsample(*arguments)
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert ended.err.startswith(f"upsample: {line}; ")


def test_different_versions_are_one_line():
    versions = {"packages": {"python": "3.11.1", "msgpack": "1.1", "dask": "1"}, "host": {}}
    others = {"packages": {"python": "3.12.9", "msgpack": "1.1", "dask": "1"}, "host": {}}
    reports = distributed.versions.error_message(versions, {"tcp://a:1": others}, versions, "client")
    assert version_line(reports["warning"]).startswith("the cluster has other versions of python than this machine; ")


def test_only_the_temporary_files_of_a_run_are_removed():
    removed = [temporary_path("a.png", token).name for token in ("0123abcd", "0123abcdef12")]
    kept = [temporary_path("a.png", "89abcdef").name, "0123abcd.part", ".a.png.0123abcd.part.png", "a.0123abcd.part"]
    for name in removed + kept:
        Path(name).touch()
    remove_temporaries([("a.png", "0123abcd"), ("gone/b.png", "0123abcd")])
    assert names(".") == sorted(kept)


@pytest.fixture
def inside_dask_worker(monkeypatch):
    """Make this process look like a Dask worker with two threads."""
    reports = []
    worker = SimpleNamespace(log_event=lambda *event: reports.append(event), state=SimpleNamespace(nthreads=2))
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    return reports


def test_idle_worker_processes_end_and_start_again_on_demand(inside_dask_worker, monkeypatch):
    monkeypatch.setattr(worker, "IDLE_S", 0.2)
    spec = RunSpec(Options(), new_token(), crashing_on_cluster.CARRIER)
    for number in (1, 2):
        assert enlarge(job(f"good{number}"), spec, number)["status"] == "written"
        run = worker._runs[spec.token]
        end_s = time.monotonic() + LONG_S
        while run._executor._workers and time.monotonic() < end_s:
            time.sleep(0.02)
        assert spec.token not in worker._runs
    assert inside_dask_worker == [(spec.topic, 1), (spec.topic, 2)]


def test_an_image_that_arrives_after_the_end_of_its_run_is_not_started(inside_dask_worker):
    spec = RunSpec(Options(), new_token(), crashing_on_cluster.CARRIER)
    assert enlarge(job("good1"), spec, 1)["status"] == "written"
    worker.end(spec.token)
    with pytest.raises(Interrupted):
        enlarge(job("good2"), spec, 2)
    assert names(".") == ["good1_x2.png"]


def test_images_that_wait_for_memory_are_not_started_after_the_run_ends(inside_dask_worker, monkeypatch):
    monkeypatch.setattr(worker, "budget_bytes", lambda _options: 1)
    spec = RunSpec(Options(), new_token(), crashing_on_cluster.CARRIER)
    with ThreadPoolExecutor(2) as dask_threads:
        tasks = [dask_threads.submit(enlarge, job(f"hang{number}"), spec, number) for number in (1, 2)]
        while not list(Path().glob(".*.part")):
            time.sleep(0.005)
        time.sleep(0.3)  # the other process would have started by now
        assert len(list(Path().glob(".*.part"))) == 1
        worker.end(spec.token)
        assert [type(task.exception(timeout=LONG_S)) for task in tasks] == [Interrupted] * 2
    assert names(".") == []


# What comes from a worker -------------------------------------------------------------------------------------------

FAILED = Result(Path("a.png"), Path("b.png"), "failed", 3, 4, 6, 8, (Loss("alpha", "lost"),),
                Failure("killed", "bad", ("give fewer ", Setting("workers")), "a.png"), 0.5)  # fmt: skip


def test_a_result_survives_the_conversion_to_plain_values():
    answer = json.loads(json.dumps(sent(FAILED, "cpu")))
    assert received(answer, job_of(Path("a.png"), Path("b.png"), 3, 4)) == (FAILED, "cpu")
    unread = Result(
        Path("a.png"), Path("b.png"), "failed", failure=Failure("unreadable", "cannot be opened", "", "a.png")
    )
    assert received(sent(unread, None), job_of(Path("a.png"), Path("b.png"), 3, 4)) == (unread, None)


BAD = plain_failure(FAILED.failure)


class _Text(str):
    """A string subclass."""


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: value} for name in sent(FAILED, None) for value in (b"", (), {"a": 1}, ..., float("nan"))),
        {"status": "planned"}, {"status": ["written"]}, {"status": "written"}, {"failure": None}, {"failure": "x"},
        {"failure": BAD | {"kind": "mine"}}, {"failure": BAD | {"cause": "x"}},
        {"failure": BAD | {"cause": [_Text("x")]}},
        {"height": 0}, {"width": True}, {"output_width": 1.0}, {"losses": [1]}, {"losses": "lost"},
        {"losses": [["alpha", "lost", ""]]}, {"losses": [["mine", ["lost"], ""]]}, {"losses": [["alpha", ["lost"], 5]]},
        {"height": 4}, {"output_width": 9}, {"elapsed_s": float("inf")}, {"elapsed_s": -1.0}, {"elapsed_s": 1e300},
        {"engine": "\x1b[31mred"}, {"engine": "two\nlines"}, {"device": "x" * 201},
        {"device": _Text("cpu")}, {"input": "/etc/passwd"},
    ],
    ids=str,
)  # fmt: skip
def test_a_record_that_is_not_a_result_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^the Dask worker sent something that is not a result$"):
        received(sent(FAILED, "cpu") | wrong, job_of(Path("a.png"), Path("b.png"), 3, 4))


@pytest.mark.parametrize("answer", [None, FAILED, (FAILED, "cpu"), "{}", {}, [["status", "written"]]], ids=str)
def test_an_answer_that_is_not_a_record_is_refused(answer):
    with pytest.raises(ValueError, match=r"^the Dask worker sent something that is not a result$"):
        received(answer, job("a"))


def test_a_malformed_answer_fails_only_its_image(cluster, monkeypatch):
    pool = executor(cluster)
    with monkeypatch.context() as patched:
        patched.setattr(cluster_module, "enlarge", crashing_on_cluster.answer_malformed)
        result = pool.submit(job("good")).result(timeout=LONG_S)
    assert (result.status, result.failure.may_pass) == ("failed", True)
    expected = "failed on the cluster: ValueError: the Dask worker sent something that is not a result"
    assert result.error == f"good.png: {expected}"
    assert pool.submit(job("good")).result(timeout=LONG_S).status == "written"
    pool.close()


# Encrypted ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with a certificate authority's certificate, and keys and certificates of ours and of a stranger."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2"]
    for command in (
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca-key.pem", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=ours", "-keyout", "ours-key.pem", "-out", "ours.csr"],
        ["x509", "-req", "-in", "ours.csr", *signed, "-out", "ours.pem"],
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=x", "-keyout", "stranger-key.pem", "-out", "stranger.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return folder


def tls_settings(folder, role, name="ours"):
    """As Dask's configuration has them."""
    return {
        "distributed.comm.tls.ca-file": str(folder / "ca.pem"),
        f"distributed.comm.tls.{role}.cert": str(folder / f"{name}.pem"),
        f"distributed.comm.tls.{role}.key": str(folder / f"{name}-key.pem"),
    }


def as_environment(settings):
    return {f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": value for name, value in settings.items()}


def test_tls_clusters_enlarge_images_and_refuse_strangers(certificates, tmp_path, monkeypatch):
    settings = {role: as_environment(tls_settings(certificates, role)) for role in ("scheduler", "worker")}
    with contextlib.ExitStack() as stack:
        address, _ = stack.enter_context(dask_scheduler(tmp_path, "--protocol", "tls", **settings["scheduler"]))
        arguments = ("--nthreads", 1, "--memory-limit", 0, "--local-directory", tmp_path, "--no-nanny")
        stack.enter_context(dask_process("worker", address, *arguments, **settings["scheduler"] | settings["worker"]))
        assert address.startswith("tls://127.0.0.1:")
        with dask.config.set(tls_settings(certificates, "client")):
            client = stack.enter_context(client_of(address))
            client.wait_for_workers(1, timeout=LONG_S)
            check_workers(client, address, [])
            spec = RunSpec(Options(), new_token(), crashing_on_cluster.CARRIER)
            pool = ClusterExecutor(client, address, spec, watcher=Watched(), warn=pytest.fail)
            assert pool.submit(job("good")).result(timeout=LONG_S).status == "written"
            pool.close()
        monkeypatch.setattr(scheduler, "CONNECT_S", 1.0)
        with (
            dask.config.set(tls_settings(certificates, "client", "stranger")),
            pytest.raises(UsageError, match="no scheduler answers there, or it refuses the certificate; "),
        ):
            connected(address, warn=pytest.fail)


@pytest.mark.parametrize(
    ("address", "settings", "line"),
    [
        ("tls://127.0.0.1:1", {}, "tls://127.0.0.1:1: Dask's configuration names no certificates"),
        (
            "tls://127.0.0.1:1",
            tls_settings(Path("gone"), "client"),
            "tls://127.0.0.1:1: the certificates in Dask's configuration cannot be read: ",
        ),
        (
            "127.0.0.1:1",
            {"distributed.comm.require-encryption": True},
            "127.0.0.1:1 is not encrypted, and Dask's configuration requires it; give the scheduler's tls:// address",
        ),
    ],
)
def test_certificates_that_do_not_match_the_address_are_one_line_at_once(address, settings, line):
    with dask.config.set(settings), pytest.raises(UsageError, match=f"^cluster={re.escape(line)}"):
        connected(address, warn=pytest.fail)
