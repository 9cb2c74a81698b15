"""Sums of whole pixels that are not divided, for kernels that are not separable: the first half of a resize."""

from __future__ import annotations

import functools

import numpy as np

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes import compiled
from upsample_cli.engine.routes.compiled import Table, direct_weights, suitable_instructions
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.profiles import phase_taps


class CompiledSums:
    """Sums of whole numbers that are not divided, for a kernel that is not an outer product. CPU, whole pixels.

    `arithmetic.sums_dtype` is float32 or float64, and holds all sums; with alpha, it is float64.

    Raises:
        ValueError: see `CompiledRoute`.
    """

    name = "compiled"
    is_compiled = True

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, *, instructions: str | None = None):
        instructions = suitable_instructions(kernel, arithmetic, channels, instructions)
        dtype = arithmetic.out_dtype
        self.bytes_per_value = 8 * dtype.itemsize  # bands so small that they are in the cache when they are reduced
        phases = phase_taps(kernel.factor, kernel.padding)
        firsts = np.array([first for first, _ in phases], np.int32)
        self._enlarge = functools.partial(compiled.native.enlarge_sums, instructions)
        self._settings = (
            arithmetic.pixel_dtype.itemsize, kernel.factor, len(phases[0][1]), 2 * kernel.halo + 1, firsts,
            direct_weights(kernel, phases).astype(dtype), arithmetic.has_alpha,
        )  # fmt: skip

    def __call__(self, padded: Table, out: Table) -> None:
        """See `plain.Route`."""
        self._enlarge(padded, out, *self._settings)
