"""The textbook's bilinear initialization with any kernel_size, and what it does to an image. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axes import collapsed
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.kernels.profiles import AxisKernel, axis_kernel, bilinear_taps, checked_factor


def sized_bilinear(kernel_size: int, factor: int) -> AxisKernel:
    """`bilinear_taps(kernel_size)` with the padding that makes n samples exactly `n * factor`.

    If `kernel_size - factor` is odd, the taps cannot be centred: the layer crops one sample more at the start than at
    the end, which output_padding expresses.

    Raises:
        UsageError: if the factor or the kernel_size is out of range, or PyTorch does not have such a layer.

    >>> sized_bilinear(3, 2)
    AxisKernel(name='bilinear', factor=2, numerators=(1, 2, 1), denominator=2, padding=1, output_padding=1)
    >>> sized_bilinear(4, 2) == axis_kernel("bilinear", 2)
    True
    """
    factor = checked_factor(factor)
    if kernel_size > 2 * MAX_FACTOR:
        raise UsageError(f"kernel_size {kernel_size} is too large", f"use {2 * MAX_FACTOR} or less")
    if kernel_size < factor:
        raise UsageError(
            f"kernel_size {kernel_size} is smaller than factor {factor}: no tap would reach some of the outputs",
            f"use {factor} or more",
        )
    output_padding = (kernel_size - factor) % 2
    if output_padding >= factor:
        raise UsageError(
            f"kernel_size {kernel_size} with factor 1 needs output_padding 1, which torch refuses",
            "use an odd kernel_size",
        )
    taps = bilinear_taps(kernel_size)
    denominator = math.lcm(*(tap.denominator for tap in taps))
    padding = (kernel_size - factor + output_padding) // 2
    return AxisKernel(
        "bilinear", factor, tuple(int(tap * denominator) for tap in taps), denominator, padding, output_padding
    )


def sized_sentences(kernels: Sequence[AxisKernel]) -> tuple[str, ...]:
    """Sentences about what a layer of such kernels does, and what it is equivalent to in torch."""
    usual = collapsed([axis_kernel("bilinear", kernel.factor).kernel_size for kernel in kernels])
    sentences = []
    if any(kernel.output_padding for kernel in kernels):
        axes = [number for number, kernel in enumerate(kernels) if kernel.output_padding]
        where = "" if len(axes) == len(kernels) else f" along axis {' and '.join(map(str, axes))}"
        sentences.append(
            f"not centred: the image moves by half an output sample towards the start{where}, compared with "
            f"align_corners=False; kernel_size={usual} is centred"
        )
    if any(kernel.kernel_size != 2 * kernel.factor - 1 for kernel in kernels):
        return (*sentences, f"torch.nn.functional.interpolate has no such taps; kernel_size={usual} interpolates")
    letters = "dhw"[-len(kernels) :]
    sizes = [f"({letter} - 1)*{kernel.factor} + 1" for letter, kernel in zip(letters, kernels, strict=True)]
    size = f"({', '.join(sizes)})" if len(sizes) > 1 else sizes[0]
    mode = ("linear", "bilinear", "trilinear")[len(kernels) - 1]
    padding = collapsed([kernel.factor - 1 for kernel in kernels])
    call = f'F.interpolate(x, size={size}, mode="{mode}", align_corners=True)'
    return *sentences, f"with padding={padding} and no output_padding, everywhere: {call}"
