"""The process that workers are forked from, on Linux: it has imported what they need and loaded libtorch.

It runs nothing of its own, so it has one thread, and a fork copies no lock that another thread holds. It ends with the
last process that was started through it. Other systems have no safe fork; there each worker starts from nothing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.context import BaseContext

from upsample_cli import signals
from upsample_cli.current_folder import check_child_flags, distrust_current_folder, restore_variable
from upsample_cli.errors import UsageError

_PRELOADED = "upsample_cli.batch.workers.preload"
RUN = "UPSAMPLE_CLI_RUN"
"""Variable of the process that forks: the process id of its run."""

_THREADS = "OPENBLAS_NUM_THREADS"
"""How many threads numpy's library starts when it is loaded."""


def begin_fork_server() -> None:
    """Start it while this process still imports. Where that fails, it fails again when there is a worker to start."""
    with contextlib.suppress(UsageError), starting_processes():
        worker_context()


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """For the block in which processes are started: they run no code of the current folder, and no signal ends them.

    Workers inherit the blocked signals. A terminal sends Ctrl-C to all processes; only the run answers it.

    Raises:
        UsageError: if they would import modules from the current folder.
    """
    check_child_flags()
    with distrust_current_folder():
        if not hasattr(signal, "pthread_sigmask"):
            yield
            return
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # started later, it would unblock them
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worker_context() -> BaseContext:
    """How worker processes are started. Call it, and use it, in `starting_processes`."""
    if sys.platform == "linux":
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload([_PRELOADED])
        variables = {RUN: str(os.getpid()), _THREADS: "1"}
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            forkserver.ensure_running()
        except OSError:  # there is no folder for its socket
            return multiprocessing.get_context("spawn")
        finally:
            for name, value in before.items():
                restore_variable(name, value)
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")
