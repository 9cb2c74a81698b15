"""Parse layers from text as PyTorch prints it, such as `nn.Conv2d(3, 16, 3, stride=2)`. It is never evaluated.

`kinds.KINDS` lists the kinds of layers. `_READERS` has the function that reads the value of each parameter.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from upsample_cli.errors import GeometryError, Setting
from upsample_cli.geometry.axes import located
from upsample_cli.geometry.sizes import MAX_SIZE
from upsample_cli.tconv.layers.kinds import KINDS, Kind
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.values import NO_VALUES, with_values
from upsample_cli.tconv.layers.values_only import check_values, constant
from upsample_cli.tconv.parsing import dotted_name, expression, split_sign
from upsample_cli.text import shortened

Reader = Callable[[str, ast.expr], Any]
"""Reads the value of a parameter from its name and its expression. Raises GeometryError."""

_LABEL = re.compile(r"\s*\(([\w.-]+)\):\s*")
_ASSIGNED = re.compile(r"\s*(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)\s*=\s*(?=(?:torch\.)?(?:nn\.)?[A-Z]\w*\()")
LONGEST_TEXT = 2000
"""The most characters of a text to parse. A longer text is not a layer and could exhaust the parser."""


def parse_layer(text: str, values: Mapping[str, int] = NO_VALUES) -> Layer:
    """Parse a PyTorch constructor, as in code or as torch prints it. `nn.`, a name before it and a comma are allowed.

    Args:
        text: the constructor.
        values: values of names, for settings such as `ngf * 8`.

    Raises:
        GeometryError: if the text is not a single constructor, or torch would refuse its settings.

    >>> print(parse_layer("nn.ConvTranspose2d(16, 33, (3, 5), stride=2, padding=(1, 2))"))
    ConvTranspose2d(16, 33, kernel_size=(3, 5), stride=2, padding=(1, 2))
    """
    with located(shortened(text)):
        return layer_of_call(_parsed_call(text), values)


def unused_parameters(text: str) -> tuple[str, ...]:
    """The named parameters in a layer's text that affect neither sizes nor channels nor costs, unless they are None.

    >>> unused_parameters("nn.Conv2d(3, 8, 3, dtype=torch.half, device=None)")
    ('dtype',)
    """
    call = _parsed_call(text)
    unused = KINDS[class_name(call)].unused if class_name(call) in KINDS else frozenset()
    nothing = [word for word in call.keywords if isinstance(word.value, ast.Constant) and word.value.value is None]
    return tuple(str(word.arg) for word in call.keywords if word.arg in unused and word not in nothing)


def without_names(line: str) -> str:
    """Remove the name of a layer from a line: `up = ` in code, `(0): ` in text that torch prints.

    >>> without_names("(up): self.up = nn.Conv2d(3, 8, 3)")
    'nn.Conv2d(3, 8, 3)'
    """
    return split_name(line)[1]


def split_name(line: str) -> tuple[str, str]:
    """The name of a layer in a line, or "", and the line without names.

    >>> split_name("(0): nn.ReLU()"), split_name("self.up = nn.ReLU()"), split_name("nn.ReLU()")
    (('0', 'nn.ReLU()'), ('up', 'nn.ReLU()'), ('', 'nn.ReLU()'))
    """
    name, start = "", 0
    while found := _LABEL.match(line, start) or _ASSIGNED.match(line, start):
        name = name or found[1]
        start = found.end()
    return name, line[start:]


def layer_of_call(call: ast.Call, values: Mapping[str, int] = NO_VALUES) -> Layer:
    """The layer of a parsed constructor.

    Args:
        call: the constructor.
        values: values of names, for settings such as `ngf * 8`.

    Raises:
        GeometryError: if torch does not have such a layer or would refuse its settings.
    """
    name = dotted_name(call.func)
    kind = KINDS.get(class_name(call))
    if kind is None:
        raise GeometryError(f"the layer {shortened(name) or 'here'} is unknown", f"known are {_known(name)}")
    given = _given(call, kind)
    read = {name: _READERS.get(name, constant)(name, with_values(node, values)) for name, node in given.items()}
    check_values(class_name(call), read)
    return kind.build(**{name: value for name, value in read.items() if name not in kind.unused})


def class_name(call: ast.Call) -> str:
    """The class name in a call, `Conv2d` in `torch.nn.Conv2d(...)`; "" if the called expression is not a name.

    torch prints a layer with a parametrization, for example weight_norm, as `ParametrizedConv2d`.
    """
    return dotted_name(call.func).removeprefix("torch.").removeprefix("nn.").removeprefix("Parametrized")


def _known(name: str) -> str:
    """Names of kinds that are similar to a name, or else of the convolutions, for a message."""
    alike = difflib.get_close_matches(name.rpartition(".")[2], KINDS, n=4, cutoff=0.75)
    return (
        ", ".join(alike or [kind for kind in KINDS if kind.startswith("Conv")])
        + " and the others of docs/tconv/shape.md"
    )


def _parsed_call(text: str) -> ast.Call:
    if len(text) <= LONGEST_TEXT:
        try:
            tree: ast.expr | None = expression(without_names(text).strip().rstrip(", \t\n"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = None
        if isinstance(tree, ast.Call):
            return tree
    raise GeometryError("this is not a layer as PyTorch writes it", "write for example Conv2d(3, 16, 3, stride=2)")


def _given(call: ast.Call, kind: Kind) -> dict[str, ast.expr]:
    """The given expressions by parameter, including positional ones."""
    if any(isinstance(node, ast.Starred) for node in call.args) or any(word.arg is None for word in call.keywords):
        raise GeometryError("* and ** are not supported", "write the values themselves")
    if len(call.args) > len(kind.parameters):
        raise GeometryError(f"{len(call.args)} values for {len(kind.parameters)} parameters", _signature(kind))
    given = dict(zip(kind.parameters, call.args, strict=False))
    for word in call.keywords:
        name = str(word.arg)
        if name not in kind.parameters:
            raise GeometryError(f"there is no parameter {name}", _signature(kind))
        if name in given:
            raise GeometryError(f"{name} is given twice", _signature(kind))
        given[name] = word.value
    missing = [name for name in kind.parameters[: kind.required] if name not in given]
    if missing:
        raise GeometryError(f"{' and '.join(missing)} missing", _signature(kind))
    return given


def _signature(kind: Kind) -> str:
    return f"the parameters are {', '.join(kind.parameters)}"


def _whole(name: str, node: ast.expr) -> int:
    number, sign = split_sign(node)
    if isinstance(number, ast.Constant) and type(number.value) is int:
        if number.value > MAX_SIZE:
            raise GeometryError(f"{name} is too large", "no number in a layer can be larger than 2^63 - 1")
        return sign * number.value
    if isinstance(node, ast.Name):
        step = ("write it in digits", ", or give ", Setting("let", f"{node.id[:20]}=NUMBER"))
        raise GeometryError(f"{name} is not a whole number", step)
    raise GeometryError(f"{name} is not a whole number", "write it in digits")


def _one_or_more(reader: Reader) -> Reader:
    """A reader for one value or several values in brackets."""

    def read(name: str, node: ast.expr) -> Any:
        if isinstance(node, ast.Tuple | ast.List):
            return tuple(reader(f"a number in {name}", entry) for entry in node.elts)
        return reader(name, node)

    return read


def _word(name: str, node: ast.expr) -> str:
    """A word in quotes, or without quotes as torch prints it (`padding=same`)."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise GeometryError(f"{name} is not a word", f"write for example {name}='zeros'")


