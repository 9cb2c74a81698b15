"""Parse Python expressions and statements without evaluating them."""

from __future__ import annotations

import ast
import warnings


def expression(text: str) -> ast.expr:
    """The syntax tree of an expression.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as for `ast.parse`.

    >>> ast.unparse(expression("[1,  2]"))
    '[1, 2]'
    """
    with _no_warnings():
        return ast.parse(text, mode="eval").body


def statements(text: str) -> list[tuple[str, ast.expr]]:
    r"""The expressions of a text, each with the name that it is assigned to, or "".

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as for `ast.parse`, or for other kinds of statements.

    >>> [(name, ast.unparse(value)) for name, value in statements("y = f(x),\n g(y)")]
    [('y', 'f(x)'), ('', 'g(y)')]
    """
    with _no_warnings():
        body = ast.parse("\n".join(map(str.strip, text.splitlines()))).body
    found = []
    for node in body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            name = ast.unparse(node.targets[0])
        elif isinstance(node, ast.Expr):
            name = ""
        else:
            raise ValueError(f"line {node.lineno} is not an expression")
        value = node.value
        # A comma at the end, copied from a list, makes the line a tuple.
        several = value.elts if isinstance(value, ast.Tuple) and (not name or len(value.elts) == 1) else [value]
        found += [(name, one) for one in several]
    return found


def dotted_name(node: ast.expr) -> str:
    """The text of a dotted name such as `torch.nn.Conv2d`; "" for any other expression.

    >>> dotted_name(expression("torch.nn.Conv2d")), dotted_name(expression("f()"))
    ('torch.nn.Conv2d', '')
    """
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def split_sign(node: ast.expr) -> tuple[ast.expr, int]:
    """An expression without its minus, and -1; other expressions as they are, and 1.

    >>> [(ast.unparse(number), sign) for number, sign in map(split_sign, map(expression, ("-3", "x")))]
    [('3', -1), ('x', 1)]
    """
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand, -1
    return node, 1


def _no_warnings() -> warnings.catch_warnings:
    """Suppress Python's warnings about the style of parsed text."""
    return warnings.catch_warnings(action="ignore")
