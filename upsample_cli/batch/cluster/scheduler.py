"""Connects to a Dask cluster and checks that it can do what a run needs. Dask is imported here first."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from upsample_cli.atomic.temporaries import new_token, temporary_path
from upsample_cli.batch.cluster.worker import StorageProbe, version_and_fault
from upsample_cli.enlarge.job import Job
from upsample_cli.errors import Setting, UpsampleError, UsageError
from upsample_cli.version import __version__

_Answer = TypeVar("_Answer")

CONNECT_S = 5.0
"""How long a scheduler may take to answer, when the run begins and after the connection was lost."""

_MOST_PROBES = 100
"""Pairs of folders that are checked before the first image."""

ANSWER_S = 60.0
"""How long all workers together may take to answer before the first image. They import this package first."""

_SUCH_AS = "such as tcp://host:8786"
_SEE_TLS = "set ca-file, client.cert and client.key there; docs/cluster.md shows how"
_ADDRESS = r"((tcp|tls|ws|wss|ucx)://)?([^\s/:\[\]]+|\[[^\s/\[\]]+\]):[0-9]+/?"
_LOGGERS = ("distributed", "distributed.client")  # the second has its own level


def connected(address: str, *, warn: Callable[[str], None], debug: bool = False) -> Any:
    """A `distributed.Client` of the scheduler at that address.

    Args:
        warn: called with one line if versions differ on the cluster.
        debug: show Dask's own messages.

    Raises:
        UsageError: if Dask is not installed, no scheduler answers, or its configuration lacks what TLS needs.
    """
    option = Setting("cluster", address)
    if not re.fullmatch(_ADDRESS, address):
        raise UsageError((option, " is not the address of a scheduler"), f"give it {_SUCH_AS}")
    try:
        import distributed
    except ImportError as error:
        raise UsageError(
            (Setting("cluster"), " needs dask.distributed"), "pip install 'upsample-cli[cluster]'"
        ) from error
    security = _security(option, address)
    for name in _LOGGERS if not debug else ():
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    make = partial(
        distributed.Client, address.rstrip("/"), timeout=CONNECT_S, set_as_default=False, name="upsample",
        security=security,
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            client = _within(2 * CONNECT_S, make)
        except Exception as error:  # another program may answer anything
            refusal = ", or it refuses the certificate" if address.startswith("tls:") else ""
            reason = "" if isinstance(error, OSError) else f" ({type(error).__name__}: {' '.join(str(error).split())})"
            cause = (option, f": no scheduler answers there{refusal}{reason}")
            raise UsageError(cause, f"give the address that it prints when it starts, {_SUCH_AS}") from error
    for warning in caught:
        if issubclass(warning.category, distributed.versions.VersionMismatchWarning):
            warn(version_line(str(warning.message)))
    return client


def _within(seconds: float, ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` returns. Dask waits without limit for a server that accepts a connection and is silent.

    Raises:
        TimeoutError: if it takes longer. Its thread is left behind.
    """
    answer = Future[_Answer]()

    def wait() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=wait, name="upsample-asking", daemon=True).start()
    return answer.result(timeout=seconds)


def _security(option: Setting, address: str) -> Any:
    """The certificates of Dask's own configuration.

    Raises:
        UsageError: if they do not suit the address. Dask would show a traceback.
    """
    from distributed.comm import parse_address
    from distributed.security import Security

    security = Security()
    scheme = parse_address(address)[0]
    try:
        context = security.get_connection_args("client").get("ssl_context")
    except (OSError, ValueError) as error:  # OSError includes ssl.SSLError
        cause = f": the certificates in Dask's configuration cannot be read: {error}"
        raise UsageError((option, cause), _SEE_TLS) from error
    if scheme == "tls" and context is None:
        cause = ": Dask's configuration names no certificates (distributed.comm.tls)"
        raise UsageError((option, cause), _SEE_TLS)
    if security.require_encryption and scheme in {"tcp", "ws"}:
        cause = " is not encrypted, and Dask's configuration requires it"
        raise UsageError((option, cause), "give the scheduler's tls:// address")
    return security


