"""The operators of ATen, torch's library of tensors, that the CPU routes need, on numpy arrays.

They come through libtorch's C interface (`libtorch.py`), which starts in a quarter of a second, or through Python's
torch (`pytorch.py`), which takes two. Both run the same code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from threading import RLock
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


class NoOperatorsError(Exception):
    """The operators cannot be had this way, in a few words."""


_lock = RLock()
_loaded: Operators | None = None
_note = ""


def operators() -> Operators:
    """The operators of this process, loaded on the first call: from Python's torch if it is imported already."""
    global _loaded, _note  # noqa: PLW0603  one library for the process
    with _lock:
        if _loaded is None and "torch" not in sys.modules:
            from upsample_cli.engine.libtorch import LibTorch

            try:
                _loaded = LibTorch()
            except NoOperatorsError as error:
                _note = str(error)
        if _loaded is None:
            import_torch(_note)
        assert _loaded is not None
        return _loaded


def import_torch(reason: str) -> bool:
    """Take the operators from Python's torch from now on. False if they come from there already.

    Args:
        reason: for `import_note`.
    """
    global _loaded, _note
    from upsample_cli.engine.pytorch import PyTorch

    with _lock:
        if isinstance(_loaded, PyTorch):
            return False
        _loaded, _note = PyTorch(), reason
        return True


def import_note() -> str:
    """Why Python's torch had to be imported to compute; empty if it was not, or if the caller had imported it."""
    return _note
