"""`tconv run`: a transposed convolution over an image, a sound, a signal or a volume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from upsample_cli.cli.options import AsDocument, ByDefaultOne, ByDefaultZero, Groups, KernelSize, Overwrite
from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.tconv.printing import print_document, settings_given, whole_numbers
from upsample_cli.errors import UsageError
from upsample_cli.geometry.borders import BORDERS


def run_command(
    input_: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="An image, a .wav of PCM, a .npy of 1 to 3 axes, or a TIFF stack."),
    ],
    layer: Annotated[
        str | None, typer.Argument(metavar="LAYER", help='As PyTorch writes it: "ConvTranspose2d(3, 3, 4, stride=2)".')
    ] = None,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where the result goes.")],
    factor: Annotated[
        str | None,
        typer.Option(
            "-f", "--factor", metavar="S", help="The linear (bilinear, trilinear) layer that enlarges S times."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[:KEY]",
            help="Weights (.safetensors, .pt, .pth, .npy), and the bias beside them. Without, the kernel is linear.",
        ),
    ] = None,
    kernel_size: KernelSize = None,
    stride: ByDefaultOne = None,
    padding: ByDefaultZero = None,
    output_padding: ByDefaultZero = None,
    dilation: ByDefaultOne = None,
    groups: Groups = None,
    axes: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of an array; one axis more is channels, which come first. Default: all axes."),
    ] = None,
    border: Annotated[
        str | None,
        typer.Option(
            metavar="MODE", help="Outside: zeros, replicate or reflect. Default zeros; with --factor replicate."
        ),
    ] = None,
    tile: Annotated[
        int | None, typer.Option(metavar="N", help="Side of the tiles in input samples. Changes no sample.")
    ] = None,
    overwrite: Overwrite = False,
    as_document: AsDocument = False,
) -> None:
    """Apply a transposed convolution to an image, a sound, a signal or a volume.

    \b
    Examples:
      tconv run speech.wav --factor 2 -o speech_x2.wav
      tconv run volume.tif --factor 2 -o volume_x2.tif
      tconv run photo.png --weights up.safetensors --stride 2 --padding 1 -o out.png
      tconv run signal.npy "ConvTranspose1d(1, 1, 3, stride=2, padding=1)" -o out.npy
      tconv run stereo.npy --axes 1 --factor 3 -o out.npy
    """
    from upsample_cli.tconv.run.request import Request
    from upsample_cli.tconv.run.run import run
    from upsample_cli.tconv.shape import size_text

    settings = settings_given(
        kernel_size=kernel_size, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    mode = next((name for name in BORDERS if name == border), None)
    if border is not None and mode is None:
        raise UsageError(f"there is no border {border!r}", f"choose one of {', '.join(BORDERS)}")
    outcome = run(
        input_,
        output,
        Request(
            factor=None if factor is None else whole_numbers("--factor", factor),
            text=layer,
            settings=tuple(settings.items()),
            weights=weights,
            groups=groups,
            axes=axes,
            border=mode,
            tile=tile,
            overwrite=overwrite,
        ),
    )
    for remark in outcome.remarks:
        print(f"warning: {one_line(remark)}", file=sys.stderr)
    if as_document:
        print_document(
            {
                "input": str(input_),
                "output": str(output),
                "layer": str(outcome.layer),
                "border": outcome.border,
                "input_shape": list(outcome.input_shape),
                "output_shape": list(outcome.output_shape),
                "warnings": list(outcome.remarks),
            }
        )
        return
    sizes = f"{size_text(outcome.input_shape)} -> {size_text(outcome.output_shape)}"
    print(f"{outcome.layer}, border {outcome.border}\n{one_line(str(output))}  {sizes}")
