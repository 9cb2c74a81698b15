"""Count the cost of a pickle before torch reads it. Nothing is unpickled here, and torch is not imported.

torch's weights-only reader runs no code, but it builds every object that a pickle describes. A few bytes can copy a
large list a million times; `bytearray(2**36)` fills the memory; hashing sixty nested tuples, each of which contains the
next one twice, takes years. So this module first follows the pickle's instructions with sizes in place of values.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from collections.abc import Callable
from typing import IO, Any

MOST_INSTRUCTIONS = 2**20
"""The most instructions of all pickles in a file: about 20,000 tensors. This module and torch need about a second each
for them."""

MOST_COPIED = 2**23
"""The most values that all calls may copy and all keys may hash."""

_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"
_VIEWS = {f"torch._utils._rebuild_{name}" for name in ("tensor", "tensor_v2", "tensor_v3", "meta_tensor_no_storage")}
"""Calls that make a tensor without copying; the third argument of the first three is its sizes."""
_WRAPPERS = {
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_qtensor",
    "torch.nn.parameter.Parameter",
}
_COPIES = {
    "collections.OrderedDict",
    "collections.Counter",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    "torch._utils._rebuild_sparse_tensor",
    "_codecs.encode",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("bytearray", "set", "complex")),
}


class Budget:
    """The cost of one file's pickles so far, and the storages that they have named."""

    def __init__(self) -> None:
        self.instructions = self.copied = 0
        self._storages: dict[str, str | int] = {}

    def copy(self, values: int) -> None:
        """Count values that are copied, hashed or visited."""
        self.copied += values
        if self.copied >= MOST_COPIED:
            raise ValueError(f"it would make {MOST_COPIED} values or more out of few")

    def name_storage(self, key: str | int) -> None:
        """Refuse a second spelling of a storage's name: torch ignores case, and reads a record once per spelling."""
        known = self._storages.setdefault(str(key).lower(), key)
        if (type(known), known) != (type(key), key):
            raise ValueError("it names one storage in two ways")


class _Value:
    """The size of an object that an instruction would make.

    Args:
        size: number of values in the object, where a shared value counts every time; characters of a text.
        parts: parts of a container.
        known: the value of a text or a whole number.
        final: whether the parts of a container can no longer change, as in a tuple.

    Attributes:
        elements: number of elements of a tensor; 0 for any other object.
    """

    __slots__ = ("elements", "is_final", "known", "parts", "size")

    def __init__(self, size: int = 1, parts: list[_Value] | None = None, known: str | int = "", *, final: bool = True):
        self.size, self.parts, self.known, self.is_final, self.elements = size, parts, known, final, 0


def check_pickle(file: IO[bytes], budget: Budget) -> None:
    r"""Refuse a pickle that would copy or hash far more than it contains.

    Raises:
        ValueError: if the pickle would do so, or is damaged.
        pickle.UnpicklingError: if the pickle calls a function that tensors do not need.

    >>> import io
    >>> check_pickle(io.BytesIO(pickle.dumps({"weight": [1.0, 2.0]}, protocol=2)), Budget())
    >>> check_pickle(io.BytesIO(b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R."), Budget())
    Traceback (most recent call last):
    ValueError: it would make 8388608 values or more out of few
    """
    machine = _Machine(budget)
    for code, argument, _ in pickletools.genops(file):
        budget.instructions += 1
        if budget.instructions > MOST_INSTRUCTIONS:
            raise ValueError(f"it has more than {MOST_INSTRUCTIONS} instructions")
        try:
            is_known = machine.follow(code.name, argument)
        except (IndexError, KeyError, AttributeError, TypeError):
            return  # malformed: torch also fails here
        if not is_known:
            return  # torch refuses this instruction


