"""The record of earlier runs: an SQLite file in the folder of the outputs, and the lock that keeps a second run out.

A row is committed before an image's file is created, and again when the image has ended. So whenever the process is
killed, there is a row about every file that may be left over.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from upsample_cli.atomic.temporaries import new_token, remove_temporaries
from upsample_cli.batch.json_values import failure_json
from upsample_cli.batch.paths import RealPaths
from upsample_cli.batch.record.file import DAMAGED, copied, locked, record_errors
from upsample_cli.batch.record.identity import settings_text, sha256_of, stamp_of
from upsample_cli.batch.record.row import COLUMNS, Row, checked, row_of, stored
from upsample_cli.batch.record.statements import Statements
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import RecordError

RECORD_NAME = ".upsample.sqlite"
_SELECT = f"SELECT {COLUMNS} FROM images LEFT JOIN settings ON settings = settings.id WHERE "
_WRITTEN = (
    "SELECT input, output, format, height, width, output_height, output_width, input_bytes, input_mtime_ns,"
    " output_bytes, output_mtime_ns FROM images WHERE status = 'written'"
    " AND settings = (SELECT id FROM settings WHERE text = ?) AND input IN ({}) LIMIT {}"
)
_MOST_OUTPUTS = 100
"""The most outputs of one input that are read: a record with more must not slow down every input."""
_MOST_UNFINISHED = 10_000
"""The most unfinished outputs that are checked: far more than run at once. Checking them takes a second or two."""


class Record:
    """The record of a run; an `interfaces.Journal`. Close it at the end. Nothing is written before `begin`.

    Args:
        path: the SQLite file; `begin` makes it if there is none.
        options: the options of the run.
        check_content: record the hash of each input too.
        is_read_only: read a copy, and do not lock the record.
        folders: the folders that the run writes to. Leftovers of killed runs are removed only below them.

    Raises:
        RecordError: if another run is using it, or it is damaged, written by a newer version, or not one of ours.
    """

    def __init__(
        self,
        path: Path,
        options: Options,
        *,
        check_content: bool = False,
        is_read_only: bool = False,
        folders: Iterable[Path] = (),
    ) -> None:
        self.path, self.token, self.check_content = path, new_token(), check_content
        self.settings, self.conditions = settings_text(options), settings_text(options, conditions=True)
        self._folder = os.path.realpath(path.parent)
        self._prefix = self._folder + os.sep
        self.real_path = RealPaths()
        self._settings_ids: dict[str, int] = {}
        self._folders, self._is_tidy = tuple(folders), False
        self._keys: dict[Job, str | bytes] = {}  # of images that have started
        self._sql = Statements(path)
        if os.path.lexists(path):
            self._sql.database = copied(path) if is_read_only else locked(path)

    def begin(self, *, adopted: Iterable[Row] = (), broken: Iterable[str] = ()) -> None:
        """Lock the record, create it if it is missing, and remove what killed runs have left.

        Args:
            adopted: rows of outputs that a killed run had finished. They are recorded as written.
            broken: outputs that a killed run left empty. They are removed, and so are its temporary files.

        Raises:
            RecordError: if it cannot be written, or another run has created it in the meantime.
        """
        if self._sql.database is None:
            with record_errors(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sql.database = locked(self.path, is_new=True)
        if not self._is_tidy:
            remove_temporaries(self._unfinished())
            self._is_tidy = True
        for path in broken:
            _remove_empty(path)
        for row in adopted:
            stamp = stamp_of(row.output) or (None, None)
            self._sql.write(
                "UPDATE images SET status = 'written', output_bytes = ?, output_mtime_ns = ?, ended = ?"
                " WHERE output = ?",
                *(*stamp, _now(), self._key(row.output)),
            )

    def of_input(self, path: str | os.PathLike[str]) -> list[Row]:
        """The rows of the outputs of an input."""
        if self._sql.database is None:
            return []
        condition = f"input = ? ORDER BY images.rowid DESC LIMIT {_MOST_OUTPUTS}"
        return self._rows(condition, stored(self.real_path(path)))

    def written_from(self, inputs: Collection[str | bytes]) -> list[sqlite3.Row]:
        """Unchecked values of rows that were written from these inputs, as `stored`, with the settings of this run.

        Not all of them if there are several for each input.
        """
        statement = _WRITTEN.format(",".join("?" * len(inputs)), 2 * len(inputs))
        return self._sql.read(statement, self.settings, *inputs)

    def of_output(self, path: str | os.PathLike[str]) -> Row | None:
        """The row of an output."""
        return None if self._sql.database is None else next(iter(self._rows("output = ?", self._key(path))), None)

    def holds_failures(self) -> bool:
        """Whether there are failures that are retried only on request."""
        return bool(self._sql.read("SELECT 1 FROM images WHERE status = 'failed' AND NOT may_pass LIMIT 1"))

    def together(self) -> AbstractContextManager[None]:
        """See `Journal`. Rows of images that have started are in the file when the block ends."""
        return self._sql.together()

    def started(self, job: Job) -> None:
        """Record that an image is about to start.

        Raises:
            RecordError: if it cannot be written.
        """
        input_stamp = stamp_of(job.input)
        sha256 = sha256_of(job.input) if self.check_content else None
        key = self._keys[job] = self._key(job.output)
        self._sql.write_soon(
            "INSERT OR REPLACE INTO images VALUES (?,?,?,?,?,?,?,?,?,?,?,'started',NULL,0,?,?,NULL,NULL,?)",
            *(key, stored(self.real_path(job.input)), *(input_stamp or (None, None)), sha256),
            *(self._settings_id(self.settings), job.format, job.height, job.width),
            *job.size,
            *(*(stamp_of(job.output) or (None, None)), self.token),
        )

    def ended(self, job: Job, result: Result) -> None:
        """Record the end of an image.

        Raises:
            RecordError: if it cannot be written.
        """
        key = self._keys.pop(job, None) or self._key(job.output)
        if result.status == "skipped":  # another file has appeared under its name
            self._sql.write_soon("DELETE FROM images WHERE output = ?", key)
            return
        is_written, failure = result.status == "written", result.failure
        settings = self._settings_id(self.settings if is_written else self.conditions)
        stamp = (stamp_of(job.output) if is_written else None) or (None, None)
        self._sql.write_soon(
            "UPDATE images SET status = ?, failure = ?, may_pass = ?, settings = ?, output_bytes = ?,"
            " output_mtime_ns = ?, seconds = ?, ended = ? WHERE output = ?",
            result.status,
            None if failure is None else failure_json(failure),
            failure is not None and failure.may_pass,
            settings,
            *(*stamp, result.elapsed_s, _now(), key),
        )

    def close(self) -> None:
        """Close and unlock the record."""
        self._sql.close()

    def _unfinished(self) -> list[tuple[str, str]]:
        """(output, token) of the images that killed runs left unfinished, in folders that this run writes to."""
        statement = f"SELECT output, token FROM images WHERE status = 'started' LIMIT {_MOST_UNFINISHED}"
        with self._checking():
            found = [checked(row) for row in self._sql.read(statement)]
        roots = [os.path.join(os.path.realpath(folder), "") for folder in self._folders]  # noqa: PTH118
        named = ((os.path.join(self._folder, os.fsdecode(row["output"])), row["token"]) for row in found)  # noqa: PTH118
        # Our runs record real paths only. A path that contains a link or ".." was planted.
        return [
            (output, token)
            for output, token in named
            if output.startswith(tuple(roots)) and os.path.realpath(output) == output
        ]

    def _rows(self, condition: str, *values: str | bytes) -> list[Row]:
        found = self._sql.read(_SELECT + condition, *values)
        with self._checking():
            return [row for values in found if (row := row_of(values, self._folder)) is not None]

    @contextmanager
    def _checking(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise RecordError(f"{self.path}: holds a row that upsample did not write ({error})", DAMAGED[1]) from error

    def _settings_id(self, text: str) -> int:
        if text not in self._settings_ids:
            self._sql.write("INSERT OR IGNORE INTO settings (text) VALUES (?)", text)
            found = self._sql.write("SELECT id FROM settings WHERE text = ?", text)
            if not found:
                raise RecordError(f"{self.path}: {DAMAGED[0]}", DAMAGED[1])
            self._settings_ids[text] = found[0]["id"]
        return self._settings_ids[text]

    def _key(self, output: str | os.PathLike[str]) -> str | bytes:
        return self.relative(self.real_path(output))

    def relative(self, real_output: str) -> str | bytes:
        """An output as it is recorded: relative if it is below the record's folder, so both can be moved together."""
        return stored(real_output.removeprefix(self._prefix))


def _remove_empty(path: str) -> None:
    """Remove an empty file; any other file may be the user's."""
    with suppress(FileNotFoundError):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size == 0:
            Path(path).unlink()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
