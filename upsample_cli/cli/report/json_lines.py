"""`--report`: a line of JSON for every image, written when the image is done."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from upsample_cli.atomic.writing_errors import writing_error
from upsample_cli.batch.own_files import link_fault
from upsample_cli.cli.report.console import file_record
from upsample_cli.enlarge.job import Result
from upsample_cli.errors import UpsampleError, UsageError, joined

_HEAD_BYTES = 1 << 16
_SYSTEM_FOLDERS = re.compile("/dev(/fd)?|/proc/[0-9]+/fd")


class ReportFile:
    """Appends one line for each result, equal to an element of `files` in `--json`; a context manager.

    Each line is a single write, so a killed run leaves complete lines. An existing report is continued. If it has two
    lines about the same input, the later one is valid.

    Args:
        path: path of the report; its folder must exist.

    Raises:
        UsageError: if the file cannot be written, or exists and is not a report.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.error: UpsampleError | None = None
        """The error that ended writing. The run continues without its report."""
        check_folder("--report", path)
        # System files, such as /dev/stderr or the pipe of >(command), may be links or devices.
        is_system_file = _SYSTEM_FOLDERS.fullmatch(os.path.realpath(path.parent)) is not None
        if not is_system_file:
            check_link("--report", path)
        guards = 0 if is_system_file else getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | guards
        try:
            self._file = os.open(path, flags, 0o666)
        except (OSError, ValueError) as error:
            raise unwritable("--report", path, error) from error
        try:
            if not is_system_file:
                _check_status("--report", path, os.fstat(self._file))
            self._check_and_end_line()
        except BaseException as error:
            os.close(self._file)
            if isinstance(error, OSError):
                raise unwritable("--report", path, error) from error
            raise

    def _check_and_end_line(self) -> None:
        """Refuse a file that is not a report. If its last line is incomplete, end it."""
        try:
            size = os.lseek(self._file, 0, os.SEEK_END)
        except OSError:  # a pipe
            return
        if size == 0:
            return
        os.lseek(self._file, 0, os.SEEK_SET)
        if not _is_record(os.read(self._file, _HEAD_BYTES)):
            raise UsageError(f"{self._path} exists and is not a report", "give --report another name")
        os.lseek(self._file, -1, os.SEEK_END)
        if os.read(self._file, 1) != b"\n":
            os.write(self._file, b"\n")

    def __enter__(self) -> ReportFile:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)

    def add(self, result: Result) -> None:
        """Append the line of a result."""
        if self.error is not None:
            return
        line = json.dumps(file_record(result)).encode() + b"\n"
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            self.error = unwritable("--report", self._path, error)
            with suppress(OSError):  # a pipe or a device
                self._remove_end(line[:written])

    def _remove_end(self, part: bytes) -> None:
        """Remove the part of a line that was written before an error, unless another run has written after it."""
        start = os.lseek(self._file, -len(part), os.SEEK_END)
        if os.read(self._file, len(part)) == part:
            os.ftruncate(self._file, start)


def make_folder(path: Path, outputs: Iterable[Path]) -> None:
    """Make the folder of a report or gallery, if it is also a folder of outputs."""
    folder = path.absolute().parent
    if not os.path.lexists(folder) and any(folder in output.absolute().parents for output in outputs):
        with suppress(OSError):  # the first image reports it
            folder.mkdir(parents=True, exist_ok=True)


def check_folder(option: str, path: Path) -> None:
    """Refuse a report or gallery in a missing folder, because only folders of outputs are made.

    Raises:
        UsageError: the folder is missing; the message names it.
    """
    if not os.path.lexists(path.parent):
        raise UsageError(f"there is no folder {path.parent} for {option} {path}", "make it first, or name another")


def check_link(option: str, path: Path) -> None:
    """Refuse a report or gallery that is a link, a pipe or a device, because another user may have put it there.

    Raises:
        UsageError: the file is one of these; the message names it.
    """
    with suppress(OSError, ValueError):  # writing reports a missing or impossible path
        _check_status(option, path, os.lstat(path))


def _check_status(option: str, path: Path, status: os.stat_result) -> None:
    if (fault := link_fault(status)) is not None:
        raise UsageError(f"{path}: {fault}", f"give {option} another name")


def _is_record(head: bytes) -> bool:
    r"""Whether a file is a report, from its head, which may be a part of a line.

    >>> [_is_record(head) for head in (b'{"input": "a.png", "output": null, ...}\n', b"\x89PNG\r\n", b'{"a": 1}\n')]
    [True, False, False]
    """
    return head.startswith(b'{"input": ')


def unwritable(option: str, path: Path, error: UpsampleError | OSError | ValueError) -> UsageError:
    """The error for a report or gallery that cannot be written. Advice about outputs does not apply to it."""
    if isinstance(error, OSError):
        error = writing_error(path, error)
    other_name = f"give {option} another name"
    if isinstance(error, ValueError):
        return UsageError(f"{path}: cannot be written: its name holds a zero byte", other_name)
    next_step = error.next_step if isinstance(error.next_step, str) else other_name  # others name output settings
    return UsageError(joined(f"{path}: ", error.cause), next_step or other_name)
