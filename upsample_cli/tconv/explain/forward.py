"""Compute one small ordinary convolution in three ways, step by step, and compare the results.

Arrays are float64. An input is (in_channels, *sizes). A kernel is (out_channels, in_channels, *kernel_size), as in
torch, which computes the last way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from upsample_cli.geometry.axes import collapsed
from upsample_cli.tconv.explain.example import Sizes, refuse_large, with_channels
from upsample_cli.tconv.explain.explain import compare, conv_matrix
from upsample_cli.tconv.explain.grids import Grid, number_text
from upsample_cli.tconv.layers.convolution import Convolution

FORWARD_WAYS = {
    "windows": "every window of the input times the kernel, summed",
    "matrix": "the matrix W, a row for each output, times the input as a column",
    "layer": "the torch layer itself",
}


@dataclass(frozen=True, slots=True)
class Forward:
    """The steps of the three ways, and their common output.

    Args:
        input, kernel, layer: the example.
        windows: for every output sample of a channel: its index, and the input samples it sees, zeros of the padding
            included: (in_channels, *kernel_size).
        matrix: W; rows are output samples, columns input samples. Its transpose is the matrix of the transposed
            convolution with the same settings.
        outputs: the output of each way, by its name in `FORWARD_WAYS`.
        largest_difference: the largest difference between two outputs.
    """

    input: Grid
    kernel: Grid
    layer: Convolution
    windows: tuple[tuple[Sizes, Grid], ...]
    matrix: Grid
    outputs: dict[str, Grid]
    largest_difference: float

    @property
    def output(self) -> Grid:
        """The output, (out_channels, *sizes)."""
        return self.outputs["windows"]

    @property
    def titled(self) -> list[tuple[str, Grid]]:
        """Title and window of every output sample."""
        channels = self.output.reshape(len(self.output), -1).T
        return [
            (f"Y[{','.join(map(str, index))}] = {', '.join(map(number_text, values))}", window)
            for (index, window), values in zip(self.windows, channels, strict=True)
        ]


def explain_forward(
    input_: Grid,
    kernel: Grid,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    channels: tuple[int, int] | None = None,
    axes: int | None = None,
) -> Forward:
    """Compute an ordinary convolution in every way of `FORWARD_WAYS`, and compare the results.

    Args:
        input_: (*sizes) or (in_channels, *sizes).
        kernel: (*kernel_size) or (out_channels, in_channels, *kernel_size).
        stride, padding, dilation: settings of the layer, one number or one for each axis.
        channels, axes: as in `example.example`.

    Raises:
        GeometryError: if torch would refuse the settings.
        UsageError: if the arrays do not fit together, or are too large.
        UpsampleError: if two outputs differ by more than the rounding of float64.

    >>> explain_forward(np.arange(9.0).reshape(3, 3), np.array([[1.0, 2], [3, 4]])).output.tolist()
    [[[27.0, 37.0], [57.0, 67.0]]]
    """
    input_, kernel = with_channels(input_, kernel, channels, axes, inputs_at=1)
    layer = Convolution(
        kernel.ndim - 2,
        in_channels=kernel.shape[1],
        out_channels=kernel.shape[0],
        kernel_size=collapsed(kernel.shape[2:]),
        stride=stride,
        padding=padding,
        dilation=dilation,
        bias=False,
    )
    sizes = layer.output_sizes(input_.shape[1:])
    refuse_large(input_, kernel, kernel.shape[0] * prod(sizes))
    windows = tuple(_windows(input_, layer, kernel.shape[2:], sizes))
    summed = [np.tensordot(kernel, window, axes=kernel.ndim - 1) for _, window in windows]
    matrix = conv_matrix(layer.each_axis, kernel, sizes, input_.shape[1:])
    outputs = {
        "windows": np.stack(summed, axis=-1).reshape(-1, *sizes),
        "matrix": (matrix @ input_.reshape(-1)).reshape(-1, *sizes),
        "layer": _by_torch(input_, kernel, layer),
    }
    return Forward(input_, kernel, layer, windows, matrix, outputs, compare(outputs, input_, kernel))


def _windows(input_: Grid, layer: Convolution, taps: Sizes, sizes: Sizes) -> Iterator[tuple[Sizes, Grid]]:
    axes = layer.each_axis
    padded = np.pad(input_, [(0, 0), *((axis.before, axis.after) for axis in axes)])
    for index in np.ndindex(*sizes):
        starts = [sample * axis.stride for sample, axis in zip(index, axes, strict=True)]
        places = zip(starts, taps, axes, strict=True)
        where = (slice(start, start + count * axis.dilation, axis.dilation) for start, count, axis in places)
        yield index, padded[(slice(None), *where)]


def _by_torch(input_: Grid, kernel: Grid, layer: Convolution) -> Grid:
    import torch

    convolve: Any = getattr(torch.nn.functional, f"conv{layer.axes}d")
    x, k = (torch.from_numpy(array.copy()) for array in (input_[None], kernel))
    made: Grid = convolve(x, k, stride=layer.stride, padding=layer.padding, dilation=layer.dilation)[0].numpy()
    return made


def forward_json(forward: Forward) -> dict[str, Any]:
    """All steps for programs. Arrays are nested lists, channels first."""
    return {
        "layer": str(forward.layer),
        "input": forward.input.tolist(),
        "kernel": forward.kernel.tolist(),
        "output": forward.output.tolist(),
        "windows": [{"index": list(index), "values": window.tolist()} for index, window in forward.windows],
        "matrix": forward.matrix.tolist(),
        "outputs": {name: output.tolist() for name, output in forward.outputs.items()},
        "largest_difference": forward.largest_difference,
    }
