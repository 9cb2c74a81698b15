"""Which kernel a name or a file stands for. A file takes numpy, and a .pt or .pth torch."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from upsample_cli.errors import PictureError, UsageError
from upsample_cli.kernels import KERNEL_NAMES, Kernel, kernel_named, kernel_of_weights
from upsample_cli.profiles import checked_factor

if TYPE_CHECKING:
    from upsample_cli.weight_files import Weights


def chosen_kernel(text: str, factor: int) -> Kernel:
    """The kernel that a user means: one of `KERNEL_NAMES`, or `FILE` or `FILE:KEY` of a transposed convolution's weight.

    The stride is the factor, and the padding the one that enlarges exactly so many times. A file is read again when it
    has changed.

    Raises:
        UsageError: if there is no such name or file, the file cannot be read, its weight does not fit the factor, or a
            bias lies beside it: nobody can tell which range of pixels it was meant for.
        GeometryError: if its weight is none of a layer that enlarges pictures so many times.

    >>> chosen_kernel("lanczos3", 2).kernel_size
    12
    """
    if text in KERNEL_NAMES:
        return kernel_named(text, factor)
    from upsample_cli.weight_files import WEIGHT_READERS, split_place  # numpy with it

    path, _ = split_place(text)
    if path.suffix.lower() not in WEIGHT_READERS and not path.is_file():
        raise UsageError(
            f"there is no kernel named {text!r}",
            f"choose one of {', '.join(KERNEL_NAMES)}, or a file of weights ({', '.join(WEIGHT_READERS)})",
        )
    try:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
    except (OSError, ValueError):
        stamp = (0, 0)  # reading it will say what is wrong
    return _kernel_of_file(text, checked_factor(factor), stamp)


@functools.lru_cache(maxsize=8)
def _kernel_of_file(place: str, factor: int, _stamp: tuple[int, int]) -> Kernel:
    from upsample_cli.weight_files import fitted_factor, read_weights

    try:
        weights = read_weights(place)
    except PictureError as error:  # all pictures need it: the run cannot begin
        raise UsageError(f"kernel {error.cause}", error.next_step) from error
    _refuse_bias(weights)
    made_for = fitted_factor(weights.path)
    if made_for not in (None, factor):
        raise UsageError(f"kernel {weights.path} was fitted for factor {made_for}", f"add --factor {made_for}")
    return kernel_of_weights(place, factor, weights.weight.ravel().tolist(), weights.weight.shape)


def _refuse_bias(weights: Weights) -> None:
    if weights.bias is not None and weights.bias.any():
        raise UsageError(
            f"kernel {weights.path}: beside {weights.key} lies a bias, made for the network's own range of pixels",
            "remove it, or apply the layer as it is with tconv run --weights",
        )
