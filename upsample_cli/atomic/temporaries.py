"""Names of temporary files. They contain the token of the run, so that files of a killed run can be found later."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_LONGEST_NAME_BYTES = 255
_TOKEN = re.compile("[0-9a-f]{8}")
_WORKER_DIGITS = "0000"
_WORKER_END = f"{_WORKER_DIGITS}.part"
_WORKER_ENDS = re.compile(r"[0-9a-f]{4}\.part")


def new_token() -> str:
    """Eight random hexadecimal digits that identify the temporary files of one run."""
    return os.urandom(4).hex()


def worker_token(token: str) -> str:
    """The token of one worker on a cluster: the token of the run and four more digits."""
    return token + os.urandom(2).hex()


def is_token(text: object) -> bool:
    """Whether a value read from a file is the token of a run.

    >>> [is_token(text) for text in (new_token(), "0123abc", "0123ABCD", ".*", b"0123abcd")]
    [True, False, False, False, False]
    """
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def temporary_path(path: str | os.PathLike[str], token: str) -> Path:
    """The temporary name of an output in the run with that token.

    >>> temporary_path("/big/a.png", "0123abcd").as_posix()
    '/big/.a.png.0123abcd.part'
    """
    target = Path(os.path.realpath(path))
    return target.with_name(temporary_name(target.name, token))


def temporary_name(name: str, token: str) -> str:
    """`temporary_path` for a name in an open folder."""
    end = f".{token}.part"
    if len(os.fsencode(name)) <= _LONGEST_NAME_BYTES - len(end) - 1:
        return f".{name}{end}"
    import hashlib  # imports OpenSSL

    # Names with the same beginning must stay distinct.
    end = f".{hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()}{end}"
    while len(os.fsencode(name)) > _LONGEST_NAME_BYTES - len(end) - 1:
        name = name[:-1]
    return f".{name}{end}"


def remove_temporaries(left: Iterable[tuple[str | os.PathLike[str], str]]) -> None:
    """Remove the temporary files of these outputs that earlier runs left behind, and no other files.

    Call it only for outputs that no process is still writing.

    Args:
        left: outputs, each with the token of the run that was writing it. Workers on a cluster append digits to the
            token, so the names are looked up in a listing of each folder.
    """
    beginnings: dict[Path, set[str]] = {}
    for output, token in left:
        with suppress(OSError):
            temporary_path(output, token).unlink(missing_ok=True)
        of_worker = temporary_path(output, token + _WORKER_DIGITS)
        beginnings.setdefault(of_worker.parent, set()).add(of_worker.name.removesuffix(_WORKER_END))
    for folder, known in beginnings.items():
        with suppress(OSError):  # the folder no longer exists
            for name in os.listdir(folder):  # noqa: PTH208  of up to 100,000 names few become paths
                if name[: -len(_WORKER_END)] in known and _WORKER_ENDS.fullmatch(name[-len(_WORKER_END) :]):
                    Path(folder, name).unlink(missing_ok=True)
