"""The kernels fitted to photographs that come with the package. `python -m benchmarks.fit_kernels` makes them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from upsample_cli.errors import Setting, UsageError

FITTED = "fitted"
FITTED_FILE = Path(__file__).with_name("fitted.json")


class ShippedKernel(NamedTuple):
    """Whole weights, (kernel_size, kernel_size) flattened, over one denominator."""

    weights: tuple[int, ...]
    denominator: int


@functools.lru_cache(maxsize=16)
def shipped_kernel(factor: int) -> ShippedKernel:
    """The fitted kernel for a factor.

    Raises:
        UsageError: if no kernel is fitted for the factor.

    >>> kernel = shipped_kernel(2)
    >>> sum(kernel.weights) == 4 * kernel.denominator
    True
    """
    import json

    kernels = json.loads(FITTED_FILE.read_text(encoding="utf-8"))["kernels"]
    if str(factor) not in kernels:
        raise UsageError(
            f"there is no fitted kernel for factor {factor}, only for {', '.join(kernels)}",
            ("use ", Setting("kernel", "lanczos3"), ", or fit one to photographs of yours: tconv fit"),
        )
    kernel = kernels[str(factor)]
    return ShippedKernel(tuple(int(weight) for weight in " ".join(kernel["weights"]).split()), kernel["denominator"])
