"""What the arguments of `tconv shape` describe: a size, and layers in one of four ways."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from upsample_cli.cli.spelling import option
from upsample_cli.cli.tconv.options import refuse_output_padding, whole_numbers
from upsample_cli.errors import Setting, UsageError
from upsample_cli.geometry.axes import PerAxis
from upsample_cli.tconv.chain_input import axes_after_channels
from upsample_cli.tconv.formula import INPUT
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution, bilinear_layer
from upsample_cli.tconv.layers.dense import Linear
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.reshaping import Unflatten
from upsample_cli.tconv.layers.symbolic import Size, parse_symbolic_size

_PRINTED_SIZE = re.compile(r"(?:torch\.Size)?[(\[ ]*([0-9]{1,99}(?:, ?[0-9]{1,99}){0,9}),?[)\] ]*")
"""A size as PyTorch prints it: `torch.Size([20, 16, 50])`, or a part of that."""


def size_and_layers(size: str | None, layers: list[str], *, with_size: bool) -> tuple[str | None, list[str]]:
    """The arguments SIZE and LAYERS. If SIZE may be left out, a layer can be in its place."""
    if with_size and size is None:
        raise UsageError("SIZE is missing", "write 50, 50x100, 10x50x100 or the path of an image before the layers")
    is_layer = not with_size and size is not None and "(" in size and not _PRINTED_SIZE.fullmatch(size)
    return (None, [str(size), *layers]) if is_layer else (size, layers)


def sizes_of(text: str) -> tuple[Size, ...]:
    """The numbers and letters of a size, or the size of an image."""
    printed = _PRINTED_SIZE.fullmatch(text)
    sizes = parse_symbolic_size(re.sub(", ?", "x", printed[1]) if printed else text)
    if sizes is not None:
        return sizes
    if not os.path.isfile(text):  # noqa: PTH113  False for names that are too long
        raise UsageError(
            f"'{text}' is neither a size nor a file",
            "SIZE comes before the layers" if "(" in text else "write 50, 50x100, 10x50x100 or the path of an image",
        )
    from upsample_cli.images.open import probe  # imports Pillow

    info = probe(text)
    return info.height, info.width


def any_size(layers: Sequence[Layer]) -> tuple[Size, ...]:
    """A size in letters for a chain; empty if it begins with features."""
    if isinstance(layers[0], Linear | Unflatten):
        return ()
    return (INPUT,) * next((layer.axes for layer in layers if layer.axes is not None), 1)


def check_one_way(
    texts: Sequence[str], file: str | None, factor: PerAxis | None, settings: Mapping[str, Any], *, conv: bool
) -> None:
    """Refuse layers that are described in several of the four ways."""
    flags = [option(Setting(name)) for name in settings] + ["--conv"] * conv
    ways = ["layers"] * bool(texts) + ["--file"] * (file is not None) + ["--factor"] * (factor is not None) + flags
    if len(ways) > max(1, len(flags)):
        raise UsageError(f"{' and '.join(ways)} cannot be combined", "describe the layers in one of these ways")


def channel_pair(text: str, *, described: bool) -> tuple[int, int]:
    """The channels before and after a layer that options describe."""
    if not described:
        raise UsageError("the layers state their channels", "leave out --channels")
    channels = whole_numbers("channels", text, several="in and out")
    if isinstance(channels, int) or len(channels) != 2:
        raise UsageError(f"--channels {text} is not a pair of numbers", "write for example --channels 16,33")
    if min(channels) < 1:
        raise UsageError(f"--channels {text} is too small", "use 1 or more")
    return channels[0], channels[1]


def described(
    size: Sequence[Size] | None,
    factor: PerAxis | None,
    settings: Mapping[str, Any],
    channels: tuple[int, int] | None,
    *,
    conv: bool,
) -> Layer:
    """The layer that options describe, for a size or for any size."""
    if factor is None and "kernel_size" not in settings:
        raise UsageError(
            "no layer is described", "add --kernel-size N, --factor S, --file PATH, or layers as PyTorch writes them"
        )
    if size is None:
        counts = [len(value) for value in (factor, *settings.values()) if isinstance(value, tuple)]
        axes = max(counts, default=1)
    else:
        axes = len(size) if channels is None else axes_after_channels(size, channels[0])
    if factor is not None:
        layer: Convolution | TransposedConvolution = bilinear_layer(axes, factor)
    else:
        refuse_output_padding(settings, conv=conv)
        layer = (Convolution if conv else TransposedConvolution)(axes, **settings)
    return layer if channels is None else replace(layer, in_channels=channels[0], out_channels=channels[1])
