"""The `upsample` command: parse, call, report."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console

from upsample_cli.batch.find import find_inputs
from upsample_cli.batch.jobs import Entry, plan_run, target_of
from upsample_cli.batch.run import run_entries
from upsample_cli.batch.streams import is_output_streamed, is_streamed, plan_stream
from upsample_cli.cli import door
from upsample_cli.cli.options import APP_SETTINGS, Debug, version_printer
from upsample_cli.cli.progress import Bars
from upsample_cli.cli.report import Report
from upsample_cli.cores import core_count
from upsample_cli.errors import UsageError
from upsample_cli.job import Options, Result
from upsample_cli.kernels import KERNELS, MAX_FACTOR
from upsample_cli.pictures.formats import DEFAULT_MAX_PIXELS, FORMATS
from upsample_cli.pictures.streams import picture_pipe
from upsample_cli.plan import BORDERS
from upsample_cli.quantities import parse_quantity

if TYPE_CHECKING:
    from upsample_cli.engine import Settings

app = typer.Typer(**APP_SETTINGS)


def main() -> None:
    """Entry point of the `upsample` script."""
    door.run(app, "upsample")


@app.command(no_args_is_help=True)
def upsample(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUTS", help="Pictures, folders or patterns; - for standard input.")
    ],
    factor: Annotated[int, typer.Option("-f", "--factor", metavar="N", help=f"Whole factor, 1 to {MAX_FACTOR}.")] = 2,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A file for one picture, else a folder; - for standard output. Default: NAME_x2.EXT beside the input, "
            "for a folder its mirror FOLDER_x2, and for standard input standard output.",
        ),
    ] = None,
    kernel: Annotated[str, typer.Option(metavar="NAME", help=f"{', '.join(KERNELS)}.")] = "bilinear",
    border: Annotated[
        str,
        typer.Option(
            metavar="MODE", help=f"What lies outside the picture: {', '.join(BORDERS)} (zeros darkens the rim)."
        ),
    ] = "replicate",
    alpha: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="premultiplied: colour hidden under transparency does not bleed. straight: alpha is one more channel, "
            "and hidden colour is kept.",
        ),
    ] = "premultiplied",
    depth: Annotated[
        str,
        typer.Option(
            metavar="BITS",
            help="Bits per channel of the output: keep (the input's), 8 or 16. Of floating point, 0 to 1 is taken for "
            "black to white.",
        ),
    ] = "keep",
    metadata: Annotated[
        str,
        typer.Option(
            metavar="POLICY",
            help="keep: all that the output can hold. strip: the colour profile alone. orientation-only: also the EXIF "
            "line that says the picture is upright.",
        ),
    ] = "keep",
    linear_light: Annotated[
        bool,
        typer.Option(
            "--linear-light",
            help="Mix amounts of light, by the colour profile or as sRGB: thin bright lines keep their strength.",
        ),
    ] = False,
    frame: Annotated[
        int | None,
        typer.Option(metavar="N", help="One frame or page, counted from 1. Default: all that the output can hold."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Budget for the convolution's working memory, such as 500M or 2G."),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tile size in input pixels, instead of --memory. Never changes a pixel."),
    ] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Take the subfolders of a folder too.")] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Pictures in flight at once. Default: one per core.")
    ] = None,
    format: Annotated[  # noqa: A002  -- a flag is called what its parameter is called
        str | None,
        typer.Option(metavar="EXT", help=f"Output format, if not the input's: {', '.join(FORMATS)}."),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Of the encoder; compression level where nothing is lost. "
            + ", ".join(
                f"{f.name} {f.quality_range[0]} to {f.quality_range[1]}" for f in FORMATS.values() if f.quality_range
            )
            + ".",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where something would be lost, instead of warning.")
    ] = False,
    max_pixels: Annotated[
        str, typer.Option(metavar="COUNT", help="Largest input accepted, such as 500M or 2G pixels.")
    ] = f"{DEFAULT_MAX_PIXELS // 10**6}M",
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Show what would be done, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="A line for every picture.")] = False,
    debug: Debug = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=version_printer("upsample"), is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Enlarge pictures exactly, with a bilinear transposed convolution.

    \b
    Examples:
      upsample photo.jpg                      photo_x2.jpg, twice as wide and high
      upsample photo.jpg -f 4 -o large.png    four times, as PNG
      upsample shots/ -r -o big/              every picture of a tree, mirrored below big/
      upsample shots/ --dry-run               what would be done
      curl URL | upsample - > large.jpg       from a pipe, into one
    """
    options = Options(
        factor=factor,
        kernel=kernel,
        border=border,  # type: ignore[arg-type]  # checked by Options
        alpha=alpha,  # type: ignore[arg-type]
        metadata=metadata,  # type: ignore[arg-type]
        linear_light=linear_light,
        frame=frame,
        depth=depth,  # type: ignore[arg-type]
        device=device,
        memory_bytes=parse_quantity(memory, "--memory") if memory is not None else None,
        tile=tile,
        format=format,
        quality=quality,
        overwrite=overwrite,
        strict=strict,
        max_pixels=parse_quantity(max_pixels, "--max-pixels"),
    )
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers do nothing", "give --workers 1 or more")
    start_s = time.perf_counter()
    pipes_picture = is_output_streamed(inputs, output) and not dry_run
    if pipes_picture and json:
        raise UsageError("--json and the picture would both be written to standard output", "give --output a file")
    entries = _planned(inputs, output, options, recursive, picture_pipe(sys.stdout) if pipes_picture else None)
    # "a:x:.png" is a name
    out, messages = (Console(stderr=is_stderr, emoji=False) for is_stderr in (pipes_picture, True))
    report = Report(out, messages, len(entries), verbose=verbose, quiet=quiet, as_json=json)
    if dry_run:
        for entry in entries:
            report.add(entry.result)
    else:
        _run(entries, options, workers or core_count(), report, debug)
    report.close(options, _device_name(options, report.results), time.perf_counter() - start_s)
    raise typer.Exit(report.exit_status)


