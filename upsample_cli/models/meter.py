"""Counts the memory of torch's tensors, to measure what a network needs and to stop one that needs too much."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MeterError(RuntimeError):
    """The limit of a meter."""


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The memory of all tensors that are made inside a `with` block.

    Args:
        most_bytes: the most memory of all tensors that exist at the same time; None for no limit.
        most_calls: the most operators that may be called; None for no limit.
    """

    def __init__(self, most_bytes: int | None = None, most_calls: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = self.live_bytes = self.calls = 0
        self._most_bytes, self._most_calls = most_bytes, most_calls
        self._known = set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call an operator, and count the memory of its results."""
        made = func(*args, **(kwargs or {}))
        self.calls += 1
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        if self._most_calls is not None and self.calls > self._most_calls:
            raise MeterError(f"it takes more than {self._most_calls} operators")
        if self._most_bytes is not None and self.live_bytes > self._most_bytes:
            raise MeterError(f"it takes more than {self._most_bytes >> 20} MiB")
        return made

    def _add(self, storage: Any) -> None:
        key, size_bytes = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.live_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)
            weakref.finalize(storage, self._drop, key, size_bytes)

    def _drop(self, key: int, size_bytes: int) -> None:
        self._known.discard(key)
        self.live_bytes -= size_bytes
