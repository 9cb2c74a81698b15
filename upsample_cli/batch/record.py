"""What was done before: one SQLite file beside the outputs, which is also the lock that keeps a second run out.

A row is committed before a picture's file is begun, and again when the picture has ended: whenever the process is
killed, a row tells of everything that may lie about.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from upsample_cli.batch.identity import Stamp, settings_text, sha256_of, stamp_of
from upsample_cli.batch.paths import RealPaths
from upsample_cli.batch.record_file import copied, locked, told
from upsample_cli.job import Job, Options, Result
from upsample_cli.pictures.files import new_token, remove_temporaries

RECORD_NAME = ".upsample.sqlite"
_SELECT = (
    "SELECT output, input, input_bytes, input_mtime_ns, input_sha256, settings.text, format, height, width,"
    " output_height, output_width, status,"
    " error, may_pass, output_bytes, output_mtime_ns, token"
    " FROM pictures JOIN settings ON settings = settings.id WHERE "
)


@dataclass(frozen=True, slots=True)
class Row:
    """What is recorded of one output.

    Args:
        output: the file, links in its folder resolved.
        input: the file it was made from, likewise.
        input_stamp: the input's, before it was opened; None if it could not be told.
        input_sha256: of its content; None if that was not asked for.
        settings: as `identity.settings_text` puts them; of a failure with all that may have caused it.
        format: name of the output's format.
        height, width: of the input.
        output_height, output_width: of the output.
        status: "started" if the run ended before the picture did.
        error: one line, if it failed.
        may_pass: the failure may be gone at the next run.
        output_stamp: of what was written; while it is "started", of what was there before. None for nothing.
        token: of the run.
    """

    output: str
    input: str
    input_stamp: Stamp | None
    input_sha256: str | None
    settings: str
    format: str
    height: int
    width: int
    output_height: int
    output_width: int
    status: Literal["started", "written", "failed"]
    error: str | None
    may_pass: bool
    output_stamp: Stamp | None
    token: str


class Record:
    """The record of a run; a `batch.run.Journal`, to be closed. Nothing is written before `begin`.

    Args:
        path: the SQLite file; `begin` makes it if there is none.
        options: of the run.
        check_content: note the hash of each input too.
        is_read_only: only look, at a copy, and lock nothing.

    Raises:
        RecordError: if another run is at work on it, or it is damaged, of a newer version, or none of ours.
    """

    def __init__(
        self, path: Path, options: Options, *, check_content: bool = False, is_read_only: bool = False
    ) -> None:
        self.path, self.token, self.check_content = path, new_token(), check_content
        self.settings, self.conditions = settings_text(options), settings_text(options, conditions=True)
        self._folder = os.path.realpath(path.parent)
        self.real_path = RealPaths()
        self._factor = options.factor
        self._settings_ids: dict[str, int] = {}
        self._db: sqlite3.Connection | None = None
        if path.exists():
            self._db = copied(path) if is_read_only else locked(path)

    def begin(self, *, adopted: Iterable[Row] = (), broken: Iterable[str] = ()) -> None:
        """Lock the record, made if it is missing, and tidy up after runs that were killed.

        Args:
            adopted: rows of outputs that such a run had finished, to be recorded as written.
            broken: outputs that it left broken, to be removed. Its temporary files are too.

        Raises:
            RecordError: if it cannot be written, or another run has made it meanwhile.
        """
        if self._db is None:
            with told(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = locked(self.path, is_new=True)
        unfinished: dict[str, list[str]] = {}
        for row in self._rows("status = 'started'"):
            unfinished.setdefault(row.token, []).append(row.output)
        for token, outputs in unfinished.items():
            remove_temporaries(outputs, token)
        for path in broken:
            Path(path).unlink(missing_ok=True)
        for row in adopted:
            stamp = stamp_of(row.output) or (None, None)
            self._write(
                "UPDATE pictures SET status = 'written', output_bytes = ?, output_mtime_ns = ?, ended = ?"
                " WHERE output = ?",
                *(*stamp, _now(), self._key(row.output)),
            )

    def of_input(self, path: str | os.PathLike[str]) -> list[Row]:
        """The rows of what was made from an input."""
        return self._rows("input = ?", _stored(self.real_path(path)))

    def of_output(self, path: str | os.PathLike[str]) -> Row | None:
        """The row of an output."""
        return next(iter(self._rows("output = ?", self._key(path))), None)

    def holds_failures(self) -> bool:
        """Whether there are failures that are not tried again unless they are asked for."""
        return bool(self._rows("status = 'failed' AND NOT may_pass LIMIT 1"))

    def started(self, job: Job) -> None:
        """Note that a picture is about to be begun.

        Raises:
            RecordError: if it cannot be written.
        """
        planned = Result.planned(job, self._factor)
        input_stamp = stamp_of(job.input)
        sha256 = sha256_of(job.input) if self.check_content else None
        self._write(
            "INSERT OR REPLACE INTO pictures VALUES (?,?,?,?,?,?,?,?,?,?,?,'started',NULL,0,?,?,NULL,NULL,?)",
            *(self._key(job.output), _stored(self.real_path(job.input)), *(input_stamp or (None, None)), sha256),
            *(self._settings_id(self.settings), job.format, job.height, job.width),
            *(planned.output_height, planned.output_width),
            *(*(stamp_of(job.output) or (None, None)), self.token),
        )

    def ended(self, job: Job, result: Result) -> None:
        """Note what came of a picture.

        Raises:
            RecordError: if it cannot be written.
        """
        key = self._key(job.output)
        if result.status == "skipped":  # another's file turned up under its name meanwhile
            self._write("DELETE FROM pictures WHERE output = ?", key)
            return
        is_written = result.status == "written"
        settings = self._settings_id(self.settings if is_written else self.conditions)
        stamp = (stamp_of(job.output) if is_written else None) or (None, None)
        self._write(
            "UPDATE pictures SET status = ?, error = ?, may_pass = ?, settings = ?, output_bytes = ?,"
            " output_mtime_ns = ?, seconds = ?, ended = ? WHERE output = ?",
            *(result.status, result.error and _stored(result.error), result.may_pass, settings),
            *(*stamp, result.elapsed_s, _now(), key),
        )

    def close(self) -> None:
        """Give the record free."""
        if self._db is not None:
            with suppress(sqlite3.Error):  # what is committed is safe, and the next run finds it
                self._db.close()
            self._db = None

    def _rows(self, condition: str, *values: str | bytes) -> list[Row]:
        if self._db is None:
            return []
        with told(self.path):
            return [self._row(each) for each in self._db.execute(_SELECT + condition, values)]

    def _row(self, each: sqlite3.Row) -> Row:
        return Row(
            output=os.path.join(self._folder, _restored(each["output"])),  # noqa: PTH118
            input=_restored(each["input"]),
            input_stamp=_stamp(each["input_bytes"], each["input_mtime_ns"]),
            input_sha256=each["input_sha256"],
            settings=each["text"],
            format=each["format"],
            height=each["height"],
            width=each["width"],
            output_height=each["output_height"],
            output_width=each["output_width"],
            status=each["status"],
            error=each["error"] and _restored(each["error"]),
            may_pass=bool(each["may_pass"]),
            output_stamp=_stamp(each["output_bytes"], each["output_mtime_ns"]),
            token=each["token"],
        )

    def _write(self, statement: str, *values: str | bytes | float | None) -> sqlite3.Cursor:
        if self._db is None:
            raise ValueError("the record has not begun, or is closed")
        with told(self.path):
            return self._db.execute(statement, values)

    def _settings_id(self, text: str) -> int:
        if text not in self._settings_ids:
            self._write("INSERT OR IGNORE INTO settings (text) VALUES (?)", text)
            found = self._write("SELECT id FROM settings WHERE text = ?", text)
            self._settings_ids[text] = found.fetchone()["id"]
        return self._settings_ids[text]

    def _key(self, output: str | os.PathLike[str]) -> str | bytes:
        """An output as it is recorded: below the record's folder from there, so that both can be moved together."""
        return _stored(self.real_path(output).removeprefix(self._folder + os.sep))


def _stored(text: str) -> str | bytes:
    """Text, or the bytes of a file name that is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def _restored(stored: str | bytes) -> str:
    return os.fsdecode(stored)


def _stamp(size_bytes: int | None, mtime_ns: int | None) -> Stamp | None:
    return None if size_bytes is None or mtime_ns is None else (size_bytes, mtime_ns)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
