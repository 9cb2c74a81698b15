"""Code that runs in a worker process: it reads images from a pipe, enlarges them in order and sends their results."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

from upsample_cli import signals
from upsample_cli.atomic.files import remove_unfinished
from upsample_cli.atomic.folders import folder_kept_open
from upsample_cli.batch.carry import Carrier
from upsample_cli.current_folder import distrust_current_folder
from upsample_cli.engine.cores import use_cores
from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Interrupted
from upsample_cli.images.codecs.quiet import quiet_pillow

_REPORT_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Assignment:
    """What every worker of a run receives when it starts.

    Args:
        options: the options of the run.
        token: the token of the run.
        carrier: enlarges the images.
        cores: number of this worker's threads that compute.
        index: index of the worker; chooses one of several GPUs.
    """

    options: Options
    token: str
    carrier: Carrier
    cores: int
    index: int = 0


def work(connection: Connection[Any, Any]) -> None:
    """Enlarge images until there are no more; the process ends here.

    It receives an `Assignment`, lists of jobs, and None to stop. It sends pairs: ("ready", name of the device),
    ("rows", number), ("ended", (outcome, bytes of memory it holds)) for every job in order, ("raised", an exception).
    It also stops if the other end is closed: a worker does not outlive its run.
    """
    for number in signals.SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the run handles them
    _prefer_for_oom_killer()
    with distrust_current_folder(), contextlib.suppress(EOFError, OSError, Interrupted):  # OSError: the run has ended
        assignment: Assignment = connection.recv()
        use_cores(assignment.cores)
        jobs: SimpleQueue[Job | None] = SimpleQueue()
        stop = Event()
        threading.Thread(target=_listen, args=(connection, jobs, stop), daemon=True).start()
        try:
            options, device = assignment.carrier.prepare(assignment.options, assignment.index)
            connection.send(("ready", device))
            with quiet_pillow(), folder_kept_open(), _memory_meter() as held_bytes:  # once, not for each image
                while (job := jobs.get()) is not None and not stop.is_set():
                    result = assignment.carrier.carry_out(
                        job, options, token=assignment.token, stop=stop, on_rows=_RowReporter(connection).add
                    )
                    # `connection.send` makes a pickler for each message, which takes longer than the message.
                    connection.send_bytes(pickle.dumps(("ended", (result.outcome, held_bytes()))))
        except Interrupted:
            raise
        except Exception as error:
            error.add_note(traceback.format_exc())  # a traceback cannot be pickled
            connection.send(("raised", error))
    _leave()


def _leave() -> None:
    remove_unfinished()
    os._exit(0)  # unloading torch is slow


def _listen(connection: Connection[Any, Any], jobs: SimpleQueue[Job | None], stop: Event) -> None:
    with contextlib.suppress(EOFError, OSError):
        while (given := connection.recv()) is not None:
            for job in given:
                jobs.put(job)
    stop.set()
    jobs.put(None)
    time.sleep(signals.GRACE_S)  # the main thread ends the process, unless it is in a long call into a codec
    _leave()


class _RowReporter:
    """Reports rows, at most every `_REPORT_EVERY_S`."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._rows = 0
        self._reported_s = time.monotonic()

    def add(self, rows: int) -> None:
        self._rows += rows
        if time.monotonic() - self._reported_s >= _REPORT_EVERY_S:
            self._connection.send(("rows", self._rows))
            self._rows, self._reported_s = 0, time.monotonic()


def _prefer_for_oom_killer() -> None:
    """Make Linux kill a worker, and not the run, when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


@contextlib.contextmanager
def _memory_meter() -> Iterator[Callable[[], int]]:
    """A function that returns the resident memory of this process; 0 if the system does not report it."""
    try:
        file = Path("/proc/self/statm").open("rb", buffering=0)  # noqa: SIM115
    except OSError:
        yield lambda: 0
        return
    with file:
        page_bytes = os.sysconf("SC_PAGE_SIZE")

        def held_bytes() -> int:
            return int(os.pread(file.fileno(), 256, 0).split()[1]) * page_bytes

        yield held_bytes
