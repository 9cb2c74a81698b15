"""A network of whole numbers by ordinary operators: convolutions or matrix products of floats. Any device.

Why it is exact: weights have 8 bits, activations are 0 to 255, and the bounds that are checked when the file is read
(`kernels/weights/network_file.py`) keep every partial sum of a filter below 2**24 in magnitude. A layer's weights and
bias are divided by `2**shift`, a power of two, so products and partial sums are whole multiples of `2**-shift` with at
most 24 bits: float32 holds each of them, and no order of addition rounds. Rounding down and clipping then give the next
activations, which are whole again. The linear kernel's sums and the detail are whole numbers in `Arithmetic.sum_dtype`,
and `exact.finish` divides them. So tiles, threads, the processor and the device do not change a pixel.

This holds for algorithms that add products. Winograd and Fourier algorithms do not: they round intermediate results. So
a route is used only after it has given, in this process, the pixels of `network_whole.py` on a hard tile, and CUDA
computes a matrix product, not one of cuDNN's convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from upsample_cli.engine import aten
from upsample_cli.engine.exact import Arithmetic, Pixels, copied, finish
from upsample_cli.engine.operators import Array
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.kernels.network import Network

_STRIP_PIXELS = 2**17
"""Activations are computed for at most so many pixels at a time, also if a tile is larger."""

_INT32, _INT64, _FLOAT32 = (np.dtype(name) for name in ("int32", "int64", "float32"))
_LUMA = 19595, 38470, 7471
"""Weights of red, green and blue over 2**16: Pillow's "L", ITU-R BT.601."""


class Numbers(Protocol):
    """The operators of a device that a network needs. Planes are float32, (channels, height, width)."""

    bytes_per_channel: int
    """Working memory for each pixel of a plane, in bytes."""

    def weights(self, array: Array) -> Pixels:
        """Weights in memory of the device."""

    def convolution(self, planes: Pixels, weight: Pixels, bias: Pixels) -> Pixels:
        """A 3x3 convolution without padding; `weight` is (channels out, channels in, 3, 3)."""

    def activate(self, sums: Pixels) -> Pixels:
        """Round down and clip to 0 to 255, in place."""


class _ArrayNumbers:
    """What both ways on the CPU share. Planes are numpy arrays."""

    def weights(self, array: Array) -> Array:
        """See `Numbers`."""
        return array

    def activate(self, sums: Array) -> Array:
        """See `Numbers`."""
        np.floor(sums, out=sums)
        np.clip(sums, 0, 255, out=sums)
        return sums


class ConvolvedNumbers(_ArrayNumbers):
    """ATen's convolution on the CPU, which copies planes to a layout of its own."""

    bytes_per_channel = 4 * 4

    def convolution(self, planes: Array, weight: Array, bias: Array) -> Array:
        """See `Numbers`."""
        made: Array = aten.operators().convolution(planes[None], weight, bias, (1, 1))[0]
        return made


class MultipliedNumbers(_ArrayNumbers):
    """ATen's product of matrices on the CPU."""

    bytes_per_channel = (9 + 2) * 4

    def convolution(self, planes: Array, weight: Array, bias: Array) -> Array:
        """See `Numbers`."""
        made: Array = convolved_by_products(planes, weight, bias, np.empty, aten.operators().product)
        return made


def convolved_by_products(
    planes: Pixels, weight: Pixels, bias: Pixels, empty: Callable[..., Pixels], product: Callable[..., Pixels]
) -> Pixels:
    """A 3x3 convolution as one product: the nine shifted planes of every channel are the rows of a matrix."""
    channels, height, width = planes.shape[0], planes.shape[1] - 2, planes.shape[2] - 2
    shifted = empty((channels, 3, 3, height, width), dtype=planes.dtype)
    for down in range(3):
        for across in range(3):
            shifted[:, down, across] = planes[:, down : down + height, across : across + width]
    made = product(weight.reshape(len(weight), -1), shifted.reshape(channels * 9, -1))
    made += bias[:, None]
    return made.reshape(len(weight), height, width)


