"""The `upsample` command: its options. What is done with them is in `cli.run_upsample`."""

from __future__ import annotations

from typing import Annotated

import typer

from upsample_cli.cli import error_handler
from upsample_cli.cli.options import (
    APP_SETTINGS,
    Debug,
    batch_option,
    messages_option,
    output_option,
    pixels_option,
    speed_option,
    version_printer,
)
from upsample_cli.cli.report.gallery import MAX_IMAGES
from upsample_cli.cli.run import Request, run_upsample
from upsample_cli.cli.watch import watch_upsample
from upsample_cli.enlarge.job import options_of
from upsample_cli.enlarge.names import DEFAULT_NAME, NameFields
from upsample_cli.geometry.output_size import parsed_size
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.geometry.tiles import BORDERS
from upsample_cli.images.formats import DEFAULT_MAX_PIXELS, FORMATS
from upsample_cli.images.limits import MANY
from upsample_cli.kernels.kernel import KERNEL_NAMES
from upsample_cli.text import parse_quantity, parse_seconds

app = typer.Typer(**APP_SETTINGS)


def main() -> None:
    """Entry point of the `upsample` script."""
    error_handler.run(app, "upsample")


@app.command(no_args_is_help=True)
def upsample(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUTS", help="Images, folders or patterns; - for standard input.")
    ],
    factor: Annotated[
        str | None,
        typer.Option(
            "-f",
            "--factor",
            metavar="N",
            help=f"Times as wide and high, 1 to {MAX_FACTOR}: 2, 1.5 or 4/3. Default 2. Or one of the next four:",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Exactly this size, width first, such as 3840x2160. Another shape is stretched."
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option(metavar="N", help="This many pixels wide; the height follows the proportion.")
    ] = None,
    height: Annotated[
        int | None, typer.Option(metavar="N", help="This many pixels high; the width follows the proportion.")
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="The largest size of the same proportion within this box, width first. All four also reduce what is "
            "larger.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A file for one image, else a folder; - for standard output. Default: NAME_x2.EXT beside the input "
            "(NAME_1920x1080.EXT where a size is given), for a folder its mirror FOLDER_x2, and for standard input "
            "standard output.",
        ),
    ] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Take the subfolders of a folder too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Show what would be done, and do nothing.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=version_printer("upsample"), is_eager=True, help="Show the version.")
    ] = False,
    format: Annotated[  # noqa: A002  -- a flag is called what its parameter is called
        str | None,
        output_option(metavar="EXT", help=f"Output format, if not the input's: {', '.join(FORMATS)}."),
    ] = None,
    quality: Annotated[
        int | None,
        output_option(
            metavar="N",
            help="Of the encoder; compression level where nothing is lost. "
            + ", ".join(
                f"{f.name} {f.quality_range[0]} to {f.quality_range[1]}" for f in FORMATS.values() if f.quality_range
            )
            + ".",
        ),
    ] = None,
    metadata: Annotated[
        str,
        output_option(
            metavar="POLICY",
            help="keep: all that the output can hold. strip: the colour profile alone. orientation-only: also the EXIF "
            "line that says the image is upright.",
        ),
    ] = "keep",
    name: Annotated[
        str,
        output_option(
            metavar="TEMPLATE",
            help=f"Names of outputs, from {', '.join(f'{{{each}}}' for each in NameFields.__slots__)}; / makes "
            "subfolders, {index:05} pads a number. {parent} is the name of the input's folder; -r mirrors the tree "
            "without it.",
        ),
    ] = DEFAULT_NAME,
    strict: Annotated[
        bool, output_option("--strict", help="Fail where something would be lost, instead of warning.")
    ] = False,
    kernel: Annotated[
        str,
        pixels_option(
            metavar="NAME or FILE[:KEY]",
            help=f"{', '.join(KERNEL_NAMES)}; or a ConvTranspose2d weight of your own (.safetensors, .pt, .pth, .npy).",
        ),
    ] = "bilinear",
    border: Annotated[
        str,
        pixels_option(
            metavar="MODE", help=f"What lies outside the image: {', '.join(BORDERS)} (zeros darkens the rim)."
        ),
    ] = "replicate",
    alpha: Annotated[
        str,
        pixels_option(
            metavar="MODE",
            help="premultiplied: colour hidden under transparency does not bleed. straight: alpha is one more channel, "
            "and hidden colour is kept.",
        ),
    ] = "premultiplied",
    depth: Annotated[
        str,
        pixels_option(
            metavar="BITS",
            help="Bits per channel of the output: keep (the input's), 8 or 16. Of floating point, 0 to 1 is taken for "
            "black to white.",
        ),
    ] = "keep",
    linear_light: Annotated[
        bool,
        pixels_option(
            "--linear-light",
            help="Mix amounts of light, by the colour profile or as sRGB: thin bright lines keep their strength.",
        ),
    ] = False,
    frame: Annotated[
        int | None,
        pixels_option(metavar="N", help="One frame or page, counted from 1. Default: all that the output can hold."),
    ] = None,
    workers: Annotated[
        int | None, speed_option(metavar="N", help="Images in flight at once. Default: one per core.")
    ] = None,
    timeout: Annotated[
        str | None,
        speed_option(metavar="SECONDS", help="An image that takes longer fails, and the others go on."),
    ] = None,
    device: Annotated[str, speed_option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    memory: Annotated[
        str | None,
        speed_option(
            metavar="SIZE",
            help="Budget for the images in flight and the convolution's tiles, such as 500M or 8G. Default: half of "
            "what is available.",
        ),
    ] = None,
    tile: Annotated[
        int | None,
        speed_option(metavar="N", help="Tile size in input pixels, instead of --memory. Never changes a pixel."),
    ] = None,
    max_pixels: Annotated[
        str,
        speed_option(
            metavar="COUNT",
            help=f"Largest input accepted, such as 500M or 2G pixels; frames or pages together: {MANY} times as many.",
        ),
    ] = f"{DEFAULT_MAX_PIXELS // 10**6}M",
    watch: Annotated[
        bool,
        batch_option("--watch", help="Take new images of a folder as they arrive and settle, until stopped (Ctrl-C)."),
    ] = False,
    state: Annotated[
        str | None,
        batch_option(
            metavar="PATH",
            help="Record of what is done, so that a run started again goes on. Default: .upsample.sqlite in the folder "
            "that the outputs have to themselves.",
        ),
    ] = None,
    no_state: Annotated[bool, batch_option("--no-state", help="Keep no record.")] = False,
    retry_failed: Annotated[
        bool, batch_option("--retry-failed", help="Try again what failed in an earlier run, and has not changed.")
    ] = False,
    check_content: Annotated[
        bool,
        batch_option("--check-content", help="Know inputs by a hash of their content, not by size and time."),
    ] = False,
    cluster: Annotated[
        str | None,
        batch_option(
            metavar="ADDRESS",
            help="Enlarge on the workers of a Dask cluster, of which this is the scheduler's address, such as "
            "tcp://host:8786. They need this package, and share the folders.",
        ),
    ] = None,
    json: Annotated[bool, messages_option("--json", help="Print one JSON document.")] = False,
    report: Annotated[
        str | None,
        messages_option(
            metavar="FILE.jsonl",
            help="Append a line of JSON for every image as it ends. Started again, the same file goes on: of two "
            "lines about one input the later holds.",
        ),
    ] = None,
    gallery: Annotated[
        str | None,
        messages_option(
            metavar="FILE.html",
            help=f"A page that shows up to {MAX_IMAGES} images before and after, in one file that loads nothing.",
        ),
    ] = None,
    quiet: Annotated[bool, messages_option("-q", "--quiet", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, messages_option("-v", "--verbose", help="A line for every image.")] = False,
    debug: Debug = False,
) -> None:
    """Enlarge images exactly, with a bilinear transposed convolution.

    \b
    Examples:
      upsample photo.jpg                      photo_x2.jpg, twice as wide and high
      upsample photo.jpg -f 4 -o large.png    four times, as PNG
      upsample shots/ --fit 3840x2160         as large as the screen
      upsample shots/ -r -o big/              every image of a tree, mirrored below big/
      upsample shots/ --dry-run               what would be done
      upsample --watch scans/ -o big/         images as they arrive
      curl URL | upsample - > large.jpg       from a pipe, into one
    """
    options = options_of(
        factor,
        size=parsed_size(size, "--size") if size is not None else None,
        width=width,
        height=height,
        fit=parsed_size(fit, "--fit") if fit is not None else None,
        kernel=kernel,
        border=border,
        alpha=alpha,
        metadata=metadata,
        linear_light=linear_light,
        frame=frame,
        depth=depth,
        device=device,
        memory_bytes=parse_quantity(memory, "--memory") if memory is not None else None,
        tile=tile,
        format=format,
        quality=quality,
        overwrite=overwrite,
        strict=strict,
        name=name,
        max_pixels=parse_quantity(max_pixels, "--max-pixels"),
    )
    request = Request(
        inputs=inputs,
        output=output,
        options=options,
        recursive=recursive,
        workers=workers,
        timeout_s=parse_seconds(timeout, "--timeout") if timeout is not None else None,
        state=state,
        no_state=no_state,
        check_content=check_content,
        retry_failed=retry_failed,
        dry_run=dry_run,
        as_json=json,
        report=report,
        gallery=gallery,
        cluster=cluster,
        quiet=quiet,
        verbose=verbose,
        debug=debug,
    )
    raise typer.Exit(watch_upsample(request) if watch else run_upsample(request))
