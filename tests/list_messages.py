"""Prints every message of both commands on one page: `python tests/list_messages.py`.

A message is the text of an error, a failure or a loss, found in the source; inserted values are shown as {...}.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "upsample_cli"


class Message(NamedTuple):
    """The place of a message in the source, the call that makes it, and its text."""

    place: str
    maker: str
    text: str


def messages() -> Iterator[Message]:
    """All messages, by module and line."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _makes_message(maker := _name(node.func)):
                texts = [text for argument in node.args if (text := shown(argument))]
                if any(" " in text for text in texts):
                    place = f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
                    yield Message(place, maker, "; ".join(texts))


def _makes_message(maker: str) -> bool:
    return maker in {"Loss", "Failure"} or (maker.endswith("Error") and maker[0].isupper())


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def shown(node: ast.expr) -> str:  # noqa: PLR0911  one for each kind of node
    """An argument as shown to a user; "" if it is not text.

    >>> shown(ast.parse('(Setting("size"), f" {size} is none")', mode="eval").body)
    '{size} {...} is none'
    """
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join("{...}" if isinstance(part, ast.FormattedValue) else shown(part) for part in node.values)
    if isinstance(node, ast.Tuple):
        return "".join(map(shown, node.elts))
    if isinstance(node, ast.BinOp):
        return shown(node.left) + shown(node.right)
    if isinstance(node, ast.IfExp):
        return "|".join(filter(None, (shown(node.body), shown(node.orelse))))
    if isinstance(node, ast.Call) and _name(node.func) == "Setting" and isinstance(node.args[0], ast.Constant):
        return f"{{{node.args[0].value}}}"
    if isinstance(node, ast.Call) and _name(node.func) == "joined":
        return "".join(map(shown, node.args))
    return ""


if __name__ == "__main__":
    for message in messages():
        print(f"{message.place}: {message.maker}: {message.text}")