class _Machine:
    """The stack of a pickle. It follows the instructions that torch's weights-only reader knows."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.stack: list[_Value] = []
        self.below: list[list[_Value]] = []
        self.memo: dict[int, _Value] = {}

    def follow(self, name: str, argument: Any) -> bool:
        """Follow one instruction; False if torch does not know it."""
        if pushed := _PUSHED.get(name):
            self.stack.append(pushed(argument))
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif name in _TAKEN:
            _TAKEN[name](self, self._popped(name))
        else:
            return name in ("PROTO", "STOP")
        return True

    def _popped(self, name: str) -> list[_Value]:
        """Pop the values that an instruction takes off the stack: all above the mark, or a fixed number."""
        count = _COUNTS.get(name)
        if count is None:
            taken, self.stack = self.stack, self.below.pop()
            return taken
        return [self.stack.pop() for _ in range(count)][::-1]

    def _tuple(self, parts: list[_Value]) -> None:
        self.stack.append(_Value(1 + sum(part.size for part in parts), parts))

    def _append(self, added: list[_Value]) -> None:
        kept = self.stack[-1].parts
        if kept is not None:
            kept.extend(added)

    def _set(self, pairs: list[_Value]) -> None:
        for key in pairs[::2]:
            self.budget.copy(key.size if key.parts else 1)
        self._append(pairs)

    def _build(self, taken: list[_Value]) -> None:
        made, state = taken
        self.budget.copy(_copied(state, 1))
        made.elements = max(made.elements, _elements(state.parts or []))
        self.stack.append(made)

    def _call(self, taken: list[_Value]) -> None:
        called, given = taken
        self.stack.append(self._called(str(called.known), given.parts or []))

    def _called(self, name: str, given: list[_Value]) -> _Value:
        if name == _FROM_TYPE:
            made = self._called(str(given[0].known), given[2].parts or [])
            made.elements = max(made.elements, _elements(given[3].parts or []))
            return made
        is_tensor = name.startswith("torch.") and name.endswith("Tensor")
        if not (is_tensor or name in _VIEWS | _WRAPPERS | _COPIES):
            raise pickle.UnpicklingError(f"it calls {name}")
        size = sum(_copied(value, 2) for value in given)
        self.budget.copy(size)
        if is_tensor or name.endswith(".bytearray"):
            numbers = [abs(value.known) for value in given if isinstance(value.known, int)]
            self.budget.copy(math.prod(numbers) if numbers else 0)
        if name in _COPIES:  # a tensor given as a list is split into its elements
            self.budget.copy(sum(_looked_at(value) for value in given))
        made = _Value(1 + 4 * size, [], final=False)  # encoded text has up to four bytes per character
        if name in _VIEWS:
            made.elements = _elements(given)
        elif name in _WRAPPERS:
            made.elements = max((value.elements for value in given), default=0)
        return made

    def _storage(self, taken: list[_Value]) -> None:
        parts = taken[0].parts or []
        if len(parts) > 2:
            if parts[2].parts is not None or parts[2].known == "":
                raise ValueError("a storage in it has no name")
            self.budget.name_storage(parts[2].known)
        self.stack.append(_Value())


def _copied(value: _Value, levels: int) -> int:
    """The number of values that a copy or a hash visits, counted through the parts that containers have now."""
    if value.is_final or not levels:
        return value.size
    total = value.size
    for part in value.parts or []:
        total += _copied(part, levels - 1) if part.parts else 1
        if total >= MOST_COPIED:
            break
    return total


def _looked_at(value: _Value) -> int:
    """The number of elements that a call visits which splits the tensors in its argument."""
    return value.elements + sum(part.elements for part in value.parts or [])


def _elements(arguments: list[_Value]) -> int:
    """The number of elements of a tensor made from (storage, offset, sizes, ...)."""
    sizes = arguments[2].parts if len(arguments) > 2 else None
    numbers = [size.known for size in sizes or [] if isinstance(size.known, int)]
    return abs(math.prod(numbers)) if numbers else 0


def _text(argument: Any) -> _Value:
    return _Value(1 + len(argument), known=argument if isinstance(argument, str) else repr(argument))


_ONE = _Value()
_PUSHED: dict[str, Callable[[Any], _Value]] = {
    **dict.fromkeys(("NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT"), lambda _: _ONE),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1"), lambda number: _Value(known=number)),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINSTRING"), _text),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"), lambda _: _Value(parts=[], final=False)),
    "EMPTY_TUPLE": lambda _: _Value(parts=[]),
    "GLOBAL": lambda name: _Value(known=name.replace(" ", ".")),
}
"""The value that each instruction pushes on the stack."""

_COUNTS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 1, "SETITEM": 2, "BUILD": 2, "REDUCE": 2, "NEWOBJ": 2}
_COUNTS["BINPERSID"] = 1
_TAKEN: dict[str, Callable[[_Machine, list[_Value]], None]] = {
    **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), _Machine._tuple),
    **dict.fromkeys(("APPEND", "APPENDS"), _Machine._append),
    **dict.fromkeys(("SETITEM", "SETITEMS"), _Machine._set),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine._call),
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._storage,
}
"""The method that handles the values that each instruction pops."""
