"""Check for a GPU driver without importing torch."""

from __future__ import annotations

import ctypes
import functools
import sys
from contextlib import suppress


@functools.cache
def has_cuda_driver() -> bool:
    """Whether the driver of CUDA is installed, or that of HIP, which torch's builds for AMD also call CUDA."""
    for library in ("nvcuda.dll", "amdhip64.dll") if sys.platform == "win32" else ("libcuda.so.1", "libamdhip64.so"):
        with suppress(OSError):
            ctypes.CDLL(library)
            return True
    return False
