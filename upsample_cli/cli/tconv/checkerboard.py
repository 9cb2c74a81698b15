"""`tconv checkerboard`: from settings (without torch) or from given weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upsample_cli.cli.spelling import called
from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.checkerboard_text import print_finding
from upsample_cli.cli.tconv.onnx_argument import onnx_argument
from upsample_cli.cli.tconv.options import check_picture, settings_given
from upsample_cli.cli.tconv.printing import print_document, print_written
from upsample_cli.errors import UsageError
from upsample_cli.tconv.checkerboard import FLAT_LEVEL, Verdict, as_json, checkerboard, overlap_map
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.layers.described import check_weights, described_layer

if TYPE_CHECKING:
    from upsample_cli.kernels.weights.files import Weights
    from upsample_cli.tconv.checkerboard_weights import Gains

_MOST_CELLS = 3600
"""The most cells of a map to draw."""

Axes = Annotated[int | None, options.number_option(help="1, 2 or 3, if neither LAYER nor the weights say. Default 2.")]
WeightsFile = Annotated[
    str | None,
    options.weights_option(
        help="Measure these weights (.safetensors, .pt, .pth, .npy), with these settings of the layer."
    ),
]
Cure = Annotated[
    str | None,
    typer.Option(
        metavar="icnr|sums",
        help="Cure the weights: icnr gives every phase the same taps, sums only makes their sums equal. Needs -o.",
    ),
]
Output = Annotated[Path | None, options.output_option(help="File to write the cured weights to.")]
Picture = Annotated[Path | None, options.picture_option(help="Draw the map as a PNG.")]


@dataclass(frozen=True, slots=True)
class _Finding:
    """The results for a layer: the verdict, gains of its weights, gains of cured weights, and the map to draw."""

    verdict: Verdict
    cells: Sequence[Sequence[float]]
    document: dict[str, Any]
    groups: int = 1
    measured: Gains | None = None
    cured: Gains | None = None


def checkerboard_command(
    layer: options.LayerText = None,
    *,
    kernel_size: options.KernelSize = None,
    stride: options.Stride = None,
    padding: options.Padding = None,
    output_padding: options.OutputPadding = None,
    dilation: options.Dilation = None,
    axes: Axes = None,
    weights: WeightsFile = None,
    groups: options.Groups = None,
    cure: Cure = None,
    output: Output = None,
    image: Picture = None,
    overwrite: options.Overwrite = False,
    as_document: options.AsDocument = False,
) -> None:
    """Check whether a transposed convolution gives checkerboards, and what cures them.

    \b
    Examples:
      tconv checkerboard --kernel-size 3 --stride 2 --padding 1
      tconv checkerboard "ConvTranspose2d(64, 32, 5, stride=2, padding=2)" --json
      tconv checkerboard decoder.onnx
      tconv checkerboard --weights decoder.safetensors:up1.weight --stride 2
      tconv checkerboard --weights up.pt --stride 2 --cure icnr -o cured.pt
    """
    if (model := onnx_argument(locals())) is not None:
        from upsample_cli.cli.tconv.graph_checkerboard import print_graph_checkerboard

        print_graph_checkerboard(model, as_document=as_document)
        return
    settings = settings_given(locals())
    written = [path for path in (output, image) if path is not None]
    check_picture(image, overwrite=overwrite)
    read = None if weights is None else _read(weights, written, overwrite=overwrite)
    if read is None:
        if cure or output or groups:
            raise UsageError("--cure, --output and --groups are for weights", "add --weights FILE")
        shown = described_layer(layer, settings, axes=2 if axes is None else axes)
        _check_axes(shown, axes)
        found = _of_settings(shown)
    else:
        shown = described_layer(layer, settings, axes=read.axes, kernel_size=read.weight.shape[2:])
        _check_axes(shown, axes)
        check_weights(shown, read.weight.shape, groups=groups)
        found = _of_weights(read, shown, groups or shown.groups)
    if image is not None:
        _check_drawable(found)  # before the other file is written
    if read is not None:
        found = _cured(found, read, cure, output, overwrite=overwrite)
    if image is not None:
        _draw(found, image, overwrite)
    if as_document:
        print_document(found.document | {"written": [str(path) for path in written]})
    else:
        print_finding(found.verdict, found.cells, found.measured, found.cured)
        print_written(*written)


def _check_axes(layer: TransposedConvolution, axes: int | None) -> None:
    if axes not in (None, layer.axes):
        raise UsageError(f"--axes {axes} for {layer}", "leave out --axes")


def _read(weights: str, written: Sequence[Path], *, overwrite: bool) -> Weights:
    from upsample_cli.atomic.same_file import check_inputs_stay
    from upsample_cli.atomic.writable import check_outputs_differ, check_writable
    from upsample_cli.kernels.weights.files import read_weights

    read = read_weights(weights)
    check_outputs_differ(written)
    for path in written:
        check_inputs_stay(path, [read.path])
        check_writable(path, overwrite=overwrite)
    return read


def _of_settings(layer: TransposedConvolution) -> _Finding:
    verdict = checkerboard(layer)
    return _Finding(verdict, overlap_map(verdict.axes), as_json(verdict))


def _of_weights(read: Weights, layer: TransposedConvolution, groups: int) -> _Finding:
    from upsample_cli.tconv.checkerboard_weights import flat_response, gains

    verdict = checkerboard(layer)
    measured = gains(read.weight, verdict.axes, groups=groups)
    cells = flat_response(read.weight, verdict.axes, measured.worst_channel, groups=groups).tolist()
    document = as_json(verdict) | {
        "weights": str(read.path),
        "key": read.key,
        "weights_even": measured.is_even,
        "weights_amplitude_levels": measured.amplitude_levels,
        "weights_worst_pair_levels": FLAT_LEVEL * measured.worst_pair,
        "weights_worst_channel": measured.worst_channel,
        "weights_gain_per_channel_and_phase": measured.per_channel.tolist(),
        "weights_flat_response": cells,
    }
    return _Finding(verdict, cells, document, groups, measured)


def _cured(found: _Finding, read: Weights, cure: str | None, output: Path | None, *, overwrite: bool) -> _Finding:
    """Write cured weights, if requested, and measure them."""
    if cure is None and output is None:
        return found
    from upsample_cli.tconv.checkerboard_weights import CURES, cured, gains
    from upsample_cli.tconv.weights import write_weights

    chosen = next((name for name in CURES if name == cure), None)
    if chosen is None:
        raise UsageError(
            f"there is no cure {cure!r}" if cure else "no cure is named", f"add --cure {' or '.join(CURES)}"
        )
    if output is None:
        raise UsageError("no file is named for the cured weights", "add -o FILE")
    axes = found.verdict.axes
    weight = write_weights(read, cured(read.weight, axes, chosen), output, overwrite=overwrite)
    after = gains(weight, axes, groups=found.groups)
    document = found.document | {"cure": chosen, "cured_amplitude_levels": after.amplitude_levels}
    return replace(found, document=document, cured=after)


def _check_drawable(found: _Finding) -> None:
    cells = sum(map(len, found.cells))
    if cells > _MOST_CELLS:
        raise UsageError(f"a map of {cells} cells is too large to draw", "use a smaller stride")


def _draw(found: _Finding, image: Path, overwrite: bool) -> None:
    import numpy as np

    from upsample_cli.tconv.explain.drawing import Panel, write_panels

    panel = Panel(f"{found.verdict.layer} of a flat input", np.array(found.cells, np.float64))
    title = "overlap is even" if found.verdict.is_even else "checkerboard"
    with called("output", "picture"):
        write_panels([(title, [panel])], image, overwrite=overwrite)
