"""The options of `upsample` about each image. Each option is declared once.

`upsample_run_options.py` has those about the run; `option_values.py` makes fields of `Options` and `Request` of both.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from upsample_cli.cli.options import version_printer
from upsample_cli.enlarge.names import NameFields
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.geometry.print_size import MAX_DPI
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.limits import MANY
from upsample_cli.kernels.kernel import KERNEL_NAMES

# Each declares options under one heading of the help. Everyday options have no heading.
_output_option = partial(typer.Option, rich_help_panel="Output")
_pixels_option = partial(typer.Option, rich_help_panel="Pixels")
_speed_option = partial(typer.Option, rich_help_panel="Speed and memory")

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUTS", help="Images, folders or patterns such as '*.jpg'; - for standard input."),
]
Factor = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--factor",
        metavar="N",
        help=f"Enlarge this many times, 1 to {MAX_FACTOR}: 2, 1.5 or 4/3. Default 2. Or give one of the next five:",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="WxH", help="Exactly this size, such as 3840x2160: width, then height. Other proportions are stretched."
    ),
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
        help="As large as fits into this box, such as 1920x1080.",
    ),
]
Print = Annotated[
    str | None,
    typer.Option(
        metavar="WxH@DPI",
        help="As large as fits into this box on paper, such as 30x20cm@300, 12x8in@300 or 30xcm@300. Units are "
        "cm, mm and in. The resolution is also written, as by --dpi. These five options also reduce images that are "
        "larger.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="A file for one image, a folder for several; - for standard output. Default: NAME_x2.EXT next to the "
        "input (NAME_1920x1080.EXT if a size is given), FOLDER_x2 for a folder, and standard output for standard "
        "input.",
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Also enlarge the images in subfolders.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Show what would be done, without doing it.")]
Version = Annotated[
    bool, typer.Option("--version", callback=version_printer("upsample"), is_eager=True, help="Show the version.")
]
Format = Annotated[
    str | None,
    _output_option(
        metavar="EXT",
        help=f"Output format: {', '.join(FORMATS)}. Default: the input's; png or tiff for one that is only read.",
    ),
]
Quality = Annotated[
    int | None,
    _output_option(
        metavar="N",
        help="Quality of the encoder; for png and tiff the compression level. "
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
        help="keep: all that the output can hold. strip: only the colour profile. orientation-only: the profile, and "
        "an EXIF orientation that says upright.",
    ),
]
Dpi = Annotated[
    str | None,
    _output_option(
        metavar="N",
        help=f"Resolution to write, in dots per inch, 1 to {MAX_DPI}. It changes no pixel. Default: the input's.",
    ),
]
KeepTimes = Annotated[
    bool,
    _output_option(
        "--keep-times",
        help="Give new outputs the times of modification and access of their inputs; and owner, group and mode as far "
        "as allowed.",
    ),
]
Name = Annotated[
    str,
    _output_option(
        metavar="TEMPLATE",
        help=f"Name of an output, made of {', '.join(f'{{{field}}}' for field in NameFields.__slots__)}. A / makes "
        "subfolders; {index:05} pads a number with zeros. {parent} is the name of the input's folder; -r keeps "
        "the tree of folders without it.",
    ),
]
Strict = Annotated[
    bool, _output_option("--strict", help="Refuse an image if something would be lost, instead of warning.")
]
Kernel = Annotated[
    str,
    _pixels_option(
        metavar="NAME or FILE[:KEY]",
        help=f"{', '.join(KERNEL_NAMES)}; or a file with a ConvTranspose2d weight (.safetensors, .pt, .pth, .npy) or a "
        "network of whole numbers (.safetensors).",
    ),
]
Model = Annotated[
    str | None,
    _pixels_option(
        metavar="FILE",
        help="A super-resolution network of your own (.safetensors, .pth) in place of the kernel; needs the extra "
        "models. Its factor is used. Its pixels are not exact: tiles are seam-free (measured), or it is not tileable.",
    ),
]
Border = Annotated[
    str,
    _pixels_option(
        metavar="MODE",
        help=f"What to take as outside the image: {', '.join(BORDERS)} (wrap keeps seamless textures seamless, zeros "
        "gives a dark rim).",
    ),
]
Alpha = Annotated[
    str,
    _pixels_option(
        metavar="MODE",
        help="premultiplied: the colour of transparent pixels does not bleed. straight: alpha is one more channel, "
        "and that colour is kept.",
    ),
]
Depth = Annotated[
    str,
    _pixels_option(
        metavar="BITS",
        help="Bits per channel of the output: keep (the input's), 8 or 16. In floating-point images 0 is black and 1 "
        "is white.",
    ),
]
LinearLight = Annotated[
    bool,
    _pixels_option(
        "--linear-light",
        help="Compute in linear light, by the colour profile or as sRGB. Thin bright lines keep their strength.",
    ),
]
Frame = Annotated[
    int | None,
    _pixels_option(metavar="N", help="Only this frame or page, counted from 1. Default: all that the output can hold."),
]
Workers = Annotated[int | None, _speed_option(metavar="N", help="Images to enlarge at once. Default: one per core.")]
TimeoutS = Annotated[
    str | None,
    _speed_option("--timeout", metavar="SECONDS", help="An image that takes longer fails; the others go on."),
]
Device = Annotated[str, _speed_option(metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:N or mps.")]
Engine = Annotated[
    str,
    _speed_option(
        metavar="NAME",
        help="auto: the fastest code that gives the layer's pixels. layer: the layer itself. compiled: the compiled "
        "code, or an error.",
    ),
]
MemoryBytes = Annotated[
    str | None,
    _speed_option(
        "--memory",
        metavar="SIZE",
        help="Memory for all images that are being enlarged, such as 500M or 8G. Default: half of what is available.",
    ),
]
Tile = Annotated[
    int | None,
    _speed_option(
        metavar="N",
        help="Size of the tiles in input pixels, instead of --memory. With a kernel it never changes a pixel.",
    ),
]
MaxPixels = Annotated[
    str,
    _speed_option(
        metavar="COUNT",
        help=f"Largest input to accept, such as 500M or 2G pixels; all frames or pages together may have {MANY} times "
        "as many.",
    ),
]
