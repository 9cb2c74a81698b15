"""Margins of an image that wraps, for a reduction: rows and columns that are repeated from the other end."""

from __future__ import annotations

from upsample_cli.engine.bands import ReadRows
from upsample_cli.engine.borders import WrappedRows, joined
from upsample_cli.engine.operators import Array
from upsample_cli.engine.resize_axes import reach_of
from upsample_cli.geometry.borders import Border, wrapped_runs
from upsample_cli.kernels.network import AnyKernel


def margins_of(
    shape: tuple[int, int, int], size: tuple[int, int], kernel: AnyKernel, border: Border
) -> tuple[int, int]:
    """Rows and columns of the input that are repeated at each end of an image that wraps; none with other borders."""
    if border != "wrap":
        return 0, 0
    rows, columns = (
        kernel.halo + -(-reach_of(length * kernel.factor, made) // kernel.factor)
        for length, made in zip(shape[:2], size, strict=True)
    )
    return rows, columns


def with_margins(
    read_rows: ReadRows, shape: tuple[int, int, int], above: int, left: int
) -> tuple[ReadRows, tuple[int, int, int]]:
    """An image that repeats itself, with margins: how its rows are read, and its shape.

    Args:
        read_rows, shape: of the image without margins.
        above: rows of the margins above and below it.
        left: columns of the margins to its left and right.
    """
    height, width, channels = shape
    wrapped = WrappedRows(read_rows, height, above, joined)
    runs = wrapped_runs(-left, width + left, width)

    def read(first: int, last: int) -> Array:
        rows = wrapped(first - above, last - above)
        wide: Array = joined([rows[:, start:stop] for start, stop in runs], 1)
        return wide

    return read, (height + 2 * above, width + 2 * left, channels)
