"""Write changed weights to a copy of their file, in the same format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.atomic.files import in_memory, new_file
from upsample_cli.errors import UsageError
from upsample_cli.kernels.weights.files import Weights

_MOST_BYTES = 2**32
"""The most bytes of a file to copy: all of it is in memory."""


def write_weights(
    weights: Weights,
    weight: NDArray[np.float64],
    path: Path,
    *,
    bias: NDArray[np.float64] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a copy of the file of `weights` with another weight, in the same dtype.

    Args:
        bias: the new bias, if `weights` has one; None keeps the bias of the file.

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
    changed = {weights.key: weight} | ({} if bias is None else {weights.bias_key: bias})
    content = _WRITERS[suffix](weights, changed)
    with new_file(path, overwrite=overwrite, sources=[weights.source]) as file:
        file.write(content)


_Changed = Mapping[str, NDArray[np.float64]]
"""New arrays by their key in the file."""


def _new_state(weights: Weights, changed: _Changed) -> dict[str, Any]:
    return {**weights.state, **{key: _like(weights.state[key], array) for key, array in changed.items()}}


def _like(old: Any, new: NDArray[np.float64]) -> Any:
    """An array of the kind and the dtype of another."""
    if isinstance(old, np.ndarray):
        return new.astype(old.dtype)
    import torch

    return torch.from_numpy(new).to(old.dtype).contiguous()


def _npy_bytes(weights: Weights, changed: _Changed) -> bytes:
    dtype = weights.state[weights.key].dtype
    weight = changed[weights.key]
    return in_memory(lambda file: np.save(file, weight.astype(dtype if dtype.kind == "f" else np.float32)))


def _pt_bytes(weights: Weights, changed: _Changed) -> bytes:
    import torch

    state = _new_state(weights, changed)
    return in_memory(lambda file: torch.save(state if weights.key else state[""], file))


def _safetensors_bytes(weights: Weights, changed: _Changed) -> bytes:
    from safetensors import numpy

    state = _new_state(weights, changed)
    if not isinstance(state[weights.key], np.ndarray):
        from safetensors import torch

        return bytes(torch.save(state, metadata={"format": "pt"}))
    return bytes(numpy.save(state, metadata={"format": "pt"}))


_WRITERS: dict[str, Callable[[Weights, _Changed], bytes]] = {
    ".safetensors": _safetensors_bytes,
    ".pt": _pt_bytes,
    ".pth": _pt_bytes,
    ".npy": _npy_bytes,
}
