"""Whether a transposed convolution produces checkerboards, from its settings only, and which settings do not. No torch.

The output has as many *phases* as the stride, and different taps contribute to each phase. A flat input stays flat if
the taps of all phases have the same sum. The settings determine how many taps contribute (the overlap), and the weights
determine their sum.
Source: Odena, Dumoulin & Olah 2016, Deconvolution and checkerboard artifacts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import SETTINGS, TransposedConvolution

FLAT_LEVEL = 128
"""The grey level of the flat image for which the amplitude is reported."""
_MAP_INPUT = 5
"""Input samples for a map; more if padding would crop the whole output."""
_MOST_CURES = 2
_LARGEST_SETTING, _MOST_CELLS = 256, 60


def phase_gains(axis: LayerAxis) -> tuple[Fraction, ...]:
    """For each phase, the output of a layer with equal taps for a flat input of 1. The mean of the gains is 1.

    >>> [str(gain) for gain in phase_gains(LayerAxis(3, stride=2, transposed=True))]
    ['4/3', '2/3']
    """
    return tuple(Fraction(count * axis.stride, axis.kernel_size) for count in axis.taps_per_phase)


def overlap(axis: LayerAxis, size: int) -> tuple[int, ...]:
    """How many taps contribute to each output sample, for an input of `size` samples, borders included."""
    end = axis.padding + axis.output_size(size)
    counts = Counter(
        sample * axis.stride + tap * axis.dilation for sample, tap in product(range(size), range(axis.kernel_size))
    )
    return tuple(counts[place] for place in range(axis.padding, end))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How even the overlap of a layer is.

    Args:
        layer: the layer.
        axes: the layer along each axis.
        cures: layers with the same stride and output sizes and an even overlap, the most similar first; empty if the
            overlap is already even.
        neighbours: for each axis, the amplitude for similar kernel sizes and strides, as
            {(kernel_size, stride): levels}.
    """

    layer: TransposedConvolution
    axes: tuple[LayerAxis, ...]
    cures: tuple[TransposedConvolution, ...]
    neighbours: tuple[dict[tuple[int, int], float], ...]

    @property
    def is_even(self) -> bool:
        """Whether the same number of taps contributes to every output sample away from the border."""
        return all(axis.is_even for axis in self.axes)

    @property
    def amplitude_levels(self) -> float:
        """Difference between the brightest and the darkest phase for a flat grey of `FLAT_LEVEL`, with equal taps."""
        return FLAT_LEVEL * float(spread([phase_gains(axis) for axis in self.axes]))

    @property
    def has_gaps(self) -> bool:
        """Whether there are output samples to which no tap contributes."""
        return any(0 in axis.taps_per_phase for axis in self.axes)


def map_input(axes: Sequence[LayerAxis]) -> int:
    """The size of a small input, large enough that padding does not crop the whole output on any axis.

    >>> map_input([LayerAxis(4, 2, 1, transposed=True)]), map_input([LayerAxis(4, 2, 9, transposed=True)])
    (5, 13)
    """
    if all(axis.output_size(_MAP_INPUT) >= 1 for axis in axes):
        return _MAP_INPUT
    return max(_MAP_INPUT - axis.output_size(0) // axis.stride for axis in axes)


def checkerboard(layer: TransposedConvolution) -> Verdict:
    """Find how even the overlap of a layer is, from its settings.

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


def axes_of(layer: TransposedConvolution) -> tuple[LayerAxis, ...]:
    """The layer along each axis.

    Raises:
        GeometryError: if torch would refuse the settings.
        UsageError: if a setting is too large.
    """
    settings = [getattr(axis, name) for axis in layer.each_axis for name in SETTINGS]
    if max(number for number in settings if isinstance(number, int)) > _LARGEST_SETTING:
        raise UsageError(f"{layer}: a setting above {_LARGEST_SETTING} is too large", "use a smaller one")
    layer.check_settings()
    return layer.each_axis


def spread(gains: Sequence[Sequence[Fraction]]) -> Fraction:
    """The largest product of one gain for each axis, minus the smallest."""
    return prod(map(max, gains), start=Fraction(1)) - prod(map(min, gains), start=Fraction(1))


def _cures(layer: TransposedConvolution, axes: Sequence[LayerAxis]) -> tuple[TransposedConvolution, ...]:
    along = map(TransposedConvolution.along, zip(*map(_axis_cures, axes), strict=False))
    return tuple(replace(layer, **{name: getattr(cure, name) for name in SETTINGS}) for cure in along)


def _axis_cures(axis: LayerAxis) -> list[LayerAxis]:
    """Settings with an even overlap and the same output sizes, the nearest kernel_size first, larger before smaller.

    Empty if stride and dilation have a common divisor, because then the overlap is not even for any kernel_size.
    """
    if axis.is_even:
        return [axis] * _MOST_CURES
    found = []
    for kernel_size in sorted(
        range(1, axis.kernel_size + 2 * axis.stride + 1), key=lambda size: (abs(size - axis.kernel_size), -size)
    ):
        bare = replace(axis, kernel_size=kernel_size, padding=0, output_padding=0)
        if not bare.is_even:  # padding only rotates the phases, so it is not needed here
            continue
        for output_padding in range(max(axis.stride, axis.dilation)):
            twice = bare.output_size(1) + output_padding - axis.output_size(1)
            cure = replace(bare, padding=twice // 2, output_padding=output_padding)
            if twice >= 0 and twice % 2 == 0 and not any(cure.unreached):
                found.append(cure)
                break  # the smallest output_padding has the smallest shift
    return found[:_MOST_CURES]


def _neighbours(axis: LayerAxis) -> dict[tuple[int, int], float]:
    sizes = range(max(1, axis.kernel_size - 2), axis.kernel_size + 3)
    strides = range(max(1, axis.stride - 1), axis.stride + 3)
    return {
        (size, stride): FLAT_LEVEL * float(spread([phase_gains(replace(axis, kernel_size=size, stride=stride))]))
        for stride, size in product(strides, sizes)
    }


def overlap_map(axes: Sequence[LayerAxis]) -> list[list[int]]:
    """How many taps contribute to each output sample for a small input, (rows, columns); one row for one axis.

    For three axes, it is the middle slice along the first. A large map is limited to its first 60 rows and columns.
    """
    size = map_input(axes)
    *before, columns = [overlap(axis, size)[:_MOST_CELLS] for axis in axes]
    rows = before[-1] if before else (1,)
    depth = before[0][len(before[0]) // 2] if len(before) > 1 else 1
    return [[depth * row * column for column in columns] for row in rows]


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict for programs. Gains are text, for example "4/3". The first phase is that of the first output."""
    return {
        "layer": str(verdict.layer),
        "even": verdict.is_even,
        "gaps": verdict.has_gaps,
        "unreached": [list(axis.unreached) for axis in verdict.axes],
        "amplitude_levels": verdict.amplitude_levels,
        "flat_level": FLAT_LEVEL,
        "taps_per_phase": [list(axis.taps_per_phase) for axis in verdict.axes],
        "gain_per_phase": [[str(gain) for gain in phase_gains(axis)] for axis in verdict.axes],
        "map_input": map_input(verdict.axes),
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
