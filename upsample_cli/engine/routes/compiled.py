"""The fastest route on the CPU: compiled sums of whole pixels.

`native/` computes; this module prepares its tables and chooses its instruction set. It needs a package that was built
with a compiler, and whole pixels. The routes of torch compute everything else.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.division import exact_division
from upsample_cli.kernels.kernel import Kernel, axis_of
from upsample_cli.kernels.profiles import AxisKernel, phase_taps

try:
    from upsample_cli.engine.native import _kernels as native
except ImportError:  # built without a compiler
    native = None  # type: ignore[assignment]

__all__ = ["CompiledRoute", "CompiledSums", "fastest_instructions", "instruction_sets", "native"]

Table = NDArray[Any]

Phases = list[tuple[int, list[int | None]]]
"""For each phase along an axis, its first input, and the taps that the inputs from there on are weighted with."""

_BEYOND = {"default": {"avx512", "avx2"}, "avx2": {"avx512"}}
"""Instruction sets that a value of ATEN_CPU_CAPABILITY forbids. The variable limits libtorch, so it limits us too."""

_TWOFOLD_CHANNELS = 4


class CompiledRoute:
    """Sums of whole numbers in vectors of the processor. CPU, whole pixels.

    A kernel that is an outer product sums along one axis and then along the other; any other kernel sums over all
    inputs of an output. Sums have 16 bits if they fit, otherwise they are float32, 32-bit whole numbers or float64, in
    this order; all are exact. So are the quotients: for 16 bits by a multiplication that was verified for every
    dividend, for the others as `division.py` and `native/finish.h` prove.

    Raises:
        ValueError: if no instruction set is available, the kernel treats channels differently, pixels are not whole,
            sums are too large to be exact, or there is alpha with neither one nor three colours.
    """

    name = "compiled"
    is_compiled = True

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, *, instructions: str | None = None):
        axis = axis_of(kernel)
        instructions = _suitable_instructions(kernel, arithmetic, channels, instructions)
        # Several bands wait for a slower encoder, so they are small. Bands of twice the size would be a tenth faster.
        self.bytes_per_value = 4 * arithmetic.pixel_dtype.itemsize
        self._settings: tuple[Any, ...] = ()
        if _is_twofold(axis, arithmetic, channels):
            self._enlarge = functools.partial(native.enlarge_twofold, instructions)
            self._settings = (arithmetic.has_alpha,)
            return
        self._enlarge = functools.partial(native.enlarge, instructions)
        scale = 2 if axis is not None and axis.denominator == 1 else 1  # a division by 1 has no multiplier of 16 bits
        sums, division = exact_division(kernel, arithmetic, scale**2, is_direct=axis is None)
        phases = phase_taps(kernel.factor, kernel.padding)
        firsts = np.array([first for first, _ in phases], np.int32)
        weights = _direct_weights(kernel, phases) if axis is None else scale * _axis_weights(axis, phases)
        self._settings = (
            sums.code, kernel.factor, len(phases[0][1]), 2 * kernel.halo + 1, firsts, weights.astype(sums.dtype),
            *division, arithmetic.has_alpha, arithmetic.overshoots, axis is None,
        )  # fmt: skip

    def __call__(self, padded: Table, out: Table) -> None:
        """See `plain.Route`."""
        self._enlarge(padded, out, *self._settings)


class CompiledSums:
    """Sums of whole numbers that are not divided, for a kernel that is not an outer product. CPU, whole pixels.

    `arithmetic.sums_dtype` is float32 or float64, and holds all sums; with alpha, it is float64.

    Raises:
        ValueError: see `CompiledRoute`.
    """

    name = "compiled"
    is_compiled = True

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, *, instructions: str | None = None):
        instructions = _suitable_instructions(kernel, arithmetic, channels, instructions)
        dtype = arithmetic.out_dtype
        self.bytes_per_value = 8 * dtype.itemsize  # bands so small that they are in the cache when they are reduced
        phases = phase_taps(kernel.factor, kernel.padding)
        firsts = np.array([first for first, _ in phases], np.int32)
        self._enlarge = functools.partial(native.enlarge_sums, instructions)
        self._settings = (
            arithmetic.pixel_dtype.itemsize, kernel.factor, len(phases[0][1]), 2 * kernel.halo + 1, firsts,
            _direct_weights(kernel, phases).astype(dtype), arithmetic.has_alpha,
        )  # fmt: skip

    def __call__(self, padded: Table, out: Table) -> None:
        """See `plain.Route`."""
        self._enlarge(padded, out, *self._settings)


def _suitable_instructions(kernel: Kernel, arithmetic: Arithmetic, channels: int, instructions: str | None) -> str:
    """The instruction set, by default the fastest.

    Raises:
        ValueError: if nothing compiled can enlarge these pixels with this kernel.
    """
    instructions = instructions or fastest_instructions()
    if kernel.channels > 1:
        raise ValueError("the kernel treats channels differently")
    if not arithmetic.is_exact:
        raise ValueError("its pixels are not whole numbers")
    if arithmetic.has_alpha and channels not in (2, 4):
        raise ValueError("it has alpha, and neither one nor three colours")
    return instructions


def _is_twofold(axis: AxisKernel | None, arithmetic: Arithmetic, channels: int) -> bool:
    """Whether it is bilinear enlargement by two, for which `twofold.h` and `twofold_alpha.h` have faster code."""
    if axis is None or (axis.factor, axis.padding, axis.numerators) != (2, 1, (1, 3, 3, 1)):
        return False
    return (
        arithmetic.pixel_dtype in (np.uint8, np.uint16) and arithmetic.divisor == 16 and channels <= _TWOFOLD_CHANNELS
    )


def _axis_weights(axis: AxisKernel, phases: Phases) -> Table:
    """The weights of each phase along one axis, (factor, taps)."""
    return np.array([[0 if tap is None else axis.numerators[tap] for tap in met] for _, met in phases])


def _direct_weights(kernel: Kernel, phases: Phases) -> Table:
    """The weights of each phase of rows and columns, (factor, factor, taps, taps)."""
    size = kernel.kernel_size
    taps = np.array([[size if tap is None else tap for tap in met] for _, met in phases])
    weights = np.zeros((size + 1, size + 1), np.int64)
    weights[:size, :size] = np.reshape(kernel.weights, (size, size))
    made: Table = weights[taps[:, None, :, None], taps[None, :, None, :]]
    return made


def fastest_instructions() -> str:
    """The fastest instruction set.

    Raises:
        ValueError: if there is none.
    """
    for name in instruction_sets():
        return name
    raise ValueError("this package was not compiled for this processor")


@functools.cache
def instruction_sets() -> list[str]:
    """The instruction sets that are compiled and that this processor has, fastest first."""
    if native is None:
        return []
    beyond = _BEYOND.get(os.environ.get("ATEN_CPU_CAPABILITY", ""), set())
    return [name for name in native.instruction_sets() if name not in beyond]
