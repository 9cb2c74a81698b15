"""Three ways of torch to compute the same pixels, from the plain layer to the fastest.

Each route turns one padded tile into its enlarged core. `PlainRoute` runs the `nn.ConvTranspose2d` and is the
reference. The others reorder the very same multiplications (`phases.py`). `route_choice.py` says which is taken.
"""

from __future__ import annotations

from typing import Protocol

import torch

from upsample_cli.engine.exact import Arithmetic, cut_off, finish, prepare
from upsample_cli.engine.layer import integer_layer
from upsample_cli.engine.routes.phases import Blocks, RowPhase, best_blocks, row_phases, steps_per_output
from upsample_cli.kernels.kernel import Kernel

_INTERLEAVING = 6
"""What interleaving channels costs, in the steps of `phases.steps_per_output`. Measured."""

_INT8 = torch.iinfo(torch.int8)


class Route(Protocol):
    """Computes tiles on one device."""

    bytes_per_value: int
    """Working memory for each number of the output, in bytes."""

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """Enlarge one tile.

        Args:
            padded: (height + 2*halo, width + 2*halo, channels), contiguous.
            out: (height*factor, width*factor, channels), rows may be strided; written.
        """
        ...


class PlainRoute:
    """The layer as torch runs it, channels as a batch if one kernel serves them all. Any device, any pixels."""

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, device: torch.device) -> None:
        self.device = device
        self._arithmetic = arithmetic
        self._crop = kernel.halo * kernel.factor
        self._batch_axis = 1 if kernel.channels == 1 else 0
        self._layer = integer_layer(kernel, dtype=arithmetic.sum_dtype, device=device)
        self.bytes_per_value = 4 * arithmetic.sum_dtype.itemsize

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """See `Route`."""
        numbers = prepare(padded, self._arithmetic).permute(2, 0, 1)
        sums = self._layer(numbers.unsqueeze(self._batch_axis)).squeeze(self._batch_axis).permute(1, 2, 0)
        height, width, _ = out.shape
        finish(sums[self._crop : self._crop + height, self._crop : self._crop + width], self._arithmetic, out)


