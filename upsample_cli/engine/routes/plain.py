"""The protocol of a route, and the route that runs the layer itself: the reference for all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from upsample_cli.engine import aten
from upsample_cli.engine.exact import Arithmetic, Dtype, Pixels, finish, prepare
from upsample_cli.engine.operators import Array, Layer
from upsample_cli.kernels.kernel import Kernel

_ROUNDINGS = 64
"""An upper bound of the rounding error of any sum, in units of the last place."""


class Route(Protocol):
    """Computes tiles on one device."""

    name: str
    """The name in reports."""

    bytes_per_value: int
    """Working memory for each number of the output, in bytes."""

    is_compiled: bool
    """Whether any thread may compute: torch's operators run only in threads that are limited to one core."""

    def __call__(self, padded: Pixels, out: Pixels) -> None:
        """Enlarge one tile.

        Args:
            padded: (height + 2*halo, width + 2*halo, channels), contiguous.
            out: (height*factor, width*factor, channels), rows may be strided; the result is written to it.
        """
        ...


class PlainRoute:
    """The layer itself, with channels as a batch if one kernel serves all of them. Any device, any pixels.

    Args:
        layer: `torch.nn.ConvTranspose2d` with the kernel's whole weights, of `arithmetic.sum_dtype`; by default on the
            CPU.
    """

    name = "layer"
    is_compiled = False

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, layer: Callable[[Pixels], Pixels] | None = None) -> None:
        self._arithmetic = arithmetic
        self._crop = kernel.halo * kernel.factor
        self._is_batch = kernel.channels == 1
        self._layer = layer or cpu_layer(kernel, arithmetic.sum_dtype)
        self.bytes_per_value = 4 * arithmetic.sum_dtype.itemsize

    def __call__(self, padded: Pixels, out: Pixels) -> None:
        """See `Route`."""
        with np.errstate(all="ignore"):  # infinities and NaN are valid pixels
            self._enlarge(padded, out)
        if not self._arithmetic.is_exact:
            self.mend(padded, out)

    def mend(self, padded: Pixels, out: Pixels) -> None:
        """Compute floating-point results again that should be finite but are not, because a sum overflowed.

        If pixels are multiplied by a power of two, their sums are multiplied by the same power, exact to the last bit.
        The exceptions are pixels near the smallest float, which are negligible next to pixels whose sums overflow.

        Args:
            padded, out: see `Route`; `out` has the results that any route has written.
        """
        is_bad = _overflowed(padded, out, self._arithmetic)
        if is_bad is None:
            return
        again = out + 0
        with np.errstate(all="ignore"):
            self._enlarge(padded * self._arithmetic.safe_scale, again)
            out[is_bad] = _unscaled(again[is_bad], self._arithmetic)

    def _enlarge(self, padded: Pixels, out: Pixels) -> None:
        finish(self.sums(padded, out.shape), self._arithmetic, out)

    def sums(self, padded: Pixels, shape: tuple[int, int, int]) -> Pixels:
        """The layer's sums for a tile, before they are divided.

        Args:
            padded: see `Route`.
            shape: (height*factor, width*factor, channels).
        """
        planes = prepare(padded, self._arithmetic).swapaxes(0, 2).swapaxes(1, 2)  # (channels, height, width)
        sums = self._layer(planes[:, None])[:, 0] if self._is_batch else self._layer(planes[None])[0]
        height, width, _ = shape
        cropped = sums[:, self._crop : self._crop + height, self._crop : self._crop + width]
        return cropped.swapaxes(1, 2).swapaxes(0, 2)


def _overflowed(padded: Pixels, out: Pixels, arithmetic: Arithmetic) -> Pixels | None:
    """A mask of floating-point results that may be infinite or NaN because a sum overflowed; None if there are none.

    Args:
        padded: the pixels.
        out: their results.
        arithmetic: the arithmetic of these pixels.
    """
    most = float(np.finfo(arithmetic.pixel_dtype).max) * arithmetic.safe_scale
    if arithmetic.has_alpha:
        most **= 0.5  # colour is multiplied by alpha
    if -most <= padded.min() and padded.max() <= most:  # False if there is a NaN
        return None
    with np.errstate(invalid="ignore"):
        is_bad = (out - out) != 0  # true for infinities and NaN
    return is_bad if is_bad.any() else None


def _unscaled(results: Pixels, arithmetic: Arithmetic) -> Pixels:
    """Divide results for pixels times `safe_scale` by `safe_scale`.

    A result that exceeds the largest number only because of rounding becomes the largest number.
    """
    info = np.finfo(arithmetic.pixel_dtype)
    most = float(info.max) * arithmetic.safe_scale
    if not arithmetic.is_wide:
        is_rounded = abs(results) <= most * (1 + _ROUNDINGS * float(info.eps))
        results[is_rounded] = results[is_rounded].clip(-most, most)
    return results / arithmetic.safe_scale


def cpu_layer(kernel: Kernel, dtype: Dtype) -> Layer:
    """The layer on the CPU: whole numbers in, `kernel.denominator` times the interpolated image out.

    A kernel of one channel serves every image: the channels go into the batch dimension, because the same weights apply
    to all of them.
    """
    return aten.operators().layer(layer_weight(kernel, dtype), **layer_settings(kernel))


def layer_settings(kernel: Kernel) -> dict[str, int]:
    """Stride, padding and groups of the layer."""
    return {
        "stride": kernel.factor,
        "padding": kernel.padding,
        "groups": 1 if kernel.is_dense else kernel.channels,
    }


def layer_weight(kernel: Kernel, dtype: Dtype) -> Array:
    """The layer's whole weights: (channels in, channels out / groups, kernel_size, kernel_size)."""
    return np.array([float(weight) for weight in kernel.weights], np.float64).reshape(kernel.shape).astype(dtype)
