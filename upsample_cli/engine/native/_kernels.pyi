from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def instruction_sets() -> list[str]: ...
def enlarge(instructions: str, padded: NDArray[Any], out: NDArray[Any], /, *settings: Any) -> None: ...
def enlarge_sums(instructions: str, padded: NDArray[Any], out: NDArray[Any], /, *settings: Any) -> None: ...
def enlarge_twofold(instructions: str, padded: NDArray[Any], out: NDArray[Any], has_alpha: bool, /) -> None: ...
def resample(instructions: str, source: NDArray[Any], /, *settings: Any) -> None: ...

# Of a network of whole numbers: its trunk's layers (weights, biases, shifts) and its detail, from luma with a rim of
# one pixel for each convolution. The last argument is an instruction set; by default the fastest.
def net_detail(
    luma: NDArray[np.uint8],
    layers: Sequence[tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.uint8]]],
    weight: NDArray[np.int8],
    offset: NDArray[np.int32],
    out: NDArray[np.int32],
    instructions: str = ...,
    /,
) -> None: ...

# A linear kernel (outputs of a pixel, 7, 7) on pixels with a rim of three, plus the detail, over 2**bits (8 to 20).
def net_combine(
    pixels: NDArray[np.uint8 | np.uint16],
    linear: NDArray[np.int16],
    detail: NDArray[np.int32],
    bits: int,
    out: NDArray[np.uint8 | np.uint16],
    instructions: str = ...,
    /,
) -> None: ...
