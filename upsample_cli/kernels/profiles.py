"""Interpolation profiles, and their taps at whole factors as exact fractions. Whole numbers only: no numpy, no torch.

A profile is a function of the distance between an output sample and an input sample, in input samples. Its values at
the distances that occur at a whole factor are the taps of a transposed convolution along one axis.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from numbers import Integral
from typing import NamedTuple

from upsample_cli.errors import Setting, UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.kernels.rounding import rounded_phases

_DIGITS = 60
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
_SAMPLED_BITS = 128
_TAP_BITS = 60
"""Irrational taps are rounded to this many bits. This is finer than float64 and the same on every machine."""


class Profile(NamedTuple):
    """An even function that is zero at distances of `support` and more.

    Args:
        support: extent on each side, in input samples.
        value: the function of a distance, 0 <= distance < support.
        source: the publication of the formula.
        is_rational: whether `value` is exact. If not, it has about sixty digits, and taps are divided by the sum of
            their phase, which need not be 1.
    """

    support: Fraction
    value: Callable[[Fraction], Fraction]
    source: str
    is_rational: bool = True


def _cubic(b: Fraction, c: Fraction) -> Callable[[Fraction], Fraction]:
    """A piecewise cubic that keeps flat images flat. Source: Mitchell & Netravali 1988, equation 8."""

    def value(x: Fraction) -> Fraction:
        if x < 1:
            return ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)) / 6
        return ((-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)) / 6

    return value


def _lanczos(lobes: int) -> Callable[[Fraction], Fraction]:
    """`sinc(x) * sinc(x / lobes)`, with `sinc(x) = sin(pi*x) / (pi*x)`."""

    def value(x: Fraction) -> Fraction:
        if x == 0:
            return Fraction(1)
        with localcontext(prec=_DIGITS):
            product = _sine(x) * _sine(x / lobes) / _PI**2
        return Fraction(product) * lobes / x**2

    return value


def _sine(turns: Fraction) -> Decimal:
    """`sin(pi * turns)` by its power series, for a reduced angle at which it converges fast."""
    reduced = turns % 2
    if reduced > 1:
        return -_sine(reduced - 1)
    reduced = min(reduced, 1 - reduced)
    angle = _PI * reduced.numerator / reduced.denominator
    term = total = angle
    order = 1
    while term and abs(term) > Decimal(10) ** -_DIGITS:
        order += 2
        term = -term * angle * angle / (order * (order - 1))
        total += term
    return total


def _gaussian(x: Fraction) -> Fraction:
    """`exp(-x**2 / (2 * sigma**2))` with sigma = 1/2."""
    exponent = -2 * x**2
    with localcontext(prec=_DIGITS):
        return Fraction((Decimal(exponent.numerator) / exponent.denominator).exp())


_KEYS = "Keys 1981, Cubic convolution interpolation for digital image processing"
_MITCHELL = "Mitchell & Netravali 1988, Reconstruction filters in computer graphics"
_DUCHON = "Duchon 1979, Lanczos filtering in one and two dimensions"

PROFILES: dict[str, Profile] = {
    "bilinear": Profile(Fraction(1), lambda x: 1 - x, "the straight line between two samples"),
    "nearest": Profile(Fraction(1, 2), lambda _: Fraction(1), "each sample repeated"),
    "bicubic": Profile(Fraction(2), _cubic(Fraction(0), Fraction(1, 2)), f"{_KEYS}: a = -1/2"),
    "bicubic-0.75": Profile(
        Fraction(2), _cubic(Fraction(0), Fraction(3, 4)), f"{_KEYS}: a = -3/4, as torch and OpenCV"
    ),
    "mitchell": Profile(Fraction(2), _cubic(Fraction(1, 3), Fraction(1, 3)), f"{_MITCHELL}: B = C = 1/3"),
    "catmull-rom": Profile(
        Fraction(2), _cubic(Fraction(0), Fraction(1, 2)), "Catmull & Rom 1974, A class of local interpolating splines"
    ),
    "lanczos2": Profile(Fraction(2), _lanczos(2), _DUCHON, is_rational=False),
    "lanczos3": Profile(Fraction(3), _lanczos(3), _DUCHON, is_rational=False),
    "bspline": Profile(
        Fraction(2), _cubic(Fraction(1), Fraction(0)), "the cubic B-spline without prefilter; Hou & Andrews 1978"
    ),
    "gaussian": Profile(Fraction(2), _gaussian, "exp(-2*x**2): sigma 1/2, cut at four sigma", is_rational=False),
}
"""The kernels with a formula. `bicubic` and `catmull-rom` are the same polynomial, derived in two ways."""


class AxisKernel(NamedTuple):
    """A profile's taps along one axis, with the settings of their transposed convolution.

    Args:
        name: a key of `PROFILES`.
        factor: the stride.
        numerators: whole numbers, one per tap; tap t is `numerators[t] / denominator`.
        denominator: common to all taps; each phase's numerators sum to it.
        padding: padding of the transposed convolution. `kernel_size - 2 * padding + output_padding == factor`, so n
            samples become exactly `n * factor`. Without output_padding, output o is at `(o + 1/2) / factor - 1/2` in
            input samples.
        output_padding: 1 for taps that cannot be centred, which only `sized_bilinear` makes.
    """

    name: str
    factor: int
    numerators: tuple[int, ...]
    denominator: int
    padding: int
    output_padding: int = 0

    @property
    def kernel_size(self) -> int:
        """Number of taps."""
        return len(self.numerators)

    @property
    def layer_axis(self) -> LayerAxis:
        """The transposed convolution along one axis."""
        return LayerAxis(self.kernel_size, self.factor, self.padding, self.output_padding, transposed=True)

    @property
    def halo(self) -> int:
        """Input samples needed on each side of a run of samples to compute the run's outputs; see `LayerAxis.halo`."""
        return self.layer_axis.halo

    @property
    def taps(self) -> tuple[Fraction, ...]:
        """The taps as fractions.

        >>> [str(tap) for tap in axis_kernel("bilinear", 2).taps]
        ['1/4', '3/4', '3/4', '1/4']
        """
        return tuple(Fraction(numerator, self.denominator) for numerator in self.numerators)


