"""The code of a Dask worker, run in this process: the storage it sees, its runs, and its results as plain values."""

import contextlib
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import crashing_on_cluster
from support.dask_cluster import CLUSTER_MARKS, LONG_S, job
from support.jobs import job_of
from support.running import names, save

from upsample_cli import __version__
from upsample_cli.atomic.temporaries import new_token
from upsample_cli.batch.cluster import worker
from upsample_cli.batch.cluster.scheduler import check_workers
from upsample_cli.batch.cluster.wire import received, sent
from upsample_cli.batch.cluster.worker import RunSpec, StorageProbe, enlarge, version_and_fault
from upsample_cli.batch.json_values import plain_failure
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, Interrupted, Loss, Setting, UsageError

distributed = pytest.importorskip("distributed")

pytestmark = CLUSTER_MARKS


def test_the_storage_that_a_worker_sees_is_compared():
    save("a.png")
    here, size = Path.cwd(), Path("a.png").stat().st_size
    mark = here / "mark"
    mark.touch()
    answer = version_and_fault
    assert answer([]) == answer([StorageProbe(here / "a.png", size, here, mark)]) == (__version__, "")
    assert answer([StorageProbe(here / "a.png", size, here, None)])[1] == ""
    assert answer([StorageProbe(here / "a.png", size + 1, here, mark)])[1] == f"sees another file at {here}/a.png"
    assert answer([StorageProbe(here / "b.png", size, here, mark)])[1] == f"cannot see {here}/b.png"
    assert answer([StorageProbe(here / "a.png", size, here / "o", mark)])[1] == f"cannot write to {here}/o"
    mark.unlink()
    assert version_and_fault([StorageProbe(here / "a.png", size, here, mark)])[1] == f"sees another folder at {here}"


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
