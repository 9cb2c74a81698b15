"""All reporters of a run: console or JSON document, report file, gallery."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upsample_cli.cli.report.console import Report
from upsample_cli.cli.spelling import sentence
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options

if TYPE_CHECKING:
    from upsample_cli.cli.report.gallery import Gallery
    from upsample_cli.cli.report.json_lines import ReportFile


class Reporters(NamedTuple):
    """The reporters of a run; see `open_reporters`."""

    report: Report
    file: ReportFile | None
    gallery: Gallery | None

    @property
    def need_done(self) -> bool:
        """Whether one of them needs the results of images that were done before; if not, the summary counts them."""
        return self.report.needs_done or self.file is not None or self.gallery is not None

    def add(self, result: Result) -> None:
        """Report a result."""
        self.report.add(result)
        if self.file is not None:
            self.file.add(result)
        if self.gallery is not None:
            self.gallery.add(result)

    def close(self, options: Options, device: str, elapsed_s: float, *, left: int | None = None) -> int:
        """Report the end of the run, and return the exit status.

        Args:
            options: the options of the run.
            device: name of the device.
            elapsed_s: duration of the run, in seconds.
            left: number of unfinished images when the run was stopped; None if it was not stopped. A stopped run does
                not write its gallery; the next run writes it.
        """
        errors = [self.file.error] if self.file is not None else []
        if self.gallery is not None and left is None:
            with _waiting(self.report, "The gallery is being made ..."):
                errors.append(self.gallery.write(self.report.summary, elapsed_s))
        faults = [sentence(error.failure) for error in errors if error is not None]
        for fault in faults:
            self.report.message("error", "bold red", fault)
        self.report.close(options, device, elapsed_s, left=left)
        return self.report.exit_status or int(bool(faults))


@contextmanager
def open_reporters(
    report: Report, options: Options, *, report_path: str | None, gallery_path: str | None
) -> Iterator[Reporters]:
    """Open the reporters of a run and their files.

    Args:
        report: the console report.
        options: the options of the run.
        report_path, gallery_path: `--report` and `--gallery`, as typed.

    Raises:
        UsageError: if a file cannot be written.
    """
    with ExitStack() as files:
        file = gallery = None
        if report_path is not None:
            from upsample_cli.cli.report.json_lines import ReportFile

            file = files.enter_context(ReportFile(Path(report_path)))
        if gallery_path is not None:
            from upsample_cli.cli.report.gallery import Gallery

            gallery = files.enter_context(Gallery(Path(gallery_path), options))
        yield Reporters(report, file, gallery)


def _waiting(report: Report, text: str) -> contextlib.AbstractContextManager[object]:
    is_seen = report.messages.file.isatty() and not report.quiet
    return report.messages.console.status(text) if is_seen else contextlib.nullcontext()