def _planned(
    inputs: list[str], output: str | None, options: Options, recursive: bool, stdout: BinaryIO | None
) -> list[Entry]:
    if output == "":
        raise UsageError("--output has no name", "give it a file or a folder, or leave it out")
    if is_streamed(inputs, output):
        return plan_stream(inputs, output, options, stdin=sys.stdin, stdout=stdout)
    found = list(find_inputs(inputs, recursive=recursive, exclude=Path(output) if output else None))
    if not found:
        deeper = "" if recursive else ", or -r to look in their subfolders"
        raise UsageError(f"no pictures in {', '.join(inputs)}", f"name pictures or folders that hold some{deeper}")
    return plan_run(found, target_of(output, found), options)


def _run(entries: list[Entry], options: Options, workers: int, report: Report, debug: bool) -> None:
    jobs = [entry.job for entry in entries if entry.job is not None]
    if jobs:
        # Importing torch takes longer than decoding a picture: start it now, so that both go on at once.
        threading.Thread(target=importlib.import_module, args=("upsample_cli.engine",), daemon=True).start()
        if options.device not in ("auto", "cpu"):
            _settings(options)  # a device that is not there ends the run before its first picture
    bars = Bars(report.messages, jobs, options, is_shown=not report.quiet)
    results = run_entries(entries, options, workers=workers, watcher=bars, debug=debug)
    with bars, contextlib.closing(results):
        for result in results:
            report.add(result)
    order = {entry.result.input: index for index, entry in enumerate(entries)}
    report.results.sort(key=lambda result: order[result.input])


def _device_name(options: Options, results: list[Result]) -> str:
    """The device the run used: "auto" is resolved only if a picture was enlarged, as it takes torch to know."""
    return str(_settings(options).device) if any(r.status == "written" for r in results) else options.device


def _settings(options: Options) -> Settings:
    from upsample_cli.pipeline import engine_settings  # it takes torch

    return engine_settings(options)
