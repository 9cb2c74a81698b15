"""Images as they arrive in a folder.

We poll: inotify does not see changes on network file systems and reports creation, not completion. A file is complete
when its size and time no longer change, and that needs polling in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from upsample_cli.batch.inputs import Found
from upsample_cli.batch.interfaces import Executor
from upsample_cli.batch.record.identity import Stamp, stamp_of
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.errors import Failure

PAUSE_S = 2.0
"""Shortest pause between two polls. A file whose size and time do not change in between has settled."""
_PAUSE_PER_POLL = 20  # pause at least this many times as long as a poll takes

_State = Stamp | Failure | None  # a failure if it cannot be read


def arrivals(list_files: Callable[[], Iterable[Found]]) -> Iterator[list[Found]]:
    """Yield the files that have arrived and settled, forever: each once, and again when it has changed and settled.

    Files that exist at the beginning come first. A file that vanishes is forgotten, so memory is bounded by the folder.
    Polls are `PAUSE_S` apart. They are further apart if one takes long (a slow network, a hundred thousand files), so
    that polling takes a twentieth of the time at most.

    Args:
        list_files: returns the files that exist now.
    """
    before: dict[str, _State] = {}
    taken: dict[str, _State] = {}
    while True:
        start_s = time.monotonic()
        found = {file.path: file for file in list_files()}
        now: dict[str, _State] = {path: file.failure or stamp_of(path) for path, file in found.items()}
        settled = [path for path, stamp in now.items() if path in before and before[path] == stamp]
        fresh = [path for path in settled if path not in taken or taken[path] != now[path]]
        taken = {path: stamp for path, stamp in taken.items() if path in now} | {path: now[path] for path in fresh}
        before = now
        took_s = time.monotonic() - start_s
        if fresh:
            yield [found[path] for path in fresh]
        time.sleep(max(PAUSE_S, took_s * _PAUSE_PER_POLL))


@dataclass(slots=True)
class KeptOpen:
    """An executor for several runs: their `close` leaves it open, unless a run is stopped early. `end` closes it.

    Args:
        executor: the executor to keep open.
    """

    executor: Executor
    _running: set[Future[Result]] = field(default_factory=set)

    @property
    def slots(self) -> int:
        """See `interfaces.Executor`."""
        return self.executor.slots

    @property
    def device(self) -> str | None:
        """See `interfaces.Executor`."""
        return self.executor.device

    def submit(self, job: Job) -> Future[Result]:
        """See `interfaces.Executor`."""
        future = self.executor.submit(job)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def close(self) -> None:
        """Leave it open for the next run, unless images of a stopped run are still running."""
        if self._running:
            self.end()

    def end(self) -> None:
        """See `interfaces.Executor.close`."""
        self.executor.close()
