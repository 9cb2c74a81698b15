"""The settings of one `upsample` call, checked together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upsample_cli.batch.interfaces import MAX_TIMEOUT_S
from upsample_cli.batch.memory import budget_bytes
from upsample_cli.batch.streams import is_output_streamed, is_streamed
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import UsageError
from upsample_cli.images.streams import leads_to

if TYPE_CHECKING:
    from upsample_cli.batch.record.resume import Resume


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of the command: the settings of the run as a whole.

    Args:
        inputs: as typed.
        output: `--output` as typed.
        options: settings that apply to every image.
        recursive: include subfolders.
        exclude: patterns of files and folders to leave out, as in a .gitignore file.
        workers: number of images to process at the same time; None for one per core.
        dry_run: only plan the run.
        as_json: print one document, not lines.
        quiet: print only errors.
        verbose: print a line for every image.
        debug: do not turn unexpected errors into results.
        timeout_s: time limit for each image, in seconds; None for no limit.
        state: path of the record, as typed; None for the output folder.
        no_state: neither read nor write a record.
        check_content: identify inputs by their content.
        retry_failed: retry images that failed in an earlier run.
        report: path of the report with a line for every image, as typed.
        gallery: path of the page that shows the images, as typed.
        cluster: address of a Dask scheduler; None for this machine.

    Raises:
        UsageError: if settings contradict each other, or a value is out of range.
    """

    inputs: Sequence[str]
    output: str | None
    options: Options
    recursive: bool = False
    exclude: Sequence[str] = ()
    workers: int | None = None
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    timeout_s: float | None = None
    state: str | None = None
    no_state: bool = False
    check_content: bool = False
    retry_failed: bool = False
    report: str | None = None
    gallery: str | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.no_state and (self.state is not None or self.check_content or self.retry_failed):
            raise UsageError(
                "--no-state means no record, and --state, --check-content and --retry-failed take one", "leave one out"
            )
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose are opposites", "leave one out")
        if self.state is not None and is_streamed(self.inputs, self.output):
            raise UsageError("--state cannot be combined with -", "leave it out: a piped image has no record")
        if self.options.keep_times and is_streamed(self.inputs, self.output):
            raise UsageError("--keep-times cannot be combined with -", "leave it out: a pipe has no times")
        if self.exclude and is_streamed(self.inputs, self.output):
            raise UsageError("--exclude leaves out files, and cannot be combined with -", "leave it out")
        if self.cluster is not None:
            self._check_cluster()
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"{self.workers} workers do nothing", "give --workers 1 or more")
        if self.timeout_s is not None and not 0 < self.timeout_s <= MAX_TIMEOUT_S:
            cause = "leaves no time" if self.timeout_s <= 0 else "cannot be waited for"
            bounds = f"more than 0, {MAX_TIMEOUT_S:,} at the most"
            raise UsageError(f"--timeout {self.timeout_s:g} {cause}", f"give it seconds, {bounds}")
        if self.output == "":
            raise UsageError("--output has no name", "give it a file or a folder, or leave it out")
        if self.pipes_image and self.as_json:
            raise UsageError("--json and the image would both be written to standard output", "give --output a file")
        for option, name in (("--report", self.report), ("--gallery", self.gallery)):
            if name is not None:
                self._check_file(option, name)

    def _check_file(self, option: str, name: str) -> None:
        if name in {"", "-"}:
            raise UsageError(f"{option} {name!r} is not the name of a file", "give it one")
        if self.dry_run:
            raise UsageError(f"{option} writes a file, and --dry-run writes nothing", "use --json")
        if (self.as_json or self.pipes_image) and leads_to(sys.stdout, Path(name)):
            other = "--json" if self.as_json else "the image"
            cause = f"{option} {name} is standard output, to which {other} is written"
            raise UsageError(cause, "give it another name")
        if option == "--gallery" and is_streamed(self.inputs, self.output):
            raise UsageError("--gallery shows files, and - is not a file", "name files")

    def _check_cluster(self) -> None:
        if not self.cluster:
            raise UsageError("--cluster has no address", "give the scheduler's, such as tcp://host:8786")
        if self.options.model is not None:
            raise UsageError("--model cannot be combined with --cluster", "enlarge with a network on this machine")
        if self.workers is not None:
            raise UsageError("--workers cannot be combined with --cluster", "leave it out: a cluster has its own")
        if is_streamed(self.inputs, self.output):
            raise UsageError("--cluster cannot be combined with -", "name files that all machines share")

    def own_files(self, resume: Resume | None) -> dict[str, Path]:
        """Files of the run itself, such as the report, by the name of their setting."""
        record = None if resume is None else resume.record.path
        named = {"state": record, "report": self.report, "gallery": self.gallery}
        return {setting: Path(path) for setting, path in named.items() if path is not None}

    @property
    def budget_bytes(self) -> int | None:
        """Memory of this machine for unfinished images; None for no limit, or if they run on a cluster."""
        return None if self.cluster else budget_bytes(self.options)

    @property
    def pipes_image(self) -> bool:
        """Whether an image is written to standard output."""
        return is_output_streamed(self.inputs, self.output) and not self.dry_run
