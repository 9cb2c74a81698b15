"""The arithmetic before and after the layer: premultiplication by alpha, exact division and rounding.

Pixels have the shape (height, width, channels); straight alpha, if present, is the last channel. Between `prepare` and
`finish`, they are *sums*: whole numbers, `divisor` times too large, in a float type that represents them exactly. So
the result is the same for every device, tile size and number of threads.
"""

from __future__ import annotations

import functools
import math
import sys
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.network import AnyKernel, Network

Pixels: TypeAlias = Any
"""A `numpy.ndarray` on the CPU, a `torch.Tensor` on other devices. Code for both uses only their common methods."""

Dtype: TypeAlias = "np.dtype[Any]"

FLOAT32: Dtype = np.dtype(np.float32)
FLOAT64: Dtype = np.dtype(np.float64)

_WHOLE_IN_FLOAT32 = 2**24
_WHOLE_IN_FLOAT64 = 2**53
"""All whole numbers up to this are exact in the type. Source: IEEE 754, significands of 24 and 53 bits."""

_FLOAT_REACH = {FLOAT32: 2**30, FLOAT64: 2**52}
"""The reach of kernels for floating-point pixels: weights finer than the type's rounding, and sums far from
overflow."""

_LEAST_REACH = 2**20


class Arithmetic(NamedTuple):
    """The arithmetic for one type of pixels and one kernel.

    Args:
        pixel_dtype: type of the input and the output: uint8, uint16, float32 or float64.
        divisor: the kernel's denominator, by which the layer's output must be divided.
        has_alpha: the last channel is straight alpha, and colour must be premultiplied.
        gain: the largest result as a multiple of the largest pixel: the kernel's reach over its denominator.
        overshoots: whether results can exceed the range of the pixels and must be clipped.
        is_wide: results for float32 pixels are float64, because they are not yet divided and can exceed float32.
        sums_dtype: the float type of results that are sums of whole pixels, not divided; None if they are pixels.
    """

    pixel_dtype: Dtype
    divisor: int
    has_alpha: bool = False
    gain: Fraction = Fraction(1)
    overshoots: bool = False
    is_wide: bool = False
    sums_dtype: Dtype | None = None

    @property
    def is_exact(self) -> bool:
        """Whether pixels are whole numbers, so that the result is the exact value rounded half up."""
        return self.pixel_dtype.kind == "u"

    @property
    def largest_pixel(self) -> int:
        """The largest pixel value: 255 or 65535."""
        return int(np.iinfo(self.pixel_dtype).max)

    @property
    def least_divisor(self) -> float:
        """The divisor used if the sum of alpha is zero. Then the dividend is also zero, and so is the quotient."""
        return 1 if self.is_exact else float(np.finfo(self.pixel_dtype).tiny)

    @property
    def out_dtype(self) -> Dtype:
        """The type of the results."""
        return FLOAT64 if self.is_wide else self.sums_dtype or self.pixel_dtype

    @property
    def safe_scale(self) -> float:
        """A power of two. Floating-point pixels multiplied by it are so small that their sums do not overflow."""
        return 2.0 ** -(math.ceil(max(self.gain, Fraction(1)) * self.divisor).bit_length() + 1)

    @property
    def sum_dtype(self) -> Dtype:
        """The float type in which every step from `prepare` to `finish` is exact.

        The largest number is the dividend of the last division: a sum plus half the divisor, or, with alpha, twice a
        sum of colour times alpha plus a sum of alpha.
        """
        if not self.is_exact:
            return self.pixel_dtype
        dividend = _dividend_factor(self.pixel_dtype, self.has_alpha) * max(self.gain, Fraction(1)) * self.divisor
        return FLOAT32 if dividend <= _WHOLE_IN_FLOAT32 else FLOAT64


def _dividend_factor(pixel_dtype: Dtype, has_alpha: bool) -> int:
    """The largest dividend, as a multiple of a kernel's reach."""
    largest = int(np.iinfo(pixel_dtype).max)
    return (2 * largest + 1) * largest if has_alpha else largest + 1


