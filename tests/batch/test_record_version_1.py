"""A record with schema 1, as upsample 0.1 wrote it, is read and upgraded."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.running import save, upsample

from upsample_cli.batch.record import schema
from upsample_cli.batch.record.file import locked
from upsample_cli.batch.record.record import RECORD_NAME

pytestmark = pytest.mark.usefixtures("in_tmp_path")

RECORD = Path("out", RECORD_NAME)
PICTURES = (
    "CREATE TABLE pictures (output PRIMARY KEY NOT NULL, input NOT NULL, input_bytes INTEGER, input_mtime_ns INTEGER,"
    " input_sha256 TEXT, settings INTEGER NOT NULL REFERENCES settings, format TEXT NOT NULL, height INTEGER NOT NULL,"
    " width INTEGER NOT NULL, output_height INTEGER NOT NULL, output_width INTEGER NOT NULL, status TEXT NOT NULL,"
    " error TEXT, may_pass INTEGER NOT NULL, output_bytes INTEGER, output_mtime_ns INTEGER, seconds REAL, ended TEXT,"
    " token TEXT NOT NULL)"
)
LATE = "in/b.png: took longer than --timeout 5 and was stopped; give it more seconds"
SHARED = ("output, input, input_bytes, input_mtime_ns, input_sha256, settings, format, height, width, output_height,"
          " output_width, status")  # fmt: skip
ENDS = "may_pass, output_bytes, output_mtime_ns, seconds, ended, token"


@pytest.fixture
def old():
    """`in/a.png` is done, and `in/b.png` failed with an error that the test chooses."""
    save("in/a.png")
    save("in/b.png", seed=1)
    assert upsample("in", "-o", "out").status == 0
    Path("out/b_x2.png").unlink()

    def with_error(line):
        with closing(sqlite3.connect(RECORD, isolation_level=None)) as db:
            db.execute(PICTURES)
            db.execute(f"INSERT INTO pictures SELECT {SHARED}, NULL, {ENDS} FROM images")
            db.execute("DROP TABLE images")
            db.execute("CREATE INDEX by_input ON pictures (input)")
            db.execute("UPDATE pictures SET status = 'failed', error = ? WHERE output = 'b_x2.png'", (line,))
            db.execute("PRAGMA user_version = 1")

    return with_error


def ends(*more):
    files = upsample("in", "-o", "out", "--json", *more).document["files"]
    return [(file["status"], file["error"], file["error_kind"]) for file in files]


def failures():
    with closing(sqlite3.connect(RECORD)) as db:
        return [json.loads(text) for (text,) in db.execute("SELECT failure FROM images WHERE failure IS NOT NULL")]


def test_finished_images_stay_finished_and_failures_keep_their_line(old):
    line = "in/b.png: is wrong; do something"
    old(line)
    expected = [("skipped", None, None), ("failed", line, "earlier")]
    before = RECORD.read_bytes()
    assert ends("--dry-run") == expected
    assert RECORD.read_bytes() == before  # a dry run looks at a copy
    assert ends() == expected
    assert failures() == [{"kind": "earlier", "cause": [line], "next_step": [], "path": "", "limit_s": None}]
    assert ends("--retry-failed") == [("skipped", None, None), ("written", None, None)]


def test_an_image_that_timed_out_is_tried_again(old):
    old(LATE)
    assert ends() == [("skipped", None, None), ("written", None, None)]
    assert failures() == []


@pytest.mark.parametrize("line", [b"\xff\xfe", "x" * 9000, "a\nb"])
def test_any_error_line_is_kept(old, line):
    old(line)
    done, (status, error, kind) = ends()
    assert (done[0], status, kind) == ("skipped", "failed", "earlier")
    assert error


def test_ctrl_c_during_the_upgrade_leaves_the_record_unchanged(old, monkeypatch, interrupt):
    old("in/b.png: is wrong")
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_FROM_1", (*schema._FROM_1, endless))
        interrupt(lambda: locked(RECORD), after_s=0.2)
    with closing(sqlite3.connect(RECORD)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM pictures").fetchone() == (2,)
    # The control: without the interrupt the record is upgraded.
    assert ends()[1] == (
        "failed",
        "in/b.png: is wrong",
        "earlier",
    )
