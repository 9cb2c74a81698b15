"""The SQLite file of a record: made, locked, copied for a look, and refused in one line where it is of no use."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from shutil import copyfile

from upsample_cli.errors import RecordError

_APPLICATION_ID = 0x75707332  # "ups2", at its place in the head of an SQLite file
_VERSION = 1
_ELSEWHERE = "give another --state, or --no-state"
_SCHEMA = (
    "CREATE TABLE settings (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    "CREATE TABLE pictures (output PRIMARY KEY NOT NULL, input NOT NULL, input_bytes INTEGER, input_mtime_ns INTEGER,"
    " input_sha256 TEXT, settings INTEGER NOT NULL REFERENCES settings, format TEXT NOT NULL, height INTEGER NOT NULL,"
    " width INTEGER NOT NULL, output_height INTEGER NOT NULL, output_width INTEGER NOT NULL, status TEXT NOT NULL,"
    " error TEXT, may_pass INTEGER NOT NULL, output_bytes INTEGER, output_mtime_ns INTEGER, seconds REAL, ended TEXT,"
    " token TEXT NOT NULL)",
    "CREATE INDEX by_input ON pictures (input)",
    f"PRAGMA application_id={_APPLICATION_ID}",
    f"PRAGMA user_version={_VERSION}",
)


def _opened(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)  # each statement a transaction
    db.row_factory = sqlite3.Row
    return db


def locked(path: Path, *, is_new: bool = False) -> sqlite3.Connection:
    """The record at a path, made if it is empty, and kept locked until it is closed or the process ends."""
    with ExitStack() as stack, told(path):
        db = stack.enter_context(closing(_opened(path)))
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        is_empty = _check(path, db)
        if is_new and not is_empty:
            raise RecordError(f"{path}: another run has been at work here meanwhile", "start this one again")
        # WAL in this mode needs no memory shared with other processes. NORMAL does not wait for the disk at a commit:
        # what was committed outlives the process, and the file stays sound when the machine itself goes down.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN EXCLUSIVE")
        for statement in _SCHEMA if is_empty else ():
            db.execute(statement)
        db.execute("COMMIT")
        stack.pop_all()
    return db


def copied(path: Path) -> sqlite3.Connection:
    """A copy in memory of the record at a path, with what a killed run has not moved from its log into it."""
    with tempfile.TemporaryDirectory() as folder, told(path):
        copy = Path(folder, "record")
        for end in ("-wal", ""):
            with suppress(FileNotFoundError):
                copyfile(f"{path}{end}", f"{copy}{end}")
        db = _opened(":memory:")
        with closing(_opened(copy)) as source:
            _check(path, source)
            source.backup(db)
    return db


def _check(path: Path, db: sqlite3.Connection) -> bool:
    """Refuse what is no record that can be read here. Returns whether it is empty."""
    application, version, tables = (
        db.execute(f"SELECT * FROM {each}").fetchone()[0]
        for each in ("pragma_application_id", "pragma_user_version", "(SELECT count(*) FROM sqlite_master)")
    )
    if application == _APPLICATION_ID and version > _VERSION:
        raise RecordError(f"{path}: was written by a newer version of upsample", f"update this one, or {_ELSEWHERE}")
    if application != _APPLICATION_ID and tables:
        raise RecordError(f"{path}: is a database, but no record of upsample", _ELSEWHERE)
    return not tables


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn an error of SQLite or of the system into one line.

    Raises:
        RecordError: instead.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        for start, cause, next_step in _CAUSES:
            if name.startswith(start):
                raise RecordError(f"{path}: {cause}", next_step) from error
        raise RecordError(f"{path}: cannot be used as the record ({error})", _ELSEWHERE) from error
    except OSError as error:
        cause = f"the record cannot be made or opened ({error.strerror})"
        raise RecordError(f"{path}: {cause}", "check its folder, or give another --output or --state") from error


_DAMAGED = "is a damaged record", f"remove it: what is there counts as existing then; or {_ELSEWHERE}"
_CAUSES = (
    ("SQLITE_BUSY", "another run is at work here", f"wait for its end, or {_ELSEWHERE}"),
    ("SQLITE_CORRUPT", *_DAMAGED),
    ("SQLITE_NOTADB", *_DAMAGED),
    ("SQLITE_FULL", "the record cannot be written: the disk is full", "free some space and start again: it goes on"),
    (
        "SQLITE_READONLY",
        "the record may not be written to",
        "check the permissions, or give another --output or --state",
    ),
    (
        "SQLITE_CANTOPEN",
        "the record cannot be made or opened",
        "check the permissions, or give another --output or --state",
    ),
)
