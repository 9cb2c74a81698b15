"""Arrays of .npy files. The header is checked before any number is read."""

from __future__ import annotations

import io
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_LONGEST_HEADER = 2**16  # numpy itself accepts 10,000 characters


def read_array(file: IO[bytes], most: int) -> NDArray[Any]:
    """Read the array of a .npy file.

    Args:
        file: the open file.
        most: the most numbers that the array may have.

    Raises:
        ValueError: if the array is larger, is damaged, or contains anything except numbers.
        OSError: if the file cannot be read.
    """
    # np.load would also read archives, and its errors recommend allowing pickles.
    head = io.BytesIO(file.read(_LONGEST_HEADER))
    version = np.lib.format.read_magic(head)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format is not read")
    shape, _, dtype = _HEADERS[version](head)
    count = prod(shape)
    if min(shape, default=0) < 0 or dtype.kind not in "biufc":
        raise ValueError("it holds no plain numbers")
    if count > most:
        raise ValueError(f"it has {count} numbers; {most} are the most that are read")
    if head.tell() + count * dtype.itemsize > file.seek(0, 2):
        raise ValueError("it ends before its last number")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
