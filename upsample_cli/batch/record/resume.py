"""Which outputs are done, failed or stale, according to the record of earlier runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from upsample_cli.batch.entry import DoneEntry
from upsample_cli.batch.inputs import Found, is_folder
from upsample_cli.batch.interfaces import UNKNOWN, Verdict
from upsample_cli.batch.outputs import Outputs
from upsample_cli.batch.record.identity import Stamp, settings_differences, sha256_of, stamp_of
from upsample_cli.batch.record.record import RECORD_NAME, Record
from upsample_cli.batch.record.row import Row, are_sides, stored
from upsample_cli.enlarge.job import Job, Result, Status
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, ImageError, Setting, Text, UsageError, joined, listed
from upsample_cli.images.formats import FORMATS, format_of_path


@dataclass(frozen=True, slots=True)
class Resume:
    """The record as one run uses it. Nothing is changed before `begin`.

    Args:
        record: the record.
        options: of the run.
        retry_failed: retry all failed images.
        timeout_s: seconds an image may take. Images that failed with a shorter limit are retried. None for no limit.
        adopted: rows of killed runs whose outputs are whole.
        broken: outputs of killed runs that are empty.
    """

    record: Record
    options: Options
    retry_failed: bool = False
    timeout_s: float | None = None
    adopted: list[Row] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Lock the record and tidy up; see `Record.begin`."""
        self.record.begin(adopted=self.adopted, broken=self.broken)

    def done(self, images: Mapping[str, str], output_of: Callable[[str, str, int, int], str]) -> dict[str, DoneEntry]:
        """The entries of images that are certainly done, with one query of the record. `recalled` decides the others.

        Values of a row are only used if they are checked here, or equal what is there: they may come from an attacker.

        Args:
            images: the images as they were found, each by its path with the links in its folder resolved.
            output_of: returns the output's path in this run, from such a path, and the format and the input's size in a
                row.
        """
        done: dict[str, DoneEntry] = {}
        paths = {stored(path): path for path in images}
        for row in () if self.record.check_content else self.record.written_from(paths):
            input_key, output_key, format_name, height, width, output_height, output_width, *stamps = row
            sizes, path = (height, width, output_height, output_width), paths[input_key]
            if format_name not in FORMATS or not are_sides(*sizes):
                continue
            try:
                output = output_of(path, format_name, height, width)
            except ImageError:
                continue
            there = self.record.real_path(output)
            is_unchanged = stamps == [*(stamp_of(path) or ()), *(stamp_of(there) or ())]
            if is_unchanged and self.record.relative(there) == output_key:
                done[path] = DoneEntry(images[path], output, *sizes)
        return done

    def recalled(self, image: Path, output_of: Callable[[str, int, int], str]) -> Result | None:
        """The result of an image that need not be opened, because it is done or would fail again; None for others.

        Args:
            output_of: returns the output's path in this run, from the format and the input's size in a row.
        """
        for row in self.record.of_input(image):
            if row.status == "started":
                continue
            is_written = row.status == "written"
            settings = self.record.settings if is_written else self.record.conditions
            if row.settings != settings or self._input_change(row, image) is not None:
                continue
            output = output_of(row.format, row.height, row.width)
            if row.output != self.record.real_path(output):
                continue
            if is_written and stamp_of(row.output) == row.output_stamp:
                return _result(row, image, Path(output), "skipped")
            if not is_written and not self._may_pass(row):
                return _result(row, image, Path(output), "failed")
        return None

    def _may_pass(self, row: Row) -> bool:
        return self.retry_failed or row.may_pass or has_time(row.failure, self.timeout_s)

    def verdict(self, job: Job) -> Verdict:
        """What the record says about the output of a job for which `recalled` returned None."""
        row = self.record.of_output(job.output)
        if row is None:
            return UNKNOWN
        if row.status == "failed":
            return Verdict(reason="was not made: it failed before")
        stamp = stamp_of(row.output)
        if row.status == "started":
            return self._unfinished(row, job.input, stamp)
        if stamp is None:
            return Verdict(reason="is gone")
        return self._written(row, job.input, stamp)

    def _unfinished(self, row: Row, image: Path, stamp: Stamp | None) -> Verdict:
        if stamp is None:
            return Verdict(reason="was not finished")
        if stamp == row.output_stamp:  # the file that was to be replaced is still there
            return Verdict(is_stale=True, reason="was to be replaced, and was not")
        if not is_whole(row.output, row.format, (row.output_height, row.output_width), self.options):
            if stamp[0] == 0:  # on a file system without links, or after a power cut
                self.broken.append(row.output)
                return Verdict(is_free=True, reason="was left empty")
            # The record does not prove that a file was not put there by the user.
            return Verdict(is_stale=True, reason="was left unfinished by a killed run, or is another file")
        self.adopted.append(row)
        return self._written(replace(row, output_stamp=stamp), image, stamp)

    def _written(self, row: Row, image: Path, stamp: Stamp) -> Verdict:
        changes = self._changes(row, image, stamp)
        return Verdict(is_stale=True, reason=listed(changes, ", ")) if changes else Verdict(is_done=True)

    def _changes(self, row: Row, image: Path, output_stamp: Stamp) -> list[Text]:
        settings = settings_differences(row.settings, self.record.settings)
        altered = "was altered after it was written" if row.output_stamp != output_stamp else ""
        found = (settings and joined("was made with ", settings), self._input_change(row, image) or "", altered)
        return [change for change in found if change]

    def _input_change(self, row: Row, image: Path) -> str | None:
        stamp = stamp_of(image)
        if self.record.check_content and row.input_sha256 is not None and stamp is not None:
            same_size = row.input_stamp is not None and row.input_stamp[0] == stamp[0]
            is_same = same_size and sha256_of(image) == row.input_sha256
            return None if is_same else "was made before the input changed"
        if row.input != self.record.real_path(image):
            folder, name = os.path.split(row.input)
            return f"was made from {f'the one in {folder}' if name == image.name else row.input}"
        return None if row.input_stamp == stamp is not None else "was made before the input changed"


