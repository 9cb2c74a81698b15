"""The arguments of `tconv run`, the layer that they describe, and the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from upsample_cli.errors import Failure, Loss, Setting, UsageError
from upsample_cli.geometry.axes import PerAxis
from upsample_cli.geometry.borders import Border
from upsample_cli.kernels.weights.files import Weights
from upsample_cli.tconv.checkerboard import axes_of
from upsample_cli.tconv.layers.convolution import TransposedConvolution, bilinear_layer
from upsample_cli.tconv.layers.described import check_weights, described_layer
from upsample_cli.tconv.run.signals import MOST_SAMPLES

if TYPE_CHECKING:
    from upsample_cli.tconv.run.filled import Filled


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of a run.

    Args:
        factor: the factor of a linear layer; otherwise `text`, `settings` or `weights` describe the layer.
        text: a layer as PyTorch prints it.
        settings: settings of a layer by name.
        weights: `PATH` or `PATH:KEY`; by default the kernel is linear on every axis.
        groups: groups of the weights.
        axes: number of axes of an array; by default all.
        border: the samples outside the input; by default "replicate" with a factor, otherwise "zeros".
        tile: side of the tiles in input samples.
        overwrite: replace an existing output.
    """

    factor: PerAxis | None = None
    text: str | None = None
    settings: tuple[tuple[str, PerAxis], ...] = ()
    weights: str | None = None
    groups: int | None = None
    axes: int | None = None
    border: Border | None = None
    tile: int | None = None
    overwrite: bool = False

    @property
    def border_used(self) -> Border:
        """The border, or its default."""
        return self.border or ("zeros" if self.factor is None else "replicate")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The layer, (channels, *sizes) before and after it, and remarks.

    For an image that the engine enlarged, the shapes do not include channels.
    """

    layer: TransposedConvolution
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    border: Border
    remarks: tuple[Loss | Failure | str, ...] = ()


def layer_of(request: Request, axes: int, weights: Weights | None) -> TransposedConvolution:
    """The layer that a request describes, for a given number of axes.

    Raises:
        UsageError: if the request describes the layer in several ways or not at all, or with another number of axes.
    """
    if request.factor is not None:
        if request.text or request.settings or request.groups is not None or weights is not None:
            raise UsageError(
                (Setting("factor"), " is a layer of its own"),
                ("leave out LAYER, its settings and ", Setting("weights")),
            )
        layer = bilinear_layer(axes, request.factor)
    else:
        kernel_size = None if weights is None else weights.weight.shape[2:]
        if weights is not None and weights.axes != axes:
            raise UsageError(
                f"the weights are for {weights.axes} axes, the input has {axes}",
                ("add ", Setting("axes"), ", or give other weights"),
            )
        layer = described_layer(request.text, dict(request.settings), axes=axes, kernel_size=kernel_size)
        if weights is not None:
            check_weights(layer, weights.weight.shape, groups=request.groups, bias=weights.bias is not None)
        elif request.groups is not None:
            raise UsageError("groups are for weights", ("add ", Setting("weights", "FILE")))
    if layer.axes != axes:
        raise UsageError(f"{layer.name} for an input of {axes} axes", f"write ConvTranspose{axes}d")
    return layer


def filled_layer(
    layer: TransposedConvolution,
    request: Request,
    weights: Weights | None,
    shape: Sequence[int],
    *,
    peak: int | None,
) -> Filled:
    """The requested layer (see `layer_of`) with its weights.

    Args:
        shape: (channels, *sizes) of the samples.
        peak: see `weighted`.

    Raises:
        UsageError: if the weights do not fit the samples, or the result would be too large.
    """
    axes = axes_of(layer)
    from upsample_cli.tconv.run.filled import linear_filled, weighted

    if weights is None:
        _check_channels(layer, shape[0])
        filled = linear_filled(axes)
    else:
        groups = request.groups or layer.groups
        filled = weighted(axes, weights.weight, bias=weights.bias, groups=groups, peak=peak)
    if prod(filled.output_shape(shape)) > MOST_SAMPLES:
        raise UsageError(f"the result has more than {MOST_SAMPLES} samples", "give a smaller input or stride")
    return filled


def applied(filled: Filled, samples: Any, request: Request, *, limits: tuple[int, int] | None) -> Any:
    """Apply a layer to samples of shape (channels, *sizes), with the border and the tiles of a request."""
    from upsample_cli.tconv.run.apply import apply

    return apply(filled, samples, border=request.border_used, tile=request.tile, limits=limits)


def _check_channels(layer: TransposedConvolution, channels: int) -> None:
    """Refuse a layer whose channels do not fit its linear kernel, which is applied to each input channel."""
    stated = {layer.in_channels, layer.out_channels} - {None}
    if stated and stated not in ({1}, {channels}):
        raise UsageError(
            f"{layer}: without weights it works on each channel alone, and the input has {channels}",
            (f"write {layer.name}({channels}, {channels}, ...), or add ", Setting("weights", "FILE")),
        )
