"""New files that appear whole or not at all: written under a hidden name in the same folder, then renamed."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from upsample_cli.atomic import permissions
from upsample_cli.atomic.folders import Folder, opened_folder
from upsample_cli.atomic.opened import Source, as_path, has_acl, remove_acl
from upsample_cli.atomic.place import Place
from upsample_cli.atomic.same_file import check_inputs_stay
from upsample_cli.atomic.temporaries import new_token, temporary_name
from upsample_cli.atomic.writing_errors import OTHER_OUTPUT, writing_error
from upsample_cli.errors import (
    ImageError,
    Interrupted,
    OutputExistsError,
    Setting,
    WritingError,
    joined,
)

_unfinished: set[str] = set()  # changed by atomic operations only: threads and signal handlers share it

_BUFFER_BYTES = 1 << 16
"""Small outputs are written in one call. Measured: each further call takes 5 to 10 microseconds."""

if hasattr(os, "register_at_fork"):  # a forked process does not write the files
    os.register_at_fork(after_in_child=_unfinished.clear)

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EXDEV, errno.EINVAL}


@contextmanager
def new_file(
    path: str | os.PathLike[str],
    *,
    overwrite: bool,
    token: str | None = None,
    place: Place | None = None,
    sources: Sequence[Source] = (),
    follow: bool = True,
) -> Iterator[BinaryIO]:
    """Open a file for writing, under a temporary name until the end of the `with` block.

    If the block ends without an exception, the file appears at `path` in one step. Otherwise the temporary file is
    removed and `path` does not change. An OSError in the block counts as an error of writing the file. If `path` is a
    symbolic link that the user named, the file that it points to is written, and the link stays. A replaced file keeps
    its owner and permissions.

    Args:
        path: path of the file. Its folder must exist unless `place` is given.
        overwrite: replace an existing file. If False, a file is not replaced even if it appears in the meantime.
        token: token of the run, used in the temporary name; None for a new one.
        place: required if the run chose a part of `path`: links there are not followed, and missing folders are made.
        sources: files that the output is made from, the image first. A new file is readable only by those who may read
            all of them.
        follow: write the file that a link at `path` points to; otherwise, and with `place`, a link is refused.

    Raises:
        UsageError: `path` is one of the sources.
        OutputExistsError: `path` exists, and `overwrite` is not set.
        ImageError: the file cannot be written.
        Interrupted: `remove_unfinished` has removed the file.
    """
    if "\0" in os.fspath(path):
        raise ImageError(path, "cannot be written: its name holds a zero byte", OTHER_OUTPUT, kind="unwritable")
    # The user may name a link; any other link is detected, and refused, when its folder is open.
    follow = follow and place is None
    target = _target(path, place, follow=follow)
    parent, target_name = os.path.split(target)
    try:
        with opened_folder(parent or os.curdir, place, as_path(sources[0]) if place is not None else None) as folder:
            old = _replaced(folder, target_name, path, overwrite=overwrite, follow=follow)
            if old is not None:
                check_inputs_stay(target, sources)
            is_kept = old is not None and permissions.is_kept(old, sources)
            old_has_acl = old is not None and has_acl(folder.path / target_name)
            mode = 0o600 if is_kept else permissions.new_mode(sources, folder.status("."))
            name = temporary_name(target_name, token or new_token())
            with _temporary(folder, name) as temporary:
                file = os.fdopen(_created(folder, name, mode), "w+b", _BUFFER_BYTES)
                try:
                    yield file
                    file.flush()
                    if old is not None and is_kept:
                        permissions.take_over(file.fileno(), old, has_acl=old_has_acl)
                    # Before it is closed: as long as it is open, its inode number is not reused.
                    _check_not_stopped(temporary)
                    _check_is_there(folder, name, path, os.fstat(file.fileno()))
                except BaseException:
                    with suppress(OSError):  # the first error is reported
                        file.close()
                    raise
                file.close()
                _check_not_stopped(temporary)
                _put(folder, name, target_name, path, overwrite=overwrite)
    except OSError as error:
        raise writing_error(path, error) from error


def _target(path: str | os.PathLike[str], place: Place | None, *, follow: bool) -> Path:
    if place is not None:
        return as_path(path)
    if follow:
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(Path(path).parent), Path(path).name)


def _created(folder: Folder, name: str, mode: int) -> int:
    """Create a file without an access control list, even if the folder has one to inherit; return the descriptor."""
    file = folder.create(name, mode)
    if not has_acl(file):
        return file
    try:
        allowed = os.fstat(file).st_mode & mode
    finally:
        os.close(file)
    folder.remove(name)  # users in the access control list may have opened it
    file = folder.create(name, 0o600)
    try:
        remove_acl(file)
        os.fchmod(file, allowed)
    except BaseException:
        os.close(file)
        raise
    return file


def remove_unfinished() -> None:
    """Remove the temporary files that this process is writing; call it before exiting with unfinished work."""
    for temporary in list(_unfinished):
        _unfinished.discard(temporary)  # first, so that the writer can tell why its file is missing
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108


def _replaced(
    folder: Folder, name: str, path: str | os.PathLike[str], *, overwrite: bool, follow: bool
) -> os.stat_result | None:
    """The status of the file to be replaced; None if the path does not exist.

    Raises:
        ImageError: see `check_replaceable`.
    """
    try:
        status = folder.status(name, follow=follow)
    except FileNotFoundError:
        return None
    check_replaceable(path, status, overwrite=overwrite)
    return status


def check_replaceable(path: str | os.PathLike[str], status: os.stat_result, *, overwrite: bool) -> None:
    """Refuse an output whose path exists and may not be replaced.

    Args:
        status: status of the existing path; of the link itself if links are not followed.

    Raises:
        OutputExistsError: the path may be replaced only with `overwrite`; or it is a link, and `overwrite` is not set.
        ImageError: the path may not be replaced, even with `overwrite`.
    """
    if stat.S_ISDIR(status.st_mode):
        other = joined("remove it, or ", OTHER_OUTPUT, (" or ", Setting("name")))
        raise ImageError(path, "is a folder", other, kind="exists")
    if stat.S_ISLNK(status.st_mode):
        cause, next_step = "is a symbolic link, which is neither followed nor replaced", "remove it, or write elsewhere"
        raise (WritingError if overwrite else OutputExistsError)(path, cause, next_step)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(path, "is not a regular file and is not replaced", OTHER_OUTPUT, kind="exists")
    if not overwrite:
        raise OutputExistsError(path)


@contextmanager
def _temporary(folder: Folder, name: str) -> Iterator[str]:
    path = os.path.join(folder.path, name)  # noqa: PTH118
    _unfinished.add(path)  # before it exists: a signal may arrive at any moment
    try:
        yield path
    finally:
        _unfinished.discard(path)
        folder.remove(name)


def _check_is_there(folder: Folder, name: str, path: str | os.PathLike[str], written: os.stat_result) -> None:
    with suppress(FileNotFoundError):
        if folder.is_there() and os.path.samestat(written, folder.status(name)):
            return
    cause = "cannot be written: its temporary file was removed, or its folder moved, meanwhile"
    raise WritingError(path, cause, "start again, and leave the folder alone until the end")


def _check_not_stopped(temporary: str) -> None:
    if temporary not in _unfinished:
        raise Interrupted


def _put(folder: Folder, temporary: str, name: str, path: str | os.PathLike[str], *, overwrite: bool) -> None:
    if overwrite:
        folder.rename(temporary, name)
        return
    try:
        try:
            folder.link(temporary, name)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # The file system has no hard links: take the name with an empty file, and rename ours over it.
            os.close(folder.create(name, 0o600))
            folder.rename(temporary, name)
    except FileExistsError as error:
        raise OutputExistsError(path) from error


def in_memory(save: Callable[[BinaryIO], object]) -> bytes:
    """The bytes that `save` writes to the file that it gets."""
    file = io.BytesIO()
    save(file)
    return file.getvalue()
