"""Options that several `tconv` commands share, and functions that parse their texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from upsample_cli.cli.spelling import called, option
from upsample_cli.errors import Setting, UsageError
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS as _DEFAULT_MAX_PIXELS
from upsample_cli.tconv.layers.convolution import SETTINGS
from upsample_cli.tconv.layers.symbolic import parse_size

number_option = partial(typer.Option, metavar="N")
setting_option = partial(number_option, rich_help_panel="Settings of the layer")
kernel_size_option = partial(setting_option, "-k", "--kernel-size")
stride_option = partial(setting_option, "-s", "--stride")
padding_option = partial(setting_option, "-p", "--padding")
dilation_option = partial(setting_option, "-d", "--dilation")
factor_option = partial(typer.Option, "-f", "--factor")
file_option = partial(
    typer.Option, metavar="FILE", readable=False
)  # typer would refuse a file without the right to read
output_option = partial(file_option, "-o", "--output")
picture_option = partial(file_option, "--picture")
weights_option = partial(typer.Option, metavar="FILE[:KEY]")

AsDocument = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]
MaxPixels = Annotated[str, typer.Option(metavar="COUNT", help="Largest image to accept, such as 500M or 2G pixels.")]
DEFAULT_MAX_PIXELS = f"{_DEFAULT_MAX_PIXELS // 10**6}M"

# A layer as text, and the settings that commands accept in its place.
LayerText = Annotated[
    str | None, typer.Argument(metavar="LAYER", help='As PyTorch writes it: "ConvTranspose2d(8, 8, 3, stride=2)".')
]
KernelSize = Annotated[
    str | None,
    kernel_size_option(
        help="Size of the kernel, instead of LAYER. This and the next four: one number, or one per axis."
    ),
]
Stride = Annotated[
    str | None, stride_option(help="Distance in the output between neighbouring input samples. Default 1.")
]
Padding = Annotated[str | None, padding_option(help="Samples to crop from each end of the output. Default 0.")]
OutputPadding = Annotated[
    str | None, setting_option(help="More samples to compute at the end of each axis. Default 0.")
]
Dilation = Annotated[str | None, dilation_option(help="Distance between neighbouring taps of the kernel. Default 1.")]
Groups = Annotated[int | None, number_option(help="Groups of the layer. Default 1, or those of LAYER.")]

_PER_AXIS = "one number per axis"
_LIKE_A_NUMBER = re.compile(r"[+-]?[0-9]{1,99}")


def whole_numbers(name: str, text: str, *, several: str = _PER_AXIS) -> int | tuple[int, ...]:
    """Parse one number or several numbers with commas, `3` or `3,2,2`. Numbers for axes may also be a size, `3x2x2`.

    Args:
        name: name of the parameter that the option sets.
        text: the text of the option.
        several: what several numbers mean.

    Raises:
        UsageError: if the text has another form; the message names the option.
    """
    parts = [part.strip() for part in re.split("[,xX×]" if several == _PER_AXIS else ",", text)]
    if not all(_LIKE_A_NUMBER.fullmatch(part) for part in parts):
        flag = option(Setting(name))
        raise UsageError(f"{flag} {text} is not a whole number", f"write {flag} 3, or {several}: {flag} 3,2")
    numbers = tuple(int(part) for part in parts)
    return numbers if len(numbers) > 1 else numbers[0]


def size_given(name: str, text: str, examples: str) -> tuple[int, ...]:
    """Parse a size such as `50x100`.

    Args:
        name: the option, for the message.
        text: its text.
        examples: sizes that may be given, for the message.

    Raises:
        UsageError: if the text is not a size.
    """
    sizes = parse_size(text)
    if sizes is None:
        raise UsageError(f"{name} {text} is not a size", f"write {examples}")
    return sizes


def settings_given(options: Mapping[str, Any], *, words: bool = False, **several: str) -> dict[str, Any]:
    """The settings of a layer from a command's options, without options that were not given.

    Args:
        options: texts of the options by parameter name.
        words: padding may be a word, which the layer checks.
        several: see `whole_numbers`.

    Raises:
        UsageError: see `whole_numbers`.
    """
    texts = {name: options[name] for name in SETTINGS if options.get(name) is not None}
    return {
        name: text if words and name == "padding" and text.isalpha() else whole_numbers(name, text, **several)
        for name, text in texts.items()
    }


def refuse_output_padding(settings: Mapping[str, Any], *, conv: bool) -> None:
    """Refuse settings that an ordinary convolution does not have.

    Raises:
        UsageError: such a setting is given; the message names the options.
    """
    if conv and "output_padding" in settings:
        raise UsageError("an ordinary convolution has no output_padding", "leave out --conv or --output-padding")


def check_picture(path: Path | None, *, overwrite: bool) -> None:
    """See `drawing.check_drawable`. None means that nothing is drawn."""
    if path is not None:
        from upsample_cli.tconv.explain.drawing import check_drawable

        with called("output", "picture"):
            check_drawable(path, overwrite=overwrite)
