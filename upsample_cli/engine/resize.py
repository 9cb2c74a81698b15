"""Resize images to any size: enlarge by a whole factor, then reduce with an antialiasing filter, one band at a time.

This module receives the layer's sums before they are divided. It multiplies them by a banded matrix of whole weights
for each axis. The only division and rounding, `exact.finish`, comes last, as for whole factors. Rows and columns are
reduced in blocks on a grid that does not depend on the engine's tiles, so tiles never change a pixel.

Where compiled sums can be used (`resize_compiled.py`), they compute the same values in one step, always exactly. The
rest of this docstring is about the products of matrices, their reference and fallback.

Numbers are float64. As long as they are below 2**53, every result is the exact value rounded half up, on every machine.
With the bilinear kernel this holds for 8-bit pixels, for 8-bit pixels with alpha up to factor 4, and for 16-bit pixels
up to factor 6. Larger numbers (16 bits with alpha, most linear light) are rounded to 53 bits before the division, which
changes a result by at most a millionth of a level.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Event

import numpy as np

from upsample_cli.engine import aten
from upsample_cli.engine.bands import OnRoute, ReadRows, Settings, enlarged_bands, raise_if_set
from upsample_cli.engine.exact import FLOAT32, Arithmetic, finish, prepare
from upsample_cli.engine.operators import Array
from upsample_cli.engine.pool import computed_ahead, layer_pool
from upsample_cli.engine.resize_axes import WEIGHT_SUM, Axis, Filter, Indices, behind_enlargement, reduced_axis
from upsample_cli.engine.resize_compiled import CompiledResize, taps_of
from upsample_cli.engine.routes.agreement import hard_tile
from upsample_cli.engine.routes.select import no_compiled_route
from upsample_cli.geometry.borders import Border
from upsample_cli.kernels.kernel import Kernel, axis_of

Window = tuple[list[Array], Array]

_DIVISOR_BITS = 62
"""The most bits of a divisor, which must fit into torch's int64. Kernels for 16-bit pixels would exceed it."""

_CHUNK_ROWS = 8


def resized_bands(
    read_rows: ReadRows,
    shape: tuple[int, int, int],
    size: tuple[int, int],
    *,
    settings: Settings,
    arithmetic: Arithmetic,
    weigh: Filter,
    stop: Event | None = None,
    on_route: OnRoute = lambda _name: None,
) -> Iterator[Array]:
    """Yield the rows of an image in another size, from top to bottom: the rows of `bands.enlarged_bands`, reduced.

    Args:
        read_rows, settings, arithmetic, stop, on_route: see `bands.enlarged_bands`; rows are in memory of the CPU.
        shape: (height, width, channels) of the input.
        size: (height, width) of the output, at most the kernel's factor times that of the input.
        weigh: the filter for the reduction.

    Yields:
        (rows, width, channels) of `arithmetic.pixel_dtype`.
    """
    factor = settings.kernel.factor
    enlarged = (shape[0] * factor, shape[1] * factor)
    if enlarged == size:
        return enlarged_bands(read_rows, shape, settings=settings, arithmetic=arithmetic, stop=stop, on_route=on_route)

    if settings.engine != "layer":
        try:
            compiled = _agreeing(shape, size, settings.kernel, settings.border, arithmetic, weigh)
            on_route("compiled")
            return compiled.bands(read_rows, stop)
        except ValueError as error:
            if settings.engine == "compiled":
                raise no_compiled_route(str(error)) from None
    return _by_products(read_rows, shape, size, settings, arithmetic, weigh, stop, on_route)


@functools.lru_cache(maxsize=4)
def _agreeing(
    shape: tuple[int, int, int],
    size: tuple[int, int],
    kernel: Kernel,
    border: Border,
    arithmetic: Arithmetic,
    weigh: Filter,
) -> CompiledResize:
    """The compiled sums for these sizes.

    Raises:
        ValueError: if they cannot be used, or give other pixels than the products of matrices on a hard tile.
    """
    compiled = _compiled(shape, size, kernel, border, arithmetic, weigh)
    if not _agrees(kernel, border, arithmetic, shape[2], weigh):
        raise ValueError("its pixels differ from those of the matrices on this machine")
    return compiled