def has_time(failure: Failure | None, timeout_s: float | None) -> bool:
    """Whether an image failed only because of its timeout, and has more time now.

    Args:
        failure: the recorded failure.
        timeout_s: of this run; None for no limit.

    >>> late = Failure("timeout", "took too long", limit_s=0.5)
    >>> [has_time(late, timeout_s) for timeout_s in (0.4, 0.5, 0.6, None)]
    [False, False, True, True]
    """
    if failure is None or failure.kind != "timeout":
        return False
    return timeout_s is None or failure.limit_s is None or timeout_s > failure.limit_s


def _result(row: Row, image: Path, output: Path, status: Status) -> Result:
    sizes = row.height, row.width, row.output_height, row.output_width
    failure = row.failure if status == "failed" else None
    return Result(image, output, status, *sizes, failure=failure, was_done=status == "skipped")


def is_whole(output: str | os.PathLike[str], format_name: str, size: tuple[int, int], options: Options) -> bool:
    """Whether an output is whole. A file system without links, or a power cut, may leave an incomplete file.

    Args:
        size: (height, width) that it must have.
    """
    from upsample_cli.images.open import probe  # imports Pillow

    try:
        info = probe(output, max_pixels=max(options.max_pixels, size[0] * size[1]))
    except ImageError:
        return False
    return (info.format, info.height, info.width) == (format_name, *size)


def is_whole_output(job: Job, options: Options) -> bool:
    """Whether the file at the path of a job's output is whole."""
    return is_whole(job.output, job.format, job.size, options)


def open_resume(
    found: Sequence[Found],
    outputs: Outputs,
    options: Options,
    *,
    state: str | None = None,
    check_content: bool = False,
    retry_failed: bool = False,
    timeout_s: float | None = None,
    is_dry_run: bool = False,
) -> Resume | None:
    """The record of earlier runs into the same folder; None if there is neither `state` nor a folder for outputs only.

    Args:
        state: path of the record, as typed; None for the folder of the outputs.
        check_content: identify an input by the hash of its content if the hash is recorded.
        retry_failed, timeout_s: see `Resume`.
        is_dry_run: open a copy of the record; lock and change nothing.

    Raises:
        UsageError: if `state` cannot be the name of a record.
        RecordError: if the record cannot be used.
    """
    path = _record_path(found, outputs, options.output_size.label, state)
    if path is None:
        return None
    folders = _folders(found, outputs, options.output_size.label)
    record = Record(path, options, check_content=check_content, is_read_only=is_dry_run, folders=folders)
    return Resume(record, options, retry_failed, timeout_s)


def _folders(found: Sequence[Found], outputs: Outputs, label: str) -> set[Path]:
    """The top folders that a run writes to."""
    if outputs.folder is not None or outputs.file is not None:
        return {outputs.folder or Path(str(outputs.file)).parent}
    parents = {os.path.dirname(file.path) for file in found if file.folder is None}  # noqa: PTH120
    trees = {file.folder for file in found if file.folder is not None}
    return {Path(parent) for parent in parents} | {outputs.mirror(tree, label) for tree in trees}


def _record_path(found: Sequence[Found], outputs: Outputs, label: str, state: str | None) -> Path | None:
    """Path of the record: the one that the user gave, or one in the folder of the outputs if it is for outputs only."""
    if state is not None:
        path = Path(state)
        if not state or is_folder(path):
            cause = (Setting("state", repr(state)), " is not the name of a file")
            raise UsageError(cause, "give it one, such as run.sqlite")
        if format_of_path(path) is not None:
            cause = (Setting("state", state), " is named like an image")
            raise UsageError(cause, "give it another name, such as run.sqlite")
        return path
    if outputs.folder is not None:
        is_batch = len(found) > 1 or any(file.folder is not None for file in found)
        return outputs.folder / RECORD_NAME if is_batch else None
    folders = {file.folder for file in found}
    (folder,) = folders if len(folders) == 1 else (None,)
    return None if folder is None else outputs.mirror(folder, label) / RECORD_NAME
