"""What torch accepts for parameters that change only the values of an output. No torch."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.parsing import split_sign

Rule = tuple[Callable[[Any], bool], str]
"""Whether torch accepts a value, and the advice for a value that it refuses."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_NUMBER: Rule = (_is_number, "write a number")
_NUMBER_OR_NONE: Rule = (lambda value: value is None or _is_number(value), "write a number or None")
_FLAG: Rule = (lambda value: isinstance(value, bool), "write True or False")
_PROBABILITY: Rule = (lambda value: _is_number(value) and 0 <= value <= 1, "use 0 to 1")
_BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")

_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("eps", "negative_slope", "lambd", "alpha", "beta", "k", "threshold", "value"), _NUMBER),
    **dict.fromkeys(("min_val", "max_val", "lower", "upper", "init"), _NUMBER),
    **dict.fromkeys(("momentum", "min_value", "max_value"), _NUMBER_OR_NONE),
    "count_include_pad": _FLAG,
    "p": _PROBABILITY,
    "approximate": (lambda value: value in ("none", "tanh"), "use 'none' or 'tanh'"),
    "divisor_override": (
        lambda value: value is None or (type(value) is int and value != 0),
        "use a whole number other than 0, or None",
    ),
}
"""The rules for parameters of any layer. Parameters that are not listed have any value."""
_RULES_OF: Mapping[tuple[str, str], Rule] = {
    ("CELU", "alpha"): (lambda value: _is_number(value) and value != 0, "use a number other than 0"),
    ("Softshrink", "lambd"): (lambda value: _is_number(value) and 0 <= value < 2**128, "use 0 or more"),
    ("StochasticDepth", "mode"): (lambda value: value in ("batch", "row"), "use 'batch' or 'row'"),
    ("UpsamplingNearest2d", "mode"): (lambda value: value == "nearest", "leave it out"),
    ("UpsamplingBilinear2d", "mode"): (lambda value: value == "bilinear", "leave it out"),
    **{(f"ConstantPad{n}d", "value"): _NUMBER_OR_NONE for n in (1, 2, 3)},
    **{(name, "eps"): (lambda value: _is_number(value) and not value < 0, "use more than 0") for name in _BATCH_NORMS},
}
"""The rules for parameters of one layer, which take precedence."""


def constant(name: str, node: ast.expr) -> Any:
    """The value of a parameter: a number, a word, True, False or None.

    Raises:
        GeometryError: the expression is not a constant.
    """
    number, sign = split_sign(node)
    if isinstance(number, ast.Name) and number.id in ("inf", "nan"):  # as torch prints them
        number = ast.Constant(float(number.id))
    if not isinstance(number, ast.Constant) or (sign < 0 and not _is_number(number.value)):
        raise GeometryError(f"{name} is neither a number nor a word", "leave it out: it changes no size")
    return -number.value if sign < 0 else number.value  # type: ignore[operator]


def check_values(layer: str, values: Mapping[str, Any]) -> None:
    """Refuse values that torch refuses.

    Args:
        layer: name of the layer's class.
        values: given values by name of the parameter.

    Raises:
        GeometryError: naming the parameter.
    """
    for name, value in values.items():
        rule = _RULES_OF.get((layer, name)) or _RULES.get(name)
        if rule is not None and not rule[0](value):
            raise GeometryError(f"{name} {value!r} is not possible", rule[1])
    if layer == "Hardtanh":
        low, high = (_first_of(values, f"{end}_value", f"{end}_val", usual) for end, usual in (("min", -1), ("max", 1)))
        if low >= high:
            raise GeometryError(f"max_val {high} is not more than min_val {low}", "use a larger max_val")
    # Without statistics of its own, a layer also normalizes by the batch after training, which needs more than 0.
    if layer in _BATCH_NORMS and values.get("eps") == 0 and values.get("track_running_stats") is False:
        raise GeometryError("eps 0 is not possible without running statistics", "use more than 0")
    if layer == "RReLU" and values.get("lower", 1 / 8) > values.get("upper", 1 / 3):
        raise GeometryError("lower is more than upper", "use a larger upper")


def _first_of(values: Mapping[str, Any], name: str, second: str, usual: float) -> Any:
    value = values.get(name)
    return values.get(second, usual) if value is None else value
