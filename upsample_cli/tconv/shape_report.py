"""The document for programs, totals, and remarks on common errors, for `tconv shape`. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

from upsample_cli.geometry.axes import PerAxis
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import TransposedConvolution, bilinear_layer
from upsample_cli.tconv.layers.symbolic import Size
from upsample_cli.tconv.shape import Step
from upsample_cli.tconv.shape_text import Form


def as_json(steps: Sequence[Step], notes: Sequence[str] = (), form: Form | None = None) -> dict[str, Any]:
    """Sizes and costs of a chain as one document. Unknown values are null, and sizes with a letter are text.

    The shapes have the dimensions that `form` states, the other sizes have no batch and no channels.

    >>> from upsample_cli.tconv.shape import shape
    >>> document = as_json(shape((7,), [TransposedConvolution(1, kernel_size=4, stride=2, padding=1)]))
    >>> document["input"], document["output"], document["layers"][0]["formulas"]
    ([7], [14], ['(7-1)*2 - 2*1 + 1*(4-1) + 0 + 1 = 14'])
    """
    first, last, form = steps[0], steps[-1], form or Form()
    return {
        "input": _plain(first.input),
        "output": _plain(last.output),
        "input_shape": _plain(form.shape(first.input_channels, first.input)),
        "output_shape": _plain(form.shape(last.channels, last.output)),
        "channels": last.channels,
        "shift": _floats(last.total_shift),
        "receptive_field": list(last.receptive_field),
        **{name: total(steps, name) for name in ("parameters", "multiply_adds", "memory_bytes")},
        "remarks": list(notes),
        "layers": [
            {
                "layer": str(step.layer),
                "input": _plain(step.input),
                "output": _plain(step.output),
                "channels": step.channels,
                "formulas": list(step.formulas),
                "shift": _floats(step.shift),
                "receptive_field": list(step.receptive_field),
                "parameters": step.parameters,
                "multiply_adds": step.multiply_adds,
                "memory_bytes": step.memory_bytes,
            }
            for step in steps
        ],
    }


def total(steps: Sequence[Step], name: str) -> int | None:
    """The sum of "parameters", "multiply_adds" or "memory_bytes" over all layers; None if a value is unknown."""
    numbers = [getattr(step, name) for step in steps]
    return None if None in numbers else sum(numbers)


def remarks(steps: Sequence[Step]) -> tuple[str, ...]:
    """Remarks on the transposed layers of a chain: avoidable shifts, and rules that do not hold.

    A shift is judged by its effect on the whole chain, because a decoder's shift can compensate for its encoder's. If
    it does not, settings with which it would are named.

    >>> from upsample_cli.tconv.shape import shape
    >>> for line in remarks(shape((50,), [TransposedConvolution(1, kernel_size=6, stride=3, padding=1)])):
    ...     print(line)
    kernel_size 2*stride with padding stride//2 is exact for even strides only: here it gives 3n+1 samples, half a
    sample off; for 3n, centred: kernel_size=5, stride=3, padding=1
    """
    found: dict[str, None] = {}
    if len({len(step.along) for step in steps}) > 1:
        return ()  # where the number of axes changes, there is no shift of the whole chain
    later = [Fraction(1)] * len(steps[-1].along)  # pixels of the last output per pixel of this layer's output
    unit = "sample" if len(later) == 1 else "pixel"
    for step in reversed(steps):
        own: dict[str, None] = {}
        for place, axis in enumerate(step.along):
            if axis is not None and isinstance(step.layer, TransposedConvolution):
                moved, total = axis.shift * later[place], steps[-1].total_shift[place]
                if total is not None and abs(total - moved) < abs(total):
                    own |= dict.fromkeys(_remarks_on_axis(axis, unit))
                own |= dict.fromkeys(reach_remarks(axis))
            later[place] *= Fraction(1) if axis is None else axis.scale
        found = own | found
    if not any("centred:" in remark for remark in found):
        for place in range(len(later)):
            found |= dict.fromkeys(_compensating(steps, place, unit))
    return tuple(found)


def reach_remarks(axis: LayerAxis) -> list[str]:
    """A remark on outputs at the ends of an axis that no tap reaches; empty if taps reach all outputs.

    >>> reach_remarks(LayerAxis(2, 2, output_padding=1, transposed=True))  # doctest: +ELLIPSIS
    ['no tap reaches the last output, so it holds the bias alone; kernel_size=3, stride=2 gives the same size and ...']
    """
    missed = unreached_text(axis)
    if not missed:
        return []
    (before, after), cure = axis.unreached, ""
    them, hold = ("it", "it holds") if before + after == 1 else ("them", "they hold")
    if before == 0 and axis.dilation == 1 and after <= axis.output_padding:
        longer = replace(axis, kernel_size=axis.kernel_size + after, output_padding=axis.output_padding - after)
        cure = f"; {_settings(longer)} gives the same size and reaches {them}"
    return [f"{missed}, so {hold} the bias alone{cure}"]


def unreached_text(axis: LayerAxis) -> str:
    """A text that names the outputs at the ends of an axis that no tap reaches; "" if taps reach all outputs.

    >>> unreached_text(LayerAxis(2, 4, output_padding=3, transposed=True))
    'no tap reaches the last 3 outputs'
    """
    ends = zip(("first", "last"), axis.unreached, strict=True)
    named = [f"the {end} {f'{count} outputs' if count > 1 else 'output'}" for end, count in ends if count]
    return f"no tap reaches {' and '.join(named)}" if named else ""


def factor_remark(factors: PerAxis) -> tuple[str, ...]:
    """A remark on a rule that is often copied but is wrong for odd factors; empty if all factors are even.

    >>> factor_remark([2, 3])
    ('the rule "kernel_size 2s, padding s//2" does not hold for odd s: for 3 it gives 3n+1 samples, half a pixel off',)
    """
    given = [factors] if isinstance(factors, int) else factors
    return tuple(
        f'the rule "kernel_size 2s, padding s//2" does not hold for odd s: for {odd} it gives {odd}n+1 samples, '
        "half a pixel off"
        for odd in sorted({factor for factor in given if factor % 2 and factor > 1})
    )


def _remarks_on_axis(axis: LayerAxis, unit: str) -> list[str]:
    stride, padding, output_padding = axis.stride, axis.padding, axis.output_padding
    if stride > 1 and stride % 2 and (axis.kernel_size, padding, output_padding) == (2 * stride, stride // 2, 0):
        return [
            "kernel_size 2*stride with padding stride//2 is exact for even strides only: here it gives "
            f"{stride}n+1 samples, half a {unit} off; for {stride}n, centred: {_centred(axis)}"
        ]
    if stride > 1 and axis.is_exact and output_padding:
        moved = f"{Fraction(output_padding, 2)} {unit}"
        where = f"the image is {moved} up and left" if unit == "pixel" else f"the signal is {moved} early"
        return [
            f"output_padding {output_padding} makes the size {stride}n by computing more at the end, so {where}; "
            f"{stride}n and centred: {_centred(axis)}"
        ]
    return []


def _compensating(steps: Sequence[Step], place: int, unit: str) -> list[str]:
    """A remark on a chain that moves the image although other settings of its transposed layers would not."""
    total = steps[-1].total_shift[place]
    if not total:
        return []
    rest = total
    wanted = list[str]()
    axes = [step.along[place] for step in steps]
    scale = prod((axis.scale for axis in axes if axis is not None), start=Fraction(1))
    for step, axis in zip(steps, axes, strict=True):
        if axis is None:
            continue
        scale /= axis.scale  # pixels of the last output per pixel of this layer's output
        if not isinstance(step.layer, TransposedConvolution):
            continue
        if not axis.is_exact:
            return []
        # An exact layer moves the image by -output_padding/2 of its own pixels.
        output_padding = min(axis.stride - 1, max(0, math.floor(2 * (rest / scale - axis.shift))))
        rest += scale * (Fraction(-output_padding, 2) - axis.shift)
        kept = _exact(axis, output_padding)
        if not kept.is_exact:  # with an even dilation, another kernel does not help
            return []
        wanted.append(_settings(kept))
    if rest or not wanted:
        return []
    where = ("down and right" if total > 0 else "up and left") if unit == "pixel" else "late" if total > 0 else "early"
    count = f"{abs(total)} {unit}{'s' if abs(total) > 1 else ''}"
    cure = " and ".join(dict.fromkeys(wanted))
    layers = "the transposed layer" if len(wanted) == 1 else "the transposed layers"
    return [f"the whole chain is {count} {where}; it stays in place with {cure} in {layers}"]


def _centred(axis: LayerAxis) -> str:
    """Settings that give exactly stride*n, centred: with the same kernel_size if possible."""
    if axis.span >= axis.stride and (axis.span - axis.stride) % 2 == 0:
        return _settings(_exact(axis, 0))
    return str(bilinear_layer(1, axis.stride)).partition("(")[2][:-1]


def _exact(axis: LayerAxis, output_padding: int) -> LayerAxis:
    """The axis with padding that gives exactly stride*n, and a kernel with one tap less or more if its size needs it.

    >>> _exact(LayerAxis(9, 3, 2, transposed=True), 0).padding, _exact(LayerAxis(4, 2, transposed=True), 1).kernel_size
    (3, 3)
    """
    spare = axis.span - axis.stride + output_padding
    if spare % 2:
        taps = axis.kernel_size - 1 if axis.kernel_size > axis.stride else axis.kernel_size + 1
        axis, spare = replace(axis, kernel_size=taps), spare + axis.dilation * (taps - axis.kernel_size)
    return replace(axis, padding=spare // 2, output_padding=output_padding)


def _settings(axis: LayerAxis) -> str:
    return str(TransposedConvolution.along([axis])).partition("(")[2][:-1]


def _plain(sizes: Sequence[Size]) -> list[int | str]:
    return [size if isinstance(size, int) else str(size) for size in sizes]


def _floats(shifts: Sequence[Fraction | None]) -> list[float | None]:
    return [None if shift is None else float(shift) for shift in shifts]
