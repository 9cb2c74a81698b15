"""Reduce an enlarged image with products of matrices.

This module receives the layer's sums before they are divided. It multiplies them by a banded matrix of whole weights
for each axis. The only division and rounding, `exact.finish`, comes last, as for whole factors. Rows and columns are
reduced in blocks on a grid that does not depend on the engine's tiles, so tiles never change a pixel.

Numbers are float64. As long as they are below 2**53, every result is the exact value rounded half up, on every machine.
With the bilinear kernel this holds for 8-bit pixels, for 8-bit pixels with alpha up to factor 4, and for 16-bit pixels
up to factor 6. Larger numbers (16 bits with alpha, most linear light) are rounded to 53 bits before the division, which
changes a result by at most a millionth of a level.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from threading import Event

import numpy as np

from upsample_cli.engine import aten
from upsample_cli.engine.bands import OnRoute, ReadRows, enlarged_bands
from upsample_cli.engine.enlargement import Settings, raise_if_set
from upsample_cli.engine.exact import FLOAT32, Arithmetic, finish, prepare
from upsample_cli.engine.operators import Array
from upsample_cli.engine.pool import computed_ahead, layer_pool
from upsample_cli.engine.resize_axes import WEIGHT_SUM, Axis, Filter, Indices, behind_enlargement, reduced_axis
from upsample_cli.engine.resize_margins import margins_of, with_margins
from upsample_cli.kernels.kernel import axis_of
from upsample_cli.kernels.network import Network

Window = tuple[list[Array], Array]

_DIVISOR_BITS = 62
"""The most bits of a divisor, which must fit into torch's int64. Kernels for 16-bit pixels would exceed it."""

_CHUNK_ROWS = 8


def bands_by_products(
    read_rows: ReadRows,
    shape: tuple[int, int, int],
    size: tuple[int, int],
    settings: Settings,
    arithmetic: Arithmetic,
    weigh: Filter,
    stop: Event | None = None,
    on_route: OnRoute = lambda _name: None,
) -> Iterator[Array]:
    """Reduce with products of matrices, in float64: without a compiler, and as the reference for the compiled sums.

    Args: see `resize.resized_bands`.
    """
    layer_pool()  # its threads compute the products
    kernel = settings.kernel
    margins = margins_of(shape, size, kernel, settings.border)
    rows, columns = (
        reduced_axis(length * kernel.factor, made, weigh, margin=margin * kernel.factor)
        for length, made, margin in zip(shape[:2], size, margins, strict=True)
    )
    if settings.border == "wrap":
        read_rows, shape = with_margins(read_rows, shape, *margins)
        settings = settings._replace(border="replicate")  # nothing depends on samples beyond the margins
    taps = None if isinstance(kernel, Network) else axis_of(kernel)
    if arithmetic.is_exact and taps is not None and settings.engine == "auto":
        on_route("matrices")
        rows = behind_enlargement(rows, shape[0], taps, settings.border)
        columns = behind_enlargement(columns, shape[1], taps, settings.border)
        sums = _few_rows(partial(_numbers, read_rows, arithmetic), shape[0], stop)
    else:
        sums = _enlarged_sums(read_rows, shape, settings, arithmetic, stop, on_route)
    if isinstance(kernel, Network):
        arithmetic = arithmetic._replace(divisor=1, gain=Fraction(1))
    taken = columns.taken
    narrow = computed_ahead(lambda bands: _narrowed(bands, columns, taken), _chunks(sums))
    divisor = arithmetic.divisor * WEIGHT_SUM**2
    shift = max(0, divisor.bit_length() - _DIVISOR_BITS)  # dividing a float by a power of two is exact
    rows = rows._replace(weights=rows.weights / 2**shift)
    ending = arithmetic._replace(divisor=divisor >> shift, overshoots=True)
    made = computed_ahead(lambda window: _finished(*window, ending), _windows(narrow, rows))
    return _first_rows(made, size[0])


