"""Parse small arrays that users write as nested brackets and numbers. The text is never evaluated."""

from __future__ import annotations

import ast
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import UsageError
from upsample_cli.tconv.parsing import expression, split_sign
from upsample_cli.text import shortened

Grid = NDArray[np.float64]
_LONGEST_TEXT = 5000


def parse_grid(text: str, option: str) -> Grid:
    """Parse an array in nested brackets. All rows must have the same length.

    Args:
        text: the text.
        option: the setting that messages name.

    Raises:
        UsageError: if the text is not such an array.

    >>> parse_grid("[[0, 1], [2, -3.5]]", "kernel").tolist()
    [[0.0, 1.0], [2.0, -3.5]]
    """
    if len(text) <= _LONGEST_TEXT:
        try:
            values = _values(expression(text.strip()))
            grid = np.array(values, dtype=np.float64)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            pass
        else:
            if grid.ndim and grid.size:
                return grid
    raise UsageError(
        f"{option} {shortened(text)} is not an array of numbers", f'write for example {option} "[[0, 1], [2, 3]]"'
    )


def _values(node: ast.expr) -> Any:
    if isinstance(node, ast.List | ast.Tuple):
        return [_values(entry) for entry in node.elts]
    number, sign = split_sign(node)
    if isinstance(number, ast.Constant) and type(number.value) in (int, float):
        value = float(number.value)  # type: ignore[arg-type]  # the type was just checked
        if math.isfinite(value) and abs(value) <= 1e100:
            return sign * value
    raise ValueError


def as_planes(array: Grid) -> Grid:
    """Rows and columns for each channel and, with three axes, for each depth: (channels, *sizes) -> (planes, h, w).

    >>> as_planes(np.zeros((2, 5))).shape, as_planes(np.zeros((2, 3, 4, 5))).shape
    ((2, 1, 5), (6, 4, 5))
    """
    rows = array.shape[-2] if array.ndim > 2 else 1
    return array.reshape(-1, rows, array.shape[-1])


def number_text(value: float) -> str:
    """A number with at most six digits, as short as possible.

    >>> number_text(4.0), number_text(0.1875), number_text(-0.0)
    ('4', '0.1875', '0')
    """
    return f"{value + 0.0:.6g}" if value else "0"
