"""`tconv translate`: translate a layer between frameworks. It imports neither torch nor another framework."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.onnx_argument import onnx_argument
from upsample_cli.cli.tconv.printing import print_document, print_notes, print_written, result_console
from upsample_cli.errors import UsageError
from upsample_cli.tconv.layers.constructors import parse_layer, unused_parameters
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.shape import size_text
from upsample_cli.tconv.translate.restored import Restored
from upsample_cli.tconv.translate.translate import FRAMEWORKS, translate, translate_back, translate_between
from upsample_cli.tconv.translate.writing import Translation, weights_sentence

LayerText = Annotated[
    str,
    typer.Argument(
        metavar="LAYER",
        help='As PyTorch writes it, "ConvTranspose2d(16, 8, 3, stride=2)"; with --from as that framework does; or an '
        "ONNX file.",
    ),
]
To = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"Translate to {', '.join([*FRAMEWORKS][:-1])} or {[*FRAMEWORKS][-1]}."),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="NAME", help="Framework of LAYER, with the names of --to. Without --to, translate to PyTorch."
    ),
]
InputSize = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="SIZE", help="Size of the layer's input, needed with --from if LAYER has an output_shape."
    ),
]

WeightsFile = Annotated[
    str | None,
    options.weights_option(
        help="Convert these weights of LAYER (.safetensors, .pt, .pth, .npy) and its bias too, with --to or --from "
        "pixelshuffle. Needs -o."
    ),
]
Output = Annotated[Path | None, options.output_option(help="File to write the converted weights to.")]
_SHUFFLE = "pixelshuffle"
_CHANNELS = {"IN": "in_channels", "OUT": "out_channels"}
"""The words in a translation that stand for unknown numbers."""


def translate_command(
    layer: LayerText,
    *,
    to: To = None,
    source: From = None,
    size: InputSize = None,
    weights: WeightsFile = None,
    output: Output = None,
    overwrite: options.Overwrite = False,
    as_document: options.AsDocument = False,
) -> None:
    """Translate a transposed convolution to another framework or back, with the crop that it needs.

    \b
    Examples:
      tconv translate "ConvTranspose2d(16, 8, 3, 2, 1, 1)" --to keras
      tconv translate "ConvTranspose2d(21, 21, 4, 2, 1, groups=21)" --to caffe
      tconv translate "Conv2DTranspose(8, 3, strides=2)" --from keras
      tconv translate "ConvTranspose(kernel_shape=[4], strides=[2])" --from onnx
      tconv translate "Conv2DTranspose(8, 3, strides=2)" --from keras --to onnx
      tconv translate "ConvTranspose2d(16, 8, 4, 2, 1)" --to pixelshuffle
      tconv translate decoder.onnx --to keras
    """
    if (model := onnx_argument(locals(), "to", "source")) is not None:
        from upsample_cli.cli.tconv.graph_translate import print_graph_translation

        print_graph_translation(model, source, to, as_document=as_document)
        return
    if source is not None:
        document = _translated_back(layer, source, size) if to is None else _translated_between(layer, source, to, size)
    elif to is None:
        raise UsageError("one of --to and --from must be given", "add --to keras, or --from keras")
    elif size is not None:
        raise UsageError("--size is for --from", "leave it out")
    else:
        document = _translated(layer, to)
    written = _converted(layer, source, to, weights, output, overwrite=overwrite)
    if as_document:
        print_document(document | {"written": [str(path) for path in written]})
        return
    console = result_console()
    console.print("\n".join(document["text"]), style="bold")
    print_notes(console, document["notes"])
    print_written(*written)


def _converted(
    layer: str, source: str | None, to: str | None, weights: str | None, output: Path | None, *, overwrite: bool
) -> list[Path]:
    """Write converted weights, if requested; return the files."""
    if weights is None and output is None:
        return []
    if weights is None or output is None:
        raise UsageError("--weights and --output belong together", "give both, or neither")
    if (source, to) not in ((None, _SHUFFLE), (_SHUFFLE, None)):
        raise UsageError(
            f"--weights converts between PyTorch and {_SHUFFLE} only", "convert other weights as the note says"
        )
    from upsample_cli.tconv.translate.pixel_shuffle_weights import convert_weights

    convert_weights(layer, weights, output, back=to is None, overwrite=overwrite)
    return [output]


def _translated(text: str, framework: str) -> dict[str, Any]:
    layer = parse_layer(text)
    if isinstance(layer, TransposedConvolution | Convolution):
        layer.check_settings()
    done = translate(layer, framework)
    unused = unused_parameters(text)
    notes = [*done.notes, *([f"left out: {', '.join(unused)}"] if unused else [])]
    return _document("pytorch", framework, done, notes)


def _document(source: str, framework: str, done: Translation, notes: list[str]) -> dict[str, Any]:
    return {
        "from": source,
        "to": framework,
        "text": list(done.text),
        "notes": notes,
        "crop": list(done.crop),
        "zeros_after": list(done.zeros_after),
        "weight_order": list(done.order),
    }


def _translated_between(text: str, source: str, framework: str, size: str | None) -> dict[str, Any]:
    restored, done = translate_between(text, source, framework, _sizes(size))
    notes = [*done.changes]
    if restored.activation:
        notes.append(f"an activation follows, which is not translated: {restored.activation} in PyTorch")
    order = tuple(restored.weight_order[axis] for axis in done.order)
    notes += _weight_notes(restored, done, source, order)
    code = set(re.findall(r"\w+", " ".join(done.text)))
    notes += [f"{name} is {means}, which the text does not give" for name, means in _CHANNELS.items() if name in code]
    notes += [*_validity(restored), *restored.notes]
    return _document(source, framework, done, notes) | {"weight_order": list(order), "weight_flipped": restored.flipped}


def _weight_notes(restored: Restored, done: Translation, source: str, order: tuple[int, ...]) -> list[str]:
    """How to convert the weights of `source`; if they are not a permutation, in two steps with PyTorch's between."""
    if not restored.weight_note and not done.weight_note:
        return [weights_sentence(source, order, flipped=restored.flipped)]
    to_torch = weights_sentence(source, restored.weight_order, flipped=restored.flipped) if restored.order else ""
    from_torch = done.weight_note or weights_sentence("PyTorch", done.order)
    return [note for note in dict.fromkeys([restored.weight_note or to_torch, from_torch]) if note]