def version_line(text: str) -> str:
    r"""Dask's table of versions that differ between client, scheduler and workers, in one line.

    >>> version_line("Mismatched versions found\n| Package | Client | Scheduler |\n| msgpack | 1.1 | 1.0 |")
    'the cluster has other versions of msgpack than this machine; if workers fail, install the same ones there'
    """
    packages = [name for name in re.findall(r"^\| *([\w.-]+)", text, re.MULTILINE) if name != "Package"]
    of = ", ".join(packages) or "Dask"
    return f"the cluster has other versions of {of} than this machine; if workers fail, install the same ones there"


def check_workers(client: Any, address: str, jobs: Sequence[Job]) -> None:
    """Check that every worker has this package, and sees the folders of the jobs as this machine does.

    Raises:
        UsageError: if there are no workers, or a worker lacks this package or sees other files.
    """
    answers = _answers(client, address, _storage_probes(jobs))
    if not answers:
        raise UsageError(f"the cluster at {address} has no workers", f"start some: dask worker {address}")
    for worker, answer in answers.items():
        if isinstance(answer, BaseException) and "No module named" in str(answer):  # Dask may wrap the ImportError
            cause, next_step = "has no upsample-cli", f"install version {__version__} there"
        elif isinstance(answer, BaseException):
            cause, next_step = f"failed: {' '.join(str(answer).split())}", "look at its log"
        elif not (isinstance(answer, tuple) and [type(part) for part in answer] == [str, str]):
            cause, next_step = (
                "sent what upsample-cli does not send",
                f"install version {__version__} there",
            )
        elif answer[0] != __version__:
            cause, next_step = f"has upsample-cli {answer[0]}", f"install version {__version__} there"
        elif answer[1]:
            cause, next_step = answer[1], "give folders that all machines share under the same path"
        else:
            continue
        raise UsageError(f"the Dask worker {worker} {cause}", next_step)


def _answers(client: Any, address: str, probes: Sequence[StorageProbe]) -> Mapping[str, object]:
    """What `version_and_fault` returns or raises on each worker."""
    try:
        ask = partial(client.run, version_and_fault, probes, on_error="return")
        answers: Mapping[str, object] = _within(ANSWER_S, ask)
    except TimeoutError as error:
        cause = f"the scheduler or a Dask worker of the cluster at {address} does not answer"
        raise UsageError(cause, "look at their logs, and end those that hang") from error
    except OSError as error:
        raise connection_lost(address) from error
    finally:
        for probe in probes:
            if probe.mark is not None:
                probe.mark.unlink(missing_ok=True)
    return answers


def _storage_probes(jobs: Sequence[Job]) -> list[StorageProbe]:
    """A probe for each pair of an input's and an output's folder, because each may be another disk on a worker."""
    pairs = {(job.input.parent, job.output.parent): job for job in jobs}
    marks: dict[Path, Path | None] = {}
    probes = []
    for job in islice(pairs.values(), _MOST_PROBES):
        folder = job.output.absolute().parent
        while not folder.exists():
            folder = folder.parent
        with suppress(OSError):  # an input that was deleted in the meantime fails alone
            size = job.input.stat().st_size
            mark = marks[folder] if folder in marks else marks.setdefault(folder, _marked(folder))
            probes.append(StorageProbe(job.input.absolute(), size, folder, mark))
    return probes


def _marked(folder: Path) -> Path | None:
    """A new file in the folder; None if there can be none: each of its images will fail and give the reason."""
    mark = temporary_path(folder / "upsample", new_token())
    try:
        mark.touch(exist_ok=False)
    except OSError:
        return None
    return mark


def connection_lost(address: str) -> UpsampleError:
    """The error for a lost connection to the scheduler."""
    return UpsampleError(
        f"the connection to the scheduler at {address} was lost",
        "written outputs are kept; once the scheduler is back, run the same command again to continue",
    )
