"""Write interpolation layers to files for other programs. Torch is imported only for `.pt`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from upsample_cli.atomic.files import in_memory, new_file
from upsample_cli.atomic.writable import check_writable
from upsample_cli.errors import Setting, UsageError
from upsample_cli.geometry.axes import axis_names
from upsample_cli.tconv.interpolation import Interpolation
from upsample_cli.tconv.interpolation_report import as_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ONNX_OPSET, _ONNX_IR = 13, 8  # old enough for runtimes in use; ConvTranspose has not changed since opset 11


def export(layer: Interpolation, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a layer to a file. The extension, a key of `WRITERS`, selects the format.

    `.safetensors` and `.pt` contain a state_dict with the single key "weight", `.npy` the weight in torch's order,
    `.onnx` a model of one ConvTranspose, `.prototxt` a layer for Caffe, `.py` code that builds the layer, and `.json`
    all numbers.

    Raises:
        UsageError: if the extension is unknown, the format cannot represent the layer, or a library is missing.
        OutputExistsError: if the file exists and `overwrite` is not set.
    """
    check_exportable(layer, Path(path), overwrite=overwrite)
    content = WRITERS[Path(path).suffix.lower()](layer)
    with new_file(path, overwrite=overwrite) as file:
        file.write(content)


def check_exportable(layer: Interpolation, path: Path, *, overwrite: bool) -> None:
    """Refuse a file that `export` cannot write, before any file is written.

    Raises:
        UsageError: if the extension is unknown, or Caffe does not have such a layer.
        OutputExistsError: if the file exists and `overwrite` is not set.
        ImageError: if the file cannot be written, for example because its folder does not exist.
    """
    check_writable(path, overwrite=overwrite)
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise UsageError(f"{path}: no form of export ends in {suffix!r}", f"use one of {', '.join(WRITERS)}")
    if suffix != ".prototxt":
        return
    if not layer.is_standard:
        raise UsageError(
            f"{path}: Caffe's filler has other taps for this kernel_size", "leave out the kernel_size, or write .onnx"
        )
    if layer.axes != 2 or len({kernel.factor for kernel in layer.kernels}) > 1:
        raise UsageError(f"{path}: Caffe's filler is for 2 axes of one factor", "write .onnx, .json or .py")
    if layer.kernels[0].name not in ("bilinear", "nearest"):
        raise UsageError(f"{path}: Caffe has no filler for {layer.kernels[0].name}", "write .onnx, .json or .py")
    if not layer.depthwise and layer.channels > 1:
        cause = f"{path}: Caffe's filler would mix the channels of a dense layer"
        raise UsageError(cause, ("add ", Setting("depthwise", True)))


def weight(layer: Interpolation) -> NDArray[np.float32]:
    """The complete weight in torch's order, (in, out / groups, kernel sizes), float32.

    Each value is a product of fractions that is rounded once.
    """
    import numpy as np

    values = np.array(layer.kernel_floats, dtype=np.float32)
    result = np.zeros(layer.weight_shape, dtype=np.float32)
    for channel in range(layer.channels):
        result[channel, 0 if layer.depthwise else channel] = values.reshape(layer.weight_shape[2:])
    return result


def _safetensors(layer: Interpolation) -> bytes:
    from safetensors.numpy import save

    from upsample_cli.kernels.weights.files import LAYER_KEY  # imports numpy

    content: bytes = save({"weight": weight(layer)}, metadata={"format": "pt", LAYER_KEY: str(layer.layer)})
    return content


def _pt(layer: Interpolation) -> bytes:
    import torch

    return in_memory(lambda file: torch.save({"weight": torch.from_numpy(weight(layer))}, file))


def _npy(layer: Interpolation) -> bytes:
    import numpy as np

    return in_memory(lambda file: np.save(file, weight(layer)))


def _json(layer: Interpolation) -> bytes:
    return (json.dumps(as_json(layer), indent=1) + "\n").encode()


def _onnx(layer: Interpolation) -> bytes:
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise UsageError("onnx is not installed", "pip install 'upsample-cli[export]'") from error
    helper, dtype = onnx.helper, onnx.TensorProto.FLOAT
    names = axis_names(layer.axes)
    enlarged = [f"{name}_x{kernel.factor}" for name, kernel in zip(names, layer.kernels, strict=True)]
    paddings = [kernel.padding for kernel in layer.kernels]
    node = helper.make_node(
        "ConvTranspose",
        ["input", "weight"],
        ["output"],
        kernel_shape=[kernel.kernel_size for kernel in layer.kernels],
        strides=[kernel.factor for kernel in layer.kernels],
        pads=paddings * 2,  # the starts of all axes, then their ends
        output_padding=None if layer.is_standard else [kernel.output_padding for kernel in layer.kernels],
        group=layer.layer.groups,
    )
    graph = helper.make_graph(
        [node],
        "upsample",
        [helper.make_tensor_value_info("input", dtype, ["batch", layer.channels, *names])],
        [helper.make_tensor_value_info("output", dtype, ["batch", layer.channels, *enlarged])],
        [onnx.numpy_helper.from_array(weight(layer), "weight")],
    )
    opset = helper.make_opsetid("", _ONNX_OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_ONNX_IR, producer_name="upsample-cli")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _prototxt(layer: Interpolation) -> bytes:
    kernel = layer.kernels[0]
    filler = 'type: "bilinear"' if kernel.name == "bilinear" else 'type: "constant" value: 1'
    return f"""\
layer {{
  name: "upsample"
  type: "Deconvolution"
  bottom: "data"
  top: "upsample"
  param {{ lr_mult: 0 decay_mult: 0 }}
  convolution_param {{
    num_output: {layer.channels}
    group: {layer.channels}
    kernel_size: {kernel.kernel_size}
    stride: {kernel.factor}
    pad: {kernel.padding}
    bias_term: false
    weight_filler {{ {filler} }}
  }}
}}
""".encode()


def _python(layer: Interpolation) -> bytes:
    taps = ",\n    ".join(
        f"torch.tensor({list(kernel.numerators)}, dtype=torch.float64) / {kernel.denominator}"
        for kernel in layer.kernels
    )
    letters = "abc"[: layer.axes]
    kernel = f'torch.einsum("{",".join(letters)}->{letters}", *taps).float()'
    place = "[c, 0]" if layer.depthwise else "[c, c]"
    border = ""
    if layer.kernels[0].name == "bilinear" and layer.is_standard:
        border = f"""
# The bare layer is darker at the rim: it takes 0 outside. The same everywhere as F.interpolate, rim included, is:
# nn.Sequential(nn.ReplicationPad{layer.axes}d({layer.pad_width}), nn.{layer.replicate_layer}) with the same weight.
# For a seamless texture, which must stay seamless, take nn.CircularPad{layer.axes}d({layer.pad_width}) instead.
"""
    return f"""\
import torch
from torch import nn

layer = nn.{layer.layer}
taps = (
    {taps},
)
with torch.no_grad():
    layer.weight.zero_()
    for c in range({layer.channels}):
        layer.weight{place} = {kernel}
{border}""".encode()


WRITERS: dict[str, Callable[[Interpolation], bytes]] = {
    ".safetensors": _safetensors,
    ".pt": _pt,
    ".npy": _npy,
    ".json": _json,
    ".onnx": _onnx,
    ".prototxt": _prototxt,
    ".py": _python,
}
"""The functions that return the bytes of a file, by extension."""
