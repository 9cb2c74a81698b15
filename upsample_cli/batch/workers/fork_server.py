"""The process that workers are forked from, on Linux: it has imported what they need and loaded libtorch.

It does no other work and has one thread, so a fork never copies a lock that another thread holds. It ends with the last
process that was started through it. Forking is not safe on other systems; there each worker is a new Python process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from upsample_cli import signals
from upsample_cli.current_folder import check_child_flags, check_current_folder, distrust_current_folder
from upsample_cli.errors import UsageError
from upsample_cli.forks import held_at_forks

_PRELOADED = "upsample_cli.batch.workers.preload"
RUN = "UPSAMPLE_CLI_RUN"
"""Environment variable that passes the process id of the run to the process that forks."""

_lock = held_at_forks()


def begin_fork_server() -> None:
    """Start it early, while this process still imports. If that fails, it fails again when a worker is started."""
    with contextlib.suppress(UsageError), starting_processes():
        worker_context()


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """Start processes in the `with` block: they do not run code from the current folder, and signals do not end them.

    Workers inherit the blocked signals. A terminal sends Ctrl-C to all processes; only the run handles it. One thread
    at a time is in the block: what it changes and restores, such as environment variables, all threads share.

    Raises:
        UsageError: if they would import modules from the current folder, or it does not exist.
    """
    check_child_flags()
    check_current_folder()
    with _lock, distrust_current_folder():
        if not hasattr(signal, "pthread_sigmask"):
            yield
            return
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # started later, it would unblock them
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})  # the fork server waits for it
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove_sockets_of_killed() -> None:
    """Remove the sockets of this run's servers that were killed. A server that is alive removes its own."""
    if multiprocessing.parent_process() is not None:
        return  # the folder belongs to another process
    from multiprocessing import forkserver

    server: Any = forkserver
    with contextlib.suppress(AttributeError, TypeError, OSError):
        last, process = Path(server._forkserver._forkserver_address), server._forkserver._forkserver_pid
        is_killed = os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        for socket in last.parent.glob("listener-*"):
            if is_killed or socket != last:
                socket.unlink(missing_ok=True)
        if is_killed:
            last.parent.rmdir()


def worker_context() -> BaseContext:
    """The `multiprocessing` context that starts worker processes. Call it and use it inside `starting_processes`."""
    if sys.platform == "linux":
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload([_PRELOADED])
        os.environ[RUN] = str(os.getpid())
        try:
            forkserver.ensure_running()
        except OSError:  # there is no folder for its socket
            return multiprocessing.get_context("spawn")
        finally:
            os.environ.pop(RUN, None)
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")
