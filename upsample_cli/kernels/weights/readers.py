"""Read arrays and tensors of weight files by key. Torch is imported for .pt and .pth, and for types that numpy lacks.

A file may be hostile: the sizes that it declares are checked before anything is allocated, and only the requested
tensors of a safetensors file are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from upsample_cli.kernels.weights.npy import read_array
from upsample_cli.kernels.weights.torch_archives import check_torch_file

MOST_WEIGHTS = 2**26
"""The most weights of one layer: as many as ConvTranspose2d(4096, 1024, 4) has."""

_LONGEST_HEADER = 2**24
"""The most bytes of a safetensors header: about 100,000 tensors."""
_MOST_NAME_CHARACTERS = 2**26
"""The most characters of all names in a .pt file, including dots."""
_NUMPY_KINDS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64"}
"""The types of safetensors that numpy also has; it lacks bfloat16 and floats of 8 bits."""


class Content:
    """What a .pt file holds: tensors in nested dictionaries, and anything else.

    Args:
        value: the tensor or the dictionary that was saved.
        kind: the class of tensors.
    """

    def __init__(self, value: Any, kind: type) -> None:
        self._whole = [value]
        self._places = _places(self._whole, kind)

    def tensors(self) -> dict[str, Any]:
        """The tensors by name: their keys, joined by dots."""
        return {name: container[key] for name, (container, key) in self._places.items()}

    def replaced(self, tensors: Mapping[str, Any]) -> Any:
        """Put other tensors in the places of some; return the whole value, which is changed."""
        for name, tensor in tensors.items():
            container, key = self._places[name]
            container[key] = tensor
        return self._whole[0]


class State(Mapping[str, Any]):
    """The arrays or tensors of a file by key. Their shapes are known before any of them is read.

    Args:
        shapes: shapes by key.
        load: reads the array or tensor of a key.
        metadata: the metadata of a safetensors file.
        content: what a .pt file holds.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        load: Callable[[str], Any],
        *,
        metadata: Mapping[str, str] | None = None,
        content: Content | None = None,
    ) -> None:
        self.shapes, self.metadata, self.content = shapes, metadata or {}, content
        self._load = load

    def __getitem__(self, key: str) -> Any:
        return self._load(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def _read_npy(path: Path) -> State:
    with path.open("rb") as file:
        array = read_array(file, MOST_WEIGHTS)
    return State({"": array.shape}, {"": array}.__getitem__)


def _read_pt(path: Path) -> State:
    can_map = check_torch_file(path)
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about how the file was written
        content = Content(torch.load(path, map_location="cpu", weights_only=True, mmap=can_map), torch.Tensor)
    tensors = content.tensors()
    return State({name: _shape(tensor) for name, tensor in tensors.items()}, tensors.__getitem__, content=content)


def _places(whole: list[Any], kind: type) -> dict[str, tuple[Any, Any]]:
    """Where the tensors in nested dictionaries are: (container, key there), by keys joined with dots.

    `{"state_dict": {...}}` is common. A dictionary that occurs more than once, or contains itself, is visited once.
    """
    found: dict[str, tuple[Any, Any]] = {}
    seen, characters = set(), 0
    left: list[tuple[str, Any, Any]] = [("", whole, 0)]
    while left:
        name, container, key = left.pop()
        value = container[key]
        characters += len(name)
        if characters > _MOST_NAME_CHARACTERS:
            raise ValueError(f"the names in it have more than {_MOST_NAME_CHARACTERS} characters")
        if isinstance(value, kind):
            found[name] = (container, key)
        elif isinstance(value, Mapping) and id(value) not in seen:
            seen.add(id(value))
            inside = [one for one, inner in value.items() if isinstance(inner, kind | Mapping)]
            named = [(f"{name}.{_key_text(one)}" if name else _key_text(one), value, one) for one in inside]
            left += reversed(named)
    return found


def _key_text(key: object) -> str:
    """A key as text. Other types are named only by their type, because their text could exceed the memory."""
    return str(key) if isinstance(key, str | int | float | bytes) else f"<{type(key).__name__}>"


def _shape(tensor: Any) -> tuple[int, ...]:
    try:
        return tuple(tensor.shape)
    except RuntimeError:  # a nested tensor has no single shape
        return ()


def _read_safetensors(path: Path) -> State:
    file = opened_safetensors(path, "numpy")
    slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  it is not a mapping
    if not {part.get_dtype() for part in slices.values()} <= _NUMPY_KINDS:
        file = opened_safetensors(path, "pt")
    shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
    return State(shapes, file.get_tensor, metadata=file.metadata())


def opened_safetensors(path: Path, framework: str) -> Any:
    """Open a safetensors file; only its header is read."""
    with path.open("rb") as file:  # raises the usual errors if it is missing or a folder
        length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"its header has {length} bytes; {_LONGEST_HEADER} are the most that are read")
    from safetensors import safe_open

    return safe_open(path, framework)


WEIGHT_READERS: dict[str, Callable[[Path], State]] = {
    ".safetensors": _read_safetensors,
    ".pt": _read_pt,
    ".pth": _read_pt,
    ".npy": _read_npy,
}
"""The reader for each extension."""
