"""Imported by the process that workers are forked from. Imports what every image needs, once for all workers."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import time
from multiprocessing import forkserver
from typing import Any

from upsample_cli.batch.workers.fork_server import RUN

_MODULES = (
    "upsample_cli.batch.workers.worker", "upsample_cli.enlarge.run", "upsample_cli.engine.resize",
    "upsample_cli.images.codecs.jpeg", "imagecodecs._jpeg8", "PIL.JpegImagePlugin",
)  # fmt: skip

_REPARENTED_S = 1.0  # a process that ends closes its files a moment before it has ended


def _preload(run: int) -> None:
    for module in _MODULES:
        if os.getppid() != run:  # the run has ended: its pipes must not stay open
            return
        importlib.import_module(module)
    from upsample_cli.engine.library import library_path, load_library

    load_library(library_path())


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


_run = int(os.environ.pop(RUN, os.getppid()))
atexit.register(_remove_socket, _run)
with contextlib.suppress(Exception):  # it fails again, with a message, in the worker
    _preload(_run)
gc.freeze()  # a collection in a worker would copy the memory that it shares with the others