@functools.lru_cache(maxsize=32)
def exact_form(
    kernel: Kernel, pixel_dtype: Dtype, *, has_alpha: bool = False, largest_amount: int | None = None
) -> tuple[Kernel, Arithmetic]:
    """The kernel on a grid of weights for which sums of these pixels are exact, and the arithmetic for it.

    Bilinear and nearest do not change for whole pixels. Other kernels do not change if their sums are exact. Otherwise
    they are rounded to the finest grid for which sums are exact: in float32 for 8-bit pixels and a kernel that keeps
    flat images flat, in float64 for all others.

    Args:
        kernel: the kernel.
        pixel_dtype: type of the pixels.
        has_alpha: the last channel is straight alpha.
        largest_amount: for whole numbers in float64 (linear light): the largest product of colour and alpha, or the
            largest colour without alpha. Sums are exact if it is at most 2**33.

    >>> from upsample_cli.kernels.kernel import kernel_named
    >>> kernel, arithmetic = exact_form(kernel_named("lanczos3", 2), np.dtype(np.uint8))
    >>> kernel.denominator, kernel.is_flat, arithmetic.sum_dtype
    (33297, True, dtype('float32'))
    """
    if pixel_dtype.kind == "f":
        most = _FLOAT_REACH[pixel_dtype]
        if largest_amount is not None:
            most = max(_WHOLE_IN_FLOAT64 // largest_amount, _LEAST_REACH)
    elif pixel_dtype == np.uint8 and kernel.is_flat:
        most = _WHOLE_IN_FLOAT32 // _dividend_factor(pixel_dtype, False)
    else:
        most = _WHOLE_IN_FLOAT64 // _dividend_factor(pixel_dtype, has_alpha)
    kernel = kernel.within(most)
    gain = Fraction(kernel.reach, kernel.denominator)
    return kernel, Arithmetic(pixel_dtype, kernel.denominator, has_alpha, gain, kernel.overshoots)


def form_for_pixels(
    kernel: AnyKernel, pixel_dtype: Dtype, *, has_alpha: bool = False, largest_amount: int | None = None
) -> tuple[AnyKernel, Arithmetic]:
    """`exact_form` of a kernel. A network stays as it is, because its file must guarantee that its sums are exact."""
    if isinstance(kernel, Network):
        gain = Fraction(kernel.reach, kernel.linear.denominator)
        return kernel, Arithmetic(pixel_dtype, kernel.linear.denominator, has_alpha, gain, overshoots=True)
    return exact_form(kernel, pixel_dtype, has_alpha=has_alpha, largest_amount=largest_amount)


def linear_arithmetic(network: Network, arithmetic: Arithmetic) -> Arithmetic:
    """The arithmetic of a network's linear kernel alone."""
    return arithmetic._replace(gain=Fraction(network.linear.reach, network.linear.denominator))


def prepare(pixels: Pixels, arithmetic: Arithmetic) -> Pixels:
    """Convert pixels to numbers for the layer. With alpha, colour is multiplied by it.

    (height, width, channels) of `arithmetic.pixel_dtype` -> the same shape of `arithmetic.sum_dtype`.
    """
    numbers = copied(pixels, arithmetic.sum_dtype)
    if arithmetic.has_alpha:
        numbers[..., :-1] *= numbers[..., -1:]
    return numbers


def copied(pixels: Pixels, dtype: Dtype) -> Pixels:
    """A copy of pixels or numbers in another type, in memory of the same device."""
    if isinstance(pixels, np.ndarray):
        return pixels.astype(dtype)
    numbers = pixels.new_empty(pixels.shape, dtype=getattr(sys.modules["torch"], dtype.name))
    numbers[...] = pixels
    return numbers


def finish(sums: Pixels, arithmetic: Arithmetic, out: Pixels) -> None:
    """Divide the layer's sums, round half up, clip to the range of whole pixels, and write the pixels to `out`.

    Truncating the quotient is floor division. Proof: let `q` be the exact quotient rounded down, of whole numbers that
    are at most 2**24 (float32) or 2**53 (float64). The exact quotient is at least `1 / divisor` below `q + 1`. This gap
    is more than half a unit in the last place of `q + 1`, because `dividend >= q * divisor`. So one correctly rounded
    division never reaches `q + 1`. For negative sums this need not hold, because they all become zero.

    Args:
        sums: (height, width, channels) of `arithmetic.sum_dtype`, any strides; overwritten.
        arithmetic: the arithmetic of these sums.
        out: (height, width, channels) of `arithmetic.out_dtype`, any strides.
    """
    if arithmetic.sums_dtype is not None:
        out[...] = sums
        return
    colour, alpha = (sums[..., :-1], sums[..., -1:]) if arithmetic.has_alpha else (sums, None)
    if alpha is not None:
        _unpremultiply(colour, alpha, arithmetic)
        out[..., :-1] = cut_off(colour, arithmetic)
        colour, out = alpha, out[..., -1:]
    if arithmetic.is_exact:
        colour += arithmetic.divisor // 2
    if isinstance(colour, np.ndarray):
        colour /= arithmetic.divisor
    else:  # CUDA multiplies by the reciprocal of a Python number, which is one level too low at factor 11
        colour /= colour.new_full((), arithmetic.divisor)
    out[...] = cut_off(colour, arithmetic)


def cut_off(quotients: Pixels, arithmetic: Arithmetic) -> Pixels:
    """The quotients, clipped to the range of whole pixels if the kernel can exceed it."""
    if arithmetic.is_exact and arithmetic.overshoots:
        return quotients.clip(0, arithmetic.largest_pixel)
    return quotients


def _unpremultiply(colour: Pixels, alpha: Pixels, arithmetic: Arithmetic) -> None:
    """Divide colour sums by alpha sums in place, rounded half up if exact. Where alpha is zero, colour becomes zero."""
    if arithmetic.overshoots:
        colour *= alpha > 0
    if arithmetic.is_exact:
        colour *= 2
        colour += alpha.clip(0) if arithmetic.overshoots else alpha
    divisors = 2 * alpha if arithmetic.is_exact else alpha
    colour /= divisors.clip(arithmetic.least_divisor)
