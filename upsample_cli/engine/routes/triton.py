"""A tile on a GPU in one kernel: bytes in, whole sums, one division, bytes out. Triton, whole pixels.

The layer's kernels in cuDNN need passes over memory for the conversion to floats before and the rounding after. Here
both happen between one load and one store. Sums are whole numbers of 32 or 64 bits, so nothing is rounded.
Triton comes with torch's builds for CUDA. Without it, or without a compiler for its launchers, the layer is used.
"""

from __future__ import annotations

import sysconfig
import warnings
from pathlib import Path

import torch
import triton
import triton.language as tl

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.profiles import phase_taps

warnings.filterwarnings("ignore", message="TRITON_DEFAULT_FP_FUSION")  # about sums of floats, not used here

_BLOCK = 1024
_MOST_IN_32_BITS = 2**31 - 1
_MOST = 2**63 - 1


@triton.jit
def _quotients(
    sums,
    alphas,
    is_alpha,
    divisor: tl.constexpr,
    largest: tl.constexpr,
    has_alpha: tl.constexpr,
    overshoots: tl.constexpr,
):
    """Sums divided, rounded half up and clipped to the range of the pixels: `exact.finish` in whole numbers."""
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
    return quotient


# Sizes and addresses differ from tile to tile; Triton would compile the kernel again for each of their alignments.
@triton.jit(
    do_not_specialize=["samples", "blocks", "padded_row", "out_row"],
    do_not_specialize_on_alignment=["padded", "out", "weights", "firsts"],
)
def _enlarge_row(
    padded,
    out,
    weights,
    firsts,
    samples: int,
    blocks: int,
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
    """Compute one row of outputs from a block of samples of one input row, pixel by pixel, channel by channel.

    All lanes work on the same phase at a time, so weights are scalars and neighbouring lanes load neighbouring samples.
    """
    row = tl.program_id(0) // blocks
    sample = tl.program_id(0) % blocks * block + tl.arange(0, block)
    inside = sample < samples
    sample = tl.minimum(sample, samples - 1)  # so loads need no mask
    column = sample // channels
    channel = sample - column * channels
    is_alpha = channel == channels - 1
    down_phase = row % factor
    top = row // factor + tl.load(firsts + down_phase)
    at = padded + top.to(tl.int64) * padded_row + sample
    to = out + row.to(tl.int64) * out_row + sample + column * ((factor - 1) * channels)
    for phase in range(factor):
        sums = tl.zeros([block], dtype=number)
        alphas = tl.zeros([block], dtype=number)
        phase_weights = weights + (down_phase * factor + phase) * (taps * taps)
        left = at + tl.load(firsts + phase) * channels
        for down in tl.static_range(taps):
            for across in tl.static_range(taps):
                weight = tl.load(phase_weights + (down * taps + across))
                taken = left + down * padded_row + across * channels
                value = tl.load(taken).to(number)
                if has_alpha:
                    alpha = tl.load(taken + (channels - 1 - channel)).to(number)
                    value = tl.where(is_alpha, 1, value) * alpha
                    alphas += weight * alpha
                sums += weight * value
        quotient = _quotients(sums, alphas, is_alpha, divisor, largest, has_alpha, overshoots)
        tl.store(to + phase * channels, quotient.to(out.dtype.element_ty), mask=inside)


class FusedRoute:
    """Each output is a sum over the pixels around it. CUDA, whole pixels, kernels that serve every channel.

    Raises:
        ValueError: if it does not support the kernel or the pixels.
    """

    name = "triton"
    is_compiled = False

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device):
        if not arithmetic.is_exact or kernel.channels > 1:
            raise ValueError("only whole pixels, and only kernels that treat channels alike")
        largest = arithmetic.largest_pixel * kernel.reach
        most = (2 * arithmetic.largest_pixel + 1) * largest if arithmetic.has_alpha else largest + arithmetic.divisor
        if most > _MOST:
            raise ValueError("sums too large for 64 bits")
        if device.type == "cuda" and not Path(sysconfig.get_path("include", "posix_prefix"), "Python.h").exists():
            # Triton's launchers would not compile, and gcc would print errors.
            raise ValueError("no headers of Python, without which Triton's launchers do not compile")
        phases, size = phase_taps(kernel.factor, kernel.padding), kernel.kernel_size
        taps = [
            0 if down is None or across is None else kernel.weights[down * size + across]
            for _, rows in phases
            for _, columns in phases
            for down in rows
            for across in columns
        ]
        self.bytes_per_value = 2 * arithmetic.pixel_dtype.itemsize
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
        """See `plain.Route`."""
        samples = out.shape[1] // self._settings["factor"] * out.shape[2]
        blocks = triton.cdiv(samples, _BLOCK)
        # Rows go along the first axis of the grid: the others are limited to 65,535.
        _enlarge_row[(out.shape[0] * blocks,)](
            padded, out, self._weights, self._firsts, samples, blocks, padded.stride(0), out.stride(0),
            **self._settings,
        )  # fmt: skip
