"""Compute one small transposed convolution in five ways, step by step, and compare the results.

Arrays are float64. An input is (in_channels, *sizes). A kernel is (in_channels, out_channels, *kernel_size), as in
torch. The first three ways are plain numpy and do not use torch, which computes the last two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import UpsampleError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.explain.example import Example, Sizes
from upsample_cli.tconv.explain.grids import Grid, number_text


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps of the five ways, and their common output.

    Args:
        contributions: in way (a), for every input sample: its index (channel first), its value and its canvas.
        canvas: the sum of the contributions, before padding crops it.
        inserted: in way (b), the input with zeros inserted between the samples and added around it.
        flipped: the flipped kernel, (out_channels, in_channels, *kernel_size).
        matrix: in way (c), the matrix of the ordinary convolution from the size of the output to the size of the input;
            rows are input samples.
        outputs: the output of each way, by its name in `WAYS`.
        largest_difference: the largest difference between two outputs.
    """

    example: Example
    contributions: tuple[tuple[Sizes, float, Grid], ...]
    canvas: Grid
    inserted: Grid
    flipped: Grid
    matrix: Grid
    outputs: dict[str, Grid]
    largest_difference: float

    @property
    def output(self) -> Grid:
        """The output, (out_channels, *sizes)."""
        return self.outputs["broadcast"]

    @property
    def titled(self) -> list[tuple[str, Grid]]:
        """Title and canvas of every input sample. The title names the channel if there are several."""
        first = int(len(self.example.input) == 1)
        return [
            (f"X[{','.join(map(str, index[first:]))}] = {number_text(value)}", canvas)
            for index, value, canvas in self.contributions
        ]

    def _repr_html_(self) -> str:
        """The interactive page, in a notebook."""
        from upsample_cli.tconv.explain.page import frame

        return frame(self.example)

    @property
    def crops(self) -> bool:
        """Whether the output is smaller than the canvas."""
        return any(axis.padding for axis in self.example.layer.each_axis) or self.canvas.shape != self.output.shape


WAYS = {
    "broadcast": "every input sample times the kernel, placed stride apart and summed",
    "insertion": "zeros inserted, then an ordinary convolution with the flipped kernel",
    "matrix": "the transpose of the convolution's matrix, times the input",
    "autograd": "the gradient of the convolution",
    "layer": "the torch layer itself",
}


def explain(example: Example) -> Explanation:
    """Compute an example in every way of `WAYS`, and compare the results.

    Raises:
        UpsampleError: if two outputs differ by more than the rounding of float64.

    >>> x = np.array([[0.0, 1], [2, 3]])
    >>> from upsample_cli.tconv.explain.example import example
    >>> explain(example(x, x)).output[0].tolist()
    [[0.0, 0.0, 1.0], [0.0, 4.0, 6.0], [4.0, 12.0, 9.0]]
    """
    contributions = tuple(_contributions(example))
    canvas = np.sum([canvas for _, _, canvas in contributions], axis=0)
    inserted, flipped = _inserted(example), _flipped(example.kernel)
    matrix = conv_matrix(example.layer.each_axis, example.kernel, example.input.shape[1:], example.output_sizes)
    shape = (example.kernel.shape[1], *example.output_sizes)
    outputs = {
        "broadcast": canvas[example.kept],
        "insertion": _correlated(inserted, flipped, [axis.dilation for axis in example.layer.each_axis]),
        "matrix": (matrix.T @ example.input.reshape(-1)).reshape(shape),
        **_torch_outputs(example),
    }
    difference = compare(outputs, example.input, example.kernel)
    return Explanation(example, contributions, canvas, inserted, flipped, matrix, outputs, difference)


def compare(outputs: dict[str, Grid], input_: Grid, kernel: Grid) -> float:
    """The largest difference between two outputs.

    An output is a sum of at most `input_.size * kernel.size` products. Another order of addition changes it by at most
    that many roundings of the largest sum of magnitudes. Whole numbers must be equal, because sums below 2**53 are not
    rounded.

    Raises:
        UpsampleError: if the difference is larger than this, or the shapes differ.
    """
    reference = next(iter(outputs.values()))
    largest = float(np.abs(input_).sum() * np.abs(kernel).max())
    whole = all(np.array_equal(array, np.rint(array)) for array in (input_, kernel))
    allowed = 0.0 if whole and largest < 2**53 else input_.size * kernel.size * 2**-52 * largest
    difference = 0.0
    for name, output in outputs.items():
        if output.shape != reference.shape:
            raise UpsampleError(f"the ways disagree: {name} gives {output.shape}, not {reference.shape}")
        difference = max(difference, float(np.abs(output - reference).max()))
        if not difference <= allowed:
            raise UpsampleError(f"the ways disagree: {name} differs by {difference:g}", "report it, with the command")
    return difference


def _contributions(example: Example) -> Iterator[tuple[Sizes, float, Grid]]:
    axes = example.layer.each_axis
    for index in np.ndindex(example.input.shape):
        value = float(example.input[index])
        canvas = np.zeros((example.kernel.shape[1], *example.canvas_sizes))
        where = tuple(
            slice(sample * axis.stride, sample * axis.stride + axis.span, axis.dilation)
            for axis, sample in zip(axes, index[1:], strict=True)
        )
        canvas[(slice(None), *where)] = value * example.kernel[index[0]]
        yield index, value, canvas


