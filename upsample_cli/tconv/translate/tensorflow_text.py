"""Parse a call of a function of `tf.nn` and the operations after it. Code is never evaluated."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.tconv.parsing import statements
from upsample_cli.tconv.translate.arguments import Parameters, activation, arguments, given_nodes, value_of
from upsample_cli.tconv.translate.reading import called

FUNCTIONS = {f"conv{axes}d_transpose": axes for axes in (1, 2, 3)}
"""The functions, and their number of axes."""
_TENSORS = ("input", "filters", "output_shape")
_PARAMETERS = Parameters(
    (*_TENSORS, "strides", "padding", "data_format", "dilations", "name"), left_out=(*_TENSORS, "name")
)
_BIAS_ADD = Parameters(("value", "bias", "data_format", "name"))
_EXAMPLE = "write y = tf.nn.conv2d_transpose(x, w, shape, strides=2, padding='VALID')"


@dataclass(frozen=True, slots=True)
class Line:
    """A size in output_shape as a linear function of the input size: `factor * size + constant`.

    Args:
        kernel_size: the first number of a `max` in the size, which `to_tensorflow` writes.
    """

    factor: int
    constant: int
    kernel_size: int | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A call of a function of `tf.nn` with its arguments for each axis, and the operations after it.

    Args:
        kernel_size: the kernel_size from the shape of the weight; None if the text does not give it.
        crop: the crop (before, after) of the result along each axis.
    """

    axes: int
    strides: list[int]
    dilations: list[int]
    padding: str
    sizes: list[Line]
    kernel_size: list[int] | None
    in_channels: int | None
    out_channels: int | None
    left_out: tuple[str, ...]
    crop: list[tuple[int, int]]
    bias: bool
    activation: str


@dataclass(frozen=True, slots=True)
class _Result:
    """The operations up to a name; `crop` has an entry for each axis of the tensor."""

    call: ast.Call
    crop: tuple[tuple[int, int], ...] = ()
    bias: bool = False
    activation: str = ""


