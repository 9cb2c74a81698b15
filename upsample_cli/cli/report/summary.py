"""The summary of a run: counts, causes and the first failures. Its memory does not grow with the number of images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from upsample_cli.cli.report.figures import figure
from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.spelling import error_line, sentence
from upsample_cli.enlarge.job import Result, Status
from upsample_cli.images.input_formats import EXTRA, READ_ONLY, has_extra

STATUSES: tuple[Status, ...] = ("written", "skipped", "failed", "planned")

KEPT_FAILURES = 5
_KEPT_CAUSES = 100
_SHOWN_CAUSES = 4
_OTHERS = "other causes"
_SLOW_ENOUGH_S = 0.1
DONE_ALREADY = "done already"
LABEL_CHARACTERS = 8
"""Each line of a summary begins with a label of so many characters: a status, or spaces."""
_INDENT = " " * 17


@dataclass(slots=True)
class Summary:
    """Counts results.

    Args:
        counts: results by status.
        causes: results by cause, for "skipped" and "failed".
        output_pixels: number of pixels written.
        folder: that all outputs are in or below; None if there is none.
        first_failures: the first few errors.
        is_watch: an input can appear again; then its earlier failure is no longer counted.
    """

    counts: Counter[Status] = field(default_factory=Counter)
    causes: dict[Status, Counter[str]] = field(default_factory=lambda: {"skipped": Counter(), "failed": Counter()})
    output_pixels: int = 0
    folder: Path | None = None
    first_failures: list[str] = field(default_factory=list)
    is_watch: bool = False
    _failed: dict[Path, Result] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Count a result."""
        if self.is_watch:
            self._forget(self._failed.pop(result.input, None))
            if result.status == "failed":
                self._failed[result.input] = result
        self.counts[result.status] += 1
        if result.status == "written" and result.output is not None:
            folder = result.output.parent
            self.folder = folder if self.counts["written"] == 1 else _common(self.folder, folder)
            self.output_pixels += (result.output_width or 0) * (result.output_height or 0)
        if result.status in self.causes:
            self._add_cause(result.status, cause_of(result))
        error = error_line(result)
        if error is not None and len(self.first_failures) < KEPT_FAILURES:
            self.first_failures.append(error)

    def add_done(self) -> None:
        """Count the result of an image that was done before."""
        self.counts["skipped"] += 1
        self._add_cause("skipped", DONE_ALREADY)

    def _add_cause(self, status: Status, cause: str) -> None:
        known = self.causes[status]
        known[cause if cause in known or len(known) < _KEPT_CAUSES else _OTHERS] += 1

    def _forget(self, failure: Result | None) -> None:
        """Subtract a failure whose input has appeared again."""
        if failure is None:
            return
        self.counts["failed"] -= 1
        known, cause = self.causes["failed"], cause_of(failure)
        known[cause if cause in known else _OTHERS] -= 1
        if (error := error_line(failure)) in self.first_failures:
            self.first_failures.remove(error)

    def lines(self, elapsed_s: float | None, *, retry: str = "") -> Iterator[str]:
        """Lines that say how many images ended in which status, why, and how fast.

        Args:
            elapsed_s: duration of the run, in seconds; None for a watch, which mostly waits.
            retry: how to retry failed images.
        """
        for status in STATUSES:
            if self.counts[status] or (status == "written" and not self.counts["planned"]):
                details = list(self._details(status, elapsed_s))
                yield f"{status:<{LABEL_CHARACTERS}}{self.counts[status]:>7,}  {details[0]}"
                yield from (f"{_INDENT}{detail}" for detail in details[1:])
                if status == "failed" and retry:
                    yield f"{_INDENT}{retry}"

    def _details(self, status: Status, elapsed_s: float | None) -> Iterator[str]:
        if status == "planned":
            yield "nothing was written"
        elif status == "written":
            yield self._speed(elapsed_s) + (f"; see {one_line(str(self.folder))}{os.sep}" if self.folder else "")
        else:
            counted = self.causes[status].most_common()
            named = [(cause, count) for cause, count in counted if cause != _OTHERS and count][:_SHOWN_CAUSES]
            more = self.counts[status] - sum(count for _, count in named)
            for cause, count in named:
                yield cause if count == self.counts[status] else f"{count:,}: {cause}"
            if more:
                yield f"{more:,}: {_OTHERS}"

    def _speed(self, elapsed_s: float | None) -> str:
        megapixels = self.output_pixels / 1e6
        if elapsed_s is None:
            return f"{figure(megapixels)} MP"
        text = f"{figure(megapixels)} MP in {elapsed_s:.1f} s"
        if not self.counts["written"] or elapsed_s < _SLOW_ENOUGH_S:
            return text
        rates = f"{figure(self.counts['written'] / elapsed_s)} images/s, {figure(megapixels / elapsed_s)} MP/s"
        return f"{text}: {rates}"


def _common(folder: Path | None, other: Path) -> Path | None:
    """The folder that both are in or below; None if only the current or the root folder is.

    >>> print(_common(Path("big"), Path("big")), _common(Path("big/a"), Path("big/b")), _common(Path("a"), Path("b")))
    big big None
    """
    if folder is None or folder == other:
        return folder
    with suppress(ValueError):  # one is absolute, or on another drive
        common = Path(os.path.commonpath([folder, other]))
        return common if common.name else None
    return None


def counted_formats(other_formats: Counter[str]) -> str:
    """A short text about the number of images in unsupported formats.

    >>> counted_formats(Counter({".svg": 1, ".cr2": 2}))
    '3 files of other formats: .cr2 2, .svg 1'
    """
    count = other_formats.total()
    named = ", ".join(f"{extension} {number:,}" for extension, number in other_formats.most_common())
    is_heic = not has_extra() and any(name in other_formats for name in READ_ONLY["heic"].extensions)
    advice = f"; for HEIC, {EXTRA}" if is_heic else ""
    return f"{count:,} {'file' if count == 1 else 'files'} of other formats: {named}{advice}"


def cause_of(result: Result) -> str:
    """Why an image was skipped or failed, without its name, so that results with the same cause can be counted.

    >>> from upsample_cli.errors import Failure
    >>> failure = Failure("not-an-image", "is empty", "get a new copy of it", "a.png")
    >>> cause_of(Result(Path("a.png"), status="failed", failure=failure))
    'is empty'
    >>> cause_of(Result(Path("a.png"), status="skipped"))
    'done already'
    """
    if result.failure is None:
        return DONE_ALREADY
    nameless = replace(result.failure, path="")
    return one_line(sentence(nameless if result.status == "skipped" else replace(nameless, next_step="")))
