"""Limit the reads for a header, so that its cost is bounded by the size of the file.

Decoders follow offsets and lengths in a file. A hostile file can lead them in circles, through the same bytes again and
again, or through a million pieces of one byte. So headers are read through a `MeteredFile`, which counts bytes and
calls and raises an error above a limit. Both limits grow with the file. A normal header is read a few times, in pieces
of tens of bytes.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, cast

from upsample_cli.errors import ImageError, Setting
from upsample_cli.images.codecs.readable import COPY, unreadable

_BASE_BYTES, _TIMES_READ = 8 << 20, 4
_BASE_CALLS, _BYTES_PER_CALL = 250_000, 16


def timeout_error(path: str | os.PathLike[str], timeout_s: float) -> ImageError:
    """The error for an image that took longer than its time limit."""
    cause = ("took longer than ", Setting("timeout_s", f"{timeout_s:g}"), " and was stopped")
    return ImageError(path, cause, "give it more seconds", kind="timeout", limit_s=timeout_s)


def header_read(file: BinaryIO) -> AbstractContextManager[None]:
    """Limit the reads of a `MeteredFile` inside the `with` block. More reads raise `ImageError`."""
    return cast("AbstractContextManager[None]", file)


def metered(file: BinaryIO, name: str, timeout_s: float | None = None) -> BinaryIO:
    """A `MeteredFile`; see there."""
    return cast("BinaryIO", MeteredFile(file, name, timeout_s))


class MeteredFile:
    """A seekable binary file. In a `with` block it refuses too many reads for a header; the block does not close it.

    Args:
        file: the file to read; its other methods are unchanged.
        name: name of the file in messages.
        timeout_s: seconds that all headers together may take; None for no limit.
    """

    def __init__(self, file: BinaryIO, name: str, timeout_s: float | None = None) -> None:
        self._file, self._name, self._timeout_s = file, name, timeout_s
        self._end_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._bytes_left = self._calls_left = 0
        self._is_counting = self._is_measured = False

    def __enter__(self) -> None:
        """Count the reads inside the `with` block, starting at zero."""
        self._bytes_left, self._calls_left = _BASE_BYTES, _BASE_CALLS
        self._is_counting, self._is_measured = True, False

    def __exit__(self, *_raised: object) -> None:
        self._is_counting = False

    def read(self, size: int = -1) -> bytes:
        """Read bytes.

        Raises:
            ImageError: a header needs too many reads or too much time, or the system cannot read the file.
        """
        if self._is_counting:
            self._count(0)
        try:
            data = self._file.read(size)
        except OSError as error:
            raise unreadable(self._name, error) from error
        self._bytes_left -= len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """See `read`."""
        try:
            read: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        except OSError as error:
            raise unreadable(self._name, error) from error
        if self._is_counting:
            self._count(read)
        return read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `read`."""
        if self._is_counting:
            self._count(0)
        return self._file.seek(offset, whence)

    def _count(self, size_bytes: int) -> None:
        self._bytes_left -= size_bytes
        self._calls_left -= 1
        if (self._bytes_left < 0 or self._calls_left < 0) and not self._is_measured:
            self._add_for_size()
        if self._bytes_left < 0 or self._calls_left < 0:
            raise ImageError(self._name, "is damaged: its header is too long or refers to itself", COPY)
        if self._end_s is not None and time.monotonic() > self._end_s:
            raise timeout_error(self._name, self._timeout_s or 0)

    def _add_for_size(self) -> None:
        """Raise the limits by what the size of the file allows. Most headers are read before it must be known."""
        at = self._file.tell()
        size_bytes = self._file.seek(0, os.SEEK_END)
        self._file.seek(at)
        self._bytes_left += _TIMES_READ * size_bytes
        self._calls_left += size_bytes // _BYTES_PER_CALL
        self._is_measured = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
