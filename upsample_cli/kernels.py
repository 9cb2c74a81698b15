"""Interpolation kernels for whole factors, as exact fractions. No torch.

A kernel here is one-dimensional; the layer uses its outer product with itself. Its taps are kept as whole numerators
over one denominator, because that is what makes the pixels exact: the layer sums integers, and one division follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral

from upsample_cli.errors import UsageError

MAX_FACTOR = 64


@dataclass(frozen=True, slots=True)
class Kernel:
    """Taps of a one-dimensional kernel, with the settings of the transposed convolution that carries it.

    Args:
        name: what the user calls it.
        factor: the stride.
        numerators: whole numbers, one per tap; tap t is `numerators[t] / denominator`.
        denominator: common to all taps of one axis. In two dimensions sums are divided by its square.
        padding: of the transposed convolution. `kernel_size - 2 * padding == factor`, so that n samples become
            exactly `n * factor`.
    """

    name: str
    factor: int
    numerators: tuple[int, ...]
    denominator: int
    padding: int

    @property
    def kernel_size(self) -> int:
        """Number of taps."""
        return len(self.numerators)

    @property
    def halo(self) -> int:
        """Input samples needed on each side of a run of samples to compute the run's outputs.

        Output `o` takes input `i` where `0 <= o + padding - i * factor < kernel_size`. The last output of a run ending
        at input `b` is `b * factor - 1`, so the farthest input lies `(factor - 1 + padding) // factor` past the run;
        the taps being as many as `factor + 2 * padding`, the near side needs the same.
        """
        return (self.factor - 1 + self.padding) // self.factor

    @property
    def taps(self) -> tuple[Fraction, ...]:
        """The taps as fractions.

        >>> [str(tap) for tap in kernel_named("bilinear", 2).taps]
        ['1/4', '3/4', '3/4', '1/4']
        """
        return tuple(Fraction(numerator, self.denominator) for numerator in self.numerators)


def bilinear_taps(kernel_size: int) -> tuple[Fraction, ...]:
    """Triangle of `kernel_size` taps, the usual bilinear initialisation of a transposed convolution.

    With `f = (kernel_size + 1) // 2` and centre `c = f - 1` (odd sizes) or `f - 1/2` (even sizes), tap i is
    `1 - |i - c| / f`. Source: Long, Shelhamer & Darrell 2015, Fully convolutional networks for semantic segmentation.

    >>> [str(tap) for tap in bilinear_taps(5)]
    ['1/3', '2/3', '1', '2/3', '1/3']
    """
    half = (kernel_size + 1) // 2
    centre = Fraction(half - 1) if kernel_size % 2 else Fraction(2 * half - 1, 2)
    return tuple(1 - abs(i - centre) / half for i in range(kernel_size))


def _bilinear(factor: int) -> tuple[Fraction, ...]:
    return bilinear_taps(2 * factor - factor % 2)


def _nearest(factor: int) -> tuple[Fraction, ...]:
    return (Fraction(1),) * factor


KERNELS: dict[str, Callable[[int], tuple[Fraction, ...]]] = {"bilinear": _bilinear, "nearest": _nearest}


def kernel_named(name: str, factor: int) -> Kernel:
    """The kernel of that name for that factor.

    Raises:
        UsageError: if there is no such kernel, or the factor is not a whole number from 1 to 64.

    >>> kernel_named("bilinear", 3)
    Kernel(name='bilinear', factor=3, numerators=(1, 2, 3, 2, 1), denominator=3, padding=1)
    """
    if isinstance(factor, bool) or not isinstance(factor, Integral) or not 1 <= factor <= MAX_FACTOR:
        raise UsageError(f"factor {factor} is not a whole number from 1 to {MAX_FACTOR}", "try --factor 2")
    factor = int(factor)
    if name not in KERNELS:
        raise UsageError(f"there is no kernel named {name!r}", f"choose one of {', '.join(KERNELS)}")
    taps = KERNELS[name](factor)
    denominator = math.lcm(*(tap.denominator for tap in taps))
    numerators = tuple(int(tap * denominator) for tap in taps)
    return Kernel(name, factor, numerators, denominator, padding=(len(taps) - factor) // 2)
