"""Read the weights of a network from a file. The file may be hostile: sizes are checked before anything is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from upsample_cli.errors import ImageError, UsageError
from upsample_cli.kernels.weights.files import faults_named, read_state
from upsample_cli.kernels.weights.readers import opened_safetensors
from upsample_cli.models import SUFFIXES

MOST_PARAMETERS = 2**28
"""The most numbers in a file: a GiB of float32, and eight times the largest published super-resolution networks."""

_MOST_TENSORS = 2**15
_LARGEST_INDEX = 9999
"""The largest number in a name. Constructors make as many blocks as the largest number says."""
_WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
"""Dictionaries that training scripts put around the weights, in the order in which spandrel prefers them."""
_LONGEST_LICENCE = 200


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The content of a file of weights.

    Args:
        path: the file.
        sha256: hash of its content.
        tensors: its tensors by name; the names of nested dictionaries are joined by dots.
        licence: what its metadata say about a licence; "" if nothing.
    """

    path: Path
    sha256: str
    tensors: dict[str, Any]
    licence: str

    def without_tensors(self) -> ModelFile:
        """The same without its tensors, which take as much memory as the network."""
        return replace(self, tensors={})

    @property
    def candidates(self) -> list[dict[str, Any]]:
        """The state dictionaries that the file may hold: all of it, then those inside known wrappers."""
        found = [self.tensors]
        wrappers = [name for name in _WRAPPERS if any(key.startswith(f"{name}.") for key in self.tensors)]
        outer = {key.partition(".")[0] for key in self.tensors}
        wrappers += [name for name in outer if len(outer) == 1 and name not in wrappers]
        for name in wrappers:
            inside = {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")}
            found.append(inside)
        return found


def read_model_file(path: Path) -> ModelFile:
    """Read a .safetensors, .pth or .pt file with tensors only.

    Raises:
        ImageError: if the file cannot be read, holds more than tensors, or is too large.
        UsageError: if its extension is another one.
    """
    if path.suffix.lower() not in SUFFIXES:
        cause = f"{path}: {path.suffix!r} is not an extension of a network"
        raise UsageError(cause, f"use one of {', '.join(SUFFIXES)}")
    with faults_named(path):
        _, state = read_state(path)
        _check_shapes(path, state.shapes)
        tensors = {key: _tensor(path, key, state[key]) for key in state}
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return ModelFile(path, sha256, tensors, _licence(path))


def _check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    count = sum(prod(shape) for shape in shapes.values())
    if not count:
        raise ImageError(path, "there are no weights in it", "give the file of a network", kind="unsupported")
    if count > MOST_PARAMETERS or len(shapes) > _MOST_TENSORS:
        raise ImageError(
            path,
            f"it has {count} numbers in {len(shapes)} tensors",
            f"give a network of {MOST_PARAMETERS} numbers in {_MOST_TENSORS} tensors at the most",
            kind="too-large",
        )
    for key in shapes:
        if any(len(part) > len(str(_LARGEST_INDEX)) for part in key.split(".") if part.isdigit()):
            raise ImageError(path, f"a name in it has a number above {_LARGEST_INDEX}", kind="unsupported")


def _tensor(path: Path, key: str, value: Any) -> Any:
    import torch

    tensor = torch.as_tensor(value).detach()
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu" or tensor.is_complex():
        raise ImageError(
            path, f"{key[:60]} is not a plain tensor", "save it dense, as real numbers", kind="unsupported"
        )
    if tensor.is_floating_point():
        tensor = tensor.float()
        if not tensor.isfinite().all():
            cause = f"the weight {key[:60]} holds infinities or NaN"
            raise ImageError(path, cause, "give finite ones", kind="unsupported")
    return tensor


def _licence(path: Path) -> str:
    if path.suffix.lower() != ".safetensors":
        return ""
    about = opened_safetensors(path, "numpy").metadata() or {}
    lines = [str(value) for key, value in sorted(about.items()) if "licen" in key.lower()]
    return " ".join(" ".join(lines).split())[:_LONGEST_LICENCE]
