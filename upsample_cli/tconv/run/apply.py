"""Any transposed convolution over samples of one, two or three axes, in tiles that change no sample.

Whole numbers come out exact: weights are whole numerators over one denominator, every sum is a whole number below 2**53
in float64 and so the same in any order and any tile, and the one division is rounded half up. Samples of floating point
are summed in float64 in one order: torch's layer gets each input channel as a group of its own, so that it adds up taps
alone, which it does in their order; the channels are added here, in theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import floor, lcm, log2, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.tiles import Border
from upsample_cli.kernels.profiles import bilinear_taps

Samples = NDArray[Any]
_LARGEST_SUM_BITS = 51  # two bits of room below float64's 53 for the rounding of numerators
_MOST_DENOMINATOR_BITS = 60
_TILE_NUMBERS = 2**20
"""Numbers in the buffer that torch spreads a tile's taps into, about 8 MB: larger ones were no quicker."""
_MOST_TILE_NUMBERS = 2**29
"""A kernel that needs a larger buffer for its smallest tile, 4 GiB, is refused."""
_LAYERS = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d, 3: torch.nn.ConvTranspose3d}


@dataclass(frozen=True, slots=True)
class Filled:
    """A transposed convolution with its numbers. Made by `linear_filled` and `weighted`.

    Args:
        axes: settings of each axis.
        numerators: (in_channels, out_channels / groups, *kernel_size) float64; over `denominator` they are the weight.
        denominator: 1 for samples of floating point.
        bias: (out_channels,) float64 numerators, or None.
        groups: of the weight. A weight of one channel in and out serves any number of channels, each on its own.
    """

    axes: tuple[LayerAxis, ...]
    numerators: NDArray[np.float64]
    denominator: int = 1
    bias: NDArray[np.float64] | None = None
    groups: int = 1

    @property
    def is_shared(self) -> bool:
        """Whether one kernel serves every channel."""
        return self.numerators.shape[:2] == (1, 1)

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """(channels, *sizes) after the layer, from before.

        Raises:
            UsageError: if the channels are not those of the weight.
        """
        into, out = len(self.numerators), self.numerators.shape[1] * self.groups
        if not self.is_shared and shape[0] != into:
            raise UsageError(
                f"the weight takes {into} channels, the input has {shape[0]}", "give an input that has them"
            )
        sizes = (axis.output_size(size) for axis, size in zip(self.axes, shape[1:], strict=True))
        return (shape[0] if self.is_shared else out, *sizes)


def linear_filled(axes: Sequence[LayerAxis]) -> Filled:
    """The layer with the linear (bilinear, trilinear) kernel of its kernel_size on each axis, exact.

    >>> linear_filled([LayerAxis(4, stride=2, padding=1, transposed=True)]).numerators.tolist()
    [[[1.0, 3.0, 3.0, 1.0]]]
    """
    numerators, denominator = np.ones(()), 1
    for axis in axes:
        taps = bilinear_taps(axis.kernel_size)
        common = lcm(*(tap.denominator for tap in taps))
        numerators = np.multiply.outer(numerators, np.array([float(int(tap * common)) for tap in taps]))
        denominator *= common
    return Filled(tuple(axes), numerators[None, None], denominator)


