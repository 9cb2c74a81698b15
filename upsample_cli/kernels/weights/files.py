"""Read one weight from a file.

A weight is named `PATH` or `PATH:KEY`; the key is needed if a file contains several weights. Code in a file is never
run: only tensors are read from a .pt, and only numbers from a .npy.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upsample_cli.atomic.opened import OpenedFile, opened
from upsample_cli.errors import STOPS, ImageError, UsageError
from upsample_cli.kernels.weights.readers import MOST_WEIGHTS, WEIGHT_READERS, State, opened_safetensors
from upsample_cli.special_files import refuse_special
from upsample_cli.text import short_cause, shortened

LAYER_KEY = "layer"
"""The metadata key of files that `tconv kernel` writes. Its value is the layer, as PyTorch writes it."""
METADATA_KEY = "upsample-cli"
"""The only metadata key of files that `tconv fit` writes. Its value is a JSON object, because safetensors does not keep
the order of keys."""

_SHOWN_KEYS, _SHOWN_CHARACTERS = 8, 60
_LARGEST_WEIGHT = 1e100
"""The largest magnitude of a weight. Sums of such weights stay far from infinity."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of one layer, and the file that contains it.

    Args:
        source: path of the file.
        key: key of the weight in the file; "" for a file that is one array.
        weight: (in_channels, out_channels / groups, *kernel_size), float64.
        bias: (out_channels,) float64, or None.
        state: all arrays or tensors of the file by key, read on access.
    """

    source: OpenedFile
    key: str
    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None
    state: State

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.source.path

    @property
    def bias_key(self) -> str:
        """Key of the bias in the file, if there is one."""
        return _bias_key(self.key)

    @property
    def axes(self) -> int:
        """Number of axes of the kernel: 1, 2 or 3."""
        return self.weight.ndim - 2


def read_weights(place: str) -> Weights:
    """Read one weight of three to five axes, and its bias if the file has one.

    Raises:
        ImageError: the file cannot be read.
        UsageError: the extension is unknown, or the key is missing or wrong.
    """
    path, key = split_place(place)
    if path.suffix.lower() not in WEIGHT_READERS:
        raise UsageError(f"{path}: no weights end in {path.suffix!r}", f"use one of {', '.join(WEIGHT_READERS)}")
    with faults_named(path):
        source, state = read_state(path)
        key = _chosen_key(path, key, state.shapes)
        weight = _array(path, key, state)
        bias_key = _bias_key(key)
        bias = _array(path, bias_key, state) if key.endswith("weight") and bias_key in state.shapes else None
    if bias is not None and bias.ndim != 1:
        raise ImageError(
            path,
            f"{_shown(bias_key)} is not a bias: it has {bias.ndim} axes",
            "remove or rename it",
            kind="unsupported",
        )
    return Weights(source, key, weight, bias, state)


def read_state(path: Path) -> tuple[OpenedFile, State]:
    """The file as it was opened, and its arrays or tensors by key. Call it inside `faults_named`.

    Raises:
        ImageError: if the file was replaced while it was read.
    """
    refuse_special(path)
    with path.open("rb") as file:
        source = opened(path, file)
        state = WEIGHT_READERS[path.suffix.lower()](path)  # libraries open the file again
        if not os.path.samestat(source.status, path.stat()):
            raise ImageError(path, "was replaced while it was read", "leave it alone, and try again", kind="changed")
    return source, state


def _bias_key(key: str) -> str:
    return f"{key.removesuffix('weight')}bias"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn an OSError into an error that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(path, "there is no such file", "check the name", kind="not-found") from error
    except OSError as error:
        cause = f"cannot be read: {error.strerror or error}"
        raise ImageError(path, cause, "check its name and its permissions", kind="unreadable") from error


@contextmanager
def faults_named(path: Path) -> Iterator[None]:
    """Turn any exception while reading a file into an error that names the file."""
    try:
        with readable(path):
            yield
    except (ImageError, UsageError):
        raise
    except pickle.UnpicklingError as error:
        raise ImageError(
            path,
            "holds more than tensors, which could run code",
            "save model.state_dict() and give that",
            kind="unsupported",
        ) from error
    except BaseException as error:  # a library may raise any exception on a damaged file, including a panic of Rust
        if isinstance(error, STOPS):
            raise
        cause = f"is damaged, or not what its name says: {short_cause(error)}"
        raise ImageError(path, cause, "save it again") from error


def fitted_factor(path: Path) -> int | None:
    """The factor for which `tconv fit` made a file; None for any other file.

    Raises:
        ImageError: if the file has metadata of `tconv fit` without a valid factor.
    """
    if path.suffix.lower() != ".safetensors":
        return None
    with faults_named(path):
        about = (opened_safetensors(path, "numpy").metadata() or {}).get(METADATA_KEY)
    try:
        return None if about is None else int(json.loads(about)["factor"])
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise ImageError(path, f"its metadata {METADATA_KEY!r} are damaged", "make it again with tconv fit") from error


def split_place(place: str) -> tuple[Path, str]:
    """Split `PATH` or `PATH:KEY` into the path and the key, which may be empty."""
    path, colon, key = place.rpartition(":")
    if not colon or os.path.exists(place) or Path(path).suffix.lower() not in WEIGHT_READERS:  # noqa: PTH110  False for names that are too long
        return Path(place), ""
    return Path(path), key


def _chosen_key(path: Path, key: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    fitting = [name for name, shape in shapes.items() if 3 <= len(shape) <= 5 and 0 not in shape]
    if key:
        if key in fitting:
            return key
        problem = "is not a weight of 3 to 5 axes" if key in shapes else "is not in it"
        raise UsageError(f"{path}: {key} {problem}", _keys_text(path, fitting))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UsageError(f"{path}: there is no weight of 3 to 5 axes in it", "give a file of a transposed convolution")
    raise UsageError(f"{path}: there are {len(fitting)} weights in it", _keys_text(path, fitting))


def _keys_text(path: Path, keys: list[str]) -> str:
    shown = ", ".join(map(_shown, keys[:_SHOWN_KEYS])) + (", ..." if len(keys) > _SHOWN_KEYS else "")
    if keys == [""]:
        return f"its only weight has no name: give {path}"
    return f"write {path}:KEY with one of {shown}" if keys else "there is none"


def _shown(key: str) -> str:
    return shortened(key, _SHOWN_CHARACTERS)


def _array(path: Path, key: str, state: State) -> NDArray[np.float64]:
    """An array or a tensor of any dtype as float64."""
    name, count = _shown(key) or "in it", prod(state.shapes[key])
    if count > MOST_WEIGHTS:  # even if all elements share a few bytes
        raise ImageError(
            path, f"the weight {name} has {count} numbers", f"give {MOST_WEIGHTS} at the most", kind="too-large"
        )
    value = state[key]
    if isinstance(value, np.ndarray):
        is_real, array = value.dtype.kind in "fiu", value
    else:
        is_real = not value.is_complex()
        try:
            array = value.detach().cpu().double().numpy() if is_real else value
        except (RuntimeError, TypeError) as error:  # sparse, quantized, or on the device "meta"
            raise ImageError(
                path,
                f"the weight {name} is not a plain tensor",
                "save it dense, as numbers, on the CPU",
                kind="unsupported",
            ) from error
    if not is_real:
        raise UsageError(f"{path}: the weight {name} is of type {value.dtype}", "give one of real numbers")
    with np.errstate(all="ignore"):  # values beyond the range of float64 become infinity
        whole: NDArray[np.float64] = array.astype(np.float64)
    if not np.isfinite(whole).all():
        raise ImageError(path, f"the weight {name} holds infinities or NaN", "give finite ones", kind="unsupported")
    if whole.size and np.abs(whole).max() > _LARGEST_WEIGHT:
        raise ImageError(
            path,
            f"the weight {name} holds numbers above {_LARGEST_WEIGHT:g}",
            "give smaller ones",
            kind="unsupported",
        )
    return whole
