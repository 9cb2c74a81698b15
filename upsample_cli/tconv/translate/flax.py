"""Flax: `nnx.ConvTranspose` and `linen.ConvTranspose`, which call `jax.lax.conv_transpose`. No groups, channels last.

In pairs, `padding` is what is added to the input with zeros between its samples, so `dilation*(kernel_size-1)` minus a
pair is the crop. The words SAME and VALID are the padding of the ordinary convolution that the layer inverts. Unless
transpose_kernel is True, the kernel is (kernel..., in, out) and is not flipped, as PyTorch flips it.

Sources: the documentation of flax.nnx.ConvTranspose and jax.lax.conv_transpose.
"""

from __future__ import annotations

from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.parsing import dotted_name
from upsample_cli.tconv.translate.arguments import Arguments, Parameters, arguments, one_of
from upsample_cli.tconv.translate.reading import left_out_notes, single_layer
from upsample_cli.tconv.translate.restored import Restored, Sizes, restored
from upsample_cli.tconv.translate.writing import Translation, channels_last_order, channels_text, options

_SHARED = ("padding", "kernel_dilation", "use_bias")
_LEFT_OUT = (
    "dtype", "param_dtype", "precision", "kernel_init", "bias_init", "promote_dtype", "preferred_element_type",
    "rngs", "kernel_metadata", "bias_metadata", "parent", "name",
)  # fmt: skip
_NNX = Parameters(
    ("in_features", "out_features", "kernel_size", "strides"), (*_SHARED, "transpose_kernel", *_LEFT_OUT), _LEFT_OUT
)
_LINEN = Parameters(("features", "kernel_size", "strides", *_SHARED), ("transpose_kernel", *_LEFT_OUT), _LEFT_OUT)
_WORDS = ("SAME", "VALID")
_EXPECTED_LEFT_OUT = ("rngs", "name", "parent")
"""Parameters that every layer of Flax takes, and that are not worth a note."""


def to_flax(layer: TransposedConvolution) -> Translation:
    """Write a layer of `flax.nnx`. Its padding expresses every crop."""
    axes = layer.each_axis
    pads = [(axis.reach - axis.before, axis.reach - axis.after) for axis in axes]
    words = options(
        strides=([axis.stride for axis in axes], 1),
        kernel_dilation=([axis.dilation for axis in axes], 1),
        use_bias=(layer.bias, True),
    )
    channels = ", ".join(channels_text(layer))
    kernel_size = tuple(axis.kernel_size for axis in axes)
    text = (
        f"nnx.ConvTranspose({channels}, {kernel_size}{words}, padding={pads}, transpose_kernel=True, rngs=nnx.Rngs(0))"
    )
    none = (0,) * len(axes)
    order = channels_last_order(len(axes))
    return Translation((text,), axes, none, order, ((0, 0),) * len(axes), dense=layer.groups > 1)


def from_flax(text: str, _sizes: Sizes = None) -> Restored:
    """Read a layer of `flax.nnx` or `flax.linen`."""
    call, _ = single_layer(text, {"ConvTranspose": 0})
    words = {word.arg for word in call.keywords}
    is_nnx = "nnx" in dotted_name(call.func).split(".") or bool(words & {"in_features", "out_features", "rngs"})
    given = arguments(call, _NNX if is_nnx else _LINEN)
    kernel = given.get("kernel_size")
    kernel_size = [kernel] if type(kernel) is int else kernel
    if not isinstance(kernel_size, list | tuple) or not 1 <= len(kernel_size) <= 3:
        raise UsageError(
            "kernel_size must have one number for each of 1 to 3 axes", "write kernel_size=(3, 3), as Flax wants it"
        )
    axes = len(kernel_size)
    for name in ("use_bias", "transpose_kernel"):
        one_of(name, given.get(name, name == "use_bias"), (True, False))
    is_transposed = given.get("transpose_kernel", False)
    last = channels_last_order(axes)
    return restored(
        axes,
        {
            "kernel_size": kernel_size,
            "stride": _or_one(given.get("strides")),
            "dilation": _or_one(given.get("kernel_dilation")),
            **_padding(given, axes),
        },
        lambda axis: _crop(axis, given.get("padding", "SAME")),
        bias=given.get("use_bias", True),
        notes=left_out_notes([name for name in given.left_out if name not in _EXPECTED_LEFT_OUT]),
        in_channels=given.get("in_features"),
        out_channels=given.get("out_features" if is_nnx else "features"),
        order=last if is_transposed else (*last[:-2], 0, 1),
        flipped=not is_transposed,
    )


def _or_one(value: Any) -> Any:
    return 1 if value is None else value


def _padding(given: Arguments, axes: int) -> dict[str, list[Any]]:
    """The start and the end of the padding for each axis; empty for a word."""
    padding = given.get("padding", "SAME")
    if isinstance(padding, str):
        if padding not in _WORDS:
            raise UsageError(f"padding {padding[:80]!r} is not translated", f"use {' or '.join(_WORDS)}, or pairs")
        return {}
    listed = list(padding) if isinstance(padding, list | tuple) else [padding] * axes
    pairs = [list(pair) if isinstance(pair, list | tuple) else [pair, pair] for pair in listed]
    if len(pairs) != axes or any(len(pair) != 2 for pair in pairs):
        raise UsageError(f"padding {str(padding)[:80]} does not fit {axes} axes", "give (before, after) of each")
    return {"begin": [before for before, _ in pairs], "end": [after for _, after in pairs]}


def _crop(axis: dict[str, Any], padding: Any) -> tuple[int, int]:
    """The crop (before, after). Source: _conv_transpose_padding in jax.lax."""
    reach, stride = axis["dilation"] * (axis["kernel_size"] - 1), axis["stride"]
    if padding == "VALID":
        total = reach + stride - 1 + max(reach + 1 - stride, 0)
        begin = reach
    elif padding == "SAME":
        total = reach + stride - 1
        begin = reach if stride > reach else -(-total // 2)
    else:
        return reach - axis["begin"], reach - axis["end"]
    return reach - begin, reach - (total - begin)
