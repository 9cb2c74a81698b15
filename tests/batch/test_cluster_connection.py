"""Which cluster a run connects to, and what it says if the connection, the workers or their storage are not right."""

import contextlib
import socket
import sys
import threading
import time
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest
from support import crashing_on_cluster
from support.dask_cluster import CLUSTER_MARKS, LONG_S, client_of, dask_scheduler, job
from support.jobs import job_of
from support.running import Watched, names, save, upsample, upsample_process

from upsample_cli.atomic.temporaries import new_token
from upsample_cli.batch.cluster import executor as cluster_module
from upsample_cli.batch.cluster import scheduler
from upsample_cli.batch.cluster.executor import ClusterExecutor
from upsample_cli.batch.cluster.scheduler import check_workers, connected, version_line
from upsample_cli.batch.cluster.wire import sent
from upsample_cli.batch.cluster.worker import RunSpec
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, Interrupted, UpsampleError, UsageError

distributed = pytest.importorskip("distributed")

pytestmark = CLUSTER_MARKS


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


@pytest.mark.parametrize(("is_lost", "status"), [(True, "written"), (False, "skipped")])
def test_an_output_counts_as_written_if_a_worker_was_lost_with_its_events(is_lost, status):
    pool, tasks = executor_without_dask(workers=2)
    planned = job("late")
    future = pool.submit(planned)
    save("late_x2.png", (40, 44))  # by the first worker
    if is_lost:
        pool._client.nthreads = lambda: {"1": 1}
    found = Result.planned(planned).ended("skipped", Failure("exists", "exists already", "", "late_x2.png"))
    tasks[0].end(lambda: sent(found, "cpu"))
    assert future.result(1).status == status


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
