"""Parse chains of layers from pasted text: `print(model)`, `nn.Sequential(...)` as code, or one layer per line.

The text is never evaluated. It must define the order of the layers, so the only allowed container is Sequential.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import islice

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import located
from upsample_cli.tconv.layers.constructors import class_name, layer_of_call, parse_layer, without_names
from upsample_cli.tconv.layers.kinds import KINDS
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.parsing import expression

LONGEST_MODEL = 200_000
"""The most characters of a text to parse."""
MOST_LAYERS = 10_000
"""The most layers. A repetition such as `(0-9999999): 9999999 x ReLU()` must not exhaust the memory."""

_REPEATED = re.compile(r"^(\d{1,9}) x (?=[A-Za-z])")


def parse_model(text: str) -> tuple[Layer, ...]:
    r"""The layers of a model, in the order in which they run.

    Raises:
        GeometryError: if the text is not such a model, or torch would refuse a setting; the message names the line.

    >>> for layer in parse_model("Sequential((0): Conv2d(3, 8, 3)\n (1): Sequential(\n (0-1): 2 x ReLU()))"):
    ...     print(layer)
    Conv2d(3, 8, kernel_size=3)
    ReLU()
    ReLU()
    """
    if len(text) > LONGEST_MODEL:
        raise GeometryError(f"the model's text has {len(text)} characters", f"give {LONGEST_MODEL} or fewer")
    try:
        tree = expression(f"({_as_python(text)}\n)")
    except SyntaxError as error:
        line = text.splitlines()[error.lineno - 1 :][:1] if error.lineno else []
        shown = f"line {error.lineno}, {line[0].strip()[:60]!r}: " if line else ""
        raise GeometryError(f"{shown}this is not a model as PyTorch prints it", _EXPECTED) from None
    except (ValueError, RecursionError, MemoryError):
        raise GeometryError("this is not a model as PyTorch prints it", _EXPECTED) from None
    layers: list[Layer] = []
    for layer in _layers(tree):
        layers.append(layer)
        if len(layers) > MOST_LAYERS:
            raise GeometryError(f"the model has more than {MOST_LAYERS} layers", "give a part of it")
    if not layers:
        raise GeometryError("the model has no layers", _EXPECTED)
    return tuple(layers)


_EXPECTED = "give nn.Sequential(...), what print(model) shows of one, or a layer a line"


def parse_layers(text: str) -> tuple[Layer, ...]:
    """Parse one argument: a layer, or the layers of a Sequential.

    >>> [str(layer) for layer in parse_layers("nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())")]
    ['Conv2d(3, 8, kernel_size=3)', 'ReLU()']
    """
    is_model = "\n" in text.strip() or re.match(r"\s*(?:(?:torch\.)?nn\.)?Sequential\s*\(|\s*\[", without_names(text))
    return parse_model(text) if is_model else (parse_layer(text),)


def _as_python(text: str) -> str:
    """Convert the text to one Python expression with the same lines: remove torch's labels, and add commas."""
    lines = []
    for line in _separated(text).splitlines():
        kept = _REPEATED.sub(r"\1 @ ", without_names(line.partition("#")[0]).strip())
        lines.append(kept + "," if kept.endswith(")") else kept)
    return "\n".join(lines)


def _separated(text: str) -> str:
    """Replace labels in the middle of a line by commas, for a text that has lost its line breaks."""
    return re.sub(r"(?<=[(),])[ \t]+\([\w.-]+\): ", _comma_unless_first, re.sub(r"\((?=\([\w.-]+\): )", "( ", text))


def _comma_unless_first(found: re.Match[str]) -> str:
    return " " if found.string[found.start() - 1] in "(," else ", "


def _layers(node: ast.expr) -> Iterator[Layer]:
    if isinstance(node, ast.Tuple | ast.List):
        for entry in node.elts:
            yield from _layers(entry)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult) and isinstance(node.left, ast.Constant):
        repeated = tuple(islice(_layers(node.right), MOST_LAYERS + 1))
        for _ in range(node.left.value if repeated and isinstance(node.left.value, int) else 0):
            yield from repeated
    elif isinstance(node, ast.Call) and class_name(node) == "Sequential":
        for argument in node.args:
            yield from _layers(argument)
    elif isinstance(node, ast.Call) and class_name(node).rpartition(".")[2] == "OrderedDict" and len(node.args) == 1:
        for pair in getattr(node.args[0], "elts", []):
            yield from _layers(pair.elts[1] if isinstance(pair, ast.Tuple) and len(pair.elts) == 2 else pair)
    elif isinstance(node, ast.Call):
        with located(f"line {node.lineno}"):
            _refuse_containers(node)
            yield layer_of_call(node)
    else:
        raise GeometryError(f"line {node.lineno}: this is not a layer", _EXPECTED)


def _refuse_containers(call: ast.Call) -> None:
    name = class_name(call)
    if name not in KINDS and any(isinstance(argument, ast.Call | ast.BinOp) for argument in call.args):
        raise GeometryError(
            f"the text of {name or 'this'} does not say in which order its layers run",
            "give its layers in order, a line each",
        )
