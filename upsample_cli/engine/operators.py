"""The operators of ATen, torch's tensor library, that the CPU routes need, on numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]

Layer = Callable[[Array], Array]
"""A transposed convolution without bias, from and to (batch, channels, height, width)."""


class Operators(Protocol):
    """The operators that the routes and the resizing need. Arrays are float32 or float64, with any strides."""

    def layer(self, weight: Array, *, stride: int, padding: int, groups: int) -> Layer:
        """A `torch.nn.ConvTranspose2d` with this weight, (channels in, channels out / groups, height, width)."""

    def convolution(self, image: Array, weight: Array, bias: Array, stride: Sequence[int]) -> Array:
        """An ordinary convolution without padding, from and to (batch, channels, height, width).

        Args:
            image: (batch, channels in, height, width).
            weight: (channels out, channels in, height, width).
            bias: (channels out,).
            stride: the strides along rows and columns.
        """

    def product(self, left: Array, right: Array) -> Array:
        """The product of two matrices or of two stacks of matrices: (..., n, k) and (..., k, m) -> (..., n, m)."""

    def threads(self) -> int:
        """How many threads ATen uses for one operator called in this thread."""

    def set_threads(self, count: int) -> None:
        """Set the number of threads for this thread, and for threads that have not yet run an operator."""
