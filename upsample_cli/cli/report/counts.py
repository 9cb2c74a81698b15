"""Count what a run has done, and print an occasional line: its rates, and the time left."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from upsample_cli.cli.report.figures import figure
from upsample_cli.cli.report.output import Output
from upsample_cli.enlarge.job import Job, Result

LINE_EVERY_S = 600.0
"""Seconds between lines without a terminal: the log of a long run shows progress, and a short run prints no line."""
_MOST_SAMPLES = 1000


class Progress:
    """A `Watcher` that counts, and prints an occasional line; a context manager.

    Args:
        messages: for the lines.
        prints_lines: whether to print a line every `LINE_EVERY_S`.
        waits_for_more: the run does not end when all known images are done.
        window_s: rates are those of the last `window_s` seconds.
    """

    def __init__(
        self, messages: Output, *, prints_lines: bool, waits_for_more: bool = False, window_s: float = 2 * LINE_EVERY_S
    ) -> None:
        self._messages, self._prints_lines, self._waits_for_more = messages, prints_lines, waits_for_more
        self._pixels, self._images = Amount(window_s), Amount(window_s)  # of outputs
        self._rows: dict[Job, int] = {}  # of the images in flight, in the order in which they started
        self._settled = self._ended = self._ended_pixels = 0
        self._failed: set[Path] = set()
        self._lock = Lock()
        self._said_s = time.monotonic()

    def expect(self, jobs: Iterable[Job], *, settled: int = 0) -> None:
        """Add jobs to the total.

        Args:
            jobs: the jobs to add.
            settled: number of images that already have a result.
        """
        pixels = [math.prod(job.size) for job in jobs]
        with self._lock:
            self._settled += settled
            self._pixels.expect(sum(pixels))
            self._images.expect(len(pixels))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to erase."""

    def started(self, job: Job) -> None:
        """See `Watcher`."""
        with self._lock:
            if not self._ended and not self._rows:  # do not count the import of torch
                self._pixels.restart()
                self._images.restart()
                self._measure()
            self._rows[job] = 0

    def advanced(self, job: Job, rows: int) -> None:
        """See `Watcher`."""
        with self._lock:
            if job in self._rows:  # a worker's message may arrive after its result
                self._rows[job] += rows
        self._say_line()

    def ended(self, job: Job) -> None:
        """See `Watcher`."""
        with self._lock:
            self._rows.pop(job, None)
            self._ended += 1
            self._ended_pixels += math.prod(job.size)  # a failed image is also done

    def result(self, result: Result) -> None:
        """Add a result."""
        if result.status == "failed":
            self._failed.add(result.input)
        elif self._failed:  # an input of a watch can appear again
            self._failed.discard(result.input)
        self._say_line()

    def _measure(self) -> None:
        begun = sum(rows / job.height * math.prod(job.size) for job, rows in self._rows.items())
        self._pixels.reach(self._ended_pixels + begun)
        self._images.reach(self._ended)

    def _title(self) -> str:
        count = self._images.total
        title = f"{self._ended + self._settled:,} of {count + self._settled:,} images"
        return f"{title}; waiting for more" if self._waits_for_more and self._ended == count else title

    def _failures(self) -> list[str]:
        return [f"{len(self._failed):,} failed"] if self._failed else []

    def _rates(self) -> list[str]:
        images, pixels = self._images.per_s(), self._pixels.per_s()
        rates = [f"{figure(images)} images/s"] if images else []
        return [*rates, f"{figure(pixels / 1e6)} MP/s"] if pixels else rates

    def _say_line(self) -> None:
        if not self._prints_lines:
            return
        with self._lock:
            if time.monotonic() - self._said_s < LINE_EVERY_S:
                return
            self._said_s = time.monotonic()
            self._measure()
            line = ", ".join([self._title(), *self._failures(), *self._rates(), f"{self._pixels.time_left()} left"])
        self._messages.print(line)


class Amount:
    """An amount that grows to a total.

    Args:
        window_s: the speed is the mean of the last `window_s` seconds.

    Attributes:
        total: what is expected.
        done: what is reached.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.total, self.done = 0, 0.0
        self._samples: deque[tuple[float, float]] = deque(maxlen=_MOST_SAMPLES)  # a time in seconds, and what was done

    def expect(self, more: int) -> None:
        """Add to the total. The speed is unknown again, because there may have been a pause."""
        if more:
            self.total += more
            self.restart()

    def restart(self) -> None:
        """Forget the speed."""
        self._samples.clear()

    def reach(self, done: float) -> None:
        """Set what is done now."""
        now_s = time.monotonic()
        while self._samples and self._samples[0][0] < now_s - self._window_s:
            self._samples.popleft()
        self._samples.append((now_s, done))
        self.done = done

    def per_s(self) -> float:
        """The speed; 0 if it is unknown."""
        if not self._samples:
            return 0
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0

    def time_left(self) -> str:
        """The hours, minutes and seconds to the total: "0:12:34"; "-:--:--" if they are unknown."""
        left, per_s = self.total - self.done, self.per_s()
        if left > 0 and not per_s:
            return "-:--:--"
        minutes, seconds = divmod(math.ceil(left / per_s) if left > 0 else 0, 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
