"""The options of `upsample`, each declared once, and their conversion to fields of `Options` and `Request`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Annotated, Any

import typer

from upsample_cli.cli.options import version_printer
from upsample_cli.cli.report import MAX_GALLERY_IMAGES
from upsample_cli.enlarge.names import NameFields
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.geometry.output_size import parsed_size
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.limits import MANY
from upsample_cli.kernels.kernel import KERNEL_NAMES
from upsample_cli.text import parse_quantity, parse_seconds

# Each declares options under one heading of the help. Everyday options have no heading.
_output_option = partial(typer.Option, rich_help_panel="Output")
_pixels_option = partial(typer.Option, rich_help_panel="Pixels")
_speed_option = partial(typer.Option, rich_help_panel="Speed and memory")
_batch_option = partial(typer.Option, rich_help_panel="Batch")
_messages_option = partial(typer.Option, rich_help_panel="Messages")

Inputs = Annotated[
    list[str], typer.Argument(metavar="INPUTS", help="Images, folders or patterns; - for standard input.")
]
Factor = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--factor",
        metavar="N",
        help=f"Times as wide and high, 1 to {MAX_FACTOR}: 2, 1.5 or 4/3. Default 2. Or one of the next four:",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="Exactly this size, width first, such as 3840x2160. Another shape is stretched."),
]
Width = Annotated[
    int | None, typer.Option(metavar="N", help="This many pixels wide; the height follows the proportion.")
]
Height = Annotated[
    int | None, typer.Option(metavar="N", help="This many pixels high; the width follows the proportion.")
]
Fit = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        help="The largest size of the same proportion within this box, width first. All four also reduce what is "
        "larger.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="A file for one image, else a folder; - for standard output. Default: NAME_x2.EXT next to the input "
        "(NAME_1920x1080.EXT where a size is given), for a folder its mirror FOLDER_x2, and for standard input "
        "standard output.",
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Take the subfolders of a folder too.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Show what would be done, and do nothing.")]
Version = Annotated[
    bool, typer.Option("--version", callback=version_printer("upsample"), is_eager=True, help="Show the version.")
]
Format = Annotated[
    str | None,
    _output_option(metavar="EXT", help=f"Output format, if not the input's: {', '.join(FORMATS)}."),
]
Quality = Annotated[
    int | None,
    _output_option(
        metavar="N",
        help="Of the encoder; compression level where nothing is lost. "
        + ", ".join(
            f"{format_.name} {format_.quality_range[0]} to {format_.quality_range[1]}"
            for format_ in FORMATS.values()
            if format_.quality_range
        )
        + ".",
    ),
]
Metadata = Annotated[
    str,
    _output_option(
        metavar="POLICY",
        help="keep: all that the output can hold. strip: the colour profile alone. orientation-only: also the EXIF "
        "line that says the image is upright.",
    ),
]
Name = Annotated[
    str,
    _output_option(
        metavar="TEMPLATE",
        help=f"Names of outputs, from {', '.join(f'{{{field}}}' for field in NameFields.__slots__)}; / makes "
        "subfolders, {index:05} pads a number. {parent} is the name of the input's folder; -r mirrors the tree "
        "without it.",
    ),
]
Strict = Annotated[bool, _output_option("--strict", help="Fail where something would be lost, instead of warning.")]
Kernel = Annotated[
    str,
    _pixels_option(
        metavar="NAME or FILE[:KEY]",
        help=f"{', '.join(KERNEL_NAMES)}; or a ConvTranspose2d weight of your own (.safetensors, .pt, .pth, .npy).",
    ),
]
Border = Annotated[
    str,
    _pixels_option(metavar="MODE", help=f"What is outside the image: {', '.join(BORDERS)} (zeros darkens the rim)."),
]
Alpha = Annotated[
    str,
    _pixels_option(
        metavar="MODE",
        help="premultiplied: colour hidden under transparency does not bleed. straight: alpha is one more channel, "
        "and hidden colour is kept.",
    ),
]
Depth = Annotated[
    str,
    _pixels_option(
        metavar="BITS",
        help="Bits per channel of the output: keep (the input's), 8 or 16. Of floating point, 0 to 1 is taken for "
        "black to white.",
    ),
]
LinearLight = Annotated[
    bool,
    _pixels_option(
        "--linear-light",
        help="Mix amounts of light, by the colour profile or as sRGB: thin bright lines keep their strength.",
    ),
]
Frame = Annotated[
    int | None,
    _pixels_option(metavar="N", help="One frame or page, counted from 1. Default: all that the output can hold."),
]
Workers = Annotated[int | None, _speed_option(metavar="N", help="Images in flight at once. Default: one per core.")]
TimeoutS = Annotated[
    str | None,
    _speed_option("--timeout", metavar="SECONDS", help="An image that takes longer fails, and the others go on."),
]
Device = Annotated[str, _speed_option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
Engine = Annotated[
    str,
    _speed_option(
        metavar="NAME",
        help="auto: the fastest route that gives the layer's pixels. layer: the layer itself. compiled: the compiled "
        "route, or an error.",
    ),
]
MemoryBytes = Annotated[
    str | None,
    _speed_option(
        "--memory",
        metavar="SIZE",
        help="Budget for the images in flight and the convolution's tiles, such as 500M or 8G. Default: half of "
        "what is available.",
    ),
]
Tile = Annotated[
    int | None,
    _speed_option(metavar="N", help="Tile size in input pixels, instead of --memory. Never changes a pixel."),
]
MaxPixels = Annotated[
    str,
    _speed_option(
        metavar="COUNT",
        help=f"Largest input accepted, such as 500M or 2G pixels; frames or pages together: {MANY} times as many.",
    ),
]
Watch = Annotated[
    bool,
    _batch_option("--watch", help="Take new images of a folder as they arrive and settle, until stopped (Ctrl-C)."),
]
State = Annotated[
    str | None,
    _batch_option(
        metavar="PATH",
        help="Record of what is done, so that a run started again goes on. Default: .upsample.sqlite in the folder "
        "that the outputs have to themselves.",
    ),
]
NoState = Annotated[bool, _batch_option("--no-state", help="Keep no record.")]
RetryFailed = Annotated[
    bool, _batch_option("--retry-failed", help="Try again what failed in an earlier run, and has not changed.")
]
CheckContent = Annotated[
    bool,
    _batch_option("--check-content", help="Know inputs by a hash of their content, not by size and time."),
]
Cluster = Annotated[
    str | None,
    _batch_option(
        metavar="ADDRESS",
        help="Enlarge on the workers of a Dask cluster, of which this is the scheduler's address, such as "
        "tcp://host:8786. They need this package, and share the folders.",
    ),
]
AsJson = Annotated[bool, _messages_option("--json", help="Print one JSON document.")]
Report = Annotated[
    str | None,
    _messages_option(
        metavar="FILE.jsonl",
        help="Append a line of JSON for every image as it ends. Started again, the same file goes on: of two "
        "lines about one input the later holds.",
    ),
]
Gallery = Annotated[
    str | None,
    _messages_option(
        metavar="FILE.html",
        help=f"A page that shows up to {MAX_GALLERY_IMAGES} images before and after, in one file that loads nothing.",
    ),
]
Quiet = Annotated[bool, _messages_option("-q", "--quiet", help="Say nothing but errors.")]
Verbose = Annotated[bool, _messages_option("-v", "--verbose", help="A line for every image.")]

_PARSERS: dict[str, Callable[[str], Any]] = {
    "size": partial(parsed_size, option="--size"),
    "fit": partial(parsed_size, option="--fit"),
    "memory_bytes": partial(parse_quantity, option="--memory"),
    "max_pixels": partial(parse_quantity, option="--max-pixels"),
    "timeout_s": partial(parse_seconds, option="--timeout"),
}
"""The parsers of options that are given as text, by the name of the field."""


def field_values(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values for the fields of a dataclass, from parameters of the command with the same names.

    Raises:
        UsageError: if a text cannot be parsed.

    >>> from upsample_cli.enlarge.options import Options
    >>> field_values(Options, {"fit": "640x480", "tile": None, "quiet": True})
    {'tile': None, 'fit': (480, 640)}
    """
    return {
        name: _PARSERS[name](given[name]) if name in _PARSERS and given[name] is not None else given[name]
        for name in (field.name for field in fields(kind))
        if name in given
    }
