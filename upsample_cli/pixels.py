"""What happens around the layer: premultiplied alpha before it, exact division and rounding after it.

Pixels are tensors of shape (height, width, channels), straight alpha last where there is one. Between `prepare` and
`finish` they are *sums*: whole numbers, `divisor` times too large, held in a float type wide enough that none of them
is rounded. That is what makes the result the same on every device, tile size and thread count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_WHOLE_IN_FLOAT32 = 2**24
"""Every whole number up to here is a float32. Source: IEEE 754, binary32 has a 24-bit significand."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How one kind of pixel goes through one kernel.

    Args:
        pixel_dtype: uint8, uint16, float32 or float64: of the pixels that come and go.
        divisor: what the layer's output must be divided by: the square of the kernel's denominator.
        has_alpha: the last channel is straight opacity, to be premultiplied.
    """

    pixel_dtype: torch.dtype
    divisor: int
    has_alpha: bool = False

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
        largest = self.largest_pixel
        dividend = (2 * largest + 1) * largest * self.divisor if self.has_alpha else (largest + 1) * self.divisor
        return torch.float32 if dividend <= _WHOLE_IN_FLOAT32 else torch.float64


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
    """Divide the layer's sums, round half up, and write pixels.

    One division, correctly rounded, of whole numbers no larger than 2**24 (float32) or 2**53 (float64) never reaches
    the next whole number from below: if `q + 1 - dividend / divisor >= 1 / divisor`, that gap exceeds half a unit in
    the last place of `q + 1`, because `dividend >= q * divisor`. So truncating the quotient is floor division.

    Args:
        sums: (height, width, channels) of `arithmetic.sum_dtype`, any strides; overwritten.
        out: (height, width, channels) of `arithmetic.pixel_dtype`, any strides.
    """
    colour, alpha = (sums[..., :-1], sums[..., -1:]) if arithmetic.has_alpha else (sums, None)
    if alpha is not None:
        _unpremultiply(colour, alpha, arithmetic)
        out[..., :-1].copy_(colour)
        colour, out = alpha, out[..., -1:]
    if arithmetic.is_exact:
        colour += arithmetic.divisor // 2
    # In memory of the device: CUDA would multiply by the reciprocal of a plain number, one level too low at factor 11.
    colour /= torch.full((), arithmetic.divisor, dtype=colour.dtype, device=colour.device)
    out.copy_(colour)


def _unpremultiply(colour: torch.Tensor, alpha: torch.Tensor, arithmetic: Arithmetic) -> None:
    """Divide colour sums by alpha sums in place, rounded half up if exact. Where alpha is zero, colour becomes zero."""
    if arithmetic.is_exact:
        colour *= 2
        colour += alpha
    divisors = 2 * alpha if arithmetic.is_exact else alpha
    colour /= divisors.clamp_min(arithmetic.least_divisor)
