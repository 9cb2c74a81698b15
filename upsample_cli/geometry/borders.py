"""The pixels outside an image: which sample replaces one beyond the end of an axis. No numpy, no torch."""

from __future__ import annotations

from typing import Literal

from upsample_cli.errors import UsageError

Border = Literal["replicate", "reflect", "wrap", "zeros"]
BORDERS: tuple[Border, ...] = ("replicate", "reflect", "wrap", "zeros")


def border_named(name: str) -> Border:
    """The border with the given name.

    Raises:
        UsageError: if `name` is not one of `BORDERS`.
    """
    for border in BORDERS if isinstance(name, str) else ():
        if border == name:
            return border
    raise UsageError(f"there is no border {name!r}", f"choose one of {', '.join(BORDERS)}")


def source_index(index: int, length: int, border: Border) -> int | None:
    """The index of the sample that is used at an index inside or outside an axis; None for zero.

    Outside, that is the sample at the edge, the mirror image about it, or the next copy of the axis ("wrap").

    >>> [source_index(-2, 3, border) for border in BORDERS], source_index(1, 3, "zeros")
    ([0, 2, 1, None], 1)
    """
    last = length - 1
    if 0 <= index <= last:
        return index
    if border == "zeros":
        return None
    if border == "wrap":
        return index % length
    if border == "replicate" or last == 0:
        return min(max(index, 0), last)
    folded = index % (2 * last)
    return min(folded, 2 * last - folded)


def wrapped_runs(first: int, last: int, length: int) -> list[tuple[int, int]]:
    """The runs (start, stop) of an axis that are, one after the other, its samples `first` to `last` with "wrap".

    >>> wrapped_runs(-1, 5, 4), wrapped_runs(-2, 1, 1)
    ([(3, 4), (0, 4), (0, 1)], [(0, 1), (0, 1), (0, 1)])
    """
    runs = []
    while first < last:
        start = first % length
        stop = min(length, start + last - first)
        runs.append((start, stop))
        first += stop - start
    return runs
