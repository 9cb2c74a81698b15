"""Chooses the executor of a run: a thread for one image, worker processes for several, or a cluster."""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
import threading
from collections.abc import Callable, Sequence

from upsample_cli.batch.carry import Carrier
from upsample_cli.batch.interfaces import Executor, Watcher
from upsample_cli.batch.memory import shared_out, worker_count
from upsample_cli.batch.threads import ThreadExecutor
from upsample_cli.engine.cores import core_count
from upsample_cli.enlarge.computing import choose_route
from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Setting, UsageError
from upsample_cli.forks import importing

_LEAST_CORES = 4
"""A worker uses at least this many cores, if the machine has them: the last image of a run does not share them."""


def executor_for(
    jobs: Sequence[Job],
    options: Options,
    *,
    token: str,
    watcher: Watcher,
    workers: int | None = None,
    timeout_s: float | None = None,
    is_alone: bool = False,
    expects_more: bool = False,
    debug: bool = False,
    cluster: str | None = None,
    warn: Callable[[str], None] = lambda _line: None,
) -> Executor:
    """An executor that suits the jobs. For a single image it starts to choose the route in another thread.

    Args:
        token: the token of the run.
        watcher: follows the images; called from other threads.
        workers: number of images that run at once; None for as many as cores and memory allow.
        timeout_s: seconds an image may take; None for no limit.
        expects_more: any number of jobs may follow these.
        is_alone, debug: see `Carrier`.
        cluster: address of a Dask scheduler whose workers enlarge the images; None for this machine.
        warn: receives a line if something about the cluster is unusual.

    Raises:
        UsageError: if there is a timeout for an image from or to a pipe, which cannot move to another process; or if
            the cluster cannot be reached or does not share the files.
    """
    carrier = Carrier(is_alone, debug)
    is_piped = any(job.source_stream or job.target_stream for job in jobs)
    if is_piped and timeout_s is not None:
        raise UsageError((Setting("timeout_s"), " cannot be combined with -"), "name files, or leave it to timeout(1)")
    count = sys.maxsize if expects_more else len(jobs)
    if cluster is not None and count:
        return _on_cluster(
            cluster, jobs, options, carrier, watcher, token=token, timeout_s=timeout_s, warn=warn, debug=debug
        )
    if is_piped or not count or (count == 1 and timeout_s is None):
        if jobs and options.model is None:
            with contextlib.suppress(RuntimeError):  # the system has no more threads
                threading.Thread(target=_get_ready, args=(jobs[0], options), daemon=True).start()
        return ThreadExecutor(carrier, options, watcher=watcher, token=token)
    from upsample_cli.batch.workers.processes import ProcessExecutor  # one image does not need it
    from upsample_cli.batch.workers.worker import Assignment

    default = worker_count(count, options.device) if options.model is None else 1  # a network uses all cores
    slots = default if workers is None else min(workers, count)
    cores = max(math.ceil(core_count() / slots), min(core_count(), _LEAST_CORES))
    assignment = Assignment(shared_out(options, slots), token, carrier, cores)
    return ProcessExecutor(assignment, slots=slots, watcher=watcher, timeout_s=timeout_s)


def _get_ready(job: Job, options: Options) -> None:
    """Import what enlarges an image, and choose its route, while the image is decoded."""
    with contextlib.suppress(Exception):  # it fails again, with a message, where the route is needed
        with importing:
            for name in ("run", "prepared", "rows"):  # in the order of the thread that decodes
                importlib.import_module(f"upsample_cli.enlarge.{name}")
        choose_route(job, options)


def _on_cluster(
    address: str, jobs: Sequence[Job], options: Options, carrier: Carrier, watcher: Watcher,
    *, token: str, timeout_s: float | None, warn: Callable[[str], None], debug: bool,
) -> Executor:  # fmt: skip
    from upsample_cli.batch.cluster.executor import ClusterExecutor
    from upsample_cli.batch.cluster.scheduler import check_workers, connected
    from upsample_cli.batch.cluster.worker import RunSpec

    client = connected(address, warn=warn, debug=debug)
    try:
        check_workers(client, address, jobs)
        spec = RunSpec(options, token, carrier, timeout_s)
        return ClusterExecutor(client, address, spec, watcher=watcher, warn=warn, debug=debug)
    except BaseException:
        client.close()
        raise
