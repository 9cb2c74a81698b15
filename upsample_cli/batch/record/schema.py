"""The tables of a record, and the upgrade of the tables of an older version."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

APPLICATION_ID = 0x75707332  # "ups2", in a field of SQLite's file header
VERSION = 2
TABLES = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"

_SETTINGS = "CREATE TABLE settings (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"
_COLUMNS = (
    "(output PRIMARY KEY NOT NULL, input NOT NULL, input_bytes INTEGER, input_mtime_ns INTEGER,"
    " input_sha256 TEXT, settings INTEGER NOT NULL REFERENCES settings, format TEXT NOT NULL, height INTEGER NOT NULL,"
    " width INTEGER NOT NULL, output_height INTEGER NOT NULL, output_width INTEGER NOT NULL, status TEXT NOT NULL,"
    " {} TEXT, may_pass INTEGER NOT NULL, output_bytes INTEGER, output_mtime_ns INTEGER, seconds REAL, ended TEXT,"
    " token TEXT NOT NULL)"
)
_IMAGES = f"CREATE TABLE images {_COLUMNS.format('failure')}"
_BY_INPUT = "CREATE INDEX by_input ON images (input)"
_SCHEMAS = {
    1: (
        _SETTINGS,
        f"CREATE TABLE pictures {_COLUMNS.format('error')}",
        "CREATE INDEX by_input ON pictures (input)",
    ),
    VERSION: (_SETTINGS, _IMAGES, _BY_INPUT),
}
# Version 1 recorded a failure as one line. Only a timeout must be recognized: it is retried.
_KIND_OF_LINE = "CASE WHEN instr(line, ': took longer than --timeout ') THEN 'timeout' ELSE 'earlier' END"
_FAILURE_OF_LINE = (
    f"json_object('kind', {_KIND_OF_LINE}, 'cause', json_array(line), 'next_step', json_array(), 'path', '',"
    " 'limit_s', NULL)"
)
_FROM_1 = (
    _IMAGES,
    "INSERT INTO images SELECT output, input, input_bytes, input_mtime_ns, input_sha256, settings, format, height,"
    f" width, output_height, output_width, status, CASE WHEN line IS NULL THEN NULL ELSE {_FAILURE_OF_LINE} END,"
    " may_pass, output_bytes, output_mtime_ns, seconds, ended, token"
    " FROM (SELECT *, substr(CAST(error AS TEXT), 1, 5000) AS line FROM pictures)",
    "DROP TABLE pictures",
    _BY_INPUT,
)


@functools.cache
def own_tables(version: int) -> list[tuple[str, ...]] | None:
    """The rows of `TABLES` in a record of that version; None if there is no such version."""
    if version not in _SCHEMAS:
        return None
    with closing(sqlite3.connect(":memory:")) as db:
        for statement in _SCHEMAS[version]:
            db.execute(statement)
        return db.execute(TABLES).fetchall()


def bring_up_to_date(execute: Callable[[str], Sequence[Any]]) -> None:
    """Create the tables in an empty database, or upgrade those of an older version.

    Args:
        execute: executes a statement on the database, and returns its rows.
    """
    tables = [tuple(table) for table in execute(TABLES)]
    if tables == own_tables(VERSION):
        return
    for statement in _FROM_1 if tables else _SCHEMAS[VERSION]:
        execute(statement)
    execute(f"PRAGMA application_id = {APPLICATION_ID}")
    execute(f"PRAGMA user_version = {VERSION}")