class RowPhaseRoute:
    """One `conv2d` per row phase in the float type of the sums. CPU.

    The rounding term is the convolution's bias. With alpha, `pixels.finish` divides `2*sum(c*a) + sum(a)` by `2*sum(a)`
    for colour and `sum(a) + divisor//2` by the divisor for alpha: both dividend and divisor are linear in what
    `pixels.prepare` made, so each comes out of a convolution with its channels in place for one division. Without it, a
    divisor that is a power of two, whose quotients no float rounds, is divided into the weights instead.

    Its weights hold zeros beside the taps, which spoil what they should leave alone if they meet an infinity or a NaN:
    tiles of float pixels that are not all finite go the plain way.

    Bytes are made of floats by way of int16: torch has vectors for both steps, and none for the one.
    """

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> None:
        self._arithmetic = arithmetic
        dtype = arithmetic.sum_dtype
        self._blocks, self._is_planar = _float_blocks(kernel, arithmetic, channels)
        channels = 1 if self._is_planar else channels
        half = arithmetic.divisor // 2 if arithmetic.is_exact else 0
        doubled = 2 if arithmetic.is_exact else 1
        dividend, divisor = torch.eye(channels, dtype=dtype), torch.zeros(channels, channels, dtype=dtype)
        bias, divisor_bias = (torch.full((channels,), term, dtype=dtype) for term in (half, arithmetic.divisor))
        if arithmetic.has_alpha:
            dividend[:-1] *= doubled
            dividend[:-1, -1] = doubled - 1
            divisor[:-1, -1] = doubled
            bias[:-1] = divisor_bias[:-1] = 0
        is_divided = arithmetic.is_exact and not arithmetic.has_alpha and arithmetic.divisor.bit_count() == 1
        self._divisor = 1 if is_divided else arithmetic.divisor
        self._plain = None if arithmetic.is_exact else PlainRoute(kernel, arithmetic, torch.device("cpu"))
        self._dividends = row_phases(kernel, self._blocks, dividend, bias, scale=self._divisor / arithmetic.divisor)
        self._divisors = row_phases(kernel, self._blocks, divisor, divisor_bias) if arithmetic.has_alpha else None
        self.bytes_per_value = (3 if arithmetic.has_alpha else 2) * dtype.itemsize

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """See `Route`."""
        if self._plain is not None and not padded.sum().isfinite():
            self._plain(padded, out)
            return
        factor = len(self._dividends)
        rows = out.shape[0] // factor
        numbers = prepare(_widened(padded, self._blocks, out.shape[1] // factor), self._arithmetic)
        tiles = numbers.permute(2, 0, 1)[..., None].contiguous() if self._is_planar else numbers[None]
        grouped = self._blocks.grouped(tiles)
        for number, phase in enumerate(self._dividends):
            sums = phase.convolved(grouped, rows)
            if self._divisors is not None:
                divisors = self._divisors[number].convolved(grouped, rows)
                if self._arithmetic.overshoots:
                    sums *= divisors > 0
                sums /= divisors.clamp_min_(self._arithmetic.least_divisor)
            elif self._divisor > 1:
                sums /= self._divisor
            sums = cut_off(sums, self._arithmetic)
            phase.write(sums.to(torch.int16) if out.dtype == torch.uint8 else sums, out[number::factor])


def _float_blocks(kernel: Kernel, arithmetic: Arithmetic, channels: int) -> tuple[Blocks, bool]:
    """The blocks of a float convolution, and whether it takes each channel as an image of its own.

    A convolution of all channels multiplies by zeros between them; apart, they have to be interleaved afterwards.
    """
    together, apart = (best_blocks(kernel, each, products=1, least_depth=2) for each in (channels, 1))
    saved = steps_per_output(together, channels, products=1) - steps_per_output(apart, 1, products=1)
    worth_it = saved > _INTERLEAVING or arithmetic.sum_dtype == torch.float64
    is_planar = worth_it and channels > 1 and kernel.channels == 1 and not arithmetic.has_alpha
    return apart if is_planar else together, is_planar


def _widened(padded: torch.Tensor, blocks: Blocks, width: int) -> torch.Tensor:
    """A padded tile for a core of that width with the columns that fill its last block, which reach no output."""
    wide = padded.new_empty(padded.shape[0], blocks.padded_width(width), padded.shape[2])
    wide[:, : padded.shape[1]] = padded
    wide[:, padded.shape[1] :] = 0
    return wide


class QuantisedRoute:
    """One 8-bit integer convolution per row phase: bytes in, bytes out, no pass before or after. CPU, uint8, no alpha.

    The operators are those that torch's x86 quantised export uses. They multiply bytes by the int8 numerators, sum in
    int32, scale by `1 / divisor` and round half to even; adding half of the smallest step of an even divisor turns
    that into half up, and an odd divisor never meets a half. They promise no stability, hence `chosen_route`'s check.

    A numerator that int8 does not hold is the sum of some that it does, each with a copy of the pixels.
    """

    bytes_per_value = 2

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> None:
        divisor = arithmetic.divisor
        self._blocks = best_blocks(kernel, channels, products=4, least_depth=4)
        bias = torch.full((channels,), 0.0 if divisor % 2 else 0.5 / divisor)
        lanes = self._blocks.pixels * kernel.factor * channels
        self._scales = torch.full((lanes,), 1 / divisor)
        self._zero_points = torch.zeros(lanes, dtype=torch.int64)
        self._copies = int8_copies(kernel)
        phases = row_phases(kernel, self._blocks, torch.eye(channels), bias)
        self._phases = [(phase, self._packed(phase)) for phase in phases]

    def _packed(self, phase: RowPhase) -> torch.Tensor:
        parts, rest = list[torch.Tensor](), phase.weight
        for _ in range(self._copies):
            parts.append(rest.clamp(_INT8.min, _INT8.max))
            rest = rest - parts[-1]
        weight = torch.cat(parts, dim=1).to(torch.int8).contiguous()
        packed: torch.Tensor = torch.ops.onednn.qconv_prepack(
            weight, self._scales, 1.0, 0, phase.stride, [0, 0], [1, 1], 1, None
        )
        return packed

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """See `Route`."""
        factor = len(self._phases)
        grouped = self._blocks.grouped(_widened(padded, self._blocks, out.shape[1] // factor)[None])
        if self._copies > 1:
            grouped = torch.cat([grouped] * self._copies, dim=1)
        for number, (phase, packed) in enumerate(self._phases):
            pixels = torch.ops.onednn.qconv_pointwise(
                phase.taken(grouped, out.shape[0] // factor), 1.0, 0,
                packed, self._scales, self._zero_points, phase.bias,
                phase.stride, [0, 0], [1, 1], 1, 1.0, 0, torch.uint8, "none", [], "",
            )  # fmt: skip
            phase.write(pixels, out[number::factor])


def int8_copies(kernel: Kernel) -> int:
    """How many weights of int8 it takes to make the kernel's largest.

    >>> from upsample_cli.kernels.kernel import kernel_named
    >>> [int8_copies(kernel_named("bilinear", factor)) for factor in (4, 8, 10)]  # the largest are 49, 225 and 361
    [1, 2, 3]
    """
    return max(-(-max(kernel.weights) // _INT8.max), -(min(kernel.weights) // -_INT8.min), 1)


class UniformAlphaRoute:
    """For pixels with alpha: tiles of one alpha throughout (most are opaque) go the way of pixels without.

    Exact, because a positive constant alpha cancels: `sum(w*c*a) / sum(w*a) == sum(w*c) / sum(w)`.
    """

    def __init__(self, straight: Route, premultiplied: Route) -> None:
        self._straight = straight
        self._premultiplied = premultiplied
        self.bytes_per_value = max(straight.bytes_per_value, premultiplied.bytes_per_value)

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """See `Route`."""
        alpha = padded[..., -1]
        low, high = (alpha.int() if alpha.dtype == torch.uint16 else alpha).aminmax()  # which torch lacks for uint16
        route = self._straight if low == high and low > 0 else self._premultiplied
        route(padded, out)
