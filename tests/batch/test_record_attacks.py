"""An attacker may have written the record and the files next to it: no file of the user is ever lost."""

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.jobs import job_of
from support.running import COMMAND, ENVIRONMENT, CommandResult, names, save, tree, upsample

from upsample_cli.atomic.temporaries import remove_temporaries, temporary_path
from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.json_values import failure_json
from upsample_cli.batch.outputs import outputs_of
from upsample_cli.batch.plan import plan_run
from upsample_cli.batch.record import file
from upsample_cli.batch.record.file import copied, locked
from upsample_cli.batch.record.identity import is_settings, settings_text, sha256_of, stamp_of
from upsample_cli.batch.record.record import RECORD_NAME, Record
from upsample_cli.batch.record.resume import open_resume
from upsample_cli.cli.report.console import file_record
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, RecordError, Setting

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX links, pipes and owners")

RECORD = Path("out", RECORD_NAME)
TOKEN = "0123abcd"
FAILED = failure_json(Failure("damaged", "x", "", "in/a.png"))
SAME = "input, input_bytes, input_mtime_ns, input_sha256, settings, format, height, width, output_height, output_width"
COLUMNS = ["output", "input", "input_bytes", "input_mtime_ns", "input_sha256", "settings", "format", "height", "width",
           "output_height", "output_width", "status", "failure", "may_pass", "output_bytes", "output_mtime_ns",
           "seconds", "ended", "token"]  # fmt: skip
