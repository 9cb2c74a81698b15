"""Whether a transposed convolution draws checkerboards, from its settings alone, and which settings do not. No torch.

Output samples fall into as many kinds as the stride, the *phases*: each kind meets taps of its own. Where the taps of
all phases sum to the same, a flat input stays flat. Settings decide how many taps meet (the overlap), weights what they
sum to. Source: Odena, Dumoulin & Olah 2016, Deconvolution and checkerboard artifacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axes import split_axes
from upsample_cli.tconv.interpolation import collapsed
from upsample_cli.tconv.layers.convolution import TransposedConvolution

FLAT_LEVEL = 128
"""The grey that amplitudes are told for: a flat image of it comes out between two levels that far apart."""
_MAP_INPUT = 5
_MOST_CURES = 2
_LARGEST_SETTING, _MOST_CELLS = 256, 60


@dataclass(frozen=True, slots=True)
class Axis:
    """Settings of a transposed convolution along one axis."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    dilation: int = 1

    @property
    def counts(self) -> tuple[int, ...]:
        """Taps that meet at each phase of the output, the first output sample's phase first.

        >>> Axis(3, stride=2).counts, Axis(4, stride=2).counts, Axis(3, stride=2, padding=1).counts
        ((2, 1), (2, 2), (1, 2))
        """
        counts = [0] * self.stride
        for tap in range(self.kernel_size):
            counts[(tap * self.dilation - self.padding) % self.stride] += 1
        return tuple(counts)

    @property
    def is_even(self) -> bool:
        """Whether as many taps meet at every phase: for dilation 1, whether stride divides kernel_size."""
        return len(set(self.counts)) == 1

    @property
    def gains(self) -> tuple[Fraction, ...]:
        """What equal taps make of a flat input of 1 at each phase; 1 on the average.

        >>> [str(gain) for gain in Axis(3, stride=2).gains]
        ['4/3', '2/3']
        """
        return tuple(Fraction(count * self.stride, self.kernel_size) for count in self.counts)

    def overlap(self, size: int) -> tuple[int, ...]:
        """How many taps meet at each output sample of an input of `size`, borders included."""
        last = (size - 1) * self.stride + self.dilation * (self.kernel_size - 1)
        meeting = [0] * (last + self.output_padding + self.padding + 1)
        for sample, tap in product(range(size), range(self.kernel_size)):
            meeting[sample * self.stride + tap * self.dilation] += 1
        return tuple(meeting[self.padding : last + 1 - self.padding + self.output_padding])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the settings of a layer lead to.

    Args:
        layer: the layer.
        axes: its settings, axis by axis.
        cures: layers of the same stride and output sizes whose overlap is even, nearest first; none if it is even.
        neighbours: per axis, the amplitude for kernel sizes and strides nearby, as {(kernel_size, stride): levels}.
    """

    layer: TransposedConvolution
    axes: tuple[Axis, ...]
    cures: tuple[TransposedConvolution, ...]
    neighbours: tuple[dict[tuple[int, int], float], ...]

    @property
    def is_even(self) -> bool:
        """Whether as many taps meet at every output sample inside."""
        return all(axis.is_even for axis in self.axes)

    @property
    def amplitude_levels(self) -> float:
        """Between the darkest and the brightest phase of a flat grey of `FLAT_LEVEL`, with equal taps."""
        return FLAT_LEVEL * float(spread([axis.gains for axis in self.axes]))

    @property
    def gaps(self) -> bool:
        """Whether some output samples meet no tap at all."""
        return any(0 in axis.counts for axis in self.axes)


def checkerboard(layer: TransposedConvolution) -> Verdict:
    """What the settings of a layer lead to.

    >>> verdict = checkerboard(TransposedConvolution(2, kernel_size=3, stride=2, padding=1, output_padding=1))
    >>> verdict.is_even, round(verdict.amplitude_levels, 1)
    (False, 170.7)
    >>> for cure in verdict.cures:
    ...     print(cure)
    ConvTranspose2d(kernel_size=4, stride=2, padding=1)
    ConvTranspose2d(kernel_size=2, stride=2)
    """
    axes = axes_of(layer)
    cures = () if all(axis.is_even for axis in axes) else _cures(layer, axes)
    return Verdict(layer, axes, cures, tuple(_neighbours(axis) for axis in axes))


def axes_of(layer: TransposedConvolution) -> tuple[Axis, ...]:
    """A layer's settings, axis by axis.

    Raises:
        GeometryError: where torch would refuse.
        UsageError: if a setting is too large to be looked at.
    """
    names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
    each = split_axes(layer.axes, {name: getattr(layer, name) for name in names})
    if max(value for settings in each for value in settings.values()) > _LARGEST_SETTING:
        raise UsageError(f"{layer}: a setting above {_LARGEST_SETTING} is more than can be looked at", "use less")
    layer.output_sizes((2**20,) * layer.axes)  # refuses what torch refuses whatever the size
    return tuple(Axis(**settings) for settings in each)


def spread(gains: Sequence[Sequence[Fraction]]) -> Fraction:
    """Between the largest and the smallest product of gains, one of each axis."""
    return prod((max(each) for each in gains), start=Fraction(1)) - prod(
        (min(each) for each in gains), start=Fraction(1)
    )


def _cures(layer: TransposedConvolution, axes: Sequence[Axis]) -> tuple[TransposedConvolution, ...]:
    each = [_axis_cures(axis) for axis in axes]
    count = min(len(options) for options in each)
    names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
    chosen: list[dict[str, Any]] = [
        {name: collapsed([getattr(options[number], name) for options in each]) for name in names}
        for number in range(count)
    ]
    return tuple(replace(layer, **settings) for settings in chosen)


def _axis_cures(axis: Axis) -> list[Axis]:
    """Settings of even overlap and the same output sizes, nearest kernel_size first, larger before smaller.

    With dilation, stride may share a divisor with it, and no kernel_size is even; then there are none.
    """
    if axis.is_even:
        return [axis] * _MOST_CURES
    grown = axis.dilation * (axis.kernel_size - 1) - 2 * axis.padding + axis.output_padding
    found = []
    for kernel_size in sorted(
        range(1, axis.kernel_size + 2 * axis.stride + 1), key=lambda size: (abs(size - axis.kernel_size), -size)
    ):
        if not Axis(kernel_size, axis.stride, dilation=axis.dilation).is_even:
            continue  # padding turns the phases round, which changes nothing here
        for output_padding in range(max(axis.stride, axis.dilation)):
            twice = axis.dilation * (kernel_size - 1) + output_padding - grown
            if twice >= 0 and twice % 2 == 0:
                found.append(Axis(kernel_size, axis.stride, twice // 2, output_padding, axis.dilation))
                break  # the least output_padding: the least shift
    return found[:_MOST_CURES]


def _neighbours(axis: Axis) -> dict[tuple[int, int], float]:
    sizes = range(max(1, axis.kernel_size - 2), axis.kernel_size + 3)
    strides = range(max(1, axis.stride - 1), axis.stride + 3)
    return {
        (size, stride): FLAT_LEVEL * float(spread([Axis(size, stride, dilation=axis.dilation).gains]))
        for stride, size in product(strides, sizes)
    }


def overlap_map(axes: Sequence[Axis]) -> list[list[int]]:
    """How many taps meet at each output sample of a small input, (rows, columns); one row on one axis.

    On three axes it is the slice in the middle of the first; of a large map, the first 60 rows and columns.
    """
    *before, columns = [axis.overlap(_MAP_INPUT)[:_MOST_CELLS] for axis in axes]
    rows = before[-1] if before else (1,)
    depth = before[0][len(before[0]) // 2] if len(before) > 1 else 1
    return [[depth * row * column for column in columns] for row in rows]


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict for programs. Gains are text, like "4/3"; phases start with the first output sample's."""
    return {
        "layer": str(verdict.layer),
        "even": verdict.is_even,
        "gaps": verdict.gaps,
        "amplitude_levels": verdict.amplitude_levels,
        "flat_level": FLAT_LEVEL,
        "taps_per_phase": [list(axis.counts) for axis in verdict.axes],
        "gain_per_phase": [[str(gain) for gain in axis.gains] for axis in verdict.axes],
        "overlap": overlap_map(verdict.axes),
        "cures": [str(cure) for cure in verdict.cures],
        "neighbours": [
            [
                {"kernel_size": size, "stride": stride, "amplitude_levels": levels}
                for (size, stride), levels in near.items()
            ]
            for near in verdict.neighbours
        ],
    }
