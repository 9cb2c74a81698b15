"""The SQLite file of a record: created, locked, copied for a dry run, and refused in one line if it cannot be used.

Other users may be able to write to its folder, so it is untrusted until it is known to be our file with our tables.
`row.py` checks the values of its rows.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from upsample_cli.atomic.writing_errors import NO_SPACE, OTHER_TEMPORARY_FOLDER, TEMPORARY_FOLDER, system_cause
from upsample_cli.batch.own_files import ELSEWHERE, MAX_BYTES, TOO_LARGE, check_record_files
from upsample_cli.batch.record.locks import AT_WORK, NO_LOCKS, no_journal_is_hot
from upsample_cli.batch.record.schema import APPLICATION_ID, TABLES, VERSION, bring_up_to_date, own_tables
from upsample_cli.errors import RecordError, Setting, Text, joined

Made = TypeVar("Made")

DAMAGED = "is a damaged record", joined("remove it: what is there counts as existing then; or ", ELSEWHERE)
_OTHER: Text = ("or give another ", Setting("output"), " or ", Setting("state"))
_FOLDER_CAUSES: dict[int | None, str] = {
    errno.ENOENT: "its folder cannot be made",
    errno.EEXIST: "a part of its path is not a folder",
}
_FIGURES = ("application_id", "user_version", "page_count", "page_size")


_STEP = 1000  # operations of SQLite's virtual machine, a few tens of nanoseconds each
_STEPS = 50_000
_BYTES_OF_STEP = 4000  # skipping a row of 300 bytes takes ten operations
_LONGEST_VALUE = 1 << 17
_PIECE_BYTES = 1 << 20
_COPIED_PAGES = 4096
_TO_READ = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


class Database(sqlite3.Connection):
    """A connection to a record. A statement that takes longer than our records ever need is interrupted."""

    most_steps = 10
    _steps = 0
    held: int | None = None
    """A descriptor of the same file. It stays open, because closing one releases the locks of the process."""

    def rows(self, statement: str, values: Sequence[str | bytes | float | None] = ()) -> list[sqlite3.Row]:
        """Execute a statement.

        Raises:
            KeyboardInterrupt: if a signal arrived during the statement.
        """
        return self._counted(lambda: self.execute(statement, values).fetchall())

    def many(self, statement: str, rows: Sequence[Sequence[str | bytes | float | None]]) -> None:
        """Execute a statement that returns nothing, once for each row of values. Raises: see `rows`."""
        self._counted(lambda: self.executemany(statement, rows))

    def _counted(self, call: Callable[[], Made]) -> Made:
        self._steps = 0
        try:
            return call()
        except sqlite3.OperationalError as error:
            is_interrupted = getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT"
            if is_interrupted and self._steps <= self.most_steps:
                raise KeyboardInterrupt from error  # it was raised in `step`, and SQLite discarded it
            raise

    def close(self) -> None:
        """Close and unlock the record."""
        super().close()
        if self.held is not None:
            os.close(self.held)
            self.held = None

    def step(self) -> bool:
        """SQLite calls this while a statement runs. Returns whether to interrupt the statement."""
        self._steps += 1
        return self._steps > self.most_steps


def _opened(path: Path | None) -> Database:
    """The database at an existing path; for None, a temporary database on disk without a name."""
    name = "" if path is None else f"file:{quote(os.fsencode(path.absolute()))}?mode=rw"
    # Without an isolation level each statement is a transaction.
    db = sqlite3.connect(name, timeout=0, isolation_level=None, check_same_thread=False, factory=Database, uri=True)
    db.row_factory = sqlite3.Row
    db.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    db.set_progress_handler(db.step, _STEP)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    if sys.version_info >= (3, 12):
        db.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        db.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        db.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        db.execute(f"PRAGMA {pragma}")
    return db


def locked(path: Path, *, is_new: bool = False) -> Database:
    """The record at a path, with its tables. It stays locked until it is closed or the process ends.

    Args:
        is_new: create the file if it is missing, and refuse one that is not empty.
    """
    with ExitStack() as stack, record_errors(path):
        if is_new:
            _make(path)
        status = check_record_files(path)
        with no_journal_is_hot(path) as held:
            db = stack.enter_context(closing(_opened(path)))
            db.held = held
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            is_empty = _check_content(path, db, status.st_size)  # SQLite looks for a journal at the first read only
        if not os.path.samestat(status, check_record_files(path)):
            raise RecordError(f"{path}: was replaced while it was opened", joined("start again, or ", ELSEWHERE))
        if is_new and not is_empty:
            raise RecordError(f"{path}: another run has been at work here meanwhile", "start this one again")
        if db.rows("PRAGMA journal_mode")[0][0] != "wal":
            db.execute("PRAGMA journal_mode = MEMORY")  # a journal left by a kill would be refused at the next run
        # In this locking mode, WAL does not need memory shared with other processes. NORMAL does not wait for the disk
        # at a commit: committed rows survive the process, and a crash of the machine does not corrupt the file.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN EXCLUSIVE")
        bring_up_to_date(db.rows)
        db.execute("COMMIT")
        stack.pop_all()
    return db


def _make(path: Path) -> None:
    """Create an empty file if there is none. Links are not followed."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))