def _sizes(size: str | None) -> tuple[int, ...] | None:
    return None if size is None else options.size_given("--size", size, "28, 28x28 or 8x28x28")


def _validity(restored: Restored) -> list[str]:
    """For which sizes a restored layer is right, unless for all."""
    if restored.sizes is None:
        return []
    return [f"for an input of {size_text(restored.sizes)} only, because the text gives the size of the result"]


def _translated_back(text: str, framework: str, size: str | None) -> dict[str, Any]:
    restored = translate_back(text, framework, _sizes(size))
    notes = []
    ends = {"at the beginning": restored.crop_before, "at the end": restored.crop}
    if places := " and ".join(place for place, counts in ends.items() if any(counts)):
        notes.append(f"PyTorch crops both ends alike: cut off the rest {places}, as written")
    if restored.order or restored.flipped:
        notes.append(weights_sentence(framework, restored.weight_order, flipped=restored.flipped))
    elif restored.weight_note:
        notes.append(restored.weight_note)
    if restored.layer.in_channels is None:
        notes.append(f"IN is {_CHANNELS['IN']}, which the text does not give")
    notes += [*_validity(restored), *restored.notes]
    crop = list(zip(restored.crop_before, restored.crop, strict=True))
    return {"from": framework, "to": "pytorch", "text": list(restored.text), "notes": notes, "crop": crop}
