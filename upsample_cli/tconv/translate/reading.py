"""Common functions for reading a layer of any framework. Code is parsed, never evaluated."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from upsample_cli.errors import Setting, UsageError
from upsample_cli.tconv.parsing import dotted_name, statements
from upsample_cli.tconv.translate.restored import Sizes
from upsample_cli.tconv.translate.writing import CROP_LINE

TRANSPOSED_NAMES = {f"Conv{infix}{axes}DTranspose": axes for infix in ("", "olution") for axes in (1, 2, 3)}
_CROP_LINE = re.compile(rf"^{re.escape(CROP_LINE)}([0-9]+(?:, [0-9]+)*)$", re.MULTILINE)


def without_own_lines(text: str) -> tuple[str, tuple[int, ...]]:
    """Remove the notes and the crop line that `tconv translate` prints; return the text and the numbers of the crop."""
    text = re.sub("^note: .*$", "", text, flags=re.MULTILINE)
    found = _CROP_LINE.search(text)
    if found is None:
        return text, ()
    return _CROP_LINE.sub("", text, count=1), tuple(map(int, found[1].split(", ")))


def parsed_calls(text: str) -> list[ast.Call]:
    """The calls in a text, one for each statement. For `layer(...)(x)` it is the call of `layer`.

    Raises:
        UsageError: if the text contains anything except calls.
    """
    try:
        nodes = [node for _, node in statements(text)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        nodes = []
    calls = [node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Call) else node for node in nodes]
    kept = [node for node in calls if isinstance(node, ast.Call)]
    if not kept or len(kept) < len(calls):
        raise UsageError(
            "this is not a layer of that framework", f"write for example {next(iter(TRANSPOSED_NAMES))}(...)"
        )
    return kept


def called(call: ast.Call) -> str:
    """The name of the called function or class: `Conv2DTranspose` in `keras.layers.Conv2DTranspose(...)`."""
    return dotted_name(call.func).rpartition(".")[2]


def axes_of_call(call: ast.Call) -> int:
    """The number of axes of a constructor such as Keras' `Conv2DTranspose(...)`.

    Raises:
        UsageError: if it is another layer.
    """
    return _named(call, TRANSPOSED_NAMES)


def _named(call: ast.Call, names: Mapping[str, int]) -> int:
    name = called(call)
    if name not in names:
        raise UsageError(f"the layer {name[:80] or 'here'} is unknown", f"known are {', '.join(names)}")
    return names[name]


def single_layer(text: str, names: Mapping[str, int]) -> tuple[ast.Call, int]:
    """The only call of a text, a constructor in `names`, and the number that `names` has for it.

    Raises:
        UsageError: if the text has several calls, or another layer.
    """
    call, *others = parsed_calls(text)
    if others:
        raise UsageError(f"there are {len(others) + 1} layers", "give one at a time")
    return call, _named(call, names)


def needed_sizes(sizes: Sizes, axes: int, what: str) -> tuple[int, ...]:
    """The sizes of the input, one for each axis.

    Raises:
        UsageError: if they are not given.
    """
    if sizes is None:
        example = "x".join(["28"] * axes)
        raise UsageError(f"{what} needs the size of the input", ("add ", Setting("size", example)))
    if len(sizes) != axes:
        raise UsageError(f"the size has {len(sizes)} axes, the layer {axes}", "give one number per axis")
    return tuple(sizes)


def left_out_notes(names: Sequence[str]) -> list[str]:
    """A note on parameters that PyTorch's layer does not have; empty if there are no such parameters."""
    return [f"left out, because PyTorch's layer does not take it: {', '.join(names)}"] if names else []
