"""Apply any transposed convolution to samples with one, two or three axes, in tiles that never change a sample.

Whole numbers are exact: weights are whole numerators over one denominator, and every sum is a whole number below 2**53
in float64, so it does not depend on the order of addition or on the tiles. The single division is rounded half up.

Floating-point samples are summed in float64 in a fixed order. In torch's layer every input channel is a separate group,
so the layer sums only taps, in their order. The channels are then summed here, in their order.

Spans and borders are those of the engine. Its tiles and arithmetic are not used, because they support only layers that
enlarge images exactly `factor` times, without a bias, and samples that are not negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import floor, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upsample_cli.engine.borders import sources
from upsample_cli.errors import Setting, UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.borders import Border
from upsample_cli.geometry.tiles import Span, spans
from upsample_cli.tconv.run.filled import Filled

Samples = NDArray[Any]
_TILE_NUMBERS = 2**20
"""Numbers in torch's buffer for the taps of a tile, about 8 MB. Larger buffers were not faster."""
_MOST_TILE_NUMBERS = 2**29
"""The most numbers in this buffer (4 GiB). A kernel that needs more for its smallest tile is refused."""
_DOWN = 2.0**-64
"""A power of two. Floating-point samples multiplied by it are so small that their sums do not overflow."""
_LAYERS = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d, 3: torch.nn.ConvTranspose3d}


def apply(
    filled: Filled,
    samples: Samples,
    *,
    border: Border = "zeros",
    tile: int | None = None,
    limits: tuple[int, int] | None = None,
) -> Samples:
    """Apply the layer to an array.

    Args:
        filled: the layer and its weights.
        samples: (channels, *sizes), whole numbers of at most 32 bits, or floating point.
        border: the samples outside the input: "zeros" as in the plain layer, or one of the other `BORDERS`.
        tile: side of the tiles in input samples; None for a fast size. The result does not depend on it.
        limits: the smallest and the largest result for whole numbers; by default those of the dtype.

    Returns:
        (channels, *sizes) with the same dtype; whole numbers are rounded half up and clamped to the limits.

    >>> from upsample_cli.tconv.run.filled import linear_filled
    >>> filled = linear_filled([LayerAxis(4, stride=2, padding=1, transposed=True)])
    >>> apply(filled, np.array([[0, 100]], dtype=np.uint8), border="replicate")
    array([[  0,  25,  75, 100]], dtype=uint8)
    """
    shape = filled.output_shape(samples.shape)
    out = np.empty(shape, dtype=samples.dtype)
    if limits is None and samples.dtype.kind in "iu":
        information = np.iinfo(samples.dtype)
        limits = int(information.min), int(information.max)
    apart = limits is None and not filled.is_shared
    layer = _layer(filled, apart)
    if tile is None:
        _refuse_large_buffer(filled, shape[1:])
    side = tile or _quick_side(filled)
    with torch.inference_mode(), np.errstate(over="ignore", invalid="ignore"):
        cuts = [spans(size, side * axis.stride) for size, axis in zip(shape[1:], filled.axes, strict=True)]
        for box in product(*cuts):
            sums = _tile_sums(layer, filled, samples, box, border, apart)
            where = (slice(None), *(slice(span.start, span.stop) for span in box))
            if limits is not None:
                out[where] = _finished(sums, filled, limits)
                continue
            out[where] = sums / filled.denominator
            if not np.isfinite(sums).all():  # of finite samples, a sum may overflow where the result does not
                small = _tile_sums(layer, filled, samples, box, border, apart, scale=_DOWN)
                out[where] = np.where(np.isfinite(sums), out[where], small / filled.denominator / _DOWN)
    return out


def input_span(axis: LayerAxis, start: int, stop: int) -> tuple[int, int]:
    """The inputs (start, stop) on which the outputs `start` to `stop` (exclusive) of one axis depend; at least one.

    If the stride is larger than the kernel, some outputs do not depend on any input.

    >>> input_span(LayerAxis(4, 2, 1, transposed=True), 0, 2), input_span(LayerAxis(1, 3, transposed=True), 1, 3)
    ((-1, 2), (1, 2))
    """
    first, last = axis.inputs_between(start, stop - 1)
    return first, max(first, last) + 1


