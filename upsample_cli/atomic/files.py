"""New files that appear whole or not at all: written under a hidden name in the same folder, then put in place."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from upsample_cli.atomic import permissions
from upsample_cli.atomic.folders import Folder, Place, opened_folder
from upsample_cli.atomic.opened import Source, has_acl, remove_acl
from upsample_cli.atomic.same_file import check_inputs_stay
from upsample_cli.errors import ImageError, Interrupted, OutputExistsError, WritingError

_unfinished: set[Path] = set()  # used by single operations only, safe between threads and in an interrupt

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EXDEV, errno.EINVAL}
_LONGEST_NAME_BYTES = 255
_TOKEN = re.compile("[0-9a-f]{8}")
_WORKER_DIGITS = "0000"
_WORKER_END = f"{_WORKER_DIGITS}.part"
_WORKER_ENDS = re.compile(r"[0-9a-f]{4}\.part")

_CAUSES: dict[int | None, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", "free some space, or give --output a folder on another disk"),
    errno.EDQUOT: ("your disk quota is used up", "free some space, or give --output a folder on another disk"),
    errno.EFBIG: ("the file would be larger than allowed here", "write a format that is smaller, or write elsewhere"),
    errno.EACCES: ("its folder may not be written to", "check the permissions, or give another --output"),
    errno.EPERM: ("its folder may not be written to", "check the permissions, or give another --output"),
    errno.EROFS: ("its disk is mounted read-only", "give another --output"),
    errno.ENOENT: ("its folder does not exist", "create it, or give another --output"),
    errno.ENOTDIR: ("a part of its path is not a folder", "give another --output"),
    errno.ENAMETOOLONG: ("its name is longer than the file system allows", "give a shorter --output"),
    errno.ELOOP: ("it is a symbolic link that leads in a circle", "give another --output"),
    errno.EPIPE: ("nobody reads it any more", ""),
}


def writing_error(path: str | os.PathLike[str], error: OSError) -> ImageError:
    """What an error of the system or of an encoder means for the file being written.

    >>> print(writing_error("big.png", OSError(errno.ENOSPC, "No space left on device")))
    big.png: cannot be written: the disk is full; free some space, or give --output a folder on another disk
    """
    cause, next_step = _CAUSES.get(error.errno, (error.strerror or str(error), ""))
    kind = ImageError if error.errno is None else WritingError  # an error without a number comes from an encoder
    return kind(path, f"cannot be written: {cause}", next_step)


def new_token() -> str:
    """Eight hexadecimal digits that distinguish the temporary files of one run from all others."""
    return secrets.token_hex(4)


def worker_token(token: str) -> str:
    """The token of one worker on a cluster: the run's and four more digits."""
    return token + secrets.token_hex(2)


def is_token(text: object) -> bool:
    """Whether a value read from a file is the token of a run.

    >>> [is_token(text) for text in (new_token(), "0123abc", "0123ABCD", ".*", b"0123abcd")]
    [True, False, False, False, False]
    """
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def temporary_path(path: str | os.PathLike[str], token: str) -> Path:
    """The temporary name of an output in the run of that token; a killed run leaves a file there.

    >>> temporary_path("/big/a.png", "0123abcd").as_posix()
    '/big/.a.png.0123abcd.part'
    """
    target = Path(os.path.realpath(path))
    end = f".{token}.part"
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES - len(end) - 1:
        # Names with the same beginning must stay distinct.
        end = f".{hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()}{end}"
    while len(os.fsencode(name)) > _LONGEST_NAME_BYTES - len(end) - 1:
        name = name[:-1]
    return target.with_name(f".{name}{end}")


