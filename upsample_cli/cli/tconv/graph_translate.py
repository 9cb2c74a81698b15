"""`tconv translate` for an ONNX file: every convolution in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.tconv.printing import print_document, print_notes, result_console
from upsample_cli.errors import UsageError
from upsample_cli.tconv.graphs.transposed import NodeLayer, convolutions_of
from upsample_cli.tconv.translate.translate import ORDINARY, translate


def print_graph_translation(path: str, source: str | None, to: str | None, *, as_document: bool) -> None:
    """Translate every transposed convolution of a file, and the others to frameworks that have PyTorch's formula.

    Args:
        path: the ONNX file.
        source: None or "onnx".
        to: a framework; None for PyTorch.
        as_document: print JSON.
    """
    if source not in (None, "onnx"):
        raise UsageError(f"{path}: an ONNX file is not of {source}", "write --from onnx, or leave it out")
    if source is None and to is None:
        raise UsageError("one of --to and --from must be given", "add --to keras, or --from onnx")
    kinds = ("ConvTranspose", "Conv") if to is None or to in ORDINARY else ("ConvTranspose",)
    documents = [_translated(one, to) for one in convolutions_of(path, kinds)[1]]
    if as_document:
        print_document({"from": "onnx", "to": to or "pytorch", "nodes": documents})
        return
    console = result_console()
    for document in documents:
        console.print(f"# {one_line(document['node'])}")
        console.print("\n".join(document["text"]), style="bold")
    print_notes(console, dict.fromkeys(note for document in documents for note in document["notes"]))


def _translated(one: NodeLayer, to: str | None) -> dict[str, Any]:
    restored, name = one.restored, one.node.label
    if to is None:
        return {"node": name, "text": list(restored.text), "notes": list(_named(name, restored.notes))}
    done = translate(restored.whole, to)
    notes = [*_named(name, restored.notes), *_named(name, done.changes), done.notes[-1]]
    return {"node": name, "text": list(done.text), "notes": notes, "weight_order": list(done.order)}


def _named(name: str, notes: tuple[str, ...]) -> Iterator[str]:
    return (f"{one_line(name)}: {note}" for note in notes)
