"""Where the library of the installed torch is, and how it is loaded. Without numpy: it begins with the process."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import re
import sys
import threading
from contextlib import suppress
from pathlib import Path

_OLDEST, _NEWEST = (2, 10), (2, 99)
"""Versions of torch that keep the interface."""

_LIBRARIES = {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}
_LAZILY = 1  # RTLD_LAZY on Linux and macOS: resolving all symbols at once takes a tenth of a second more

_EXTENSIONS = (
    "_bisect", "_blake2", "_bz2", "_contextvars", "_datetime", "_decimal", "_hashlib", "_heapq", "_json", "_lzma",
    "_opcode", "_pickle", "_posixsubprocess", "_queue", "_random", "_sha512", "_struct", "_uuid",
    "array", "binascii", "fcntl", "math", "mmap", "select", "termios", "unicodedata", "zlib",
)  # fmt: skip
"""Compiled modules of Python that the command imports before numpy. Each would wait until libtorch is loaded."""


class NoOperatorsError(Exception):
    """The operators are not available in this way; its text is the reason, in a few words."""


def begin_loading() -> None:
    """Load the library in a thread, while Python imports the rest of the program: the system loads one at a time."""
    for name in _EXTENSIONS:
        with suppress(ImportError):
            importlib.import_module(name)
    threading.Thread(target=_load, name="upsample-load", daemon=True).start()


def _load() -> None:
    with suppress(Exception):  # it fails again, with a message, where it is needed
        load_library(library_path())


def library_path() -> Path:
    """The library of the installed torch.

    Raises:
        NoOperatorsError: if there is none, or its version is unknown.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        raise NoOperatorsError("torch is not installed")
    folder = Path(spec.submodule_search_locations[0])
    try:
        found = re.search(r"__version__ = '((\d+)\.(\d+)[^']*)'", (folder / "version.py").read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        found = None
    if found is None or not _OLDEST <= (int(found[2]), int(found[3])) <= _NEWEST:
        raise NoOperatorsError(f"torch {found[1] if found else 'of no version'} is not known to have the C interface")
    return folder / "lib" / _LIBRARIES.get(sys.platform, "libtorch_cpu.so")


def load_library(path: Path) -> None:
    """Load the library without Python's global lock, which `ctypes.CDLL` keeps while it loads."""
    if sys.platform == "win32":
        return
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    dlopen(os.fsencode(path), _LAZILY)
