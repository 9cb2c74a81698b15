"""`tconv translate`: translate a layer between frameworks. It imports neither torch nor another framework."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.printing import print_document, print_notes, result_console
from upsample_cli.errors import UsageError
from upsample_cli.tconv.layers.constructors import parse_layer, unused_parameters
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.layers.symbolic import parse_size
from upsample_cli.tconv.shape import size_text
from upsample_cli.tconv.translate.translate import translate, translate_back

LayerText = Annotated[
    str,
    typer.Argument(
        metavar="LAYER",
        help='As PyTorch writes it, "ConvTranspose2d(16, 8, 3, stride=2)"; with --from as that framework does.',
    ),
]
To = Annotated[
    str | None, typer.Option(metavar="NAME", help="Translate to keras, tensorflow, onnx, caffe, paddle or mxnet.")
]
From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="NAME", help="Translate from this framework to PyTorch; the same names as for --to."
    ),
]
InputSize = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="SIZE", help="Size of the layer's input, needed with --from if LAYER has an output_shape."
    ),
]


def translate_command(
    layer: LayerText,
    *,
    to: To = None,
    source: From = None,
    size: InputSize = None,
    as_document: options.AsDocument = False,
) -> None:
    """Translate a transposed convolution to another framework or back, with the crop that it needs.

    \b
    Examples:
      tconv translate "ConvTranspose2d(16, 8, 3, 2, 1, 1)" --to keras
      tconv translate "ConvTranspose2d(21, 21, 4, 2, 1, groups=21)" --to caffe
      tconv translate "Conv2DTranspose(8, 3, strides=2)" --from keras
      tconv translate "ConvTranspose(kernel_shape=[4], strides=[2])" --from onnx
    """
    if to is not None and source is None:
        if size is not None:
            raise UsageError("--size is for --from", "leave it out")
        document = _translated(layer, to)
    elif source is not None and to is None:
        document = _translated_back(layer, source, size)
    else:
        raise UsageError("one of --to and --from must be given", "add --to keras, or --from keras")
    if as_document:
        print_document(document)
        return
    console = result_console()
    console.print("\n".join(document["text"]), style="bold")
    print_notes(console, document["notes"])


def _translated(text: str, framework: str) -> dict[str, Any]:
    layer = parse_layer(text)
    if not isinstance(layer, TransposedConvolution):
        raise UsageError(f"{layer.name} is not a transposed convolution", "give a ConvTranspose1d, 2d or 3d")
    layer.output_sizes((2**20,) * layer.axes)  # raises an error for illegal settings
    done = translate(layer, framework)
    unused = unused_parameters(text)
    notes = [*done.notes, *([f"left out: {', '.join(unused)}"] if unused else [])]
    return {
        "from": "pytorch",
        "to": framework,
        "text": list(done.text),
        "notes": notes,
        "crop": list(done.crop),
        "zeros_after": list(done.zeros_after),
        "weight_order": list(done.order),
    }


def _translated_back(text: str, framework: str, size: str | None) -> dict[str, Any]:
    sizes = None if size is None else parse_size(size)
    if size is not None and sizes is None:
        raise UsageError(f"--size {size} is not a size", "write 28, 28x28 or 8x28x28")
    restored = translate_back(text, framework, sizes)
    notes = []
    ends = {"at the beginning": restored.crop_before, "at the end": restored.crop}
    if places := " and ".join(place for place, counts in ends.items() if any(counts)):
        notes.append(f"PyTorch crops both ends alike: cut off the rest {places}, as written")
    if restored.layer.in_channels is None:
        notes.append("IN is in_channels, which the text does not give")
    if restored.sizes is not None:
        notes.append(f"for an input of {size_text(restored.sizes)} only, because the text gives the size of the result")
    notes += restored.notes
    crop = list(zip(restored.crop_before, restored.crop, strict=True))
    return {"from": framework, "to": "pytorch", "text": list(restored.text), "notes": notes, "crop": crop}