def _compiled(
    shape: tuple[int, int, int],
    size: tuple[int, int],
    kernel: Kernel,
    border: Border,
    arithmetic: Arithmetic,
    weigh: Filter,
    *,
    instructions: str | None = None,
) -> CompiledResize:
    taps = axis_of(kernel)
    if not arithmetic.is_exact:
        raise ValueError("its pixels are not whole numbers")
    if taps is None:
        raise ValueError("its size is not a whole multiple, and its kernel is not a product of whole taps")
    rows, columns = (
        taps_of(behind_enlargement(reduced_axis(length * kernel.factor, made, weigh), length, taps, border), length)
        for length, made in zip(shape, size, strict=False)
    )
    return CompiledResize(rows, columns, arithmetic, shape[2], instructions=instructions)


@functools.lru_cache(maxsize=64)
def _agrees(kernel: Kernel, border: Border, arithmetic: Arithmetic, channels: int, weigh: Filter) -> bool:
    """Whether compiled sums and products of matrices give the same pixels on a hard tile."""
    tile = hard_tile(kernel, arithmetic, channels)
    size = (tile.shape[0] * kernel.factor * 3 // 4, tile.shape[1] * kernel.factor * 5 // 6)
    compiled = _compiled(tile.shape, size, kernel, border, arithmetic, weigh)
    settings = Settings(kernel, border, "cpu")

    def rows(first: int, last: int) -> Array:
        part: Array = tile[first:last]
        return part

    found, expected = (
        np.concatenate(list(bands))
        for bands in (
            compiled.bands(rows),
            _by_products(rows, tile.shape, size, settings, arithmetic, weigh),
        )
    )
    off = abs(found.astype(np.int32) - expected)
    return int(off.max()) <= (0 if compiled.has_small_sums else 1)


def _by_products(
    read_rows: ReadRows,
    shape: tuple[int, int, int],
    size: tuple[int, int],
    settings: Settings,
    arithmetic: Arithmetic,
    weigh: Filter,
    stop: Event | None = None,
    on_route: OnRoute = lambda _name: None,
) -> Iterator[Array]:
    """Reduce with products of matrices, in float64: without a compiler, and as the reference for the compiled sums."""

    def read_numbers(first: int, last: int) -> Array:
        numbers: Array = prepare(read_rows(first, last), arithmetic)
        return numbers

    layer_pool()  # its threads compute the products
    factor = settings.kernel.factor
    rows, columns = (reduced_axis(length * factor, made, weigh) for length, made in zip(shape, size, strict=False))
    kernel = axis_of(settings.kernel)
    if arithmetic.is_exact and kernel is not None and settings.engine == "auto":
        on_route("matrices")
        rows = behind_enlargement(rows, shape[0], kernel, settings.border)
        columns = behind_enlargement(columns, shape[1], kernel, settings.border)
        sums = _few_rows(read_numbers, shape[0], stop)
    else:
        if arithmetic.pixel_dtype == FLOAT32 and arithmetic.overshoots:
            settings = replace(settings, engine="layer")  # float sums are rounded, differently on every route
        gain = arithmetic.gain * arithmetic.divisor
        undivided = Arithmetic(
            arithmetic.sum_dtype,
            1,
            gain=gain,
            overshoots=arithmetic.overshoots,
            is_wide=arithmetic.pixel_dtype == FLOAT32,
        )
        sums = enlarged_bands(
            read_numbers, shape, settings=settings, arithmetic=undivided, stop=stop, on_route=on_route
        )
    taken = columns.taken
    narrow = computed_ahead(lambda bands: _narrowed(bands, columns, taken), _chunks(sums))
    divisor = arithmetic.divisor * WEIGHT_SUM**2
    shift = max(0, divisor.bit_length() - _DIVISOR_BITS)  # dividing a float by a power of two is exact
    rows = replace(rows, weights=rows.weights / 2**shift)
    ending = replace(arithmetic, divisor=divisor >> shift, overshoots=True)
    made = computed_ahead(lambda window: _finished(*window, ending), _windows(narrow, rows))
    return _first_rows(made, size[0])


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
