"""Write changed weights to a copy of their file, in the same format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.atomic.files import in_memory, new_file
from upsample_cli.errors import UsageError
from upsample_cli.kernels.weights.files import LAYER_KEY, METADATA_KEY, Weights

_Changed = Mapping[str, Any]
"""The new arrays or tensors by key."""
_MOST_BYTES = 2**32
"""The most bytes of a file to copy: all of it is in memory."""


def write_weights(
    weights: Weights,
    weight: NDArray[np.float64],
    path: Path,
    *,
    bias: NDArray[np.float64] | None = None,
    overwrite: bool = False,
) -> NDArray[np.float64]:
    """Write a copy of the file of `weights` with another weight, in the same dtype.

    Whole numbers become float32 if their dtype cannot hold the new ones. Everything else in the file is kept, except
    what this package wrote about a weight of another shape.

    Args:
        bias: the new bias, if `weights` has one; None keeps the bias of the file.

    Returns:
        The weight as it is in the file, rounded to its dtype.

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
    new = {weights.key: weight} | ({} if bias is None else {weights.bias_key: bias})
    changed = {key: _like(weights.state[key], array) for key, array in new.items()}
    content = _WRITERS[suffix](weights, changed)
    with new_file(path, overwrite=overwrite, sources=[weights.source]) as file:
        file.write(content)
    return _float64(changed[weights.key])


def _like(old: Any, new: NDArray[np.float64]) -> Any:
    """An array of the kind and the dtype of another, or of float32 if that dtype is of whole numbers that differ."""
    new = np.ascontiguousarray(new)  # safetensors writes memory as it is, and torch refuses reversed axes
    is_array = isinstance(old, np.ndarray)
    with np.errstate(all="ignore"):
        made = new.astype(old.dtype) if is_array else _tensor(new, old.dtype)
    is_float = old.dtype.kind == "f" if is_array else old.is_floating_point()
    if is_float or (_float64(made) == new).all():
        return made
    return new.astype(np.float32) if is_array else _tensor(new, None)


def _tensor(array: NDArray[np.float64], dtype: Any) -> Any:
    import torch

    return torch.from_numpy(array).to(dtype or torch.float32).contiguous()


def _float64(made: Any) -> NDArray[np.float64]:
    whole: NDArray[np.float64] = np.asarray(made if isinstance(made, np.ndarray) else made.double(), np.float64)
    return whole


def _npy_bytes(weights: Weights, changed: _Changed) -> bytes:
    return in_memory(lambda file: np.save(file, changed[weights.key]))


def _pt_bytes(weights: Weights, changed: _Changed) -> bytes:
    import torch

    assert weights.state.content is not None
    whole = weights.state.content.replaced(changed)
    return in_memory(lambda file: torch.save(whole, file))


def _safetensors_bytes(weights: Weights, changed: _Changed) -> bytes:
    from safetensors import numpy

    state = {**weights.state, **changed}
    stale = set() if changed[weights.key].shape == weights.weight.shape else {LAYER_KEY, METADATA_KEY}
    kept = {key: text for key, text in weights.state.metadata.items() if key not in stale}
    metadata = {"format": "pt"} | kept
    if not isinstance(state[weights.key], np.ndarray):
        from safetensors import torch

        return bytes(torch.save(state, metadata=metadata))
    return bytes(numpy.save(state, metadata=metadata))


_WRITERS: dict[str, Callable[[Weights, _Changed], bytes]] = {
    ".safetensors": _safetensors_bytes,
    ".pt": _pt_bytes,
    ".pth": _pt_bytes,
    ".npy": _npy_bytes,
}