class NetworkRoute:
    """Pixels without alpha: grey or RGB, 8 or 16 bits.

    Args:
        arithmetic: of `exact.exact_form`, without alpha.
        channels: 1 or 3.
        numbers: the operators of the device.
        linear: the linear kernel's layer on the device.
    """

    def __init__(
        self, name: str, network: Network, arithmetic: Arithmetic, channels: int, numbers: Numbers, linear: PlainRoute
    ) -> None:
        self.name = name
        self.is_compiled = False
        self._network, self._arithmetic, self._numbers, self._linear = network, arithmetic, numbers, linear
        self._layers = []
        for weight, bias, shift in network.layers:
            scale = np.ldexp(np.float32(1), -shift.astype(np.int32))
            scaled: tuple[Array, Array] = (weight * scale[:, None, None, None], bias * scale)
            self._layers.append([numbers.weights(array.astype(np.float32)) for array in scaled])
        self._detail = [numbers.weights(array.astype(np.float32)) for array in (network.detail, network.offset)]
        outputs = network.factor**2
        most_channels = max(len(network.detail[0]), outputs)
        bytes_per_pixel = numbers.bytes_per_channel * most_channels + 8 * outputs
        self.bytes_per_value = linear.bytes_per_value + -(-bytes_per_pixel // (channels * outputs))

    def __call__(self, padded: Pixels, out: Pixels) -> None:
        """See `Route`."""
        halo, factor = self._network.halo, self._network.factor
        height = len(padded) - 2 * halo
        rows = max(1, _STRIP_PIXELS // padded.shape[1])
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            self._enlarge(padded[top : bottom + 2 * halo], out[top * factor : bottom * factor])

    def _enlarge(self, padded: Pixels, out: Pixels) -> None:
        network, arithmetic = self._network, self._arithmetic
        details = self._details(inner(luma(padded, arithmetic), network.halo - network.detail_halo))
        sums = self._linear.sums(inner(padded, network.halo - network.linear.halo), out.shape)
        scale, factor = arithmetic.largest_pixel // 255, network.factor
        for phase, detail in enumerate(details):
            wide = copied(detail, arithmetic.sum_dtype)
            wide *= scale
            sums[phase // factor :: factor, phase % factor :: factor] += wide[..., None]
        finish(sums, arithmetic, out)

    def _details(self, planes: Pixels) -> Pixels:
        """The detail of each phase, (factor**2, height, width), from luma with its halo."""
        planes = copied(planes[None], _FLOAT32)
        for weight, bias in self._layers:
            planes = self._numbers.activate(self._numbers.convolution(planes, weight, bias))
        return self._numbers.convolution(planes, *self._detail)


class OpaqueDetailRoute:
    """Pixels with alpha, premultiplied by the linear kernel. Detail is added only where everything around is opaque.

    There the premultiplied result is the straight one, because a constant alpha cancels: `sum(w*c*a) / sum(w*a)`. So
    no colour under transparent pixels changes a visible pixel, and an opaque image is that without alpha.

    Args:
        straight: for the colours alone.
        premultiplied: the linear kernel, for colours and alpha.
    """

    def __init__(self, network: Network, arithmetic: Arithmetic, straight: Route, premultiplied: Route) -> None:
        self.name = straight.name
        self.is_compiled = straight.is_compiled and premultiplied.is_compiled
        self.bytes_per_value = straight.bytes_per_value + premultiplied.bytes_per_value
        self._network, self._arithmetic = network, arithmetic
        self._straight, self._premultiplied = straight, premultiplied

    def __call__(self, padded: Pixels, out: Pixels) -> None:
        """See `Route`."""
        network, dtype, factor = self._network, self._arithmetic.pixel_dtype, self._network.factor
        opaque = _all_around(padded[..., -1] == self._arithmetic.largest_pixel, network.halo)
        if not opaque.all():
            self._premultiplied(copied(inner(padded, network.halo - network.linear.halo), dtype), out)
        if not opaque.any():
            return
        made = copied(out[..., :-1], dtype)
        self._straight(copied(padded[..., :-1], dtype), made)
        if opaque.all():
            out[..., :-1] = made
            out[..., -1] = self._arithmetic.largest_pixel
            return
        flags = copied(opaque, _INT32)[..., None]
        for phase in range(factor**2):  # torch cannot assign uint16 by a mask
            rows, columns = slice(phase // factor, None, factor), slice(phase % factor, None, factor)
            chosen = copied(out[rows, columns, :-1], _INT32)
            chosen += (copied(made[rows, columns], _INT32) - chosen) * flags
            out[rows, columns, :-1] = chosen


def luma(pixels: Pixels, arithmetic: Arithmetic) -> Pixels:
    """Luma of 8 bits, as whole numbers of 32 or 64 bits: (height, width, 1 or 3) -> (height, width)."""
    is_deep = arithmetic.largest_pixel > 255
    whole = copied(pixels, _INT64 if is_deep else _INT32)
    level = whole[..., 0]
    if whole.shape[2] == 3:
        level = sum(weight * whole[..., channel] for channel, weight in enumerate(_LUMA)) + 2**15 >> 16
    return (level + 128) // 257 if is_deep else level


def inner(pixels: Pixels, margin: int) -> Pixels:
    """Pixels or planes without a margin on all four sides."""
    height, width = pixels.shape[:2]
    return pixels[margin : height - margin, margin : width - margin]


def _all_around(flags: Pixels, reach: int) -> Pixels:
    """For each pixel whose square of `2 * reach + 1` is inside, whether all flags in the square are set."""
    for axis in (0, 1):
        flags = flags.swapaxes(0, axis)
        length = len(flags) - 2 * reach
        every = flags[:length]
        for at in range(1, 2 * reach + 1):
            every = every & flags[at : at + length]
        flags = every.swapaxes(0, axis)
    return flags
