"""Regroup rows into strips of a fixed height, process several strips at once, and write the results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from upsample_cli.errors import Loss
from upsample_cli.images.model import Layout, Rows

Made = TypeVar("Made")

_IN_FLIGHT_BYTES = 64 << 20
_CORES = os.cpu_count() or 1  # the call reads a file

Work: TypeAlias = "Callable[[list[Rows], Rows | None], Made]"
"""A function of one strip. It gets the rows as a list of arrays, top to bottom, and the row above (None at the top)."""


class StripWriter(Generic[Made]):
    """Takes any number of rows at a time, and writes the results of `work` on strips of `strip_rows` rows.

    The last strip may have fewer rows. The results depend neither on how rows are grouped into calls nor on the
    executor. If the executor is busy with other work, the calling thread processes the next strip, so the executor can
    be shared with the code that computes the rows. After an exception other than the ValueError for wrong rows, further
    rows are refused. Memory is bounded: one incomplete strip, and up to 64 MiB of waiting rows (at least two strips).
    The sinks of PNG, TIFF and JPEG are subclasses.

    Args:
        height: number of rows.
        width: pixels of a row.
        layout: layout of the rows.
        strip_rows: rows of a strip.
        work: see `Work`; it must not change the rows.
        write: receives the results in order, in the calling thread.
        executor: does the work together with the calling thread; None for the calling thread only.

    >>> done = []
    >>> def work(pieces, above):
    ...     return np.concatenate(pieces).ravel().tolist()
    >>> writer = StripWriter(3, 2, Layout("grey"), 2, work=work, write=done.append)
    >>> writer.write_rows(np.arange(6, dtype=np.uint8).reshape(3, 2, 1))
    >>> writer.finish()
    >>> done
    [[0, 1, 2, 3], [4, 5]]
    """

    losses: Collection[Loss] = ()

    def __init__(
        self,
        height: int,
        width: int,
        layout: Layout,
        strip_rows: int,
        *,
        work: Work[Made],
        write: Callable[[Made], object],
        executor: Executor | None = None,
    ) -> None:
        self._rows_left, self._row_shape, self._dtype = height, (width, layout.channels), layout.dtype
        self._strip_rows, self._work, self._write = strip_rows, work, write
        self._executor = executor if height > strip_rows else None  # a single strip gains nothing from it
        in_flight = _IN_FLIGHT_BYTES // (strip_rows * width * layout.channels * layout.dtype.itemsize)
        self._in_flight = max(2, min(in_flight, 2 + 2 * _CORES))
        self._held: deque[Rows] = deque()
        self._held_rows = 0
        self._above: Rows | None = None
        self._jobs: deque[tuple[Future[Made], Callable[[], Made]]] = deque()
        self._open = True

    def write_rows(self, rows: Rows) -> None:
        """Write the next rows, shape `(rows, width, channels)`. The caller must not change them afterwards.

        Raises:
            ValueError: the rows have another shape or type, are too many, or come after the end.
        """
        self._check_open()
        check_rows(rows, self._row_shape, self._dtype, self._rows_left)
        if len(rows) == 0:
            return
        self._held.append(rows)
        self._held_rows += len(rows)
        self._rows_left -= len(rows)
        with self._ended_by_any_error():
            while self._held_rows >= self._strip_rows or (self._held_rows and not self._rows_left):
                self._start_strip()

    def finish(self) -> None:
        """Write the pending strips.

        Raises:
            ValueError: rows are missing, or the writer has already ended.
        """
        self._check_open()
        check_complete(self._rows_left)
        with self._ended_by_any_error():
            self._write_jobs(down_to=0)
        self._open = False
        self._above = None  # this view would keep an array of rows alive

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("this image is finished, or an earlier error has ended it")

    @contextmanager
    def _ended_by_any_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._open = False
            for future, _ in self._jobs:
                future.cancel()
            self._jobs.clear()
            self._held.clear()
            self._above = None
            raise

    def _start_strip(self) -> None:
        pieces = self._take(min(self._strip_rows, self._held_rows))
        job = partial(self._work, pieces, self._above)
        self._above = pieces[-1][-1]
        if self._executor is None:
            self._write(job())
        else:
            self._jobs.append((self._executor.submit(job), job))
            self._write_jobs(down_to=self._in_flight)

    def _take(self, count: int) -> list[Rows]:
        """Take the oldest `count` of the waiting rows."""
        pieces = []
        self._held_rows -= count
        while count:
            piece = self._held.popleft()
            if len(piece) > count:
                self._held.appendleft(piece[count:])
                piece = piece[:count]
            pieces.append(piece)
            count -= len(piece)
        return pieces

    def _write_jobs(self, *, down_to: int) -> None:
        """Write strips, oldest first, until at most `down_to` are pending; then also write those that are done."""
        while self._jobs and (len(self._jobs) > down_to or self._jobs[0][0].done()):
            future, job = self._jobs.popleft()
            never_started = future.cancel()
            self._write(job() if never_started else future.result())


def check_rows(rows: Rows, row_shape: tuple[int, int], dtype: np.dtype[np.generic], rows_left: int) -> None:
    """Refuse rows that differ from what was announced to a sink.

    Raises:
        ValueError: the rows have another shape or type, or are too many.
    """
    if rows.ndim != 3 or rows.shape[1:] != row_shape or rows.dtype != dtype:
        raise ValueError(f"rows are {rows.shape} {rows.dtype} where (rows, {row_shape[0]}, {row_shape[1]}) {dtype} fit")
    if len(rows) > rows_left:
        raise ValueError(f"{len(rows)} rows come where there is room for {rows_left} more")


def check_complete(rows_left: int) -> None:
    """Refuse to finish an image before its last row.

    Raises:
        ValueError: rows are missing.
    """
    if rows_left:
        raise ValueError(f"{rows_left} rows are missing")
