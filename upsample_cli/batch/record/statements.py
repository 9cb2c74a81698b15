"""Executes SQL statements on a record, at once or several in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from upsample_cli.batch.record.file import Database, record_errors
from upsample_cli.errors import RecordError

Value = str | bytes | float | None


class Statements:
    """Executes statements. Nothing can be read or written before `database` is set.

    Args:
        path: the SQLite file, for messages.

    Attributes:
        database: the connection; None before there is a file, and after `close`.
    """

    def __init__(self, path: Path) -> None:
        self.database: Database | None = None
        self._path = path
        self._held: list[tuple[str, tuple[Value, ...]]] | None = None

    def read(self, statement: str, *values: str | bytes) -> list[sqlite3.Row]:
        """The rows that a statement finds; none if there is no database."""
        return [] if self.database is None else self.write(statement, *values)

    def write(self, statement: str, *values: Value) -> list[sqlite3.Row]:
        """Execute a statement.

        Raises:
            RecordError: if the record cannot be written.
        """
        with record_errors(self._path):
            return self._open().rows(statement, values)

    def write_soon(self, statement: str, *values: Value) -> None:
        """Write at the end of the `together` block, which is faster than one by one; at once outside of one."""
        if self._held is None:
            self.write(statement, *values)
        else:
            self._held.append((statement, values))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what `write_soon` gets in the `with` block when it ends, in one transaction."""
        self._held = []
        try:
            self.write("BEGIN")
            yield
        finally:
            try:
                self._write_held()
            finally:
                self._commit()

    def close(self) -> None:
        """Close the database, which unlocks it."""
        if self.database is not None:
            with suppress(RecordError):
                self._commit()  # an interrupt may have come between
            with suppress(sqlite3.Error):  # committed rows are safe, and the next run finds them
                self.database.close()
            self.database = None

    def _write_held(self) -> None:
        held, self._held = self._held or [], None
        for statement, rows in groupby(held, key=itemgetter(0)):
            with record_errors(self._path):
                self._open().many(statement, [values for _, values in rows])

    def _commit(self) -> None:
        if self.database is not None and self.database.in_transaction:  # SQLite rolls it back on a full disk
            self.write("COMMIT")

    def _open(self) -> Database:
        if self.database is None:
            raise ValueError("the record has not begun, or is closed")
        return self.database
