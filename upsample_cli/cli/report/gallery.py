"""`--gallery`: a page that shows each image before and after, prepared during the run."""

from __future__ import annotations

import shutil
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.opened import OpenedFile, open_no_link, opened
from upsample_cli.atomic.writing_errors import OTHER_TEMPORARY_FOLDER, TEMPORARY_FOLDER, system_cause
from upsample_cli.cli.report import MAX_GALLERY_IMAGES, gallery_page
from upsample_cli.cli.report.json_lines import check_folder, check_link, unwritable
from upsample_cli.cli.report.summary import Summary
from upsample_cli.cli.spelling import error_line, sentence
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import OutputExistsError, UpsampleError, UsageError

if TYPE_CHECKING:
    from upsample_cli.images.preview import Preview

MAX_FAILURES = 1000


class _NotYetError(Exception):
    """Ends a trial write before the file is put in place."""


class Gallery:
    """Collects images for a page in a temporary file, in a separate thread; a context manager.

    Args:
        path: path of the page; its folder must exist. A page of an earlier run is replaced; any other file is replaced
            only if `options.overwrite` is set.
        options: the options of the run.

    Raises:
        UsageError: if the page cannot be written.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self._path, self._options = path, options
        self._shown = 0
        self._sources: list[OpenedFile] = []
        self._failures: list[str] = []
        self._lost: OSError | None = None
        """Why an article is incomplete."""
        check_folder("--gallery", path)
        check_link("--gallery", path)  # for its message, which names the option
        self._may_replace = options.overwrite or _is_page(path)
        _check_writable(path, overwrite=self._may_replace)
        self._articles = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="upsample-gallery")

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._maker.shutdown(cancel_futures=True)
        self._articles.close()

    def add(self, result: Result) -> None:
        """Add an image, unless the page is full."""
        if result.status == "failed":
            if len(self._failures) < MAX_FAILURES:
                self._failures.append(error_line(result) or "")
        elif self._shown < MAX_GALLERY_IMAGES:
            self._shown += 1
            self._maker.submit(self._make, result)

    def write(self, summary: Summary, elapsed_s: float) -> UpsampleError | None:
        """Wait for the last image, and write the page. Return the error if the page cannot be written."""
        self._maker.shutdown()
        lines = list(summary.lines(elapsed_s))
        if (left_out := sum(summary.counts.values()) - summary.counts["failed"] - self._shown) > 0:
            lines.append(f"{left_out:,} more images are not shown: a page holds {MAX_GALLERY_IMAGES}.")
        if (silent := summary.counts["failed"] - len(self._failures)) > 0:
            lines.append(f"{silent:,} more failures are not listed: a page holds {MAX_FAILURES:,}.")
        if self._lost is not None:
            cause = f"{self._path}: cannot be collected in {TEMPORARY_FOLDER}: {system_cause(self._lost)}"
            return UsageError(cause, OTHER_TEMPORARY_FOLDER)
        try:
            with new_file(self._path, overwrite=self._may_replace, sources=self._sources, follow=False) as page:
                page.write(gallery_page.head(self._options, lines, self._failures).encode())
                self._articles.seek(0)
                shutil.copyfileobj(self._articles, page)
                page.write(gallery_page.FOOT.encode())
        except UpsampleError as error:
            return unwritable("--gallery", self._path, error)
        return None

    def _make(self, result: Result) -> None:
        shown, excuse = self._preview(result)
        article = gallery_page.article(result, shown, excuse).encode()
        try:
            self._articles.write(article)
        except OSError as error:
            self._lost = error

    def _preview(self, result: Result) -> tuple[Preview | None, str]:
        from upsample_cli.images.codecs.input_file import regular_file
        from upsample_cli.images.preview import preview  # imports Pillow and numpy

        if result.status != "written" and not result.was_done:
            return (
                None,
                f"{result.output}: is not shown: it was there before, and the record does not know it",
            )
        output, shape = Path(result.output or ""), (result.output_height or 0, result.output_width or 0)
        try:
            with regular_file(result.input) as before, regular_file(output, follow=False) as after:
                self._sources += [opened(result.input, before), opened(output, after)]
                return preview(before, after, shape, frame=self._options.frame), ""
        except UpsampleError as error:
            return None, sentence(error.failure)
        except (OSError, ValueError, MemoryError) as error:  # a page without this image is better than no page
            return None, f"{result.output}: cannot be shown: {type(error).__name__}"


def _is_page(path: Path) -> bool:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        with open(path, "rb", opener=open_no_link) as file:
            return file.read(len(gallery_page.START)) == gallery_page.START.encode()
    except (OSError, ValueError):
        return False


def _check_writable(path: Path, *, overwrite: bool) -> None:
    try:
        with suppress(_NotYetError), new_file(path, overwrite=overwrite, follow=False):
            raise _NotYetError
    except OutputExistsError as error:
        raise UsageError(f"{path} exists already", "give --gallery another name, or add --overwrite") from error
    except (UpsampleError, OSError) as error:
        raise unwritable("--gallery", path, error) from error
