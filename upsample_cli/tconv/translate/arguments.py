"""Read the arguments of a call in a framework's code by name. Unknown ones are refused. Code is never evaluated."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.tconv.parsing import dotted_name

_ACTIVATIONS = {
    "relu": "ReLU()", "relu6": "ReLU6()", "sigmoid": "Sigmoid()", "tanh": "Tanh()", "elu": "ELU()", "selu": "SELU()",
    "softplus": "Softplus()", "softrelu": "Softplus()", "softsign": "Softsign()", "gelu": "GELU()", "silu": "SiLU()",
    "swish": "SiLU()", "mish": "Mish()", "leaky_relu": "LeakyReLU(0.2)", "softmax": "Softmax(dim=1)",
}  # fmt: skip
"""Activations: the name in other frameworks, and the layer of torch.nn, where channels are axis 1."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a layer in a framework.

    Args:
        positional: names of parameters that may be positional, in the framework's order.
        named: names of keyword-only parameters.
        left_out: parameters that PyTorch's layer does not have, because they set initial weights, names or training.
    """

    positional: Sequence[str]
    named: Sequence[str] = ()
    left_out: Sequence[str] = ()

    def unknown(self, name: str) -> UsageError:
        """The error for a parameter that the layer does not have."""
        known = [*self.positional, *self.named]
        alike = difflib.get_close_matches(name, known, n=1)
        listed = ", ".join(one for one in known if one not in self.left_out)
        next_step = f"is it {alike[0]}?" if alike else f"the parameters are {listed}"
        return UsageError(f"there is no parameter {name[:80]}", next_step)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a call: values by name, and the names that are `left_out`."""

    values: dict[str, Any]
    left_out: tuple[str, ...]

    def get(self, name: str, default: Any = None) -> Any:
        """A value; the default if it is not given."""
        return self.values.get(name, default)


def arguments(call: ast.Call, known: Parameters) -> Arguments:
    """Read the arguments of a call.

    Raises:
        UsageError: if an argument is unknown, given twice, or is not a number, a word or a list.
    """
    nodes = given_nodes(call, known)
    values = {name: value_of(name, node) for name, node in nodes.items() if name not in known.left_out}
    return Arguments(values, tuple(name for name in nodes if name in known.left_out))


def given_nodes(call: ast.Call, known: Parameters) -> dict[str, ast.expr]:
    """The expressions of the arguments of a call, by parameter.

    Raises:
        UsageError: if a parameter is unknown or given twice.
    """
    if any(isinstance(node, ast.Starred) for node in call.args) or any(word.arg is None for word in call.keywords):
        raise UsageError("* and ** are not supported", "write the values themselves")
    if len(call.args) > len(known.positional):
        raise UsageError(
            f"{len(call.args)} values for {len(known.positional)} parameters", "write the others by name, as a=1"
        )
    nodes = dict(zip(known.positional, call.args, strict=False))
    for word in call.keywords:
        name = str(word.arg)
        if name not in known.positional and name not in known.named:
            raise known.unknown(name)
        if name in nodes:
            raise UsageError(f"{name[:80]} is given twice", "leave one out")
        nodes[name] = word.value
    return nodes


def value_of(name: str, node: ast.expr) -> Any:
    """The number, the word or the list of an expression; the last part of a dotted name (`tf.nn.relu`).

    Raises:
        UsageError: if the expression is not one of these.
    """
    if dotted := dotted_name(node):
        return dotted.rpartition(".")[2]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise UsageError(
            f"this is not a layer of that framework: {name} is neither a number nor a word",
            "write it in digits, or in quotes",
        ) from None


def activation(name: Any, *, of: str = "activation") -> str:
    """The layer of torch.nn for an activation; "" for no activation.

    Raises:
        UsageError: if the activation is unknown.
    """
    if name in (None, "linear"):
        return ""
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise UsageError(
            f"{of} {str(name)[:80]!r} is not one that is translated", "leave it out, and write it as a layer of its own"
        )
    return f"nn.{_ACTIVATIONS[name]}"


def one_of(name: str, value: Any, words: Iterable[str | bool | None]) -> None:
    """Refuse a word that is not one of `words`.

    Raises:
        UsageError: the value is another one; the message names the parameter.
    """
    known = list(words)
    if not isinstance(value, str | bool | None) or value not in known:
        raise UsageError(f"{name} {str(value)[:80]!r} is unknown", f"use {' or '.join(map(repr, known))}")
