"""`tconv kernel`: print or export an interpolation layer. It imports torch only to write a .pt file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.options import whole_numbers
from upsample_cli.cli.tconv.printing import print_document, print_written, result_console
from upsample_cli.errors import UsageError
from upsample_cli.geometry.axes import axis_names
from upsample_cli.kernels.kernel import NETWORKS
from upsample_cli.kernels.profiles import PROFILES
from upsample_cli.kernels.shipped import FITTED
from upsample_cli.tconv.interpolation import Interpolation, interpolation
from upsample_cli.tconv.interpolation_report import as_json, equalities

Factor = Annotated[str, options.factor_option(metavar="S", help="Whole factor, 1 to 64; one number, or one per axis.")]
Channels = Annotated[
    int, options.number_option(help="Number of input channels, which is also that of output channels.")
]
Axes = Annotated[
    int | None,
    options.number_option(help="1 (linear), 2 (bilinear) or 3 (trilinear). Default 2, or the number of factors."),
]
KernelSize = Annotated[
    str | None,
    typer.Option(
        "-k",
        "--kernel-size",
        metavar="K",
        help="Taps of the bilinear kernel; one number, or one per axis. Default: those that interpolate exactly, 2S or "
        "2S-1. Others shift the image or are uneven, as the output says.",
    ),
]
KernelName = Annotated[str, typer.Option(metavar="NAME", help=f"Kernel of each axis: {', '.join(PROFILES)}.")]
Depthwise = Annotated[
    bool | None,
    typer.Option(
        "--depthwise/--dense",
        help="depthwise: one kernel per channel (groups = channels). dense: a weight between all channels, with zeros "
        "off the diagonal. Default: dense, and depthwise for .prototxt.",
    ),
]
Outputs = Annotated[
    list[Path] | None,
    options.output_option(
        help="Export to .safetensors, .pt, .npy, .json, .onnx, .prototxt (Caffe) or .py. May be repeated."
    ),
]


def kernel_command(
    *,
    factor: Factor,
    channels: Channels = 1,
    axes: Axes = None,
    kernel: KernelName = "bilinear",
    kernel_size: KernelSize = None,
    depthwise: Depthwise = None,
    output: Outputs = None,
    overwrite: options.Overwrite = False,
    as_document: options.AsDocument = False,
) -> None:
    """Show the taps of a bilinear, cubic or other kernel and what it equals, and export it.

    \b
    Examples:
      tconv kernel --factor 3 --channels 21
      tconv kernel --factor 2 --channels 64 --depthwise -o upsample.safetensors
      tconv kernel --factor 2 --channels 3 -o upsample.onnx -o upsample.py
      tconv kernel --factor 4 --axes 1 --json
      tconv kernel --factor 2,3,3 -o trilinear.pt
      tconv kernel --factor 2 --kernel mitchell
      tconv kernel --factor 2 --kernel-size 3  # as in tutorials of FCN
    """
    if kernel == FITTED:
        raise UsageError(
            f"kernel {FITTED!r} is not an outer product of taps, so there are none to print",
            f"enlarge with it by upsample --kernel {FITTED}, or make a file of such weights: tconv fit",
        )
    if kernel in NETWORKS:
        raise UsageError(
            f"kernel {kernel!r} is a network, not one layer, so there are no taps to print",
            f"enlarge with it by upsample --kernel {kernel}",
        )
    paths = output or []
    if depthwise is None:
        depthwise = bool(paths) and all(path.suffix.lower() == ".prototxt" for path in paths)
    factors = whole_numbers("factor", factor)
    layer = interpolation(
        factors,
        axes=axes,
        channels=channels,
        depthwise=depthwise,
        kernel=kernel,
        kernel_size=None if kernel_size is None else whole_numbers("kernel_size", kernel_size),
    )
    if paths:
        from upsample_cli.atomic.writable import check_outputs_differ
        from upsample_cli.tconv.export import check_exportable, export

        check_outputs_differ(paths)
        for path in paths:
            check_exportable(layer, path, overwrite=overwrite)
        for path in paths:
            export(layer, path, overwrite=overwrite)
    if as_document:
        print_document(as_json(layer) | {"written": [str(path) for path in paths]})
    else:
        _print_layer(layer)
        print_written(*paths)


def _print_layer(layer: Interpolation) -> None:
    from rich.table import Column, Table

    console = result_console()
    console.print(str(layer.layer), style="bold")
    place = "weight[c, 0]" if layer.depthwise else "weight[c, c]"
    console.print(f"weight {list(layer.weight_shape)}: the outer product of the taps at {place}, 0 elsewhere")
    table = Table("axis", Column("taps", overflow="fold"), Column("as numbers", overflow="fold"), "phase sums")
    # Axes with equal kernels share one line.
    kernels = layer.kernels[:1] if len(set(layer.kernels)) == 1 else layer.kernels
    names = axis_names(layer.axes) if len(kernels) > 1 else [" and ".join(axis_names(layer.axes))]
    for name, kernel, sums in zip(names, kernels, layer.phase_sums, strict=False):
        is_rational = PROFILES[kernel.name].is_rational
        fractions = " ".join(str(tap) for tap in kernel.taps) if is_rational else "no fractions"
        numbers = " ".join(f"{float(tap):.6g}" for tap in kernel.taps)
        table.add_row(name, fractions, numbers, " ".join(str(total) for total in sums))
    console.print(table)
    console.print(_flatness(layer))
    for sentence in equalities(layer):
        console.print(f"equals {sentence}" if "F.interpolate(" in sentence else sentence)


def _flatness(layer: Interpolation) -> str:
    """What the layer makes of a flat image."""
    if all(total == 1 for sums in layer.phase_sums for total in sums):
        return "every phase sums to 1: flat stays flat, no checkerboard"
    if any(len(set(sums)) > 1 for sums in layer.phase_sums):
        return "the phase sums differ: a checkerboard on a flat image"
    gains = [str(sums[0]) for sums in layer.phase_sums]
    gain = " and ".join(dict.fromkeys(gains))
    return f"every phase of an axis has the same sum, but it is {gain}, not 1: no checkerboard, another brightness"
