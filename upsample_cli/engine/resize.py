"""Resize images to any size: enlarge by a whole factor, then reduce with an antialiasing filter, one band at a time.

Compiled sums (`resize_compiled.py`) are always exact. They compute both steps in one if the kernel is separable;
otherwise they reduce the engine's sums, which are not divided before, or the pixels of a network. Products of matrices
(`resize_products.py`) are their reference and fallback.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from threading import Event

import numpy as np

from upsample_cli.engine.bands import OnRoute, ReadRows, enlarged_bands
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import FLOAT64, Arithmetic
from upsample_cli.engine.operators import Array
from upsample_cli.engine.resize_axes import Filter, behind_enlargement, reduced_axis
from upsample_cli.engine.resize_compiled import CompiledResize, Taps, taps_of
from upsample_cli.engine.resize_margins import margins_of, with_margins
from upsample_cli.engine.resize_products import bands_by_products
from upsample_cli.engine.routes.agreement import hard_tile
from upsample_cli.engine.routes.early import begin_check
from upsample_cli.engine.routes.select import no_compiled_route
from upsample_cli.geometry.borders import Border
from upsample_cli.kernels.kernel import axis_of
from upsample_cli.kernels.network import AnyKernel, Network


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
            first_step = _of_first_step(settings.kernel, arithmetic)
            if settings.device != "cpu" and first_step is not None and first_step.sums_dtype is not None:
                raise ValueError("its size is not a whole multiple, and the layer is on another device than the CPU")
            kernel, border = settings.kernel, settings.border
            is_early = settings.is_early and begin_check(_agrees, kernel, border, arithmetic, shape[2], weigh)
            find = _compiled if is_early else _agreeing
            compiled = find(shape, size, kernel, border, arithmetic, weigh)
            on_route("compiled")
            return _compiled_bands(compiled, read_rows, shape, size, settings, arithmetic, stop, on_route)
        except ValueError as error:
            if settings.engine == "compiled":
                raise no_compiled_route(str(error)) from None
    return bands_by_products(read_rows, shape, size, settings, arithmetic, weigh, stop, on_route)


@functools.lru_cache(maxsize=4)
def _agreeing(
    shape: tuple[int, int, int],
    size: tuple[int, int],
    kernel: AnyKernel,
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
    kernel: AnyKernel,
    border: Border,
    arithmetic: Arithmetic,
    weigh: Filter,
    *,
    instructions: str | None = None,
) -> CompiledResize:
    if not arithmetic.is_exact:
        raise ValueError("its pixels are not whole numbers")
    taps = None if isinstance(kernel, Network) else axis_of(kernel)
    margins = margins_of(shape, size, kernel, border)

    def taps_along(length: int, made: int, margin: int) -> Taps:
        axis = reduced_axis(length * kernel.factor, made, weigh, margin=margin * kernel.factor)
        length += 2 * margin
        if taps is None:
            return taps_of(axis, length * kernel.factor)
        return taps_of(behind_enlargement(axis, length, taps, "replicate" if border == "wrap" else border), length)

    rows, columns = map(taps_along, shape[:2], size, margins)
    if isinstance(kernel, Network):
        arithmetic = arithmetic._replace(divisor=1, gain=Fraction(1))
    else:
        arithmetic = _of_first_step(kernel, arithmetic) or arithmetic
    return CompiledResize(rows, columns, arithmetic, shape[2], instructions=instructions)


def _of_first_step(kernel: AnyKernel, arithmetic: Arithmetic) -> Arithmetic | None:
    """The arithmetic of the enlargement: a network's gives pixels, another gives sums. None if both steps are one."""
    if isinstance(kernel, Network):
        return arithmetic
    if axis_of(kernel) is not None:
        return None
    is_short = arithmetic.pixel_dtype == np.uint8 and not arithmetic.has_alpha
    return arithmetic._replace(sums_dtype=arithmetic.sum_dtype if is_short else FLOAT64)


def _compiled_bands(
    compiled: CompiledResize,
    read_rows: ReadRows,
    shape: tuple[int, int, int],
    size: tuple[int, int],
    settings: Settings,
    arithmetic: Arithmetic,
    stop: Event | None = None,
    on_route: OnRoute = lambda _name: None,
) -> Iterator[Array]:
    kernel = settings.kernel
    if settings.border == "wrap":
        read_rows, shape = with_margins(read_rows, shape, *margins_of(shape, size, kernel, settings.border))
        settings = settings._replace(border="replicate")  # nothing depends on samples beyond the margins
    if (large := _of_first_step(kernel, arithmetic)) is not None:
        bands = enlarged_bands(read_rows, shape, settings=settings, arithmetic=large, stop=stop, on_route=on_route)
        read_rows = _read_once(bands)
    return compiled.bands(read_rows, stop)


def _read_once(bands: Iterator[Array]) -> ReadRows:
    """Read the rows of bands, each at most once, from top to bottom."""
    held: deque[Array] = deque()
    start = end = 0  # the rows that are held

    def read(first: int, last: int) -> Array:
        nonlocal start, end
        while end < last:
            held.append(next(bands))
            end += len(held[-1])
        while start + len(held[0]) <= first:
            start += len(held.popleft())
        firsts = accumulate(map(len, held), initial=start)
        parts = [band[max(first - at, 0) : max(last - at, 0)] for at, band in zip(firsts, held, strict=False)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return read


@functools.lru_cache(maxsize=64)
def _agrees(kernel: AnyKernel, border: Border, arithmetic: Arithmetic, channels: int, weigh: Filter) -> bool:
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
            _compiled_bands(compiled, rows, tile.shape, size, settings, arithmetic),
            bands_by_products(rows, tile.shape, size, settings, arithmetic, weigh),
        )
    )
    off = abs(found.astype(np.int32) - expected)
    return int(off.max()) <= (0 if compiled.has_small_sums else 1)
