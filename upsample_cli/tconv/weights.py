"""Write changed weights to a copy of their file, in the same format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.atomic.files import in_memory, new_file
from upsample_cli.errors import UsageError
from upsample_cli.kernels.weights.files import Weights

_MOST_BYTES = 2**32
"""The most bytes of a file to copy: all of it is in memory."""


def write_weights(weights: Weights, weight: NDArray[np.float64], path: Path, *, overwrite: bool = False) -> None:
    """Write a copy of the file of `weights` with another weight, in the same dtype.

    Raises:
        UsageError: if the file of `weights` has another extension or more than 4 GiB, or `path` is that file.
        OutputExistsError: if `path` exists and `overwrite` is not set.
    """
    suffix = weights.path.suffix.lower()
    if path.suffix.lower() != suffix:
        raise UsageError(f"{path}: the weights were read from a {suffix} file", f"give a name that ends in {suffix}")
    if weights.path.stat().st_size > _MOST_BYTES:
        raise UsageError(
            f"{weights.path}: a file of more than {_MOST_BYTES >> 30} GiB is not written again",
            "save the layer's weight in a file of its own",
        )
    content = _WRITERS[suffix](weights, weight)
    with new_file(path, overwrite=overwrite, sources=[weights.source]) as file:
        file.write(content)


def _new_state(weights: Weights, weight: NDArray[np.float64]) -> dict[str, Any]:
    old = weights.state[weights.key]
    if isinstance(old, np.ndarray):
        return {**weights.state, weights.key: weight.astype(old.dtype)}
    import torch

    return {**weights.state, weights.key: torch.from_numpy(weight).to(old.dtype).contiguous()}


def _npy_bytes(weights: Weights, weight: NDArray[np.float64]) -> bytes:
    dtype = weights.state[weights.key].dtype
    return in_memory(lambda file: np.save(file, weight.astype(dtype if dtype.kind == "f" else np.float32)))


def _pt_bytes(weights: Weights, weight: NDArray[np.float64]) -> bytes:
    import torch

    state = _new_state(weights, weight)
    return in_memory(lambda file: torch.save(state if weights.key else state[""], file))


def _safetensors_bytes(weights: Weights, weight: NDArray[np.float64]) -> bytes:
    from safetensors import numpy

    state = _new_state(weights, weight)
    if not isinstance(state[weights.key], np.ndarray):
        from safetensors import torch

        return bytes(torch.save(state, metadata={"format": "pt"}))
    return bytes(numpy.save(state, metadata={"format": "pt"}))


_WRITERS: dict[str, Callable[[Weights, NDArray[np.float64]], bytes]] = {
    ".safetensors": _safetensors_bytes,
    ".pt": _pt_bytes,
    ".pth": _pt_bytes,
    ".npy": _npy_bytes,
}
