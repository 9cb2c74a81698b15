"""An attacker may have changed the tables of the record: it is refused in one line, and nothing hangs."""

import itertools
import os
import sqlite3
import struct
import time
from contextlib import closing

import pytest
from support.attacked_record import COLUMNS, RECORD, bounded, change, refused
from support.running import upsample

from upsample_cli.batch.record.file import locked

pytestmark = [
    pytest.mark.usefixtures("attacked_record"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX links, pipes and owners"),
]

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT "
NULLS = ", ".join(f"x AS {name}" for name in COLUMNS)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE more (a)"],
        ["CREATE VIEW v AS SELECT 1"],
        ["CREATE INDEX by_status ON images (status)"],
        ["DROP INDEX by_input"],
        ["ANALYZE"],
        ["ALTER TABLE images ADD COLUMN more"],
        ["ALTER TABLE images ADD COLUMN more AS (length(hex(zeroblob(100000000))))"],
        ["CREATE TRIGGER t AFTER INSERT ON images BEGIN DELETE FROM settings; END"],
        [f"CREATE TRIGGER t BEFORE INSERT ON settings BEGIN {ENDLESS} count(*) FROM n; END"],
        ["CREATE VIRTUAL TABLE v USING fts5(a)"],
        ["CREATE TABLE pragma_application_id (a)"],
        ["DROP TABLE images", f"CREATE VIEW images AS {ENDLESS} {NULLS} FROM n"],
        ["DROP TABLE images", f"CREATE TABLE images ({', '.join(COLUMNS)})"],
        ["DROP TABLE images", "DROP TABLE settings"],
        ["PRAGMA user_version = 0"],
    ],
)
def test_a_record_with_other_tables_is_refused(statements):
    change(*statements)
    if statements[-1] == "DROP TABLE settings":
        assert upsample("in", "-o", "out").status == 0  # without tables it counts as empty and is created again
    else:
        is_endless = ENDLESS in statements[-1]
        refused(cause="is a database, but not a record of upsample", run=bounded if is_endless else upsample)


def test_a_schema_that_is_not_text_is_a_damaged_record():
    """SQLite quotes the schema in its message, which Python then cannot decode."""
    RECORD.write_bytes(RECORD.read_bytes().replace(b"by_input", b"\xffy_input").replace(b"INDEX", b"INDE("))
    refused(cause="is a damaged record")


def test_hundreds_of_thousands_of_tables_are_refused_at_once():
    change(
        "PRAGMA writable_schema = ON",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 300000) INSERT INTO sqlite_master"
        " SELECT 'table', 't' || x, 't' || x, 2, 'CREATE TABLE t' || x || '(a)' FROM n",
    )
    start_s = time.process_time()
    refused(cause="is a damaged record")
    assert time.process_time() - start_s < 1


def endless():
    """Give the record an endless tree of pages: each page refers hundreds of times to the next."""
    with closing(sqlite3.connect(RECORD)) as db:
        ((root,),) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'images'")
        ((page_bytes,),) = db.execute("PRAGMA page_size")
    data = bytearray(RECORD.read_bytes())
    pages = len(data) // page_bytes
    leaf = data[(root - 1) * page_bytes : root * page_bytes]
    numbers = [root, *range(pages + 1, pages + 16)]
    for here, following in itertools.pairwise([*numbers, pages + 16]):
        count = 300
        cell = struct.pack(">IB", following, 1)
        start = page_bytes - count * len(cell)
        head = struct.pack(">BHHHBI", 5, 0, count, start, 0, following)
        pointers = b"".join(struct.pack(">H", start + index * len(cell)) for index in range(count))
        page = (head + pointers).ljust(start, b"\0") + cell * count
        data[(here - 1) * page_bytes : here * page_bytes] = page
    data[(pages + 15) * page_bytes :] = leaf
    data[28:32] = (len(data) // page_bytes).to_bytes(4, "big")
    RECORD.write_bytes(data)


def test_an_endless_table_does_not_hang_the_run():
    endless()
    ended = bounded("in", "-o", "out")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(f"upsample: {RECORD}: is a damaged record; ")


def test_a_slow_statement_is_stopped_with_one_line():
    with closing(locked(RECORD)) as db, pytest.raises(sqlite3.OperationalError, match="interrupted"):
        db.rows(f"{ENDLESS} count(*) FROM n")


def test_ctrl_c_interrupts_sqlite(interrupt):
    with closing(locked(RECORD)) as db:
        interrupt(lambda: db.rows(f"{ENDLESS} count(*) FROM n"), after_s=0.1)
        assert db.rows("SELECT 1")[0][0] == 1  # the connection still works


def test_the_length_of_recorded_values_is_bounded():
    change(("UPDATE images SET status = 'failed', failure = ?", ("x" * 10**6,)))
    refused(cause="is a damaged record")


def test_functions_that_change_the_connection_are_disabled():
    with closing(locked(RECORD)) as db:
        assert db.rows("PRAGMA trusted_schema")[0][0] == 0
        if hasattr(db, "getconfig"):
            assert db.getconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE)
            assert not db.getconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER)