def _enlarged_sums(
    read_rows: ReadRows,
    shape: tuple[int, int, int],
    settings: Settings,
    arithmetic: Arithmetic,
    stop: Event | None,
    on_route: OnRoute,
) -> Iterator[Array]:
    """The rows of the enlarged image: the layer's sums, not divided, or the pixels of a network.

    A network's sums are not reduced, because its pixels are defined only as whole numbers.
    """
    if isinstance(settings.kernel, Network):
        large = enlarged_bands(read_rows, shape, settings=settings, arithmetic=arithmetic, stop=stop, on_route=on_route)
        pixels = arithmetic._replace(divisor=1, gain=Fraction(1))
        return (prepare(band, pixels) for band in large)
    is_float32 = arithmetic.pixel_dtype == FLOAT32
    if is_float32 and arithmetic.overshoots:
        settings = settings._replace(engine="layer")  # float sums are rounded, differently on every route
    undivided = Arithmetic(
        arithmetic.sum_dtype,
        1,
        gain=arithmetic.gain * arithmetic.divisor,
        overshoots=arithmetic.overshoots,
        is_wide=is_float32,
    )
    read_numbers = partial(_numbers, read_rows, arithmetic)
    return enlarged_bands(read_numbers, shape, settings=settings, arithmetic=undivided, stop=stop, on_route=on_route)


def _numbers(read_rows: ReadRows, arithmetic: Arithmetic, first: int, last: int) -> Array:
    numbers: Array = prepare(read_rows(first, last), arithmetic)
    return numbers


def _few_rows(read_numbers: ReadRows, height: int, stop: Event | None) -> Iterator[Array]:
    """Read all rows, a chunk at a time."""
    for first in range(0, height, _CHUNK_ROWS):
        raise_if_set(stop)
        yield read_numbers(first, min(height, first + _CHUNK_ROWS))


def _chunks(bands: Iterable[Array]) -> Iterator[list[Array]]:
    """Regroup bands of any height into chunks of eight rows, each a list of pieces; the last may have fewer rows."""
    held: list[Array] = []
    missing = _CHUNK_ROWS
    for band in bands:
        start = 0
        while start < len(band):
            held.append(band[start : start + missing])
            start += len(held[-1])
            missing -= len(held[-1])
            if not missing:
                yield held
                held, missing = [], _CHUNK_ROWS
    if held:
        yield held


def _narrowed(bands: Sequence[Array], columns: Axis, taken: Indices) -> Array:
    """Reduce the columns of a chunk of sums: pieces (rows, width, channels) -> (reduced width, channels, rows)."""
    _, width, channels = bands[0].shape
    lines = np.empty((width, channels, sum(map(len, bands))))
    np.concatenate([band.transpose(1, 2, 0) for band in bands], axis=2, out=lines)
    blocks = lines.reshape(width, -1)[taken].reshape(len(columns.firsts), columns.span, -1)
    return _product(columns.weights, blocks).reshape(-1, *lines.shape[1:])[: columns.reduced]


def _windows(chunks: Iterable[Array], rows: Axis) -> Iterator[Window]:
    """For each block of rows: the chunks that contain its inputs, and the weights of all rows of these chunks."""
    held: deque[Array] = deque()
    coming = iter(chunks)
    first = last = 0
    for start, weights in zip(rows.firsts.tolist(), rows.weights, strict=True):
        while last < start + rows.span:
            held.append(next(coming))
            last += held[-1].shape[2]
        while first + held[0].shape[2] <= start:
            first += held.popleft().shape[2]
        yield list(held), np.pad(weights, ((0, 0), (start - first, last - start - rows.span)))


def _finished(chunks: Sequence[Array], weights: Array, arithmetic: Arithmetic) -> Array:
    """Reduce the rows of one block to pixels: chunks (width, channels, rows) -> (rows, width, channels)."""
    taken = np.concatenate(chunks, axis=2)
    sums = _product(weights, taken.reshape(-1, taken.shape[2]).T).reshape(-1, *taken.shape[:2])
    out = np.empty(sums.shape, arithmetic.pixel_dtype)
    with np.errstate(all="ignore"):  # infinities and NaN are valid pixels
        finish(sums, arithmetic, out)
    return out


def _product(weights: Array, numbers: Array) -> Array:
    """The (batched) matrix product. A weight of zero contributes nothing, even if the number is infinite or NaN."""
    product = aten.operators().product
    made = product(weights, numbers)
    if not np.isfinite(made.sum()):
        is_bad = ~np.isfinite(numbers)
        made = product(weights, np.where(is_bad, 0, numbers))
        made[product((weights != 0).astype(float), is_bad.astype(float)) > 0] = np.nan
    return made


def _first_rows(bands: Iterable[Array], height: int) -> Iterator[Array]:
    """The first `height` rows. The last block can extend beyond the end of the image."""
    for band in bands:
        yield band[:height]
        height -= len(band)
