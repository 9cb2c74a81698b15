"""Translate a transposed convolution to another framework, and back, for `tconv translate`. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from upsample_cli.errors import Setting, UsageError
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.translate.caffe import from_caffe, to_caffe
from upsample_cli.tconv.translate.flax import from_flax, to_flax
from upsample_cli.tconv.translate.keras import from_keras, to_keras
from upsample_cli.tconv.translate.mlx import from_mlx, to_mlx
from upsample_cli.tconv.translate.onnx import from_onnx, to_onnx
from upsample_cli.tconv.translate.ordinary import to_mxnet_convolution, to_paddle_convolution
from upsample_cli.tconv.translate.pixel_shuffle import from_pixel_shuffle, to_pixel_shuffle
from upsample_cli.tconv.translate.reading import without_own_lines
from upsample_cli.tconv.translate.restored import Restored, Sizes
from upsample_cli.tconv.translate.tensorflow import from_tensorflow, to_tensorflow
from upsample_cli.tconv.translate.torch_like import from_mxnet, from_paddle, to_mxnet, to_paddle
from upsample_cli.tconv.translate.writing import Translation

LONGEST_TEXT = 2000

Write: TypeAlias = Callable[[TransposedConvolution], Translation]
Read: TypeAlias = Callable[[str, Sizes], Restored]

FRAMEWORKS: dict[str, tuple[Write, Read]] = {
    "keras": (to_keras, from_keras),
    "tensorflow": (to_tensorflow, from_tensorflow),
    "onnx": (to_onnx, from_onnx),
    "caffe": (to_caffe, from_caffe),
    "paddle": (to_paddle, from_paddle),
    "mxnet": (to_mxnet, from_mxnet),
    "flax": (to_flax, from_flax),
    "mlx": (to_mlx, from_mlx),
    "pixelshuffle": (to_pixel_shuffle, from_pixel_shuffle),
}
"""For each framework, the functions that write and read a layer."""


ORDINARY: dict[str, Callable[[Convolution], Translation]] = {
    "paddle": to_paddle_convolution,
    "mxnet": to_mxnet_convolution,
}
"""For each framework with PyTorch's formula, the function that writes an ordinary convolution."""


def translate(layer: Layer, framework: str) -> Translation:
    """Translate a layer to another framework. It is exact, with zeros in the kernel or a crop if necessary.

    Args:
        layer: a transposed convolution, or for `ORDINARY` a convolution.
        framework: one of `FRAMEWORKS`.

    Raises:
        UsageError: if the framework is unknown, or the layer is another one.

    >>> layer = TransposedConvolution(2, in_channels=16, out_channels=8, kernel_size=3, stride=2, padding=1)
    >>> for line in translate(layer, "keras").text:
    ...     print(line)
    keras.layers.Conv2DTranspose(8, 3, strides=2, padding='valid')
    keras.layers.Cropping2D(1)
    """
    write, _ = _framework(framework)
    if isinstance(layer, Convolution) and framework in ORDINARY:
        return ORDINARY[framework](layer)
    if not isinstance(layer, TransposedConvolution):
        also = f", or a Conv for {' or '.join(ORDINARY)}" if isinstance(layer, Convolution) else ""
        raise UsageError(f"{layer.name} is not a transposed convolution", f"give a ConvTranspose1d, 2d or 3d{also}")
    return write(layer)


def translate_back(text: str, framework: str, sizes: Sizes = None) -> Restored:
    """Translate a layer of another framework to PyTorch.

    Args:
        text: code of the framework, for example the output of `translate`.
        framework: one of `FRAMEWORKS`.
        sizes: sizes of the layer's input, one for each axis; needed only if the text gives the size of the result, not
            a crop.

    Raises:
        UsageError: if the framework is unknown, the text cannot be parsed, or PyTorch does not have such a layer.

    >>> translate_back("Conv2DTranspose(8, 3, strides=2, padding='same')", "keras").text
    ('up = nn.ConvTranspose2d(IN, 8, kernel_size=3, stride=2)', 'y = up(x)[:, :, :-1, :-1]')
    """
    _, read = _framework(framework)
    if len(text) > LONGEST_TEXT:
        raise UsageError(f"the text has {len(text)} characters", f"give {LONGEST_TEXT} or fewer")
    text, crop = without_own_lines(text)
    try:
        restored = read(text, sizes)
    except RecursionError:
        raise UsageError("the text is nested too deeply", "give one layer") from None
    if sizes is not None and restored.sizes is None:
        raise UsageError("nothing in this text needs a size", ("leave out ", Setting("size")))
    return restored.cropped(crop) if crop else restored


def translate_between(text: str, source: str, target: str, sizes: Sizes = None) -> tuple[Restored, Translation]:
    r"""Translate a layer of one framework to another, crop included. The arguments are those of `translate_back`.

    Returns:
        The layer in PyTorch, and its translation to `target`.

    Raises:
        UsageError: see `translate_back`; or one of the frameworks is unknown.

    >>> _, done = translate_between("Conv2DTranspose(8, 3, strides=2, padding='same')", "keras", "mxnet")
    >>> print(*done.text, sep="\n")
    mx.gluon.nn.Conv2DTranspose(8, 3, strides=2)
    then cut off at the end: 1, 1
    """
    _framework(target)
    restored = translate_back(text, source, sizes)
    return restored, translate(restored.whole, target)


def _framework(name: str) -> tuple[Write, Read]:
    if name not in FRAMEWORKS:
        raise UsageError(f"the framework '{name}' is unknown", f"use one of {', '.join(FRAMEWORKS)}")
    return FRAMEWORKS[name]