def _inserted(example: Example) -> Grid:
    """The input with stride - 1 zeros between samples, padded by dilation*(kernel_size-1) - padding.

    A negative padding crops. At the end, another output_padding zeros are added.
    """
    axes = example.layer.each_axis
    sizes = [(size - 1) * axis.stride + 1 for axis, size in zip(axes, example.input.shape[1:], strict=True)]
    stretched = np.zeros((len(example.input), *sizes))
    stretched[(slice(None), *(slice(None, None, axis.stride) for axis in axes))] = example.input
    for number, axis in enumerate(axes, start=1):
        stretched = _padded(stretched, number, axis.reach - axis.before, axis.reach - axis.after)
    return stretched


def _padded(array: Grid, axis: int, before: int, after: int) -> Grid:
    """Add zeros at both ends of an axis; a negative number removes samples."""
    widths = [(0, 0)] * array.ndim
    widths[axis] = (max(before, 0), max(after, 0))
    padded = np.pad(array, widths)
    return padded.take(range(max(-before, 0), padded.shape[axis] - max(-after, 0)), axis=axis)


def _flipped(kernel: Grid) -> Grid:
    return np.flip(kernel, axis=tuple(range(2, kernel.ndim))).swapaxes(0, 1)


def _correlated(array: Grid, kernel: Grid, dilation: Sequence[int]) -> Grid:
    """An ordinary convolution with stride 1 and no padding, of (in, *sizes) with (out, in, *kernel_size)."""
    sizes = [n - d * (k - 1) for n, d, k in zip(array.shape[1:], dilation, kernel.shape[2:], strict=True)]
    result = np.zeros((len(kernel), *sizes))
    for tap in np.ndindex(kernel.shape[2:]):
        shifted = array[(slice(None), *(slice(t * d, t * d + n) for t, d, n in zip(tap, dilation, sizes, strict=True)))]
        result += np.tensordot(kernel[(slice(None), slice(None), *tap)], shifted, axes=1)
    return result


def conv_matrix(axes: Sequence[LayerAxis], kernel: Grid, rows: Sizes, columns: Sizes) -> Grid:
    """The matrix of an ordinary convolution from sizes `columns` to sizes `rows`.

    Args:
        axes: the settings along each axis, which a transposed convolution may share.
        kernel: (channels of the rows, channels of the columns, *kernel_size).
        rows, columns: sizes without channels.
    """
    matrix = np.zeros((kernel.shape[0], *rows, kernel.shape[1], *columns))
    for index, tap in product(np.ndindex(rows), np.ndindex(kernel.shape[2:])):
        seen = tuple(
            sample * axis.stride + number * axis.dilation - axis.padding
            for axis, sample, number in zip(axes, index, tap, strict=True)
        )
        if all(0 <= place < size for place, size in zip(seen, columns, strict=True)):
            for one, other in np.ndindex(kernel.shape[:2]):
                matrix[(one, *index, other, *seen)] += kernel[(one, other, *tap)]
    return matrix.reshape(kernel.shape[0] * prod(rows), -1)


def _torch_outputs(example: Example) -> dict[str, NDArray[Any]]:
    import torch

    kernel, x = (torch.from_numpy(array.copy()) for array in (example.kernel, example.input[None]))
    shown = example.layer
    settings: dict[str, Any] = {name: getattr(shown, name) for name in ("stride", "padding", "dilation")}
    convolve: Any = getattr(torch.nn.functional, f"conv{shown.axes}d")
    blank = torch.zeros(1, shown.out_channels or 1, *example.output_sizes, dtype=torch.float64, requires_grad=True)
    # If output_padding is at least the stride, the convolution has more outputs than the input has samples.
    inputs: tuple[Any, ...] = (..., *(slice(size) for size in example.input.shape[1:]))
    (gradient,) = torch.autograd.grad(convolve(blank, kernel, **settings)[inputs], blank, grad_outputs=x)
    layer = getattr(torch.nn, shown.name)(
        shown.in_channels or 1,
        shown.out_channels or 1,
        example.kernel.shape[2:],
        output_padding=shown.output_padding,
        bias=False,
        dtype=torch.float64,
        **settings,
    )
    layer.requires_grad_(False).weight.copy_(kernel)
    return {"autograd": gradient[0].numpy(), "layer": layer(x)[0].numpy()}


def as_json(explanation: Explanation) -> dict[str, Any]:
    """All steps for programs. Arrays are nested lists, channels first.

    >>> from upsample_cli.tconv.explain.example import example
    >>> x = np.array([[0.0, 1], [2, 3]])
    >>> as_json(explain(example(x, x, padding=1)))["output"]
    [[[4.0]]]
    """
    shown = explanation.example
    return {
        "layer": str(shown.layer),
        "input": shown.input.tolist(),
        "kernel": shown.kernel.tolist(),
        "output": explanation.output.tolist(),
        "contributions": [
            {"index": list(index), "value": value, "canvas": canvas.tolist()}
            for index, value, canvas in explanation.contributions
        ],
        "canvas": explanation.canvas.tolist(),
        "inserted": explanation.inserted.tolist(),
        "flipped": explanation.flipped.tolist(),
        "matrix": explanation.matrix.tolist(),
        "outputs": {name: output.tolist() for name, output in explanation.outputs.items()},
        "largest_difference": explanation.largest_difference,
    }
