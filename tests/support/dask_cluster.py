"""Dask's programs on loopback, as processes that end with the test. Without Dask, tests that need this are skipped."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.environment import FINDS_SUPPORT
from support.jobs import job_of
from support.running import ENVIRONMENT
from upsample_cli.batch.cluster.scheduler import connected

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")  # it comes with distributed

CLUSTER_MARKS = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
]
"""The marks of modules with tests of a cluster."""

LONG_S = 60.0
"""No wait in these tests comes close to it; it only keeps a failing test from hanging."""

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


def client_of(address):
    return contextlib.closing(connected(address, warn=pytest.fail))


def job(name, side=20):
    return job_of(Path(f"{name}.png"), Path(f"{name}_x2.png"), side, side + 2)
