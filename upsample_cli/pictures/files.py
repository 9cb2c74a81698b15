"""New files that appear whole or not at all: written under a hidden name beside their place, then put there."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from upsample_cli.errors import Interrupted, OutputExistsError, PictureError, WritingError

_unfinished: set[Path] = set()  # each step on it is a single one, safe between threads and in an interrupt

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EXDEV, errno.EINVAL}
_LONGEST_NAME_BYTES = 255

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


def writing_error(path: str | os.PathLike[str], error: OSError) -> PictureError:
    """What an error of the system or of an encoder means for the file being written.

    >>> print(writing_error("big.png", OSError(errno.ENOSPC, "No space left on device")))
    big.png: cannot be written: the disk is full; free some space, or give --output a folder on another disk
    """
    cause, next_step = _CAUSES.get(error.errno, (error.strerror or str(error), ""))
    kind = PictureError if error.errno is None else WritingError  # without a number, it is an encoder that refuses
    return kind(path, f"cannot be written: {cause}", next_step)


def new_token() -> str:
    """Eight hexadecimal digits that tell the temporary files of one run from all others."""
    return secrets.token_hex(4)


def temporary_path(path: str | os.PathLike[str], token: str) -> Path:
    """The temporary name of an output in the run of that token: what is left there if the run is killed.

    >>> temporary_path("/big/a.png", "0123abcd").as_posix()
    '/big/.a.png.0123abcd.part'
    """
    target = Path(os.path.realpath(path))
    end = f".{token}.part"
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES - len(end) - 1:
        # Names that begin alike must not become one.
        end = f".{hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()}{end}"
    while len(os.fsencode(name)) > _LONGEST_NAME_BYTES - len(end) - 1:
        name = name[:-1]
    return target.with_name(f".{name}{end}")


def remove_temporaries(outputs: Iterable[str | os.PathLike[str]], token: str) -> None:
    """Remove what a run has left in the folders of these outputs: temporary files of its token, or one that adds to it.

    Only what nobody is at work on any more may be removed so.
    """
    end = re.compile(rf"\..*\.{token}[0-9a-f]*\.part", re.DOTALL)
    for folder in {os.path.dirname(os.path.realpath(each)) for each in outputs}:  # noqa: PTH120
        with suppress(OSError):  # a folder that has gone holds nothing
            for name in os.listdir(folder):  # noqa: PTH208  a hundred thousand names, and one of them matters
                if end.fullmatch(name):
                    Path(folder, name).unlink(missing_ok=True)


@contextmanager
def new_file(path: str | os.PathLike[str], *, overwrite: bool, token: str | None = None) -> Iterator[BinaryIO]:
    """A file to be written whole, under a temporary name until the end of the `with` block.

    If the block ends well the file appears at `path` in one step; if it does not, nothing appears and nothing is left.
    An OSError of the block is taken for one of writing the file. Where `path` is a symbolic link, the file that it
    leads to is written, and the link stays.

    Args:
        path: where the file is to be; its folder exists.
        overwrite: replace a file that is there. Else it is never replaced, even if it turns up in the meantime.
        token: of the run, part of the temporary name; None for one of its own.

    Raises:
        OutputExistsError: `path` exists already, or came to exist, and `overwrite` is not set.
        PictureError: it cannot be written.
        Interrupted: `remove_unfinished` took the file away.
    """
    try:
        target = _target(path, overwrite)
        with _temporary(temporary_path(target, token or new_token())) as temporary:
            file = os.fdopen(_create(temporary), "w+b")
            try:
                yield file
            except BaseException:
                with suppress(OSError):  # what was to be said is being said
                    file.close()
                raise
            file.close()
            _put(temporary, target, path, overwrite)
    except OSError as error:
        raise writing_error(path, error) from error


def remove_unfinished() -> None:
    """Remove every temporary file this process has open: what is to be done before it exits with work unfinished."""
    for temporary in list(_unfinished):
        _unfinished.discard(temporary)  # first: whoever writes it is to see why it has gone
        with suppress(OSError):
            temporary.unlink()


def _target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    if "\0" in os.fspath(path):
        raise PictureError(path, "cannot be written: its name holds a zero byte", "give another --output")
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(mode):
        raise PictureError(path, "is a folder", "give the name of a file in it")
    if not stat.S_ISREG(mode):
        raise PictureError(path, "is not a regular file and is not replaced", "give another --output, or - for a pipe")
    if not overwrite:
        raise OutputExistsError(path)
    return target


@contextmanager
def _temporary(temporary: Path) -> Iterator[Path]:
    _unfinished.add(temporary)  # before it exists: an interrupt may come at any moment
    try:
        yield temporary
    finally:
        _unfinished.discard(temporary)
        with suppress(FileNotFoundError):
            temporary.unlink()


def _create(temporary: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(temporary, flags, 0o666)  # less the umask, as any new file


def _put(temporary: Path, target: Path, path: str | os.PathLike[str], overwrite: bool) -> None:
    if temporary not in _unfinished:
        raise Interrupted
    if not temporary.exists():
        cause = "cannot be written: its temporary file was removed, or its folder moved, meanwhile"
        raise WritingError(path, cause, "start again, and leave the folder alone until the end")
    if overwrite:
        temporary.replace(target)
        return
    try:
        try:
            target.hardlink_to(temporary)  # unlike a rename, it fails if the name is taken
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # No links on this file system: take the name with an empty file, and put ours over it.
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            temporary.replace(target)
    except FileExistsError as error:
        raise OutputExistsError(path) from error
