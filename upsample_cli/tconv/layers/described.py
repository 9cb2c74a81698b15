"""A transposed convolution from its text as PyTorch writes it, or from its settings. No torch."""

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
        settings: by name.
        axes: 1, 2 or 3, if there is no text.
        kernel_size: of the weights, if any. The layer must have the same; with settings it may be left out.

    Raises:
        UsageError: if both or neither are given, or it is not a transposed convolution.
        GeometryError: where torch would refuse.

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


def _check_kernel_size(layer: TransposedConvolution, kernel_size: Sequence[int]) -> None:
    said = (layer.kernel_size,) * layer.axes if isinstance(layer.kernel_size, int) else tuple(layer.kernel_size)
    if said != tuple(kernel_size):
        raise UsageError(f"the layer has kernel_size {said}, the weights {tuple(kernel_size)}", "leave kernel_size out")
