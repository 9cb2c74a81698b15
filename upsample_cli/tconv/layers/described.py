"""A transposed convolution from its text as PyTorch prints it, or from its settings. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from upsample_cli.errors import Setting, UsageError
from upsample_cli.geometry.axes import PerAxis, collapsed
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.layers.convolution import TransposedConvolution


def described_layer(
    text: str | None, settings: Mapping[str, PerAxis], *, axes: int = 2, kernel_size: Sequence[int] | None = None
) -> TransposedConvolution:
    """A transposed convolution from either its text or its settings.

    Args:
        text: a constructor of torch.nn, or None.
        settings: the settings by name.
        axes: 1, 2 or 3, if `text` is None.
        kernel_size: kernel size of the weights, if there are weights. The layer must have the same kernel size;
            `settings` may leave it out.

    Raises:
        UsageError: if both or neither of text and settings are given, or the layer is not a transposed convolution.
        GeometryError: if torch would refuse the settings.

    >>> print(described_layer("nn.ConvTranspose2d(8, 8, 3, stride=2)", {}))
    ConvTranspose2d(8, 8, kernel_size=3, stride=2)
    >>> print(described_layer(None, {"stride": 2}, axes=1, kernel_size=(4,)))
    ConvTranspose1d(kernel_size=4, stride=2)
    """
    if text is not None:
        if settings:
            cause = ("a layer and ", Setting(next(iter(settings))), " cannot be combined")
            raise UsageError(cause, "describe it in one of these ways")
        layer = parse_layer(text)
        if not isinstance(layer, TransposedConvolution):
            raise UsageError(f"{layer} is not a transposed convolution", "write ConvTranspose1d, 2d or 3d")
    else:
        given: dict[str, Any] = dict(settings)
        if kernel_size is not None:
            given.setdefault("kernel_size", collapsed(kernel_size))
        if "kernel_size" not in given:
            raise UsageError(
                "no layer is described", ("add ", Setting("kernel_size", "N"), ", or a layer as PyTorch writes it")
            )
        layer = TransposedConvolution(axes, **given)
    if kernel_size is not None:
        _check_kernel_size(layer, kernel_size)
    return layer


def check_weights(
    layer: TransposedConvolution, shape: Sequence[int], *, groups: int | None = None, bias: bool | None = None
) -> None:
    """Refuse weights that do not fit a layer with known channels.

    Args:
        layer: the layer.
        shape: shape of the weight, (in_channels, out_channels / groups, *kernel_size).
        groups: groups of the weights, if they were given separately from the layer.
        bias: whether the weights include a bias; None if it does not matter.

    Raises:
        UsageError: the weights do not fit; the message names the difference.
    """
    if layer.in_channels is None or layer.out_channels is None:
        return
    if groups not in (None, layer.groups):
        raise UsageError(f"the layer has groups={layer.groups}, not {groups}", "leave groups out")
    if (layer.in_channels, layer.out_channels // layer.groups) != tuple(shape[:2]):
        stated = f"{layer.in_channels} channels to {layer.out_channels} with groups={layer.groups}"
        raise UsageError(
            f"the layer takes {stated}; the weights have the shape {tuple(shape)}, (in, out/groups, kernel...)",
            f"write {layer.name}({shape[0]}, {shape[1] * layer.groups}, ...), or give other weights",
        )
    if bias is not None and bias != layer.bias:
        raise UsageError(
            "the layer has a bias, the weights have none"
            if layer.bias
            else "the weights have a bias, the layer has none",
            f"write bias={bias} in the layer, or give other weights",
        )


def _check_kernel_size(layer: TransposedConvolution, kernel_size: Sequence[int]) -> None:
    stated = (layer.kernel_size,) * layer.axes if isinstance(layer.kernel_size, int) else tuple(layer.kernel_size)
    if stated != tuple(kernel_size):
        raise UsageError(
            f"the layer has kernel_size {stated}, the weights {tuple(kernel_size)}",
            "leave kernel_size out" if layer.in_channels is None else f"write kernel_size={tuple(kernel_size)}",
        )
