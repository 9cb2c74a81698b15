"""Weights of real layers, read from files. Torch is imported for .pt and .pth, and for numbers that numpy has not.

A file's place is written `PATH` or `PATH:KEY`; the key is needed where a file holds several weights. Nothing in a file
is run: of .pt only tensors are taken, of .npy only numbers.
"""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import PictureError, UsageError

METADATA_KEY = "upsample-cli"
"""The one key of the metadata of files that `tconv fit` writes; under it a JSON object, because safetensors keeps
several keys in no order."""

_SHOWN_KEYS = 8
_NUMPY_KINDS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64"}
"""What safetensors calls the numbers that numpy has: not bfloat16, nor floats of 8 bits."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One layer's weight, with what else its file holds.

    Args:
        path: the file.
        key: of the weight in it; "" for a file that is one array.
        weight: (in_channels, out_channels / groups, *kernel_size), float64.
        bias: (out_channels,) float64, or None.
        state: the whole file as read: arrays or tensors by key.
    """

    path: Path
    key: str
    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None
    state: Mapping[str, Any]

    @property
    def axes(self) -> int:
        """1, 2 or 3."""
        return self.weight.ndim - 2


def read_weights(place: str) -> Weights:
    """Read one weight of three to five axes, and its bias if the file has one beside it.

    Raises:
        PictureError: the file cannot be read.
        UsageError: the extension is unknown, or the key is missing or wrong.
    """
    path, key = split_place(place)
    if path.suffix.lower() not in WEIGHT_READERS:
        raise UsageError(f"{path}: no weights end in {path.suffix!r}", f"use one of {', '.join(WEIGHT_READERS)}")
    try:
        state = WEIGHT_READERS[path.suffix.lower()](path)
    except FileNotFoundError as error:
        raise PictureError(path, "there is no such file", "check the name") from error
    except OSError as error:
        raise PictureError(path, f"cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise PictureError(
            path, "holds more than tensors, which could run code", "save model.state_dict() and give that"
        ) from error
    except Exception as error:  # whatever a damaged file makes its library raise
        cause = " ".join(str(error).split())[:200]
        raise PictureError(path, f"is damaged or no such file: {cause or type(error).__name__}") from error
    key = _chosen_key(path, key, state)
    weight = _array(path, key, state[key])
    if not np.isfinite(weight).all():
        raise PictureError(path, f"the weight {key or 'in it'} holds infinities or NaN")
    beside = f"{key.removesuffix('weight')}bias"
    bias = _array(path, beside, state[beside]) if key.endswith("weight") and beside in state else None
    return Weights(path, key, weight, bias, state)


def fitted_factor(path: Path) -> int | None:
    """The factor that `tconv fit` made a file for; None of any other file.

    Raises:
        PictureError: if the file's metadata say that it did, and not for which.
    """
    if path.suffix.lower() != ".safetensors":
        return None
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        about = (file.metadata() or {}).get(METADATA_KEY)
    try:
        return None if about is None else int(json.loads(about)["factor"])
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise PictureError(
            path, f"its metadata {METADATA_KEY!r} are damaged", "make it again with tconv fit"
        ) from error


def split_place(place: str) -> tuple[Path, str]:
    """The file and the key that a place names; the key may be empty."""
    path, colon, key = place.rpartition(":")
    if not colon or os.path.exists(place) or Path(path).suffix.lower() not in WEIGHT_READERS:  # noqa: PTH110  for names too long, too
        return Path(place), ""
    return Path(path), key


def _chosen_key(path: Path, key: str, state: Mapping[str, Any]) -> str:
    fitting = [name for name, value in state.items() if 3 <= value.ndim <= 5 and 0 not in value.shape]
    if key:
        if key in fitting:
            return key
        problem = "is no weight of 3 to 5 axes" if key in state else "is not in it"
        raise UsageError(f"{path}: {key} {problem}", _keys_text(path, fitting))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UsageError(f"{path}: there is no weight of 3 to 5 axes in it", "give a file of a transposed convolution")
    raise UsageError(f"{path}: there are {len(fitting)} weights in it", _keys_text(path, fitting))


def _keys_text(path: Path, keys: list[str]) -> str:
    shown = ", ".join(keys[:_SHOWN_KEYS]) + (", ..." if len(keys) > _SHOWN_KEYS else "")
    if keys == [""]:
        return f"its only weight has no name: give {path}"
    return f"write {path}:KEY with one of {shown}" if keys else "there is none"


def _array(path: Path, key: str, value: Any) -> NDArray[np.float64]:
    """float64 of an array or a tensor of any dtype."""
    if isinstance(value, np.ndarray):
        is_real, array = value.dtype.kind in "fiu", value
    else:
        is_real = not value.is_complex()
        try:
            array = value.detach().cpu().double().numpy() if is_real else value
        except (RuntimeError, TypeError) as error:  # sparse, quantised, or of the device "meta"
            raise PictureError(
                path, f"the weight {key or 'in it'} is no plain tensor", "save it dense, as numbers, on the CPU"
            ) from error
    if not is_real:
        raise UsageError(f"{path}: the weight {key or 'in it'} is of type {value.dtype}", "give one of real numbers")
    return array.astype(np.float64)


def _read_npy(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:  # np.load would take archives too, and praise pickles
        return {"": np.lib.format.read_array(file, allow_pickle=False)}


def _read_pt(path: Path) -> dict[str, Any]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how the file was written, which is nothing to its reader
        return dict(_tensors(torch.load(path, map_location="cpu", weights_only=True), "", torch.Tensor))


def _tensors(value: Any, name: str, kind: type) -> list[tuple[str, Any]]:
    """Every tensor in nested dictionaries, keys joined by dots; `{"state_dict": {...}}` is common."""
    if isinstance(value, kind):
        return [(name, value)]
    if not isinstance(value, Mapping):
        return []
    return [
        found for key, inner in value.items() for found in _tensors(inner, f"{name}.{key}" if name else str(key), kind)
    ]


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    path.open("rb").close()  # the library has words of its own for what is missing or a folder
    with safe_open(path, framework="numpy") as file:
        kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118  it is no mapping
    if kinds <= _NUMPY_KINDS:
        from safetensors import numpy

        return dict(numpy.load_file(path))
    from safetensors import torch

    return dict(torch.load_file(path))


WEIGHT_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".safetensors": _read_safetensors,
    ".pt": _read_pt,
    ".pth": _read_pt,
    ".npy": _read_npy,
}
"""What each extension is read by: arrays or tensors by key."""
