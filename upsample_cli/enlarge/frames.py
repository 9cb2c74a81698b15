"""The frames or pages of one file, each enlarged like a separate image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from upsample_cli.enlarge.job import OnRows
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.prepared import prepared
from upsample_cli.enlarge.resolve import check_strict, resolve
from upsample_cli.enlarge.rows import FileRun, enlarge_rows
from upsample_cli.errors import ImageError, Loss, Setting, joined
from upsample_cli.images.formats import format_named
from upsample_cli.images.interfaces import FrameWriter, Source
from upsample_cli.images.metadata.policy import under_policy
from upsample_cli.images.model import Frames
from upsample_cli.images.open import open_animation, open_pages
from upsample_cli.images.open_frames import lost_page
from upsample_cli.images.output_form import lost_duration


def enlarge_frames(
    run: FileRun, writer: FrameWriter, frames: Frames, images: Iterable[tuple[Source, Fraction] | Loss], on_rows: OnRows
) -> list[Loss]:
    """Enlarge the frames or pages in order. Each is resolved when its header is read. Returns the losses.

    A page that cannot be read is a loss, unless no page can be read. `on_rows` gets the rows of all frames divided by
    the number of frames, so that the file counts as one image.
    """
    job, options, fmt = run.job, run.options, format_named(run.job.format)
    losses, written, described, fault = dict[Loss, None](), 0, False, None
    on_frame_rows = _divided(on_rows, frames.count)
    for number, image in enumerate(images, start=1):
        if isinstance(image, Loss):
            losses[image] = None
            check_strict(job.input, tuple(losses), options)
            _check_described(job.input, described, image)
            continue
        source, duration_ms = image
        with source:
            info, metadata = under_policy(source.info, source.metadata, options.metadata, dpi=options.dpi)
            resolved = resolve(job.input, info, metadata, fmt, options, job.output)
            found = dict.fromkeys((*resolved.losses, *lost_duration(duration_ms, fmt)))
            check_strict(job.input, (*losses, *found), options)
            try:
                made = prepared(job.input, info, metadata, resolved, options, run.settings)
                sink = writer.frame(**made.image, duration_ms=duration_ms)
                found |= dict.fromkeys(enlarge_rows(run, source, sink, made, on_frame_rows))
            except ImageError as error:
                if frames.kind != "pages":
                    raise
                lost = lost_page(error, number, frames.count)
                _check_described(job.input, described, lost)
                fault, found = fault or error, {lost: None}
                check_strict(job.input, (*losses, *found), options)
            else:
                written += 1
                described = described or (metadata.tags is not None and metadata.tags.describe_pages)
        losses |= found
    if not written and fault is not None:
        raise fault
    writer.finish()
    return list(losses)


def _divided(on_rows: OnRows, count: int) -> OnRows:
    """A function that calls `on_rows` with its rows divided by `count`. Remainders are added up."""
    done = reported = 0

    def on_frame_rows(rows: int) -> None:
        nonlocal done, reported
        done += rows
        on_rows(done // count - reported)
        reported = done // count

    return on_frame_rows


def _check_described(path: Path, is_described: bool, lost: Loss) -> None:
    """Refuse to leave out a page if the metadata that was already written describes all pages.

    Raises:
        ImageError: if it does.
    """
    if is_described:
        strip = Setting("metadata", "strip")
        cause = joined(lost.text, ", and the first page describes it")
        raise ImageError(path, cause, ("give ", strip, " to leave out the description"))


def images_of(file: BinaryIO, options: Options, frames: Frames) -> Iterator[tuple[Source, Fraction] | Loss]:
    """Yield each frame or page of the input, or the loss of a page. Requesting the next one closes the last one."""
    if frames.kind == "animation":
        yield from open_animation(file, max_pixels=options.max_pixels)
    else:
        for page in open_pages(file, frames.count, max_pixels=options.max_pixels):
            yield page if isinstance(page, Loss) else (page, Fraction(0))
