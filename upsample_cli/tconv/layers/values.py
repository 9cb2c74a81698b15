"""Names and whole-number arithmetic in the text of a layer, such as `ngf * 8`. Nothing is evaluated but + - * //."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType

from upsample_cli.errors import GeometryError, Setting
from upsample_cli.geometry.sizes import MAX_SIZE

NO_VALUES: Mapping[str, int] = MappingProxyType({})
_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv
}  # fmt: skip
_MOST_OPERATIONS = 50
"""The most nested operations in one setting."""


def with_values(node: ast.expr, values: Mapping[str, int]) -> ast.expr:
    """A setting in which names that have a value, and arithmetic of whole numbers, are replaced by numbers.

    Raises:
        GeometryError: an operation has an unknown name, or its result is too large.

    >>> from upsample_cli.tconv.parsing import expression
    >>> ast.unparse(with_values(expression("(ngf * 8, 3 + 4 // 2, bias)"), {"ngf": 64}))
    '(512, 5, bias)'
    """
    if isinstance(node, ast.Tuple | ast.List):
        return ast.copy_location(ast.Tuple([_number_of(entry, values) for entry in node.elts], ast.Load()), node)
    return _number_of(node, values)


def _number_of(node: ast.expr, values: Mapping[str, int]) -> ast.expr:
    is_operation = isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS
    if is_operation or (isinstance(node, ast.Name) and node.id in values):
        number = _evaluated(node, values, _MOST_OPERATIONS)
        constant: ast.expr = ast.Constant(abs(number))
        return ast.copy_location(constant if number >= 0 else ast.UnaryOp(ast.USub(), constant), node)
    return node


def _evaluated(node: ast.expr, values: Mapping[str, int], most: int) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return _bounded(node.value)
    if isinstance(node, ast.Name):
        if node.id in values:
            return _bounded(values[node.id])
        raise GeometryError(
            f"{node.id[:40]} has no value", ("write a number", ", or give ", Setting("let", f"{node.id[:20]}=NUMBER"))
        )
    if most and isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluated(node.operand, values, most - 1)
    if most and isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = (_evaluated(side, values, most - 1) for side in (node.left, node.right))
        if isinstance(node.op, ast.FloorDiv) and right == 0:
            raise GeometryError("a number is divided by 0", "write the number itself")
        return _bounded(_OPERATIONS[type(node.op)](left, right))
    raise GeometryError("this arithmetic is not supported", "use whole numbers, names, +, -, * and //")


def _bounded(number: int) -> int:
    if abs(number) > MAX_SIZE:
        raise GeometryError("a number is too large", "no number in a layer can be larger than 2^63 - 1")
    return number
