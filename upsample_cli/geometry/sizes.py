"""Sizes of convolutions and transposed convolutions along one axis. Integers only: no torch.

These functions refuse the settings that `torch.nn.Conv*` and `torch.nn.ConvTranspose*` refuse, and name the reason and
the legal values. They give the same result for settings that torch accepts. Where torch is inconsistent (an output of
0 samples, True as a number), they refuse the setting.

Source of the formulas: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning"; the rules on
output_padding, padding="same" and padding_mode: the PyTorch documentation of `torch.nn`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axis import LayerAxis

NamedPadding = Literal["same", "valid"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

MAX_FACTOR = 64
"""The largest factor by which images are enlarged."""
MAX_SIZE = 2**63 - 1
"""The longest axis a tensor can have."""
PADDING_MODES: dict[str, int | None] = {"zeros": None, "reflect": -1, "replicate": None, "circular": 0}
"""For each padding_mode, the largest padding minus the size of the axis (reflect: size - 1); None for no limit."""


def conv_output_size(
    size: int,
    *,
    kernel_size: int,
    stride: int = 1,
    padding: int | NamedPadding = 0,
    dilation: int = 1,
    padding_mode: PaddingMode = "zeros",
) -> int:
    """Length of one axis, in samples, after a convolution.

    Args:
        size: length before, at least 1.
        kernel_size: taps of the kernel, at least 1.
        stride: samples from one output to the next, at least 1.
        padding: samples added at each end; "same" keeps the size and needs stride 1, "valid" is 0.
        dilation: samples from one tap to the next, at least 1.
        padding_mode: how the padding is filled. "reflect" and "circular" limit the padding. All except "zeros" allow a
            negative padding, which crops.

    Raises:
        GeometryError: if the kernel does not fit the padded axis, or a setting is illegal.

    >>> conv_output_size(224, kernel_size=3, stride=2, padding=1)
    112
    """
    _check_settings(size, kernel_size=kernel_size, stride=stride, dilation=dilation)
    axis = conv_axis(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    _check_padding(size, axis, padding_mode)
    padded, beyond = size + axis.before + axis.after, PADDING_MODES[padding_mode]
    if padded < axis.span:
        needed = -((size - axis.span) // 2)
        raise GeometryError(
            f"the kernel spans {axis.span} (dilation*(kernel_size-1)+1), the padded input only {padded}",
            f"use an input of {size + axis.span - padded} or more"
            + (f", or padding {needed} or more" if beyond is None or needed <= size + beyond else ""),
        )
    return _checked_output(axis.output_size(size))


def conv_axis(*, kernel_size: int, stride: int = 1, padding: int | NamedPadding = 0, dilation: int = 1) -> LayerAxis:
    """A convolution along one axis. If "same" needs an odd number of samples, the extra one is added at the end.

    Raises:
        GeometryError: if padding is "same" and stride is not 1, or padding is another word.

    >>> axis = conv_axis(kernel_size=4, padding="same")
    >>> axis.before, axis.after
    (1, 2)
    """
    axis = LayerAxis(kernel_size, stride, 0, dilation=dilation)
    if padding == "same":
        if stride != 1:
            raise GeometryError(
                f"padding='same' needs stride 1, not {stride}", f"for about size/{stride} use padding {axis.reach // 2}"
            )
        return replace(axis, padding=axis.reach // 2, output_padding=axis.reach % 2)
    if padding == "valid":
        return axis
    if isinstance(padding, str):
        raise GeometryError(f"padding '{padding}' is unknown", "use a whole number, 'same' or 'valid'")
    return replace(axis, padding=padding)


def transposed_output_size(
    size: int, *, kernel_size: int, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> int:
    """Length of one axis, in samples, after a transposed convolution.

    Args:
        size: length before, at least 1.
        kernel_size: taps of the kernel, at least 1.
        stride: output samples from one input sample's taps to the next one's, at least 1.
        padding: output samples cropped at each end, at least 0.
        output_padding: additional output samples at the end; less than stride or less than dilation.
        dilation: output samples from one tap to the next, at least 1.

    Raises:
        GeometryError: if fewer than one sample would remain, or a setting is illegal.

    >>> transposed_output_size(7, kernel_size=4, stride=2, padding=1)
    14
    """
    _check_settings(size, kernel_size=kernel_size, stride=stride, dilation=dilation)
    _check_whole("padding", padding, least=0)
    _check_whole("output_padding", output_padding, least=0)
    if output_padding >= max(stride, dilation):
        raise GeometryError(
            f"output_padding {output_padding} must be smaller than stride {stride} or dilation {dilation}",
            f"use {_span_text(0, max(stride, dilation) - 1)}",
        )
    axis = LayerAxis(kernel_size, stride, padding, output_padding, dilation, transposed=True)
    made = axis.output_size(size)
    if made < 1:
        uncropped = made + 2 * padding
        raise GeometryError(
            f"nothing remains: padding {padding} crops {2 * padding} of {uncropped} samples",
            f"use padding {_span_text(0, (uncropped - 1) // 2)}",
        )
    return _checked_output(made)


def output_size_range(size: int, *, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> range:
    """Output lengths that `output_size=` of a transposed convolution may request along one axis, in samples.

    They are the `stride` lengths that the convolution with the same settings reduces to `size`.

    Raises:
        GeometryError: if no length is possible, or a setting is illegal.

    >>> output_size_range(112, kernel_size=3, stride=2, padding=1)
    range(223, 225)
    """
    most = transposed_output_size(
        size, kernel_size=kernel_size, stride=stride, padding=padding, output_padding=stride - 1, dilation=dilation
    )
    return range(max(1, most - stride + 1), most + 1)


def output_padding_for(
    size: int, output_size: int, *, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """The output_padding that `output_size=` of a transposed convolution implies along one axis.

    Raises:
        GeometryError: if no legal output_padding gives that size, or a setting is illegal.

    >>> output_padding_for(112, 224, kernel_size=3, stride=2, padding=1)
    1
    """
    legal = output_size_range(size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    if output_size not in legal:
        raise GeometryError(
            f"output_size {output_size} cannot come from an input of {size} with these settings",
            f"use {_span_text(legal[0], legal[-1])}",
        )
    return output_size - (legal[-1] - stride + 1)


def inverting_output_padding(
    size: int, *, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """The output_padding with which a transposed convolution restores the `size` before a convolution.

    Both layers have the same kernel_size, stride, padding and dilation.

    Raises:
        GeometryError: if the convolution itself is illegal at this size.

    >>> [inverting_output_padding(size, kernel_size=3, stride=2, padding=1) for size in (224, 225)]
    [1, 0]
    """
    conv_output_size(size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    return (size + 2 * padding - LayerAxis(kernel_size, dilation=dilation).span) % stride


def bilinear_axis(factor: int) -> LayerAxis:
    """The transposed convolution that enlarges one axis exactly `factor` times, linearly and centred.

    Source: the rule of Caffe's "bilinear" filler, which is valid for even and odd factors.

    Raises:
        GeometryError: if factor is below 1.

    >>> bilinear_axis(3)
    LayerAxis(kernel_size=5, stride=3, padding=1, output_padding=0, dilation=1, transposed=True)
    """
    _check_whole("factor", factor, least=1)
    return LayerAxis(2 * factor - factor % 2, factor, factor // 2, transposed=True)


def _check_settings(size: int, **at_least_one: int) -> None:
    for name, value in {"size": size, **at_least_one}.items():
        _check_whole(name, value, least=1)


def _check_padding(size: int, axis: LayerAxis, padding_mode: str) -> None:
    if padding_mode not in PADDING_MODES:
        raise GeometryError(f"padding_mode '{padding_mode}' is unknown", f"use one of {', '.join(PADDING_MODES)}")
    _check_whole("padding", axis.padding, least=0 if padding_mode == "zeros" else -MAX_SIZE)
    beyond = PADDING_MODES[padding_mode]
    if beyond is not None and axis.after > size + beyond:
        raise GeometryError(
            f"padding {axis.after} with padding_mode='{padding_mode}' is more than an input of {size} can fill",
            f"use {size + beyond} or less, or an input of {axis.after - beyond} or more",
        )


def _check_whole(name: str, value: int, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise GeometryError(f"{name} {value!r} is not a whole number", f"use {least} or more")
    if value < least:
        raise GeometryError(f"{name} {value} is too small", f"use {least} or more")
    if value > MAX_SIZE:
        raise GeometryError(f"{name} is too large", "no axis of a tensor can be longer than 2^63 - 1")


def _checked_output(size: int) -> int:
    _check_whole("the output size", size, least=1)
    return size


def _span_text(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
