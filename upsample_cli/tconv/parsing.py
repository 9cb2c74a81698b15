"""Python expressions parsed, never evaluated."""

from __future__ import annotations

import ast
import warnings


def expression(text: str) -> ast.expr:
    """The syntax tree of an expression.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `ast.parse` does.

    >>> ast.unparse(expression("[1,  2]"))
    '[1, 2]'
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's warnings about the style of a text that is only parsed
        return ast.parse(text, mode="eval").body
