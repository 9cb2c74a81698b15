"""Open input files without waiting for a pipe or a device, and limit the reads for their headers."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BytesIO
from typing import BinaryIO, cast

from upsample_cli.atomic.opened import open_at_once, open_no_link
from upsample_cli.errors import ImageError
from upsample_cli.images.metered import metered
from upsample_cli.special_files import refuse_special

Input = str | os.PathLike[str] | BinaryIO

_TO_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_SMALL_BYTES = 1 << 16
"""Files up to this size are read into memory for their headers: they are only a few pages of the disk."""


def shown_name(source: Input) -> str:
    """The name of an input in messages."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "name", "-")
    return name if isinstance(name, str) else "-"


@contextmanager
def opened_file(source: Input) -> Iterator[BinaryIO]:
    """Open an input as a seekable `MeteredFile` at its start. A file object stays open; a pipe is read to its end.

    Raises:
        ImageError: the file is missing, a folder, not a regular file, or not readable.
    """
    with opened_input(source) as file:
        yield metered(file, shown_name(source))


def opened_input(source: Input) -> AbstractContextManager[BinaryIO]:
    """`opened_file` without a limit: for callers that read only a few bytes, or call `metered`."""
    if isinstance(source, (str, os.PathLike)):
        number, status = opened_regular(source)
        return in_memory(source, number, status.st_size, most_bytes=_SMALL_BYTES)
    return nullcontext(seekable(source))


def seekable(file: BinaryIO) -> BinaryIO:
    """A file object at its start; a pipe is read to its end."""
    file = file if file.seekable() else BytesIO(file.read())
    file.seek(0)
    return file


def regular_file(path: str | os.PathLike[str], *, follow: bool = True) -> BinaryIO:
    """Open a regular file. Pass the open file, not its path, to all functions that must read the same file.

    Args, Raises: see `opened_regular`.
    """
    return _file_of(path, opened_regular(path, follow=follow)[0])


def opened_regular(path: str | os.PathLike[str], *, follow: bool = True) -> tuple[int, os.stat_result]:
    """Open a regular file; return its descriptor and its status.

    Args:
        path: path of the file.
        follow: open the file that a link points to; otherwise a link is refused.

    Raises:
        ImageError: the file is missing, a folder, not a regular file, or not readable.
    """
    try:
        path = os.fspath(path)
        _check_file(path, os.stat(path, follow_symlinks=follow))  # noqa: PTH116  a Path is slow
        number = (open_at_once if follow else open_no_link)(path, _TO_READ)
    except (OSError, ValueError) as error:
        raise _cannot_open(path, error) from error
    try:
        status = os.fstat(number)
        _check_file(path, status)  # the path may lead to another file by now
    except BaseException:
        os.close(number)
        raise
    return number, status


def _file_of(path: str | os.PathLike[str], number: int) -> BinaryIO:
    """The file of a descriptor, with its path as its name."""
    return open(path, "rb", opener=lambda *_: number)


class FileInMemory(BytesIO):
    """A file that was read as a whole.

    Args:
        data: its bytes.
        name: its path.
    """

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def in_memory(path: str | os.PathLike[str], number: int, size_bytes: int, *, most_bytes: int) -> BinaryIO:
    """The file of a descriptor, in memory if it is small: reading it in pieces takes longer than decoding it.

    It is not read into memory if a single call does not read exactly so many bytes: it may have grown without bound.

    Args:
        path: path of the file.
        number: its descriptor, at its start. The returned file closes it, or it is closed already.
        size_bytes: its size, from its status.
        most_bytes: the size up to which a file is small.
    """
    if size_bytes > most_bytes:
        return _file_of(path, number)
    try:
        data = os.read(number, size_bytes + 1)
        if len(data) == size_bytes:
            os.close(number)
            return cast("BinaryIO", FileInMemory(data, os.fspath(path)))
        os.lseek(number, 0, os.SEEK_SET)
    except OSError:  # reading it in pieces reports that
        pass
    return _file_of(path, number)


def _check_file(source: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(source, "is a folder, not an image", "name the images in it", kind="not-an-image")
    if stat.S_ISLNK(status.st_mode):
        cause = "is a symbolic link, which is not followed"
        raise ImageError(source, cause, "give the file that it leads to", kind="not-an-image")
    refuse_special(source, status, next_step="copy it into one; upsample and tconv info read - as standard input")


_MISSING = ("no such file", "check the name")
_OPEN_ERRORS: dict[int | None, tuple[str, str]] = {
    errno.ENOENT: _MISSING,
    errno.ENOTDIR: _MISSING,
    errno.EACCES: ("may not be read", "check its permissions"),
    errno.EPERM: ("may not be read", "check its permissions"),
    errno.ELOOP: ("is a symbolic link that leads in a circle", "check the name"),
    errno.ENAMETOOLONG: ("has a name longer than the file system allows", "check the name"),
}


def _cannot_open(source: str | os.PathLike[str], error: OSError | ValueError) -> ImageError:
    if isinstance(error, ValueError):
        return ImageError(source, "has a zero byte in its name", "check the name", kind="not-found")
    cause, next_step = _OPEN_ERRORS.get(
        error.errno, (f"cannot be opened ({error.strerror})", "check the disk or the network")
    )
    return ImageError(source, cause, next_step, kind="not-found" if cause == _MISSING[0] else "unreadable")
