"""Standard input and standard output as files: input that can be read twice, and output that is written in order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile, TemporaryFile, gettempdir
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from upsample_cli.atomic.writing_errors import NO_SPACE, OTHER_TEMPORARY_FOLDER, TEMPORARY_FOLDER, writing_error
from upsample_cli.errors import ImageError, Setting, UsageError
from upsample_cli.images.format_table import Format
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS
from upsample_cli.images.space import free_bytes, size_text

if TYPE_CHECKING:
    from typing import TextIO

NAME = "-"
"""The name of standard input and standard output on the command line and in messages."""

MEMORY_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20
_PIXEL_BYTES = 16
"""The most bytes of a pixel in a file: four channels of floating point. 64 MiB more allow for the metadata."""
_SHARE = 0.5
"""The part of the free space for temporary files that may be used; the rest is for other programs."""
_FRONT_TO_BACK = {"png"}
"""Formats whose sink writes in order and never seeks."""


def image_input(stdin: TextIO | None) -> BinaryIO:
    """Standard input as a binary file.

    Raises:
        UsageError: standard input is closed or a terminal.
    """
    if stdin is None or stdin.closed or stdin.isatty():
        raise UsageError("- is standard input, and no image is piped in", "name a file, or pipe one in: ... < FILE")
    return stdin.buffer


def spooled(stream: BinaryIO, max_pixels: int = DEFAULT_MAX_PIXELS) -> BinaryIO:
    """Read a whole stream into a seekable file: in memory up to 64 MiB, on the disk beyond that.

    A stream that does not begin like an image is refused at once. One that does may still be endless, so its length is
    limited.

    Args:
        stream: the stream to read.
        max_pixels: the most pixels of the image; this limits its length.

    Raises:
        ImageError: the stream is empty, not an image, too long or unreadable, or exceeds the free space.

    >>> import io
    >>> with spooled(io.BytesIO(b"BM and so on")) as file:
    ...     file.read(2)
    b'BM'
    """
    from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content

    try:
        head = stream.read(HEAD_BYTES)
        if not head:
            raise ImageError(NAME, "is empty", "check what is piped in", kind="not-an-image")
        format_of_content(head, NAME)
    except OSError as error:
        raise ImageError(NAME, f"cannot be read ({error.strerror})", "pipe an image in", kind="unreadable") from error
    file = cast("BinaryIO", SpooledTemporaryFile(MEMORY_BYTES))  # noqa: SIM115  stays open as long as the run
    try:
        file.write(head)
        _copy(stream, file, max_pixels)
        file.seek(0)
    except OSError as error:
        file.close()
        raise _no_space(error.strerror) from error
    except ImageError:
        file.close()
        raise
    return file


def _copy(stream: BinaryIO, file: BinaryIO, max_pixels: int) -> None:
    most_bytes = MEMORY_BYTES + _PIXEL_BYTES * max_pixels
    free = free_bytes(Path(gettempdir()))
    allowed_bytes = most_bytes if free is None else MEMORY_BYTES + int(_SHARE * free)
    copied_bytes = file.tell()
    while piece := stream.read(_PIECE_BYTES):
        copied_bytes += len(piece)
        if copied_bytes > most_bytes:
            cause = f"goes on after {size_text(most_bytes)}, more than {max_pixels} pixels take"
            next_step = ("add ", Setting("max_pixels"), " if it is an image, or write it into a file and name that")
            raise ImageError(NAME, cause, next_step, kind="too-large")
        if copied_bytes > allowed_bytes:
            raise _no_space(f"it takes more than half of the {size_text(free or 0)} that are free")
        file.write(piece)


def _no_space(reason: str | None) -> ImageError:
    cause = f"cannot be kept in {TEMPORARY_FOLDER} ({reason})"
    return ImageError(NAME, cause, OTHER_TEMPORARY_FOLDER, kind="no-space")


def leads_to(stream: object, path: Path) -> bool:
    """Whether standard input or output is the file or pipe at `path`; False for devices, such as a terminal."""
    try:
        status = os.fstat(cast("BinaryIO", stream).fileno())
        return not stat.S_ISCHR(status.st_mode) and os.path.samestat(status, path.stat())
    except (AttributeError, OSError, ValueError):  # it has no descriptor or is closed, or the path does not exist
        return False


class _Pipe(FileIO):
    """A pipe to another program. Writes are complete and unbuffered, so errors are raised at once. It cannot seek."""

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size_bytes = len(rest)
        while rest:
            rest = rest[super().write(rest) :]
        return size_bytes

    def seekable(self) -> bool:
        return False  # if stdout is redirected to a file, the file may already have content


def image_pipe(stdout: TextIO | None) -> BinaryIO:
    """Standard output as a binary file for an image.

    Raises:
        UsageError: standard output is closed or a terminal.
    """
    if stdout is None or stdout.closed:
        raise UsageError("standard output is closed", ("give ", Setting("output"), " a file"))
    if stdout.isatty():
        next_step = ("give ", Setting("output"), " a file, or pipe it: ... > FILE")
        raise UsageError("an image is not written to a terminal", next_step)
    stdout.flush()
    return cast("BinaryIO", _Pipe(os.dup(stdout.fileno()), "wb"))


@contextmanager
def piped_file(pipe: BinaryIO, fmt: Format) -> Iterator[BinaryIO]:
    """A file for a sink whose bytes are sent to `pipe`, at once if the format allows it.

    Other formats are collected in a temporary file. They are sent only if the `with` block ends without an error.

    Raises:
        BrokenPipeError: the reader has closed the pipe.
        ImageError: the pipe cannot be written to for another reason.
    """
    try:
        if fmt.name in _FRONT_TO_BACK:
            yield pipe
            return
        with TemporaryFile() as file:
            try:
                yield cast("BinaryIO", file)
                file.seek(0)
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
                raise _no_space(error.strerror) from error
            copyfileobj(file, pipe, _PIECE_BYTES)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise writing_error(NAME, error) from error