def phase_taps(factor: int, padding: int) -> list[tuple[int, list[int | None]]]:
    """For each phase along one axis: the index of the first input that it uses, and the taps of its inputs.

    Output `i * factor + phase` uses input `i + (phase + padding - tap) / factor`. Inputs are counted from `i - halo`.
    All phases have the same number of inputs; a tap that is outside the kernel is None.

    >>> phase_taps(factor=3, padding=1)
    [(0, [4, 1]), (1, [2, None]), (1, [3, 0])]
    """
    axis = LayerAxis(factor + 2 * padding, factor, padding, transposed=True)
    used = [
        {axis.halo + (phase + padding - tap) // factor: tap for tap in taps} for phase, taps in enumerate(axis.taps)
    ]
    count = max(map(len, used))
    firsts = [min(*taps, 2 * axis.halo + 1 - count) for taps in used]
    return [(first, [taps.get(first + n) for n in range(count)]) for first, taps in zip(firsts, used, strict=True)]


def bilinear_taps(kernel_size: int) -> tuple[Fraction, ...]:
    """A triangle of `kernel_size` taps: the usual bilinear initialization of a transposed convolution.

    With `f = (kernel_size + 1) // 2` and centre `c = f - 1` (odd sizes) or `f - 1/2` (even sizes), tap i is
    `1 - |i - c| / f`. Source: Long, Shelhamer & Darrell 2015, Fully convolutional networks for semantic segmentation.

    >>> [str(tap) for tap in bilinear_taps(5)]
    ['1/3', '2/3', '1', '2/3', '1/3']
    """
    half = (kernel_size + 1) // 2
    centre = Fraction(half - 1) if kernel_size % 2 else Fraction(2 * half - 1, 2)
    return tuple(1 - abs(i - centre) / half for i in range(kernel_size))


def checked_factor(factor: int) -> int:
    """The factor as an int.

    Raises:
        UsageError: if the factor is not a whole number from 1 to 64.
    """
    if isinstance(factor, bool) or not isinstance(factor, Integral) or not 1 <= factor <= MAX_FACTOR:
        raise UsageError(
            f"factor {factor} is not a whole number from 1 to {MAX_FACTOR}", ("try ", Setting("factor", 2))
        )
    return int(factor)


@functools.lru_cache(maxsize=128, typed=True)  # typed: 2.0, which is refused, must not find the entry of 2
def axis_kernel(name: str, factor: int) -> AxisKernel:
    """The taps of a profile at a whole factor.

    The distance of tap t of k from the output sample is `|t + 1/2 - k/2| / factor`; k is the largest size of the
    factor's parity with all taps inside the support, without zeros at the ends.

    Raises:
        UsageError: if the name is unknown, or the factor is not a whole number from 1 to 64.

    >>> axis_kernel("bilinear", 3)
    AxisKernel(name='bilinear', factor=3, numerators=(1, 2, 3, 2, 1), denominator=3, padding=1, output_padding=0)
    >>> axis_kernel("bicubic", 2).numerators
    (-3, -9, 29, 111, 111, 29, -9, -3)
    """
    factor = checked_factor(factor)
    if name not in PROFILES:
        raise UsageError(f"there is no kernel named {name!r}", f"choose one of {', '.join(PROFILES)}")
    profile = PROFILES[name]
    widest = int(2 * profile.support * factor)
    kernel_size = widest - (widest - factor) % 2
    sampled = [profile.value(Fraction(abs(2 * t + 1 - kernel_size), 2 * factor)) for t in range(kernel_size)]
    if profile.is_rational:
        denominator = math.lcm(*(tap.denominator for tap in sampled))
        numerators = [int(tap * denominator) for tap in sampled]
    else:
        denominator = 2**_TAP_BITS
        phases = [range(phase, kernel_size, factor) for phase in range(factor)]
        numerators = rounded_phases([int(tap * 2**_SAMPLED_BITS) for tap in sampled], phases, denominator)
    while numerators[0] == 0 and len(numerators) > factor:
        numerators = numerators[1:-1]
    return AxisKernel(name, factor, tuple(numerators), denominator, padding=(len(numerators) - factor) // 2)
