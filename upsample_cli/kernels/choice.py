"""Choose a kernel by name, by file or by weights. A file needs numpy, and a .pt or .pth also torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from upsample_cli.errors import GeometryError, ImageError, Loss, Setting, UsageError, joined
from upsample_cli.kernels.kernel import KERNEL_NAMES, NETWORKS, Kernel, kernel_named
from upsample_cli.kernels.network import FACTORS, AnyKernel, Network, shipped_file
from upsample_cli.kernels.of_weights import check_count, kernel_of_weights
from upsample_cli.kernels.profiles import checked_factor

if TYPE_CHECKING:
    from upsample_cli.kernels.weights.files import Weights


_MOST_SIDE = 256
"""The largest kernel size in a weight file: twice the bilinear kernel of the largest factor."""


def chosen_kernel(text: str, factor: int) -> AnyKernel:
    """The kernel that a user names: one of `KERNEL_NAMES`, `FILE` or `FILE:KEY` of a layer's weight, a network's file.

    The stride is the factor, and the padding makes the layer enlarge exactly `factor` times. A file is read again when
    it has changed.

    Raises:
        UsageError: if the name is unknown, the file cannot be read, or it also has a bias: the range of pixels that
            a bias assumes is unknown.
        GeometryError: if a layer with this weight cannot enlarge images `factor` times, or the weight was fitted for
            another factor.

    >>> chosen_kernel("lanczos3", 2).halo
    3
    """
    if text in NETWORKS:
        return _shipped_network(text, checked_factor(factor))
    return kernel_named(text, factor) if text in KERNEL_NAMES else _of_file(text, factor)[0]


def is_network(text: str) -> bool:
    """Whether a name is that of a network or of a network's file.

    Raises:
        UsageError: if the file is not a valid network.
    """
    return text in NETWORKS if text in KERNEL_NAMES else network_of(text) is not None


def network_of(text: str) -> Network | None:
    """The network of whole numbers in a file; None if the file is another one.

    Raises:
        UsageError: if the file cannot be read, or its network is not valid.
    """
    return _network_of_file(text, file_stamp(Path(text))) if text.lower().endswith(".safetensors") else None


@functools.lru_cache(maxsize=4)
def _shipped_network(name: str, factor: int) -> Network:
    if factor not in FACTORS:
        raise UsageError(
            (Setting("kernel", name), f" exists for factors {', '.join(map(str, FACTORS))}, not for {factor}"),
            ("use ", Setting("kernel", "lanczos3")),
        )
    from upsample_cli.kernels.weights.network_file import network_of_file  # imports numpy

    with _faults_of_run():
        network = network_of_file(shipped_file(name, factor), name)
    assert network is not None
    return network


def kernel_losses(text: str, factor: int) -> tuple[Loss, ...]:
    """A loss if a flat image does not stay flat with this kernel.

    Raises:
        UsageError, GeometryError: as `chosen_kernel`.

    >>> kernel_losses("lanczos3", 2)
    ()
    """
    return () if text in KERNEL_NAMES else _of_file(text, factor)[1]


def _of_file(text: str, factor: int) -> tuple[AnyKernel, tuple[Loss, ...]]:
    from upsample_cli.kernels.weights.files import split_place  # imports numpy
    from upsample_cli.kernels.weights.readers import WEIGHT_READERS

    path, _ = split_place(text)
    if path.suffix.lower() not in WEIGHT_READERS and not os.path.isfile(path):  # noqa: PTH113  False for names that are too long
        raise UsageError(
            f"there is no kernel named {text!r}",
            f"choose one of {', '.join(KERNEL_NAMES)}, or a file of weights ({', '.join(WEIGHT_READERS)})",
        )
    network = _network_of_file(text, file_stamp(path))
    if network is None:
        return _read_file(text, checked_factor(factor), file_stamp(path))
    if network.factor != checked_factor(factor):
        raise GeometryError(
            f"kernel {text} is a network for factor {network.factor}", f"enlarge {network.factor} times"
        )
    return network, ()


def file_stamp(path: Path) -> tuple[int, int]:
    """Modification time in nanoseconds and size of a file, which change when it is written; zeros if it has none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return 0, 0  # reading it raises the error
    return status.st_mtime_ns, status.st_size


@contextmanager
def _faults_of_run() -> Iterator[None]:
    """Turn an error that names a kernel's file into one of the run, because it is not a fault of one image."""
    try:
        yield
    except ImageError as error:
        raise UsageError(joined(f"kernel {error.path}: ", error.cause), error.next_step) from error


@functools.lru_cache(maxsize=8)
def _network_of_file(text: str, _stamp: tuple[int, int]) -> Network | None:
    from upsample_cli.kernels.weights.network_file import network_of_file

    with _faults_of_run():
        return network_of_file(Path(text), text)


@functools.lru_cache(maxsize=8)
def _read_file(place: str, factor: int, _stamp: tuple[int, int]) -> tuple[Kernel, tuple[Loss, ...]]:
    from upsample_cli.kernels.flatness import unflat_warning
    from upsample_cli.kernels.weights.files import fitted_factor, read_weights

    with _faults_of_run():
        weights = read_weights(place)
        made_for = fitted_factor(weights.path)
    _refuse_bias(weights)
    if made_for not in (None, factor):
        raise GeometryError(f"kernel {weights.path} was fitted for factor {made_for}", f"enlarge {made_for} times")
    check_count(place, weights.weight.size)
    if (side := max(weights.weight.shape[-2:])) > _MOST_SIDE:
        raise UsageError(f"kernel {place}: kernel_size {side} is too large", f"give {_MOST_SIDE} at the most")
    kernel = kernel_of_weights(place, factor, weights.weight.ravel().tolist(), weights.weight.shape)
    warning = unflat_warning(weights.weight, factor)
    return kernel, () if warning is None else (Loss("pattern", warning),)


def _refuse_bias(weights: Weights) -> None:
    if weights.bias is not None and weights.bias.any():
        raise UsageError(
            f"kernel {weights.path}: {weights.key} has a bias, which depends on the network's own range of pixels",
            "remove it, or apply the layer as it is with tconv run",
        )
