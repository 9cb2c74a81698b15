"""What the CPU routes need from ATen, torch's library of tensors, on numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]

Layer = Callable[[Array], Array]
"""A transposed convolution without bias: (batch, channels, height, width) -> the same axes."""


class Operators(Protocol):
    """What the routes and the resizing need from ATen. Arrays are float32 or float64, of any strides."""

    def layer(self, weight: Array, *, stride: int, padding: int, groups: int) -> Layer:
        """The `torch.nn.ConvTranspose2d` with this weight (channels in, channels out / groups, height, width)."""

    def convolution(self, image: Array, weight: Array, bias: Array, stride: Sequence[int]) -> Array:
        """An ordinary convolution without padding, (batch, channels, height, width) -> the same axes.

        Args:
            weight: (channels out, channels in, height, width).
            bias: (channels out,).
            stride: of rows and of columns.
        """

    def product(self, left: Array, right: Array) -> Array:
        """The product of matrices, or of two stacks of them: (..., n, k) and (..., k, m) -> (..., n, m)."""

    def threads(self) -> int:
        """How many threads ATen uses for one operator that the calling thread runs."""

    def set_threads(self, count: int) -> None:
        """Use this number from now on, in the calling thread and in those that have not run an operator yet."""
