"""Imported by the process that workers are forked from. Imports what every image needs, once for all workers."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import sys
import time
from collections.abc import Iterable
from multiprocessing import forkserver
from types import TracebackType
from typing import Any

from upsample_cli.batch.workers.fork_server import RUN
from upsample_cli.engine.library import begin_loading

_OTHERS = (
    "upsample_cli.batch.workers.worker", "upsample_cli.enlarge.run", "upsample_cli.engine.resize",
    "upsample_cli.images.codecs.jpeg", "upsample_cli.images.codecs.png.ancillary",
)  # fmt: skip

_REPARENTED_S = 1.0  # a process that ends closes its files a moment before it has ended


def _preload(run: int) -> None:
    loading = begin_loading()
    try:
        _import(_OTHERS, run)
    finally:
        loading.join()  # workers are forked from a process with one thread


def _import(modules: Iterable[str], run: int) -> None:
    for module in modules:
        if os.getppid() != run:
            raise ProcessLookupError("the run has ended")  # its pipes must not stay open
        importlib.import_module(module)


def _remove_socket(run: int) -> None:
    """Remove the server's socket and the folder of the socket if the run was killed before it could do so.

    Args:
        run: process id of the run. A run that is still alive removes them itself.
    """
    end_s = time.monotonic() + _REPARENTED_S
    while os.getppid() == run:
        if time.monotonic() > end_s:
            return
        time.sleep(_REPARENTED_S / 100)
    server: Any = forkserver
    with contextlib.suppress(AttributeError, TypeError, OSError):
        address = server._forkserver._forkserver_address
        os.unlink(address)  # noqa: PTH108
        os.rmdir(os.path.dirname(address))  # noqa: PTH106, PTH120


def _show_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that ends the server, unless the run could not send it the pipes of a worker: it reports that."""
    if not issubclass(kind, EOFError):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _show_error
gc.disable()
_run = int(os.environ.pop(RUN, os.getppid()))
atexit.register(_remove_socket, _run)
with contextlib.suppress(Exception):  # it fails again, with a message, in the worker
    _preload(_run)
gc.freeze()  # a collection in a worker would copy the memory that it shares with the others
gc.enable()