def copied(path: Path) -> Database | None:
    """A copy of the record at a path, including what a killed run has left in its log; None if it is empty."""
    with ExitStack() as stack, record_errors(path):
        size_bytes = check_record_files(path).st_size
        copy = Path(stack.enter_context(tempfile.TemporaryDirectory()), "record")
        for end in ("-wal", ""):
            with suppress(FileNotFoundError):
                _copy(f"{path}{end}", f"{copy}{end}")
        with closing(_opened(copy)) as source, ExitStack() as kept:
            if _check_content(path, source, size_bytes):
                return None
            db = kept.enter_context(closing(_opened(None)))
            source.backup(db, pages=_COPIED_PAGES, progress=lambda *_: None)  # signals are handled between the steps
            db.most_steps = source.most_steps
            bring_up_to_date(db.rows)
            kept.pop_all()
    return db


def _copy(path: str, copy: str) -> None:
    try:
        with os.fdopen(os.open(path, _TO_READ), "rb") as file, Path(copy).open("wb") as target:
            left = MAX_BYTES
            while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
                target.write(piece)
                left -= len(piece)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        cause = f"{path}: the record cannot be copied to {TEMPORARY_FOLDER}: {system_cause(error)}"
        raise RecordError(cause, OTHER_TEMPORARY_FOLDER) from error


def _check_content(path: Path, db: Database, size_bytes: int) -> bool:
    """Refuse a database that is not a record of ours, and raise the limit of statements. Returns whether it is empty.

    Only the list of tables is read before they are known to be ours, so a planted view or trigger never runs.
    """
    application, version, pages, page_bytes = (db.rows(f"PRAGMA {name}")[0][0] for name in _FIGURES)
    tables = [tuple(table) for table in db.rows(TABLES)]
    if application == APPLICATION_ID and version > VERSION:
        raise RecordError(
            f"{path}: was written by a newer version of upsample", joined("update this one, or ", ELSEWHERE)
        )
    if pages * page_bytes > MAX_BYTES:
        raise RecordError(f"{path}: {TOO_LARGE}", ELSEWHERE)
    if tables and (application != APPLICATION_ID or tables != own_tables(version)):
        raise RecordError(f"{path}: is a database, but not a record of upsample", ELSEWHERE)
    db.most_steps = _STEPS + size_bytes // _BYTES_OF_STEP
    return not tables


@contextmanager
def record_errors(path: Path) -> Iterator[None]:
    """Turn an error of SQLite or of the system into an error with one line.

    Raises:
        RecordError: instead of that error.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        for start, cause, next_step in _CAUSES:
            if name.startswith(start):
                raise RecordError(f"{path}: {cause}", next_step) from error
        raise RecordError(f"{path}: cannot be used as the record ({error})", ELSEWHERE) from error
    except UnicodeDecodeError as error:  # in SQLite's own message, which quotes the file
        raise RecordError(f"{path}: {DAMAGED[0]}", DAMAGED[1]) from error
    except OSError as error:
        cause = f"the record cannot be made or opened: {_FOLDER_CAUSES.get(error.errno) or system_cause(error)}"
        raise RecordError(f"{path}: {cause}", joined("check its folder, ", _OTHER)) from error


_CAUSES: tuple[tuple[str, str, Text], ...] = (
    ("SQLITE_IOERR_LOCK", NO_LOCKS, ELSEWHERE),
    ("SQLITE_BUSY", AT_WORK, joined("wait for its end, or ", ELSEWHERE)),
    ("SQLITE_CORRUPT", *DAMAGED),
    ("SQLITE_NOTADB", *DAMAGED),
    ("SQLITE_TOOBIG", *DAMAGED),
    ("SQLITE_INTERRUPT", *DAMAGED),  # a statement that would not end
    (
        "SQLITE_FULL",
        "the record cannot be written: the disk is full",
        "free some space and run the same command again: it continues",
    ),
    ("SQLITE_READONLY", "the record may not be written to", joined("check the permissions, ", _OTHER)),
    ("SQLITE_CANTOPEN", "the record cannot be made or opened", joined("check the permissions, ", _OTHER)),
)