def remove_temporaries(left: Iterable[tuple[str | os.PathLike[str], str]]) -> None:
    """Remove the temporary files that runs have left of these outputs, and no others.

    Call it only for outputs that nobody is still writing.

    Args:
        left: outputs, each with the token of the run that was to write it. Workers on a cluster add to the token, so
            each folder is listed, once.
    """
    beginnings: dict[Path, set[str]] = {}
    for output, token in left:
        with suppress(OSError):
            temporary_path(output, token).unlink(missing_ok=True)
        of_worker = temporary_path(output, token + _WORKER_DIGITS)
        beginnings.setdefault(of_worker.parent, set()).add(of_worker.name.removesuffix(_WORKER_END))
    for folder, known in beginnings.items():
        with suppress(OSError):  # the folder no longer exists
            for name in os.listdir(folder):  # noqa: PTH208  a hundred thousand names, and one of them matters
                if name[: -len(_WORKER_END)] in known and _WORKER_ENDS.fullmatch(name[-len(_WORKER_END) :]):
                    Path(folder, name).unlink(missing_ok=True)


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
    """A file to be written whole, under a temporary name until the end of the `with` block.

    If the block ends well the file appears at `path` in one step; if it does not, nothing appears and nothing is left.
    An OSError in the block counts as an error of writing the file. Where `path` is a symbolic link that the user named,
    the file that it leads to is written, and the link stays. A file that is replaced keeps its owner and permissions.

    Args:
        path: where the file is to be; its folder exists, or `place` is given.
        overwrite: replace a file that is there. Else it is never replaced, even if it turns up in the meantime.
        token: of the run, part of the temporary name; None for one of its own.
        place: where the run made up a part of `path`: no link there is followed, and missing folders are made.
        sources: what it is made from, the image first; whoever may not read all of them may not read a new file.
        follow: write the file that a link at `path` leads to; else, and with `place`, a link is refused.

    Raises:
        UsageError: `path` is one of the sources.
        OutputExistsError: `path` exists already, or came to exist, and `overwrite` is not set.
        ImageError: it cannot be written.
        Interrupted: `remove_unfinished` took the file away.
    """
    if "\0" in os.fspath(path):
        raise ImageError(path, "cannot be written: its name holds a zero byte", "give another --output")
    # What the user named may be a link; what else is one is seen, and refused, when its folder is open.
    follow = follow and place is None
    target = _target(path, place, follow=follow)
    try:
        with opened_folder(target.parent, place, Path(sources[0]) if place is not None else None) as folder:
            old = _replaced(folder, target.name, path, overwrite=overwrite, follow=follow)
            if old is not None:
                check_inputs_stay(target, sources)
            is_kept = old is not None and permissions.is_kept(old, sources)
            old_has_acl = old is not None and has_acl(folder.path / target.name)
            mode = 0o600 if is_kept else permissions.new_mode(sources, folder.status("."))
            with _temporary(folder, temporary_path(folder.path / target.name, token or new_token()).name) as name:
                file = os.fdopen(_created(folder, name, mode), "w+b")
                try:
                    yield file
                    file.flush()
                    if old is not None and is_kept:
                        permissions.take_over(file.fileno(), old, has_acl=old_has_acl)
                    _check_is_there(folder, name, path, os.fstat(file.fileno()))  # open, it keeps its number everywhere
                except BaseException:
                    with suppress(OSError):  # the first error is reported
                        file.close()
                    raise
                file.close()
                _check_not_stopped(folder, name)
                _put(folder, name, target.name, path, overwrite=overwrite)
    except OSError as error:
        raise writing_error(path, error) from error


def _target(path: str | os.PathLike[str], place: Place | None, *, follow: bool) -> Path:
    if place is not None:
        return Path(path)
    if follow:
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(Path(path).parent), Path(path).name)


def _created(folder: Folder, name: str, mode: int) -> int:
    """The descriptor of a new file that is open to nobody by a list which its folder hands down."""
    file = folder.create(name, mode)
    if not has_acl(file):
        return file
    try:
        allowed = os.fstat(file).st_mode & mode
    finally:
        os.close(file)
    folder.remove(name)  # who is in the list may have opened it
    file = folder.create(name, 0o600)
    try:
        remove_acl(file)
        os.fchmod(file, allowed)
    except BaseException:
        os.close(file)
        raise
    return file


def remove_unfinished() -> None:
    """Remove the temporary files that this process has open; call it before exiting with unfinished work."""
    for temporary in list(_unfinished):
        _unfinished.discard(temporary)  # first, so that the writer sees why its file has gone
        with suppress(OSError):
            temporary.unlink()


def _replaced(
    folder: Folder, name: str, path: str | os.PathLike[str], *, overwrite: bool, follow: bool
) -> os.stat_result | None:
    """The status of the file to be replaced; None if there is none.

    Raises:
        ImageError: it is not replaced.
    """
    try:
        status = folder.status(name, follow=follow)
    except FileNotFoundError:
        return None
    check_replaceable(path, status, overwrite=overwrite)
    return status


def check_replaceable(path: str | os.PathLike[str], status: os.stat_result, *, overwrite: bool) -> None:
    """Refuse to replace what is in the place of an output, if it may not be replaced.

    Args:
        status: of what is there; of a link itself where links are not followed.

    Raises:
        OutputExistsError: `overwrite` would replace it; or it is a link, and `overwrite` is not set.
        ImageError: it is never replaced.
    """
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(path, "is a folder", "remove it, or give another --output or --name")
    if stat.S_ISLNK(status.st_mode):
        cause, next_step = "is a symbolic link, which is neither followed nor replaced", "remove it, or write elsewhere"
        raise (WritingError if overwrite else OutputExistsError)(path, cause, next_step)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(path, "is not a regular file and is not replaced", "give another --output, or - for a pipe")
    if not overwrite:
        raise OutputExistsError(path)


@contextmanager
def _temporary(folder: Folder, name: str) -> Iterator[str]:
    path = folder.path / name
    _unfinished.add(path)  # before it exists: an interrupt may come at any moment
    try:
        yield name
    finally:
        _unfinished.discard(path)
        folder.remove(name)


def _check_is_there(folder: Folder, name: str, path: str | os.PathLike[str], written: os.stat_result) -> None:
    _check_not_stopped(folder, name)
    with suppress(FileNotFoundError):
        if folder.is_there() and os.path.samestat(written, folder.status(name)):
            return
    cause = "cannot be written: its temporary file was removed, or its folder moved, meanwhile"
    raise WritingError(path, cause, "start again, and leave the folder alone until the end")


def _check_not_stopped(folder: Folder, name: str) -> None:
    if folder.path / name not in _unfinished:
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