def weighted(
    axes: Sequence[LayerAxis],
    weight: NDArray[np.float64],
    *,
    bias: NDArray[np.float64] | None = None,
    groups: int = 1,
    peak: int | None = None,
) -> Filled:
    """The layer with weights of its own.

    Args:
        weight: (in_channels, out_channels / groups, *kernel_size).
        peak: the largest magnitude of whole-number samples; None for samples of floating point. With it, weights are
            rounded to the finest fraction that keeps every sum exact: 2**-51 of the largest possible output.

    Raises:
        UsageError: if the outputs would be too large for whole numbers.
    """
    if groups < 1 or len(weight) % groups or (bias is not None and len(bias) != weight.shape[1] * groups):
        raise UsageError(
            f"groups {groups} do not fit a weight of shape {weight.shape}", "use a divisor of its channels"
        )
    if peak is None:
        return Filled(tuple(axes), weight, 1, bias, groups)
    magnitudes = np.abs(weight).reshape(groups, len(weight) // groups, weight.shape[1], -1).sum(axis=(1, 3))
    largest = float(magnitudes.max()) * peak + (0.0 if bias is None else float(np.abs(bias).max()))
    bits = _MOST_DENOMINATOR_BITS
    if largest > 0:
        bits = min(bits, floor(_LARGEST_SUM_BITS - log2(largest)))
    if bits < 0:
        raise UsageError("these weights make numbers too large for whole samples", "give a floating-point .npy")
    scale = 2.0**bits
    return Filled(
        tuple(axes), np.rint(weight * scale), 2**bits, None if bias is None else np.rint(bias * scale), groups
    )


def apply(
    filled: Filled,
    samples: Samples,
    *,
    border: Border = "zeros",
    tile: int | None = None,
    limits: tuple[int, int] | None = None,
) -> Samples:
    """The layer over an array.

    Args:
        samples: (channels, *sizes) of whole numbers of at most 32 bits, or of floating point.
        border: what lies outside: "zeros" as the bare layer has it, "replicate" or "reflect".
        tile: side of the tiles in input samples; None for a size that is quick. It changes nothing else.
        limits: least and largest result of whole numbers; by default those of the dtype.

    Returns:
        (channels, *sizes) of the same dtype; whole numbers are rounded half up and clamped to the limits.

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
    with torch.inference_mode():
        for box in _boxes(shape[1:], [side * axis.stride for axis in filled.axes]):
            sums = _tile_sums(layer, filled, samples, box, border, apart)
            where = (slice(None), *(slice(start, stop) for start, stop in box))
            out[where] = _finished(sums, filled, limits) if limits is not None else sums / filled.denominator
    return out


def input_span(axis: LayerAxis, start: int, stop: int) -> tuple[int, int]:
    """The inputs (start, stop) that outputs `start` to `stop` (exclusive) of one axis depend on: the halo, exactly.

    Where a stride is wider than the kernel some outputs take no input; one is named all the same.

    >>> input_span(LayerAxis(4, 2, 1, transposed=True), 0, 2), input_span(LayerAxis(1, 3, transposed=True), 1, 3)
    ((-1, 2), (1, 2))
    """
    first, last = axis.inputs_between(start, stop - 1)
    return first, max(first, last) + 1


def _layer(filled: Filled, apart: bool) -> torch.nn.Module:
    """The layer of torch; `apart` with every input channel a group of its own."""
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
        raise UsageError("the kernel is too large for this machine's memory", "give a smaller kernel_size, or --tile 1")


def _boxes(sizes: Sequence[int], steps: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    yield from product(
        *(
            [(start, min(start + step, size)) for start in range(0, size, step)]
            for size, step in zip(sizes, steps, strict=True)
        )
    )


def _tile_sums(
    layer: torch.nn.Module,
    filled: Filled,
    samples: Samples,
    box: Sequence[tuple[int, int]],
    border: Border,
    apart: bool,
) -> NDArray[np.float64]:
    """Numerators of one box of the output, (channels, *sizes of the box)."""
    part = samples
    spans = [input_span(axis, *ends) for axis, ends in zip(filled.axes, box, strict=True)]
    for number, (first, last) in enumerate(spans, start=1):
        part = _taken(part, number, np.arange(first, last), border)
    batch = torch.from_numpy(part.astype(np.float64))
    computed = (layer(batch[:, None])[:, 0] if filled.is_shared else layer(batch[None])[0]).numpy()
    if apart:
        computed = _added(computed, filled)
    sums = np.zeros((len(computed), *(stop - start for start, stop in box)))
    source: list[Any] = [slice(None)]
    target: list[Any] = [slice(None)]
    for (first, _), (start, stop), axis, length in zip(spans, box, filled.axes, computed.shape[1:], strict=True):
        offset = start + axis.padding - first * axis.stride  # of the box in what was computed; negative before a gap
        source.append(slice(max(offset, 0), max(min(length, offset + stop - start), 0)))
        target.append(slice(max(-offset, 0), max(-offset, 0) + max(source[-1].stop - source[-1].start, 0)))
    sums[tuple(target)] = computed[tuple(source)]
    if filled.bias is not None:
        sums += filled.bias.reshape(-1, *(1,) * len(filled.axes))
    return sums


def _added(computed: NDArray[np.float64], filled: Filled) -> NDArray[np.float64]:
    """What each input channel gives, (in_channels * out_channels / groups, *sizes), added up channel after channel."""
    into, per_group = filled.numerators.shape[:2]
    parts = computed.reshape(filled.groups, into // filled.groups, per_group, *computed.shape[1:])
    total: NDArray[np.float64] = parts[:, 0].copy()
    for number in range(1, parts.shape[1]):
        total += parts[:, number]  # not sum(): numpy may pair the terms as the shape suits it
    return total.reshape(filled.groups * per_group, *computed.shape[1:])


def _taken(part: Samples, axis: int, indices: NDArray[np.int64], border: Border) -> Samples:
    """Samples at indices that may lie outside, filled in by the border's rule."""
    last = part.shape[axis] - 1
    if border == "reflect" and last:
        folded = indices % (2 * last)
        indices = np.minimum(folded, 2 * last - folded)
    taken: Samples = part.take(indices.clip(0, last), axis=axis)
    if border == "zeros":
        outside: list[Any] = [slice(None)] * part.ndim
        outside[axis] = (indices < 0) | (indices > last)
        taken[tuple(outside)] = 0
    return taken


def _finished(sums: NDArray[np.float64], filled: Filled, limits: tuple[int, int]) -> NDArray[np.int64]:
    """Whole sums divided, rounded half up, clamped."""
    whole = (2 * sums.astype(np.int64) + filled.denominator) // (2 * filled.denominator)
    clamped: NDArray[np.int64] = whole.clip(*limits)
    return clamped
