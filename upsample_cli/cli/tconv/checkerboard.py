"""`tconv checkerboard`: from settings (without torch) or from real weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.options import settings_given
from upsample_cli.cli.tconv.printing import print_document, print_written, result_console
from upsample_cli.errors import UsageError
from upsample_cli.tconv.checkerboard import FLAT_LEVEL, Verdict, as_json, checkerboard, overlap_map
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.layers.described import described_layer

if TYPE_CHECKING:
    from upsample_cli.kernels.weights.files import Weights
    from upsample_cli.tconv.checkerboard_weights import Gains

_SHADES = " ░▒▓█"
_MOST_CELLS, _MOST_GAINS = 60, 64


LayerText = Annotated[
    str | None, typer.Argument(metavar="LAYER", help='As PyTorch writes it: "ConvTranspose2d(8, 8, 3, stride=2)".')
]
Axes = Annotated[int, options.number_option(help="1, 2 or 3, where neither LAYER nor weights tell.")]
WeightsFile = Annotated[
    str | None,
    options.weights_option(help="Measure these weights (.safetensors, .pt, .pth, .npy) with the settings given."),
]
Cure = Annotated[
    str | None,
    typer.Option(
        metavar="icnr|sums",
        help="Cure the weights: icnr gives every phase the same taps, sums only the same sum. Needs -o.",
    ),
]
Output = Annotated[Path | None, options.output_option(help="Where the cured weights go.")]
Picture = Annotated[Path | None, options.picture_option(help="Draw the map as a PNG.")]


@dataclass(frozen=True, slots=True)
class _Finding:
    """What is known of a layer: from its settings alone, or also `measured` on its weights; and the map to draw."""

    verdict: Verdict
    cells: Sequence[Sequence[float]]
    document: dict[str, Any]
    measured: Gains | None = None


def checkerboard_command(
    layer: LayerText = None,
    *,
    kernel_size: options.KernelSize = None,
    stride: options.ByDefaultOne = None,
    padding: options.ByDefaultZero = None,
    output_padding: options.ByDefaultZero = None,
    dilation: options.ByDefaultOne = None,
    axes: Axes = 2,
    weights: WeightsFile = None,
    groups: options.Groups = None,
    cure: Cure = None,
    output: Output = None,
    image: Picture = None,
    overwrite: options.Overwrite = False,
    as_document: options.AsDocument = False,
) -> None:
    """Whether a transposed convolution draws checkerboards, and what cures it.

    \b
    Examples:
      tconv checkerboard --kernel-size 3 --stride 2 --padding 1 --output-padding 1
      tconv checkerboard "ConvTranspose2d(64, 32, 5, stride=2, padding=2, output_padding=1)" --json
      tconv checkerboard --weights decoder.safetensors:up1.weight --stride 2 --padding 1
      tconv checkerboard --weights up.pt --stride 2 --cure icnr -o cured.pt
    """
    settings = settings_given(locals())
    written = [path for path in (output, image) if path is not None]
    if weights is None:
        if cure or output or groups:
            raise UsageError("--cure, --output and --groups are for weights", "add --weights FILE")
        found = _of_settings(described_layer(layer, settings, axes=axes))
    else:
        read = _read(weights, written)
        shown = described_layer(layer, settings, axes=read.axes, kernel_size=read.weight.shape[2:])
        found = _of_weights(read, shown, groups or shown.groups)
        _cure(read, found.verdict, cure, output, overwrite)
    if image is not None:
        _draw(found, image, overwrite)
    if as_document:
        print_document(found.document | {"written": [str(path) for path in written]})
    else:
        _print(found)
        print_written(*written)


def _read(weights: str, written: Sequence[Path]) -> Weights:
    from upsample_cli.atomic.same_file import check_inputs_stay
    from upsample_cli.kernels.weights.files import read_weights

    read = read_weights(weights)
    for path in written:
        check_inputs_stay(path, [read.path])
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
    return _Finding(verdict, cells, document, measured)


def _cure(read: Weights, verdict: Verdict, cure: str | None, output: Path | None, overwrite: bool) -> None:
    if cure is None and output is None:
        return
    from upsample_cli.tconv.checkerboard_weights import CURES, cured
    from upsample_cli.tconv.weights import write_weights

    chosen = next((name for name in CURES if name == cure), None)
    if chosen is None:
        raise UsageError(
            f"there is no cure {cure!r}" if cure else "no cure is named", f"add --cure {' or '.join(CURES)}"
        )
    if output is None:
        raise UsageError("the cured weights have no place to go", "add -o FILE")
    write_weights(read, cured(read.weight, verdict.axes, chosen), output, overwrite=overwrite)


def _draw(found: _Finding, image: Path, overwrite: bool) -> None:
    import numpy as np

    from upsample_cli.tconv.explain.drawing import Panel, write_panels

    if image.suffix.lower() != ".png":
        raise UsageError(f"{image}: the image is a PNG", "give a name that ends in .png")
    array = np.array(found.cells, np.float64)
    if not array.size:
        raise UsageError("padding crops a small input to nothing, so there is no map to draw", "use less padding")
    if array.size > _MOST_CELLS**2:
        raise UsageError(f"a map of {array.size} cells is too large to draw", "use a smaller stride")
    panel = Panel(f"{found.verdict.layer} of a flat input", array)
    title = "overlap is even" if found.verdict.is_even else "checkerboard"
    write_panels([(title, [panel])], image, overwrite=overwrite)


def _print(found: _Finding) -> None:
    from rich.text import Text

    console, verdict, measured = result_console(), found.verdict, found.measured
    console.print(Text(str(verdict.layer), style="bold"))
    for line in _settings_lines(verdict):
        console.print(Text(line))
    if measured is not None:
        for line in _weights_lines(measured):
            console.print(Text(line))
    what = "taps that meet at each output sample of a 5-sample input" if measured is None else (
        f"output channel {measured.worst_channel} for a flat input of 1")  # fmt: skip
    console.print(Text(f"\n{what} ({_span_text(found.cells)}):"))
    for line in _shaded(found.cells):
        console.print(Text(line))
    even = verdict.is_even if measured is None else measured.is_even
    console.print(Text("\n" + _verdict_text(verdict, measured), style="bold green" if even else "bold red"))
    if verdict.cures:
        console.print(Text("the same output sizes, but even:"))
        for cure in verdict.cures:
            console.print(Text(f"  {cure}"))
        _print_neighbours(verdict)
    elif not verdict.is_even:
        console.print(Text("no kernel_size is even at this stride and dilation: they share a divisor"))
    if measured is not None and not measured.is_even:
        named = "--cure icnr or --cure sums" if verdict.is_even else "--cure sums"
        console.print(Text(f"{named}, with -o FILE, writes weights that leave a flat input flat"))


def _settings_lines(verdict: Verdict) -> list[str]:
    alike = verdict.axes[:1] if len(set(verdict.axes)) == 1 else verdict.axes
    return [
        f"taps per phase {' '.join(map(str, axis.counts))}" if len(axis.counts) <= _MOST_GAINS
        else f"taps per phase {min(axis.counts)} to {max(axis.counts)}" for axis in alike
    ]  # fmt: skip


def _weights_lines(measured: Gains) -> list[str]:
    gains = measured.per_channel[measured.worst_channel].reshape(-1)
    if gains.size > _MOST_GAINS:
        text = f"{gains.min():.6g} to {gains.max():.6g}"
    else:
        text = " ".join(f"{gain:.6g}" for gain in gains)
    return [
        f"gain per phase of the worst of {len(measured.per_channel)} output channels, number "
        f"{measured.worst_channel}: {text}",
        f"a flat {FLAT_LEVEL} in every input channel comes out {measured.amplitude_levels:.4g} levels uneven, in one "
        f"channel alone {FLAT_LEVEL * measured.worst_pair:.4g}",
    ]


def _verdict_text(verdict: Verdict, measured: Gains | None) -> str:
    if verdict.is_even:
        overlap = "the overlap is even"
    else:
        gaps = ", and some samples meet no tap at all" if verdict.gaps else ""
        uneven = f"with equal taps a flat {FLAT_LEVEL} comes out {verdict.amplitude_levels:.4g} levels uneven"
        overlap = f"the overlap is uneven{gaps}: {uneven}"
    if measured is None:
        return overlap + ("; weights decide the rest: every phase must sum to the same" if verdict.is_even else "")
    if measured.is_even:
        return f"no checkerboard: the phase sums of these weights are equal; {overlap}"
    visible = "a checkerboard" if measured.amplitude_levels >= 0.5 else "a checkerboard below half a level"
    return f"{visible}: {measured.amplitude_levels:.4g} levels of a flat {FLAT_LEVEL}; {overlap}"


def _print_neighbours(verdict: Verdict) -> None:
    from rich.table import Table
    from rich.text import Text

    near = verdict.neighbours[next(number for number, axis in enumerate(verdict.axes) if not axis.is_even)]
    sizes = sorted({size for size, _ in near})
    table = Table("along one axis", *(f"kernel_size {size}" for size in sizes))
    for stride in sorted({stride for _, stride in near}):
        table.add_row(f"stride {stride}", *(f"{near[size, stride]:.4g}" for size in sizes))
    console = result_console()
    console.print(Text("a larger stride or a smaller kernel is no cure in itself, a kernel_size stride divides is: "
                       "levels of a flat 128"))  # fmt: skip
    console.print(table)


def _span_text(cells: Sequence[Sequence[float]]) -> str:
    values = [value for row in cells for value in row]
    return f"{_SHADES[0]!r} is 0, {_SHADES[-1]} is {max(map(abs, values), default=0):.4g}"


def _shaded(cells: Sequence[Sequence[float]]) -> list[str]:
    """A map in block characters, two columns per cell, cropped to a screen."""
    largest = max((abs(value) for row in cells for value in row), default=0.0) or 1.0
    steps = len(_SHADES) - 1
    return [
        "".join(_SHADES[min(steps, -int(-abs(value) / largest * steps // 1))] * 2 for value in row[:_MOST_CELLS])
        for row in cells[:_MOST_CELLS]
    ]