LONG_S = 30
"""An attack that hangs is stopped after this time, and the test fails."""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Two images, one of them enlarged into `out`, and unrelated files of the user."""
    monkeypatch.chdir(tmp_path)
    save("in/a.png")
    assert upsample("in", "-o", "out").status == 0
    save("in/b.png", seed=1)  # a run has something to do, and so cleans up
    Path("victim").mkdir()
    Path("victim/thesis.txt").write_text("the only copy", encoding="ascii")
    Path(f"victim/.v.png.{TOKEN}.part").write_text("mine", encoding="ascii")


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


# Paths in rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    ["x|.*|x", ".*", "", "0123ABCD", "0123abcd\n", "0123abc", "0123abcde", "0123abcdef12", "٠١٢٣٤٥٦٧", b"0123abcd", 1],
)
def test_a_token_that_is_not_eight_hexadecimal_digits_is_refused(token):
    before = victims()
    plant(str(Path("victim/v.png").absolute()))
    loosened(("UPDATE images SET token = ? WHERE status = 'started'", (token,)))
    ended = upsample("in", "-o", "out")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(f"upsample: {RECORD}: holds a row that upsample did not write (token)")
    assert victims() == before


def test_a_row_cannot_reach_a_folder_outside_the_run():
    Path("linked").symlink_to("victim")
    Path("out/sub").symlink_to(Path("victim").absolute())
    Path("out/v.png").symlink_to(Path("victim/v.png").absolute())
    before = victims()
    here = Path.cwd()
    for output in (here / "victim/v.png", "../victim/v.png", "sub/v.png", here / "linked/v.png", "v.png",
                   "x/../../victim/v.png", "sub/../v.png", f"sub/.v.png.{TOKEN}.part", "..", ".", "sub/"):  # fmt: skip
        plant(str(output))
    plant("own.png")
    own = Path(f"out/.own.png.{TOKEN}.part")
    own.touch()
    assert upsample("in", "-o", "out").status == 0
    assert victims() == before
    assert not own.exists()  # the control: the rows were acted on


def test_only_the_temporary_files_of_recorded_outputs_are_removed():
    long = "n" * 250 + ".png"
    plant("own.png")
    plant(long)
    removed = [
        temporary_path(Path("out", name), TOKEN + end).name for name in ("own.png", long) for end in ("", "ef12")
    ]
    kept = [f".{name}.{TOKEN}{end}.part"
            for name, end in [("other.png", ""), ("own.png", "ef"), ("own.png", "ef1"), ("own.png", "ef12ef12"),
                              ("own.png", "EF12"), ("own.png", ".*")]]  # fmt: skip
    kept += [f"own.png.{TOKEN}.part", f".own.png.{TOKEN}.part.png"]
    for name in removed + kept:
        Path("out", name).touch()
    assert upsample("in", "-o", "out").status == 0
    assert not {*removed} & {*names("out")}
    assert {*kept} < {*names("out")}


def test_temporary_files_are_removed_from_output_folders_if_the_record_is_elsewhere():
    save("one/a.png")
    save("two/b.png")
    assert upsample("one/a.png", "two/b.png", "--state", "s.db").status == 0
    Path("two/b_x2.png").unlink()
    change(f"UPDATE images SET status = 'started', token = '{TOKEN}'", path="s.db")
    left, others = Path(f"two/.b_x2.png.{TOKEN}.part"), Path(f"one/.a_x2.png.{TOKEN}.part")
    left.touch()
    others.touch()
    assert upsample("two/b.png", "--state", "s.db").status == 0
    assert (left.exists(), others.exists()) == (False, True)


@pytest.mark.parametrize("content", [b"my notes", None])
def test_a_user_file_with_the_name_of_an_unfinished_output_is_not_replaced(content):
    output = Path("out/b_x2.png")
    if content is None:
        save(output, (5, 5))  # whole, and not what the run would have made
    else:
        output.write_bytes(content)
    plant("b_x2.png")
    before = output.read_bytes()
    found = upsample("in", "-o", "out", "--json").document["files"][1]
    assert output.read_bytes() == before
    assert (found["status"], found["warnings"]) == (
        "skipped",
        [f"{output}: was left unfinished by a killed run, or is another file; --overwrite replaces it"],
    )
    assert upsample("in", "-o", "out", "--overwrite").status == 0
    assert output.read_bytes() != before


def test_an_empty_file_of_a_killed_run_is_replaced_and_the_target_of_a_link_is_not():
    Path("out/b_x2.png").touch()
    plant("b_x2.png")
    save("in/c.png", seed=2)
    Path("empty").touch()
    Path("out/c_x2.png").symlink_to("../empty")
    plant("c_x2.png")
    ended = upsample("in", "-o", "out")
    assert [line.split(";")[0] for line in ended.errors] == [
        "out/c_x2.png: is a symbolic link, which is neither followed nor replaced"
    ]
    assert Path("out/b_x2.png").stat().st_size > 0
    assert Path("empty").stat().st_size == 0
    assert Path("out/c_x2.png").is_symlink()


def test_many_unfinished_rows_list_a_folder_once(monkeypatch):
    listed = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": listed.append(path) or listdir(path))
    remove_temporaries((f"out/{index}.png", f"{index:08x}") for index in range(1000))
    assert len(listed) == 1


def test_the_rows_read_for_one_input_are_bounded():
    change(
        "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 3000) INSERT INTO images"
        f" SELECT 'o' || value, {SAME}, 'failed', '{FAILED}', 0, NULL, NULL, seconds, ended, token FROM images, n"
        " WHERE output = 'a_x2.png'"
    )
    with closing(Record(RECORD, Options())) as record:
        assert 0 < len(record.of_input("in/a.png")) <= 100
    assert [file["status"] for file in upsample("in", "-o", "out", "--json").document["files"]] == [
        "skipped",  # because of the row of its output
        "written",
    ]


# Values in rows -----------------------------------------------------------------------------------------------------

VALUES = [None, 0, -1, 7, 2**62, -(2**63), 0.5, float("inf"), "", "x", "1", "a\0b", "\n", b"", b"\xff", b"a\0b", "../x",
          "x" * 5000]  # fmt: skip
NOT_TEXT = "CAST(X'ff41fe' AS TEXT)"


def planned(options, *, check_content):
    """The report of a dry run; the only exception it may raise is a RecordError."""
    found = list(find_inputs(["in"], recursive=False))
    target = outputs_of("out", found)
    resume = open_resume(found, target, options, check_content=check_content, timeout_s=5, is_dry_run=True)
    with closing(resume.record):
        return json.dumps([file_record(entry.result) for entry in plan_run(found, target, options, resume=resume)])


@pytest.mark.parametrize("column", COLUMNS)
def test_any_value_in_any_column_is_at_most_one_line(column):
    """Either the record is refused, or the row counts as absent."""
    sound = RECORD.read_bytes()
    errors = set()
    for value, status in itertools.product([*VALUES, NOT_TEXT], ("started", "written", "failed")):
        RECORD.write_bytes(sound)
        is_sql = value is NOT_TEXT
        loosened(
            f"UPDATE images SET failure = '{FAILED}', status = '{status}'",
            (f"UPDATE images SET {column} = {NOT_TEXT if is_sql else '?'}", () if is_sql else (value,)),
        )
        for options in (Options(), Options(factor=3, name="{stem}_x2{ext}")):
            for check_content in (False, True):
                try:
                    planned(options, check_content=check_content)
                except RecordError as error:
                    errors.add(str(error))
    assert all(str(error).startswith(f"{RECORD}: ") and "no_state" in error for error in errors)
    # The others are not read, or the row matches none of these images.
    if column not in ("seconds", "ended", "output", "input"):
        assert any("did not write" in error for error in errors), errors


@pytest.mark.parametrize("column", COLUMNS)
def test_a_run_ends_normally_with_any_value_in_an_unfinished_row(column):
    sound = RECORD.read_bytes()
    before = victims()
    for value in (None, 2**62, 0.5, "a\0b", b"\xff", "../x", NOT_TEXT):
        RECORD.write_bytes(sound)
        Path("out/b_x2.png").unlink(missing_ok=True)
        is_sql = value is NOT_TEXT
        loosened(
            "UPDATE images SET status = 'started'",
            (f"UPDATE images SET {column} = {NOT_TEXT if is_sql else '?'}", () if is_sql else (value,)),
        )
        ended = upsample("in", "-o", "out")
        assert "unexpected" not in ended.err, (value, ended.err)
        assert (ended.status, ended.err.count("\n")) in {(0, 0), (1, 1)}
        assert victims() == before


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "1", "{", "[" * 100_000, "{" * 100_000, '{"factor":[1]}', '{"factor":[1,[2]]}', '{"factor":{}}',
     '{"factor":' + "9" * 5000 + "}", '{"factor":["a","b"]}', '{"\\ud800":1}', '{"' + "x" * 50_000 + '":1}',
     '{"--overwrite and rm":1}'],
)  # fmt: skip
def test_malformed_settings_are_one_line(text):
    assert not is_settings(text)
    change(("UPDATE settings SET text = ?", (text,)))
    for more in ([], ["-f", "3", "--name", "{stem}_x2{ext}"]):
        ended = upsample("in", "-o", "out", *more)
        assert (ended.status, ended.err.count("\n")) == (1, 1)
        assert ended.err.startswith(f"upsample: {RECORD}: holds a row that upsample did not write (settings)")


def test_settings_of_every_kind_are_accepted():
    from fractions import Fraction

    for options in (Options(), Options(factor=Fraction(3, 2)), Options(size=(9, 16)), Options(fit=(9, 16), frame=2),
                    Options(width=7, strict=True, memory_bytes=10**9, tile=5, device="cuda:0"),
                    Options(format="jpg", quality=90, linear_light=True, depth="16")):  # fmt: skip
        assert is_settings(settings_text(options))
        assert is_settings(settings_text(options, conditions=True))


@pytest.mark.parametrize("limit", ['"5"', "5", "[]", "true", "1e999", "NaN", "-1.0", "9" * 5000])
def test_a_recorded_time_limit_that_is_not_a_number_is_one_line(limit):
    text = failure_json(Failure("timeout", "x", limit_s=0.5)).replace("0.5", limit)
    change(("UPDATE images SET status = 'failed', failure = ?", (text,)))
    ended = upsample("in", "-o", "out", "--dry-run", "--timeout", "5")
    assert "unexpected" not in ended.err
    is_number = limit in ("5", "1e999", "NaN", "-1.0")  # numbers can be compared
    assert ("did not write (failure)" in ended.err) == (not is_number)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", "[" * 60_000, FAILED.replace("damaged", "mine"), FAILED.replace('["x"]', '"x"'),
     FAILED.replace('["x"]', "[1]"), FAILED.replace('["x"]', '[["overwrite"]]'), FAILED.replace('["x"]', '[["a", {}]]'),
     FAILED.replace('"in/a.png"', "1"), FAILED[:-1] + ', "more": 1}', FAILED.replace('"x"', f'"{"x" * (1 << 16)}"')],
)  # fmt: skip
def test_a_malformed_failure_is_one_line(text):
    change(("UPDATE images SET status = 'failed', failure = ?", (text,)))
    ended = upsample("in", "-o", "out", "--dry-run")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "a row that upsample did not write (failure)" in ended.err


def test_a_recorded_failure_is_escaped_when_printed():
    shown = json.dumps("\x1b[2J")
    change(
        ("UPDATE images SET status = 'failed', failure = ?", (FAILED.replace('["x"]', f"[{shown}]"),)),
        ("UPDATE settings SET text = ?", (settings_text(Options(), conditions=True),)),
    )
    ended = upsample("in", "-o", "out", "--dry-run")
    assert ended.errors == ["in/a.png: \\x1b[2J"]


@pytest.mark.parametrize("year", [1800, 2300, 5000])
def test_files_of_other_centuries_are_recorded(year):
    for path in ("in/a.png", "in/b.png"):
        os.utime(path, (0, (year - 1970) * 31_556_952))
    assert upsample("in", "-o", "out", "--overwrite").status == 0
    again = upsample("in", "-o", "out", "--json").document["files"]
    assert [(each["status"], each["warnings"]) for each in again] == [("skipped", [])] * 2


def test_only_regular_files_have_a_hash():
    os.mkfifo("in/pipe.png")
    Path("in/zero.png").symlink_to("/dev/zero")
    assert sha256_of("in/pipe.png") is None
    assert sha256_of("in/zero.png") is None
    assert sha256_of("in/a.png") is not None


def test_an_error_with_any_text_is_recorded():
    with closing(Record(Path("s.db"), Options())) as record:
        record.begin()
        for index, cause in enumerate(("\ud800", "\udcff", "a\0b", "x" * 10**6)):
            job = job_of(Path("in/a.png"), Path(f"out/{index}.png"), 3, 5)
            record.started(job)
            failure = Failure("unexpected", cause, ("give ", Setting("workers", 1)), "in/a.png")
            record.ended(job, Result.planned(job).ended("failed", failure))
            kept = record.of_output(job.output).failure
            assert kept == failure or (len(cause) == 10**6 and kept == replace(failure, cause=cause[:5000]))


# The file of the record ---------------------------------------------------------------------------------------------

SIBLINGS = ("", "-wal", "-shm", "-journal")


def super_journal(victim):
    """A rollback journal that names `victim` as the super-journal, which SQLite removes after playing it back."""
    name = os.fsencode(victim.absolute())
    magic = bytes.fromhex("d9d505f920a163d7")
    head = (magic + struct.pack(">5I", 0, 0, RECORD.stat().st_size // 4096, 512, 4096)).ljust(512, b"\0")
    checksum = sum(byte if byte < 128 else byte - 256 for byte in name) & 0xFFFFFFFF
    sj_page = 0x40000000 // 4096 + 1
    return head + struct.pack(">I", sj_page) + name + struct.pack(">II", len(name), checksum) + magic


def test_a_journal_next_to_the_record_is_refused_and_deletes_nothing():
    journal = Path(f"{RECORD}-journal")
    journal.write_bytes(super_journal(Path("victim/thesis.txt")))
    before = victims()
    refused(cause="is next to the record", at=journal)
    assert victims() == before


def test_the_crafted_journal_deletes_files_if_sqlite_reads_it():
    """The control: without the check the attack works."""
    Path(f"{RECORD}-journal").write_bytes(super_journal(Path("victim/thesis.txt")))
    change("SELECT count(*) FROM images")
    assert not Path("victim/thesis.txt").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has locks of a descriptor")
@pytest.mark.parametrize("is_held", [True, False])
def test_a_journal_planted_after_the_check_deletes_nothing(is_held, monkeypatch):
    """The control: without the lock that keeps SQLite from treating the journal as hot, the attack works."""
    opened = file._opened

    def planted(path):
        Path(f"{RECORD}-journal").write_bytes(super_journal(Path("victim/thesis.txt")))
        return opened(path)

    monkeypatch.setattr(file, "_opened", planted)
    if not is_held:
        monkeypatch.setattr(file, "no_journal_is_hot", lambda _: contextlib.nullcontext())
    with pytest.raises(RecordError) if is_held else contextlib.suppress(RecordError):
        locked(RECORD).close()
    assert Path("victim/thesis.txt").exists() == is_held


def test_opening_a_record_twice_keeps_it_locked():
    with closing(locked(RECORD)), pytest.raises(RecordError, match="another run is at work here"):
        locked(RECORD)
    locked(RECORD).close()


def test_an_empty_file_behind_a_planted_link_is_not_removed():
    """Both the row and the link lead to the file, and the link is refused."""
    Path("victim/c_x2.png").touch()
    save("in/sub/c.png", seed=2)
    Path("out/sub").symlink_to(Path("victim").absolute())
    plant(str(Path("victim/c_x2.png").absolute()))
    ended = upsample("in", "-r", "-o", "out")
    assert [line.split(",")[0] for line in ended.errors] == ["out/sub: is a symbolic link"]
    assert Path("victim/c_x2.png").exists()


def link(path):
    path.symlink_to(Path("victim/thesis.txt").absolute())


def dangling(path):
    path.symlink_to(Path("victim/new.db").absolute())


def zero(path):
    path.symlink_to("/dev/zero")


def hard_link(path):
    path.hardlink_to("victim/thesis.txt")


def another_record(path):
    Path("mine.db").rename("victim/mine.db")
    path.symlink_to(Path("victim/mine.db").absolute())


def another_records_hard_link(path):
    Path("mine.db").rename("victim/mine.db")
    path.hardlink_to("victim/mine.db")


@pytest.mark.parametrize("end", SIBLINGS)
@pytest.mark.parametrize(
    "make", [link, dangling, zero, hard_link, os.mkfifo, os.mkdir, another_record, another_records_hard_link]
)
def test_links_pipes_and_devices_are_refused(make, end):
    path = Path(f"{RECORD}{end}")
    Path("mine.db").write_bytes(RECORD.read_bytes())
    if not end:
        path.unlink()
    make(path)
    before, status = victims(), path.lstat()
    refused(at=path, run=bounded if make in (zero, os.mkfifo) else upsample)
    assert victims() == before
    assert path.lstat().st_ino == status.st_ino


@pytest.mark.parametrize("name", ["s.db", "deep/s.db"])
def test_a_record_named_by_the_user_follows_the_same_rules(name):
    Path(name).parent.mkdir(exist_ok=True)
    dangling(Path(name))
    refused("--state", name, cause="is a symbolic link", at=name)


def test_a_link_that_appears_during_planning_is_refused():
    record = Record(Path("s.db"), Options())
    dangling(Path("s.db"))
    with pytest.raises(RecordError, match="symbolic link"):
        record.begin()
    assert not Path("victim/new.db").exists()


def test_a_record_of_another_user_is_refused():
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    for end in ("", "-wal"):
        Path(f"{RECORD}{end}").touch()
        os.chown(f"{RECORD}{end}", 12345, -1)
        refused(cause="belongs to another user", at=f"{RECORD}{end}")
        os.chown(f"{RECORD}{end}", 0, -1)
    assert upsample("in", "-o", "out").status == 0


def test_a_record_is_accepted_on_file_systems_with_one_owner_for_all_files(monkeypatch):
    """As on FAT, SMB, and NFS for root: the user who creates a file does not own it."""
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert [file["status"] for file in upsample("in", "-o", "out", "--json").document["files"]] == [
        "skipped",
        "written",
    ]


@pytest.mark.parametrize("end", ["", "-wal"])
def test_a_huge_record_is_refused_at_once(end):
    path = Path(f"{RECORD}{end}")
    path.touch()
    os.truncate(path, 1 << 40)
    refused(cause="is larger than a record may be (1 GiB)", at=path, run=bounded)


def test_a_log_that_claims_too_many_pages_is_refused():
    """Copying that many pages would fill the disk."""
    forge_pages(0xFFFFFFF0)
    refused(cause="is larger than a record may be (1 GiB)", run=bounded)


def forge_pages(count):
    """Leave a log as a killed run does; the log and the database claim this many pages."""
    with closing(sqlite3.connect(RECORD, isolation_level=None)) as db:
        db.execute("UPDATE images SET seconds = 1")
        log = bytearray(Path(f"{RECORD}-wal").read_bytes())
        database = RECORD.read_bytes()
    page_bytes = int.from_bytes(log[8:12], "big")
    order = "big" if log[3] & 1 else "little"

    def added(data, sums):
        first, second = sums
        for at in range(0, len(data), 8):
            first = (first + int.from_bytes(data[at : at + 4], order) + second) & 0xFFFFFFFF
            second = (second + int.from_bytes(data[at + 4 : at + 8], order) + first) & 0xFFFFFFFF
        return first, second

    sums = added(log[:24], (0, 0))
    for at in range(32, len(log), 24 + page_bytes):
        if int.from_bytes(log[at + 4 : at + 8], "big"):
            log[at + 4 : at + 8] = count.to_bytes(4, "big")
        sums = added(log[at + 24 : at + 24 + page_bytes], added(log[at : at + 8], sums))
        log[at + 16 : at + 24] = struct.pack(">II", *sums)
    RECORD.write_bytes(database[:28] + count.to_bytes(4, "big") + database[32:])
    Path(f"{RECORD}-wal").write_bytes(log)


# Tables and schema --------------------------------------------------------------------------------------------------

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


def test_ctrl_c_interrupts_sqlite():
    with closing(locked(RECORD)) as db:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            db.rows(f"{ENDLESS} count(*) FROM n")
        timer.join()
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


# Uses that still work -----------------------------------------------------------------------------------------------


def test_a_dry_run_copies_a_record_and_its_log(monkeypatch):
    with closing(sqlite3.connect(RECORD, isolation_level=None)) as db:
        db.execute("UPDATE images SET failure = 'in the log'")
        assert Path(f"{RECORD}-wal").stat().st_size > 0
        with closing(copied(RECORD)) as copy:
            assert copy.rows("SELECT failure FROM images")[0][0] == "in the log"


def test_a_dry_run_ignores_an_empty_record():
    RECORD.write_bytes(b"")
    assert upsample("in", "-o", "out", "--dry-run").status == 0
    assert RECORD.read_bytes() == b""


def test_creating_a_record_creates_no_journal():
    path = Path("n" * 245 + ".db")  # with "-journal" appended, longer than a name can be
    for _ in range(2):
        with closing(Record(path, Options())) as record:
            record.begin()
            record.started(job_of(Path("in/a.png"), Path("out/a.png"), 3, 5))
            assert record.of_output("out/a.png").status == "started"


def test_a_record_without_wal_mode_gets_it_back():
    change("PRAGMA journal_mode = DELETE")
    assert upsample("in", "-o", "out").status == 0
    with closing(sqlite3.connect(RECORD)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_only_the_first_round_of_a_watch_removes_temporary_files():
    left = Path(f"out/.own.png.{TOKEN}.part")
    plant("own.png")
    with closing(Record(RECORD, Options(), folders=[Path("out")])) as record:
        for is_gone in (True, False):
            left.touch()
            record.begin()
            assert left.exists() != is_gone


def test_modification_times_fit_into_the_record():
    os.utime("in/a.png", (0, 10**10))
    size, mtime_ns = stamp_of("in/a.png")
    assert (size, mtime_ns) == (Path("in/a.png").stat().st_size, 2**63 - 1)
