"""Settings of several axes, given once for all or per axis. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from upsample_cli.errors import GeometryError, joined

PerAxis = int | Sequence[int]
"""A setting of a layer: one number for all axes, or one per axis."""
_AXIS_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def axis_names(axes: int) -> tuple[str, ...]:
    """The usual names of the axes of a signal, an image or a volume.

    >>> axis_names(2)
    ('height', 'width')
    """
    return _AXIS_NAMES.get(axes) or tuple(f"axis {axis}" for axis in range(1, axes + 1))


def split_axes(axes: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Split settings into one dictionary per axis. A setting is a number, a word, or a sequence of 1 or `axes` numbers.

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


def over_axes(size_of_axis: Callable[..., Any], sizes: Sequence[Any], settings: dict[str, Any]) -> tuple[Any, ...]:
    """Apply a function of one axis, such as `conv_output_size`, to each axis.

    With several axes, an error names the axis.

    >>> from upsample_cli.geometry.sizes import conv_output_size
    >>> over_axes(conv_output_size, (16, 17), {"kernel_size": 5, "stride": 3, "padding": (2, 0)})
    (6, 5)
    """
    results = []
    for name, size, kept in zip(axis_names(len(sizes)), sizes, split_axes(len(sizes), settings), strict=True):
        with located(name if len(sizes) > 1 else ""):
            results.append(size_of_axis(size, **kept))
    return tuple(results)


@contextmanager
def located(place: str) -> Iterator[None]:
    """Prefix the cause of a GeometryError raised inside with `place`."""
    try:
        yield
    except GeometryError as error:
        if not place:
            raise
        raise GeometryError(joined(f"{place}: ", error.cause), error.next_step) from error
