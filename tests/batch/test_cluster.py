"""A real Dask cluster on loopback: a scheduler and two worker processes, some of which are killed or misbehave."""

import contextlib
import ipaddress
import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import crashing, crashing_on_cluster
from support.dask_cluster import ALLOWED_FAILURES, CLUSTER_MARKS, LONG_S, client_of, dask_process, dask_scheduler, job
from support.jobs import job_of
from support.running import COMMAND, ENVIRONMENT, Watched, names, save, tree, upsample

from upsample_cli import __version__
from upsample_cli.atomic.temporaries import new_token, temporary_path
from upsample_cli.batch.cluster import executor as cluster_module
from upsample_cli.batch.cluster.executor import ClusterExecutor
from upsample_cli.batch.cluster.scheduler import check_workers, connected
from upsample_cli.batch.cluster.worker import RunSpec
from upsample_cli.batch.entry import Entry
from upsample_cli.batch.run import NullJournal, run_entries
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Interrupted, UsageError

psutil = pytest.importorskip("psutil")

pytestmark = CLUSTER_MARKS


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


def spawned(process, by="spawn_main"):
    """The child processes that a process started through multiprocessing."""
    return [each for each in process.children() if by in " ".join(each.cmdline())]


def worker_processes(cluster):
    """The processes that enlarge images on a cluster: the workers started them."""
    workers = [process for nanny in cluster.nannies for process in spawned(psutil.Process(nanny.pid))]
    servers = [process for worker in workers for process in spawned(worker, by="forkserver")]
    return [process for server in servers for process in server.children()]


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


def test_a_slash_after_the_address_is_ignored(cluster):
    with client_of(f"{cluster.address}/") as client:
        assert client.status == "running"


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