def _layer(filled: Filled, apart: bool) -> torch.nn.Module:
    """The layer of torch. With `apart`, every input channel is a separate group."""
    into, per_group = filled.numerators.shape[:2]
    groups = into if apart else filled.groups
    layer = _LAYERS[len(filled.axes)](
        into,
        per_group * groups,
        tuple(axis.kernel_size for axis in filled.axes),  # type: ignore[arg-type]
        stride=tuple(axis.stride for axis in filled.axes),  # type: ignore[arg-type]
        dilation=tuple(axis.dilation for axis in filled.axes),  # type: ignore[arg-type]
        groups=groups,
        bias=False,
        dtype=torch.float64,
    )
    layer.requires_grad_(False).weight.copy_(torch.from_numpy(filled.numerators))
    return layer


def _quick_side(filled: Filled) -> int:
    strides = prod(axis.stride for axis in filled.axes)
    per_sample = max(prod(filled.numerators.shape[1:]) * filled.groups, len(filled.numerators) * strides)
    side: int = max(4, floor((_TILE_NUMBERS / per_sample) ** (1 / len(filled.axes))))
    return side


def _refuse_large_buffer(filled: Filled, sizes: Sequence[int]) -> None:
    side = _quick_side(filled)
    inputs = prod(
        last - first
        for axis, size in zip(filled.axes, sizes, strict=True)
        for first, last in [input_span(axis, 0, min(side * axis.stride, size))]
    )
    if inputs * prod(filled.numerators.shape[1:]) * filled.groups > _MOST_TILE_NUMBERS:
        raise UsageError(
            "the kernel is too large for this machine's memory", ("give a smaller kernel_size, or ", Setting("tile", 1))
        )


def _tile_sums(
    layer: torch.nn.Module,
    filled: Filled,
    samples: Samples,
    box: Sequence[Span],
    border: Border,
    apart: bool,
    *,
    scale: float = 1,
) -> NDArray[np.float64]:
    """Sums for one box of the output, in numerators and times `scale`: (channels, *sizes of the box)."""
    part = samples
    ends = [input_span(axis, span.start, span.stop) for axis, span in zip(filled.axes, box, strict=True)]
    for number, (first, last) in enumerate(ends, start=1):
        part = _taken(part, number, first, last, border)
    batch = torch.from_numpy(part.astype(np.float64) * scale)
    computed = (layer(batch[:, None])[:, 0] if filled.is_shared else layer(batch[None])[0]).numpy()
    if apart:
        computed = _added(computed, filled)
    sums = np.zeros((len(computed), *(span.stop - span.start for span in box)))
    source: list[Any] = [slice(None)]
    target: list[Any] = [slice(None)]
    for (first, _), span, axis, length in zip(ends, box, filled.axes, computed.shape[1:], strict=True):
        # The start of the box in the computed outputs; negative if there is a gap before them.
        offset = span.start + axis.padding - first * axis.stride
        source.append(slice(max(offset, 0), max(min(length, offset + span.stop - span.start), 0)))
        target.append(slice(max(-offset, 0), max(-offset, 0) + max(source[-1].stop - source[-1].start, 0)))
    sums[tuple(target)] = computed[tuple(source)]
    if filled.bias is not None:
        sums += scale * filled.bias.reshape(-1, *(1,) * len(filled.axes))
    return sums


def _added(computed: NDArray[np.float64], filled: Filled) -> NDArray[np.float64]:
    """Sum the results of the input channels, (in_channels * out_channels / groups, *sizes), in order."""
    into, per_group = filled.numerators.shape[:2]
    parts = computed.reshape(filled.groups, into // filled.groups, per_group, *computed.shape[1:])
    total: NDArray[np.float64] = parts[:, 0].copy()
    for number in range(1, parts.shape[1]):
        total += parts[:, number]  # not sum(): its order of addition depends on the shape
    return total.reshape(filled.groups * per_group, *computed.shape[1:])


def _taken(part: Samples, axis: int, first: int, last: int, border: Border) -> Samples:
    """Samples `first` to `last` of an axis. The border fills the ones outside."""
    indices = sources(first, last, part.shape[axis], border)
    taken: Samples = part.take(indices.clip(0), axis=axis)
    taken[(slice(None),) * axis + (indices < 0,)] = 0
    return taken


def _finished(sums: NDArray[np.float64], filled: Filled, limits: tuple[int, int]) -> NDArray[np.int64]:
    """Divide whole sums, round half up and clamp. `engine.exact.finish` cannot do this, because signals have a sign."""
    whole = (2 * sums.astype(np.int64) + filled.denominator) // (2 * filled.denominator)
    clamped: NDArray[np.int64] = whole.clip(*limits)
    return clamped
