"""Recognize an ONNX file among the arguments of a `tconv` command. What reads the file is imported afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upsample_cli.cli.spelling import option
from upsample_cli.errors import Setting, UsageError


def is_onnx(text: str | None) -> bool:
    """Whether a text is the path of an ONNX file, by its extension."""
    return text is not None and "\n" not in text and text.lower().endswith(".onnx")


def onnx_argument(options: Mapping[str, Any], *also: str) -> str | None:
    """The path of an ONNX file among the arguments of a command, in place of a size or of layers, or as --file.

    Args:
        options: the arguments of the command by parameter name.
        also: names of other options that are legal with an ONNX file.

    Raises:
        UsageError: if options that describe or choose layers come with it.
    """
    layers = [*(options.get("layers") or []), *([options["layer"]] if options.get("layer") else [])]
    paths: list[str] = [text for text in (options.get("size"), *layers, options.get("file")) if is_onnx(text)]
    if not paths:
        return None
    described = [text for text in (*layers, options.get("file")) if text is not None and text not in paths]
    if len(paths) > 1 or described:
        raise UsageError("an ONNX file and other layers cannot be combined", "give the file alone, and a size")
    kept = ("layers", "layer", "file", "as_document", *also)
    given = [name for name, value in options.items() if name not in kept and value not in (None, False, [])]
    others = [option(Setting(name)) for name in given]
    if others:
        raise UsageError(f"{paths[0]}: {' and '.join(others)} cannot be combined with an ONNX file", "leave it out")
    return paths[0]
