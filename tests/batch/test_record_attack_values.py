"""An attacker may have written any value into the record: it is refused in one line, or the row counts as absent."""

import itertools
import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.attacked_record import COLUMNS, FAILED, RECORD, change, loosened, victims
from support.jobs import job_of
from support.running import upsample

from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.json_values import failure_json
from upsample_cli.batch.outputs import outputs_of
from upsample_cli.batch.plan import plan_run
from upsample_cli.batch.record.identity import is_settings, settings_text, sha256_of, stamp_of
from upsample_cli.batch.record.record import Record
from upsample_cli.batch.record.resume import open_resume
from upsample_cli.cli.report.console import file_record
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, RecordError, Setting

pytestmark = [
    pytest.mark.usefixtures("attacked_record"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX links, pipes and owners"),
]

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


def test_modification_times_fit_into_the_record():
    os.utime("in/a.png", (0, 10**10))
    size, mtime_ns = stamp_of("in/a.png")
    assert (size, mtime_ns) == (Path("in/a.png").stat().st_size, 2**63 - 1)
