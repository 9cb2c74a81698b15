"""What an attacker writes into the record of a run, and what must be true of the next run."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from support.running import COMMAND, ENVIRONMENT, CommandResult, tree, upsample
from upsample_cli.batch.json_values import failure_json
from upsample_cli.batch.record.record import RECORD_NAME
from upsample_cli.errors import Failure

RECORD = Path("out", RECORD_NAME)
TOKEN = "0123abcd"
FAILED = failure_json(Failure("damaged", "x", "", "in/a.png"))
SAME = "input, input_bytes, input_mtime_ns, input_sha256, settings, format, height, width, output_height, output_width"
COLUMNS = ["output", "input", "input_bytes", "input_mtime_ns", "input_sha256", "settings", "format", "height", "width",
           "output_height", "output_width", "status", "failure", "may_pass", "output_bytes", "output_mtime_ns",
           "seconds", "ended", "token"]  # fmt: skip

LONG_S = 30
"""An attack that hangs is stopped after this time, and the test fails."""


def change(*statements, path=RECORD):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        for statement in statements:
            db.execute(*statement if isinstance(statement, tuple) else (statement,))


def loosened(*statements):
    """Execute statements on a record whose columns accept any value, and then restore its schema."""
    set_sql = "UPDATE sqlite_master SET sql = ? WHERE name = 'images'"
    loose = f"CREATE TABLE images ({COLUMNS[0]} PRIMARY KEY, {', '.join(COLUMNS[1:])})"
    with closing(sqlite3.connect(RECORD)) as db:
        ((sql,),) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'images'")
    change("PRAGMA writable_schema = ON", (set_sql, (loose,)))
    change(*statements, "PRAGMA writable_schema = ON", (set_sql, (sql,)))


def plant(output, token=TOKEN, status="started"):
    """Insert a row as if a killed run had left it, with the attacker's values."""
    change((f"INSERT OR REPLACE INTO images SELECT ?, {SAME}, ?, ?, 0, NULL, NULL, 0, '', ? FROM images LIMIT 1",
            (output, status, FAILED, token)))  # fmt: skip


def refused(*more, cause="", at=RECORD, run=upsample):
    """Run with and without `-n`: each run ends in one line with the next step and changes no file of the user."""
    for arguments in ([*more, "--dry-run"], list(more)):
        before = snapshot()
        ended = run("in", "-o", "out", *arguments)
        assert (ended.status, ended.out) == (1, ""), ended.err
        assert ended.err.startswith(f"upsample: {at}: {cause}"), ended.err
        assert ended.err.count("\n") == 1
        assert "--state" in ended.err
        assert "--no-state" in ended.err
        assert snapshot() == before


def snapshot():
    """Every file with its content, or only its size if it is large."""
    return {
        path: path.read_bytes() if path.is_file() and path.lstat().st_size < 1 << 24 else path.lstat()[:7]
        for path in Path().rglob("*")
    }


def bounded(*arguments):
    """A run that is killed if it hangs and that cannot fill the disk."""
    limited = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))"
    command = [COMMAND[0], "-c", f"{limited}; os.execv(sys.argv[1], sys.argv[1:])", *COMMAND, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=LONG_S)
    return CommandResult(ended.returncode, ended.stdout, ended.stderr)


def victims():
    return tree("victim")