def parse_function(text: str) -> Function:
    """Parse a text whose last statement is the result of the function.

    Raises:
        UsageError: if the text contains anything else.
    """
    try:
        lines = statements(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UsageError("this is not a text of TensorFlow", _EXAMPLE) from None
    results: dict[str, _Result] = {}
    others: dict[str, ast.expr] = {}
    last = None
    for name, node in lines:
        last = _result(node, results)
        if last is not None:
            results[name] = last
        else:
            others[name] = node
    if last is None:
        raise UsageError("the text does not end with the result of tf.nn.conv2d_transpose", _EXAMPLE)
    return _function(last, others)


def _result(node: ast.expr, results: Mapping[str, _Result]) -> _Result | None:
    """The operations of an expression; None if it does not depend on the function."""
    if isinstance(node, ast.Name):
        return results.get(node.id)
    if isinstance(node, ast.Subscript):
        return _cropped(_result(node.value, results), node.slice)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _biased(_result(node.left, results) or _result(node.right, results))
    return _of_call(node, results) if isinstance(node, ast.Call) else None


def _of_call(node: ast.Call, results: Mapping[str, _Result]) -> _Result | None:
    name = called(node)
    if name in FUNCTIONS:
        return _Result(node)
    if name == "bias_add":
        value = given_nodes(node, _BIAS_ADD).get("value")
        return None if value is None else _biased(_result(value, results))
    return _activated(name, _result(node.args[0], results)) if len(node.args) == 1 and not node.keywords else None


def _activated(name: str, inner: _Result | None) -> _Result | None:
    if inner is None:
        return None
    if inner.activation:
        raise UsageError(f"{name[:80]} follows another activation", "give one layer at a time")
    return replace(inner, activation=activation(name, of="the function"))


def _biased(inner: _Result | None) -> _Result | None:
    if inner is not None and (inner.bias or inner.activation):
        raise UsageError("something is added after the layer and its bias", "give one layer at a time")
    return inner and replace(inner, bias=True)


def _cropped(inner: _Result | None, slices: ast.expr) -> _Result | None:
    if inner is None:  # a size, such as x.shape[1]
        return None
    if inner.crop:
        raise UsageError("the result is cropped twice", "write one crop")
    parts = slices.elts if isinstance(slices, ast.Tuple) else [slices]
    return replace(inner, crop=tuple(map(_ends, parts)))


def _ends(part: ast.expr) -> tuple[int, int]:
    """The crop (before, after) of a slice such as `1:-1`."""
    if isinstance(part, ast.Slice) and part.step is None:
        before = 0 if part.lower is None else value_of("a crop", part.lower)
        after = 0 if part.upper is None else value_of("a crop", part.upper)
        if type(before) is type(after) is int and before >= 0 >= after and (after or part.upper is None):
            return before, -after
    raise UsageError("a crop does not count from both ends", "write it as [:, 1:-1, 1:-1]")


def _function(last: _Result, others: Mapping[str, ast.expr]) -> Function:
    axes = FUNCTIONS[called(last.call)]
    given, nodes = arguments(last.call, _PARAMETERS), given_nodes(last.call, _PARAMETERS)
    used = {node.id for node in nodes.values() if isinstance(node, ast.Name)}
    for name in others:
        if name not in used:
            raise UsageError(f"{name[:80] or 'a line'} is not an argument of the function", "leave it out")
    channels_at = 1 if str(given.get("data_format")).startswith("NC") else axes + 1

    def along(name: str, values: Any) -> list[Any]:
        """The values for the axes, without values for batch and channels if they are given."""
        listed = list(values) if isinstance(values, tuple | list) else [values] * axes
        if len(listed) not in (axes, axes + 2):
            raise UsageError(f"{name} has {len(listed)} numbers for {axes} axes", f"give one, or {axes}")
        return listed if len(listed) == axes else [one for at, one in enumerate(listed) if at not in (0, channels_at)]

    shape = _elements(nodes.get("output_shape"), others)
    if len(shape) != axes + 2:
        raise UsageError(f"output_shape is not in the text, with {axes + 2} numbers", _EXAMPLE)
    weight = _weight_shape(nodes.get("filters"), others, axes)
    channels = None if getattr(shape[channels_at], "id", "") == "OUT" else _line(shape[channels_at])
    crop = [*last.crop, *[(0, 0)] * (axes + 2 - len(last.crop))]
    if len(crop) > axes + 2 or any(crop[0]) or any(crop[channels_at]):
        raise UsageError("a crop is not of the sizes alone", "write it as [:, 1:-1, 1:-1]")
    return Function(
        axes,
        _whole("strides", along("strides", given.get("strides", 1))),
        _whole("dilations", along("dilations", given.get("dilations") or 1)),
        str(given.get("padding", "SAME")).upper(),
        [_line(node) for node in along("output_shape", shape)],
        weight[:axes] if weight else None,
        weight[-1] if weight else None,
        weight[-2] if weight else channels.constant if channels and channels.factor == 0 else None,
        tuple(name for name in given.left_out if name not in _TENSORS),
        along("a crop", crop),
        last.bias,
        last.activation,
    )


def _whole(name: str, values: list[Any]) -> list[int]:
    if not all(type(value) is int and value > 0 for value in values):
        raise UsageError(f"{name} {values!r} is not of whole numbers from 1", "write it in digits")
    return values


def _elements(node: ast.expr | None, others: Mapping[str, ast.expr]) -> list[ast.expr]:
    """The elements of a tuple or a list, given directly, by name, or in `tf.stack([...])`."""
    if isinstance(node, ast.Name):
        node = others.get(node.id)
    if isinstance(node, ast.Call) and len(node.args) == 1:
        node = node.args[0]
    return node.elts if isinstance(node, ast.Tuple | ast.List) else []


def _weight_shape(node: ast.expr | None, others: Mapping[str, ast.expr], axes: int) -> list[int]:
    """The shape in an expression such as `tf.zeros((3, 3, 8, 16))`; empty if the text does not give it."""
    found = node if node is None or isinstance(node, ast.Call) else others.get(getattr(node, "id", ""))
    while isinstance(found, ast.Call) and found.args:
        found = found.args[0]
    if not isinstance(found, ast.Tuple | ast.List):
        return []
    shape = _whole("the shape of the weight", [value_of("the shape of the weight", one) for one in found.elts])
    if len(shape) != axes + 2:
        raise UsageError(f"the weight has {len(shape)} axes", f"give {axes + 2}: sizes, OUT, IN")
    return shape


def _line(node: ast.expr) -> Line:
    """Parse a size as a linear function of the input size."""
    found = None
    if isinstance(node, ast.Constant) and type(node.value) is int:
        found = Line(0, node.value)
    elif isinstance(node, ast.Subscript):
        found = Line(1, 0)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        found = _combined(ast.Sub(), Line(0, 0), _line(node.operand))
    elif isinstance(node, ast.Call) and called(node) == "max" and len(node.args) == 2:
        found = _larger(*map(_line, node.args))
    elif isinstance(node, ast.BinOp):
        found = _combined(node.op, _line(node.left), _line(node.right))
    if found is None:
        raise UsageError("a size in output_shape is not understood", "write it as (x.shape[1] - 1)*2 + 3, or in digits")
    return found


def _larger(span: Line, least: Line) -> Line | None:
    if span.factor or least.factor:
        return None
    return Line(0, max(span.constant, least.constant), span.constant)


def _combined(operator: ast.operator, left: Line, right: Line) -> Line | None:
    kernel_size = left.kernel_size or right.kernel_size
    if isinstance(operator, ast.Add):
        return Line(left.factor + right.factor, left.constant + right.constant, kernel_size)
    if isinstance(operator, ast.Sub):
        return Line(left.factor - right.factor, left.constant - right.constant, kernel_size)
    if isinstance(operator, ast.Mult) and 0 in (left.factor, right.factor):
        line, number = (left, right.constant) if right.factor == 0 else (right, left.constant)
        return Line(line.factor * number, line.constant * number, kernel_size)
    return None
