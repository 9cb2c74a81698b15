"""What happens around the layer: premultiplied alpha before it, exact division and rounding after it.

Pixels are tensors of shape (height, width, channels), straight alpha last where there is one. Between `prepare` and
`finish` they are *sums*: whole numbers, `divisor` times too large, held in a float type wide enough that none of them
is rounded. That is what makes the result the same on every device, tile size and thread count.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction

import torch

from upsample_cli.kernels.kernel import Kernel

_WHOLE_IN_FLOAT32 = 2**24
_WHOLE_IN_FLOAT64 = 2**53
"""Every whole number up to here is a float. Source: IEEE 754, significands of 24 and 53 bits."""

_FLOAT_REACH = {torch.float32: 2**30, torch.float64: 2**52}
"""Grids of weights for pixels of floating point: finer than the type's own roundings, far from its largest number."""

_LEAST_REACH = 2**20


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How one kind of pixel goes through one kernel.

    Args:
        pixel_dtype: uint8, uint16, float32 or float64: of the pixels that come and go.
        divisor: what the layer's output must be divided by: the kernel's denominator.
        has_alpha: the last channel is straight opacity, to be premultiplied.
        gain: how many times a sum, divided, can be larger than the largest pixel: the kernel's reach over its
            denominator.
        overshoots: whether results can leave the range of the pixels, and so must be cut off there.
    """

    pixel_dtype: torch.dtype
    divisor: int
    has_alpha: bool = False
    gain: Fraction = Fraction(1)
    overshoots: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether pixels are whole numbers, so that the result is the exact value rounded half up."""
        return not self.pixel_dtype.is_floating_point

    @property
    def largest_pixel(self) -> int:
        """The largest pixel value: 255 or 65535."""
        return torch.iinfo(self.pixel_dtype).max

    @property
    def least_divisor(self) -> float:
        """What stands in for a sum of alpha that is zero: its dividend is zero too, and so becomes the quotient."""
        return 1 if self.is_exact else torch.finfo(self.pixel_dtype).tiny

    @property
    def sum_dtype(self) -> torch.dtype:
        """The float type in which every step from `prepare` to `finish` is exact.

        The largest number met is the dividend of the last division. Straight: a sum and half the divisor. With alpha:
        twice a sum of colour times alpha, and a sum of alpha.
        """
        if not self.is_exact:
            return self.pixel_dtype
        dividend = _dividend_factor(self.pixel_dtype, self.has_alpha) * max(self.gain, Fraction(1)) * self.divisor
        return torch.float32 if dividend <= _WHOLE_IN_FLOAT32 else torch.float64


def _dividend_factor(pixel_dtype: torch.dtype, has_alpha: bool) -> int:
    """The largest dividend, in parts of a kernel's reach."""
    largest = torch.iinfo(pixel_dtype).max
    return (2 * largest + 1) * largest if has_alpha else largest + 1


@functools.lru_cache(maxsize=32)
def fitted(
    kernel: Kernel, pixel_dtype: torch.dtype, *, has_alpha: bool = False, largest_amount: int | None = None
) -> tuple[Kernel, Arithmetic]:
    """The kernel on a grid for which sums of such pixels are exact, and how pixels go through it.

    Bilinear and nearest stay as they are for all whole pixels. Others do if their sums are exact, and else get the
    finest grid for which they are: of 8-bit pixels in float32, where a kernel keeps flat flat, else in float64.

    Args:
        largest_amount: for pixels that are whole numbers held in float64: the largest product of a colour and an alpha,
            or the largest colour. Up to 2**33 sums are exact.

    >>> from upsample_cli.kernels.kernel import kernel_named
    >>> kernel, arithmetic = fitted(kernel_named("lanczos3", 2), torch.uint8)
    >>> kernel.denominator, kernel.is_flat, arithmetic.sum_dtype
    (33297, True, torch.float32)
    """
    if pixel_dtype.is_floating_point:
        most = _FLOAT_REACH[pixel_dtype]
        if largest_amount is not None:
            most = max(_WHOLE_IN_FLOAT64 // largest_amount, _LEAST_REACH)
    elif pixel_dtype == torch.uint8 and kernel.is_flat:
        most = _WHOLE_IN_FLOAT32 // _dividend_factor(pixel_dtype, False)
    else:
        most = _WHOLE_IN_FLOAT64 // _dividend_factor(pixel_dtype, has_alpha)
    kernel = kernel.within(most)
    gain = Fraction(kernel.reach, kernel.denominator)
    return kernel, Arithmetic(pixel_dtype, kernel.denominator, has_alpha, gain, kernel.overshoots)


def prepare(pixels: torch.Tensor, arithmetic: Arithmetic) -> torch.Tensor:
    """Pixels as numbers for the layer.

    pixels: (height, width, channels) of `arithmetic.pixel_dtype` -> the same shape in `arithmetic.sum_dtype`, colour
    multiplied by alpha if there is alpha.
    """
    numbers = pixels.to(arithmetic.sum_dtype, copy=True)
    if arithmetic.has_alpha:
        numbers[..., :-1] *= numbers[..., -1:]
    return numbers


def finish(sums: torch.Tensor, arithmetic: Arithmetic, out: torch.Tensor) -> None:
    """Divide the layer's sums, round half up, cut off what lies outside the range of whole pixels, and write pixels.

    One division, correctly rounded, of whole numbers no larger than 2**24 (float32) or 2**53 (float64) never reaches
    the next whole number from below: if `q + 1 - dividend / divisor >= 1 / divisor`, that gap exceeds half a unit in
    the last place of `q + 1`, because `dividend >= q * divisor`. So truncating the quotient is floor division. Of sums
    below zero, all of which become zero, it need not be.

    Args:
        sums: (height, width, channels) of `arithmetic.sum_dtype`, any strides; overwritten.
        out: (height, width, channels) of `arithmetic.pixel_dtype`, any strides.
    """
    colour, alpha = (sums[..., :-1], sums[..., -1:]) if arithmetic.has_alpha else (sums, None)
    if alpha is not None:
        _unpremultiply(colour, alpha, arithmetic)
        out[..., :-1].copy_(cut_off(colour, arithmetic))
        colour, out = alpha, out[..., -1:]
    if arithmetic.is_exact:
        colour += arithmetic.divisor // 2
    # In memory of the device: CUDA would multiply by the reciprocal of a plain number, one level too low at factor 11.
    colour /= torch.full((), arithmetic.divisor, dtype=colour.dtype, device=colour.device)
    out.copy_(cut_off(colour, arithmetic))


def cut_off(quotients: torch.Tensor, arithmetic: Arithmetic) -> torch.Tensor:
    """Quotients brought into the range of whole pixels, in place, where a kernel can take them out of it."""
    if arithmetic.is_exact and arithmetic.overshoots:
        quotients.clamp_(0, arithmetic.largest_pixel)
    return quotients


def _unpremultiply(colour: torch.Tensor, alpha: torch.Tensor, arithmetic: Arithmetic) -> None:
    """Divide colour sums by alpha sums in place, rounded half up if exact. Without opacity, colour becomes zero."""
    if arithmetic.overshoots:
        colour *= alpha > 0
    if arithmetic.is_exact:
        colour *= 2
        colour += alpha.clamp_min(0) if arithmetic.overshoots else alpha
    divisors = 2 * alpha if arithmetic.is_exact else alpha
    colour /= divisors.clamp_min(arithmetic.least_divisor)
