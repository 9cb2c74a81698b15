"""`tconv run`: apply a transposed convolution to an image, a sound, a signal or a volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.spelling import sentence
from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.options import settings_given, whole_numbers
from upsample_cli.cli.tconv.printing import print_document, warn
from upsample_cli.geometry.borders import BORDERS, border_named
from upsample_cli.tconv.shape import size_text

if TYPE_CHECKING:
    from upsample_cli.tconv.run.request import Outcome

Input = Annotated[
    Path,
    typer.Argument(metavar="INPUT", readable=False, help="An image, a .wav, a .npy of 1 to 3 axes, or a TIFF stack."),
]
Output = Annotated[Path, options.output_option(help="File to write the result to.")]
Factor = Annotated[
    str | None,
    options.factor_option(metavar="S", help="Use the linear (bilinear, trilinear) layer that enlarges S times."),
]
WeightsFile = Annotated[
    str | None,
    options.weights_option(
        help="Use these weights and their bias (.safetensors, .pt, .pth, .npy). Default: the linear kernel."
    ),
]
Axes = Annotated[
    int | None,
    options.number_option(
        help="Axes of the signal in an array; if the array has one more, the first is channels. Default: all axes."
    ),
]
BorderName = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help=f"What to take as outside the input: {', '.join(BORDERS)} (wrap repeats it). Default: zeros, or with "
        "--factor replicate.",
    ),
]
Tile = Annotated[
    int | None, options.number_option(help="Size of the tiles in input samples. It never changes a sample.")
]


def run_command(
    input_: Input,
    layer: options.LayerText = None,
    *,
    output: Output,
    factor: Factor = None,
    weights: WeightsFile = None,
    kernel_size: options.KernelSize = None,
    stride: options.Stride = None,
    padding: options.Padding = None,
    output_padding: options.OutputPadding = None,
    dilation: options.Dilation = None,
    groups: options.Groups = None,
    axes: Axes = None,
    border: BorderName = None,
    tile: Tile = None,
    overwrite: options.Overwrite = False,
    as_document: options.AsDocument = False,
) -> None:
    """Apply a transposed convolution to an image, a sound, a signal or a volume.

    \b
    Examples:
      tconv run speech.wav --factor 2 -o speech_x2.wav
      tconv run volume.tif --factor 2 -o volume_x2.tif
      tconv run photo.png --weights up.safetensors --stride 2 -o out.png
      tconv run signal.npy "ConvTranspose1d(1, 1, 3, stride=2)" -o out.npy
      tconv run stereo.npy --axes 1 --factor 3 -o out.npy
    """
    from upsample_cli.tconv.run.request import Request
    from upsample_cli.tconv.run.run import run

    request = Request(
        factor=None if factor is None else whole_numbers("factor", factor),
        text=layer,
        settings=tuple(settings_given(locals()).items()),
        weights=weights,
        groups=groups,
        axes=axes,
        border=None if border is None else border_named(border),
        tile=tile,
        overwrite=overwrite,
    )
    outcome = run(input_, output, request)
    for remark in outcome.remarks:
        warn(remark)
    if as_document:
        print_document({"input": str(input_), "output": str(output)} | _document(outcome))
    else:
        sizes = f"{size_text(outcome.input_shape)} -> {size_text(outcome.output_shape)}"
        print(f"{outcome.layer}, border {outcome.border}\n{one_line(str(output))}  {sizes}")


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "layer": str(outcome.layer),
        "border": outcome.border,
        "input_shape": list(outcome.input_shape),
        "output_shape": list(outcome.output_shape),
        "warnings": list(map(sentence, outcome.remarks)),
    }