def _per_axis_or_word(name: str, node: ast.expr) -> int | tuple[int, ...] | str:
    is_word = isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    value: int | tuple[int, ...] | str = (_word if is_word else _one_or_more(_whole))(name, node)
    return value


def _truth(name: str, node: ast.expr) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return node.value
    raise GeometryError(f"{name} is neither True nor False", f"write {name}=True or {name}=False")


def _truth_or_none(name: str, node: ast.expr) -> bool:
    """A flag for which torch takes None as False."""
    return bool(_or_none(_truth)(name, node))


def _placement(name: str, node: ast.expr) -> None:
    """Check a device or a dtype. It does not affect sizes."""
    if isinstance(node, ast.Call) and dotted_name(node.func) == "torch.device":
        return
    if not isinstance(node, ast.Constant) and not dotted_name(node):
        raise GeometryError(f"{name} is not a name", "leave it out: it changes no size")


def _number(name: str, node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        if node.value > MAX_SIZE:
            raise GeometryError(f"{name} is too large", "no number in a layer can be larger than 2^63 - 1")
        return float(node.value)
    raise GeometryError(f"{name} is not a number", "write it in digits")


def _or_none(reader: Reader) -> Reader:
    """A reader that also accepts None."""
    return lambda name, node: None if isinstance(node, ast.Constant) and node.value is None else reader(name, node)


_READERS: dict[str, Reader] = {
    **dict.fromkeys(("in_channels", "out_channels", "groups", "num_features", "num_channels", "num_groups"), _whole),
    **dict.fromkeys(("upscale_factor", "downscale_factor", "num_parameters", "in_features", "out_features"), _whole),
    **dict.fromkeys(("start_dim", "end_dim"), _whole),
    "dim": _or_none(_whole),
    **dict.fromkeys(("normalized_shape", "unflattened_size"), _one_or_more(_whole)),
    **dict.fromkeys(("kernel_size", "output_padding", "dilation"), _one_or_more(_whole)),
    **dict.fromkeys(("stride", "size"), _or_none(_one_or_more(_whole))),
    **dict.fromkeys(("bias", "affine", "elementwise_affine", "track_running_stats"), _truth_or_none),
    "ceil_mode": _truth,
    **dict.fromkeys(("align_corners", "recompute_scale_factor"), _or_none(_truth)),
    **dict.fromkeys(("padding_mode", "mode"), _word),
    **dict.fromkeys(("device", "dtype"), _placement),
    "padding": _per_axis_or_word,
    "output_size": _or_none(_one_or_more(_or_none(_whole))),
    "scale_factor": _or_none(_one_or_more(_number)),
}
"""The readers of parameters. Others are constants that affect neither sizes nor channels nor costs."""
