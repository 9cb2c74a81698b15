"""`tconv info` for a file of weights: the network in it, and how it can be cut into tiles."""

from __future__ import annotations

from typing import Any

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.tconv.printing import print_document, result_console
from upsample_cli.models.choice import Model, chosen_model


def print_model(path: str, *, as_document: bool) -> None:
    """Print what is known about the network of a file."""
    _, model = chosen_model(path)
    if as_document:
        print_document(document(model))
        return
    console = result_console()
    console.print(one_line(model.path), style="bold")
    facts = {
        "architecture": model.architecture,
        "factor": str(model.factor),
        "channels": "RGB" if model.channels == 3 else "grey",
        "parameters": f"{model.parameters:,}",
        "class": model.class_text,
        "memory": f"{model.measured.bytes_per_pixel:,} bytes for each input pixel",
        "licence": model.licence or "the file does not name one",
        "sha256": model.sha256,
    }
    longest = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"{name:<{longest}}  ", style="bold", end="")
        console.print(one_line(value), soft_wrap=True)


def document(model: Model) -> dict[str, Any]:
    """The JSON document."""
    found = model.measured
    is_tileable = found.kind != "global"
    return {
        "input": model.path,
        "architecture": model.architecture,
        "factor": model.factor,
        "channels": model.channels,
        "parameters": model.parameters,
        "class": found.kind,
        "tileable": is_tileable,
        "reach": found.reach if is_tileable else None,
        "grid": found.grid if is_tileable else None,
        "difference": found.difference if is_tileable else None,
        "bytes_per_pixel": found.bytes_per_pixel,
        "licence": model.licence or None,
        "sha256": model.sha256,
    }
