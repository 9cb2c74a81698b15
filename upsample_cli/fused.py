"""The whole way of a tile on a GPU in one kernel: bytes in, whole sums, one division, bytes out. Triton, whole pixels.

What the layer's own kernels of cuDNN need passes over memory for, numbers of floating point before them and rounding
after, happens here between one load and one store. Sums are whole numbers of 32 or 64 bits, so nothing is rounded.
Triton comes with torch's builds for CUDA; where it does not, or has no compiler for its launchers, the layer computes.
"""

from __future__ import annotations

import warnings

import torch
import triton
import triton.language as tl

from upsample_cli.kernels import Kernel
from upsample_cli.pixels import Arithmetic
from upsample_cli.profiles import phase_taps

warnings.filterwarnings("ignore", message="TRITON_DEFAULT_FP_FUSION")  # it concerns sums of floats: here are none

_BLOCK = 1024
_MOST_IN_32_BITS = 2**31 - 1
_MOST = 2**63 - 1


@triton.jit
def _enlarge_row(
    padded,
    out,
    weights,
    firsts,
    width: int,
    padded_row: int,
    out_row: int,
    divisor: tl.constexpr,
    largest: tl.constexpr,
    channels: tl.constexpr,
    factor: tl.constexpr,
    taps: tl.constexpr,
    has_alpha: tl.constexpr,
    overshoots: tl.constexpr,
    number: tl.constexpr,
    block: tl.constexpr,
):
    """A block of one row of outputs, which are counted along the row: pixel by pixel, channel by channel."""
    row = tl.program_id(0)
    output = tl.program_id(1) * block + tl.arange(0, block)
    inside = output < width
    channel = output % channels
    column = output // channels
    phase = row % factor * factor + column % factor
    top = row // factor + tl.load(firsts + row % factor)
    left = column // factor + tl.load(firsts + column % factor)
    at = padded + top.to(tl.int64) * padded_row + left * channels
    is_alpha = channel == channels - 1
    sums = tl.zeros([block], dtype=number)
    alphas = tl.zeros([block], dtype=number)
    for down in tl.static_range(taps):
        for across in tl.static_range(taps):
            weight = tl.load(weights + (phase * taps + down) * taps + across)
            taken = at + down * padded_row + across * channels
            value = tl.load(taken + channel, mask=inside, other=0).to(number)
            if has_alpha:
                alpha = tl.load(taken + (channels - 1), mask=inside, other=0).to(number)
                value = tl.where(is_alpha, 1, value) * alpha
                alphas += weight * alpha
            sums += weight * value
    dividend = sums + divisor // 2
    if has_alpha:
        if overshoots:
            sums = tl.where(alphas > 0, sums, 0)
            alphas = tl.maximum(alphas, 0)
        dividend = tl.where(is_alpha, alphas + divisor // 2, 2 * sums + alphas)
        divisors = tl.where(is_alpha, divisor, tl.maximum(2 * alphas, 1))
    if overshoots:
        dividend = tl.maximum(dividend, 0)
    quotient = dividend // divisors if has_alpha else dividend // divisor
    if overshoots:
        quotient = tl.minimum(quotient, largest)
    tl.store(out + row.to(tl.int64) * out_row + output, quotient.to(out.dtype.element_ty), mask=inside)


class FusedRoute:
    """Each output summed by itself from the pixels around it. CUDA, whole pixels, kernels that serve every channel.

    Raises:
        ValueError: it cannot do this.
    """

    bytes_per_value = 2

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device):
        if not arithmetic.is_exact or kernel.channels > 1:
            raise ValueError("only whole pixels, and only kernels that treat channels alike")
        largest = arithmetic.largest_pixel * kernel.reach
        most = (2 * arithmetic.largest_pixel + 1) * largest if arithmetic.has_alpha else largest + arithmetic.divisor
        if most > _MOST:
            raise ValueError("sums too large for 64 bits")
        phases, size = phase_taps(kernel.factor, kernel.padding), kernel.kernel_size
        taps = [
            0 if down is None or across is None else kernel.weights[down * size + across]
            for _, rows in phases
            for _, columns in phases
            for down in rows
            for across in columns
        ]
        dtype = torch.int32 if most <= _MOST_IN_32_BITS else torch.int64
        self._weights = torch.tensor(taps, dtype=dtype, device=device)
        self._firsts = torch.tensor([first for first, _ in phases], dtype=torch.int32, device=device)
        self._settings = {
            "divisor": arithmetic.divisor,
            "largest": arithmetic.largest_pixel,
            "channels": channels,
            "factor": kernel.factor,
            "taps": len(phases[0][1]),
            "has_alpha": arithmetic.has_alpha,
            "overshoots": arithmetic.overshoots,
            "number": tl.int32 if dtype == torch.int32 else tl.int64,
            "block": _BLOCK,
        }

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """See `routes.Route`."""
        height, width = out.shape[0], out.shape[1] * out.shape[2]
        _enlarge_row[(height, triton.cdiv(width, _BLOCK))](
            padded, out, self._weights, self._firsts, width, padded.stride(0), out.stride(0),
            **self._settings,
        )  # fmt: skip
