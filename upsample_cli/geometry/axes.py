"""Settings of several axes, given once or per axis, and sizes over N axes. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from upsample_cli.errors import GeometryError, joined
from upsample_cli.geometry.sizes import NamedPadding, PaddingMode, conv_output_size, transposed_output_size

PerAxis = int | Sequence[int]
"""A setting of a layer: one number for all axes, or one per axis."""
_AXIS_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def conv_output_sizes(
    sizes: Sequence[int],
    *,
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: PerAxis | NamedPadding = 0,
    dilation: PerAxis = 1,
    padding_mode: PaddingMode = "zeros",
) -> tuple[int, ...]:
    """Lengths of all axes after a convolution. Settings as in `conv_output_size`, one number or one per axis.

    >>> conv_output_sizes((16, 17), kernel_size=5, stride=3, padding=(2, 0))
    (6, 5)
    """
    settings = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    return over_axes(conv_output_size, sizes, settings | {"padding_mode": padding_mode})


def transposed_output_sizes(
    sizes: Sequence[int],
    *,
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> tuple[int, ...]:
    """Lengths of all axes after a transposed convolution. Settings as in `transposed_output_size`, one or one per axis.

    >>> transposed_output_sizes((10, 50, 100), kernel_size=3, stride=2, padding=1, output_padding=(0, 1, 1))
    (19, 100, 200)
    """
    settings = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    return over_axes(transposed_output_size, sizes, settings | {"output_padding": output_padding})


def axis_names(axes: int) -> tuple[str, ...]:
    """The usual names of the axes of a signal, an image or a volume.

    >>> axis_names(2)
    ('height', 'width')
    """
    return _AXIS_NAMES.get(axes) or tuple(f"axis {axis}" for axis in range(1, axes + 1))


def split_axes(axes: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Settings per axis, from settings that are a number, a word, or a sequence of 1 or `axes` numbers.

    Raises:
        GeometryError: if a sequence has another length.

    >>> split_axes(2, {"kernel_size": (3, 5), "stride": 2})
    [{'kernel_size': 3, 'stride': 2}, {'kernel_size': 5, 'stride': 2}]
    """
    columns: dict[str, Sequence[Any]] = {}
    for name, value in settings.items():
        numbers = [value] if isinstance(value, int | str) else list(value)
        if len(numbers) not in (1, axes):
            raise GeometryError(
                f"{name} has {len(numbers)} numbers for {axes} {'axis' if axes == 1 else 'axes'}",
                "give one number" + (f", or {axes}" if axes > 1 else ""),
            )
        columns[name] = numbers * (axes if len(numbers) == 1 else 1)
    return [{name: numbers[axis] for name, numbers in columns.items()} for axis in range(axes)]


def collapsed(numbers: Iterable[int]) -> PerAxis:
    """One number if all axes have the same, otherwise one per axis.

    >>> collapsed([2, 2]), collapsed([2, 3])
    (2, (2, 3))
    """
    kept = tuple(numbers)
    return kept[0] if len(set(kept)) == 1 else kept


def over_axes(size_of_axis: Callable[..., int], sizes: Sequence[int], settings: dict[str, Any]) -> tuple[int, ...]:
    """Apply a one-axis function to each axis. With several axes, an error names its axis."""
    results = []
    for name, size, kept in zip(axis_names(len(sizes)), sizes, split_axes(len(sizes), settings), strict=True):
        with located(name if len(sizes) > 1 else ""):
            results.append(size_of_axis(size, **kept))
    return tuple(results)


@contextmanager
def located(place: str) -> Iterator[None]:
    """Put a place in front of the cause of any GeometryError raised inside."""
    try:
        yield
    except GeometryError as error:
        if not place:
            raise
        raise GeometryError(joined(f"{place}: ", error.cause), error.next_step) from error
