"""Find and load the library of the installed torch. Loading begins with the process, so imports here are few."""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib
import importlib.util
import itertools
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from upsample_cli.current_folder import restore_variable
from upsample_cli.engine.drivers import has_cuda_driver
from upsample_cli.errors import DeviceError
from upsample_cli.forks import held_at_forks

_OLDEST, _NEWEST = (2, 10), (2, 99)
"""The versions of torch that have this interface."""

_LIBRARIES = {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}
_LAZILY = 1  # RTLD_LAZY on Linux and macOS; resolving all symbols at once takes a tenth of a second longer

_EXTENSIONS = (
    "_bisect", "_bz2", "_contextvars", "_datetime", "_decimal", "_heapq", "_json", "_lzma",
    "_opcode", "_pickle", "_posixsubprocess", "_queue", "_random", "_sha512", "_struct", "_uuid",
    "array", "binascii", "fcntl", "math", "mmap", "select", "termios", "unicodedata", "zlib",
    "upsample_cli.images.codecs.libtiff_errors", "numpy", "imagecodecs._jpeg8", "isal.isal_zlib",
    "upsample_cli.images.codecs.png._unfilter", "upsample_cli.engine.native._kernels",
)  # fmt: skip
"""Modules of most runs that load libraries. The system loads one library at a time: later, they would wait for
libtorch."""

_OF_FORMATS = {
    "webp": ("imagecodecs._webp", "PIL._webp"), "avif": ("PIL._avif", "PIL._webp"), "jxl": ("imagecodecs._jpegxl",),
}  # fmt: skip
"""The same for images of a format, by its extension."""

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""Environment variable: how many threads numpy's linear algebra library starts when it is loaded. They compute nothing
here, and take a tenth of a second of processor time."""


_loading = held_at_forks()
_is_exiting = False


class NoOperatorsError(Exception):
    """The operators are not available in this way. The text of the exception is a short reason."""


def begin_loading(names: Sequence[str] = ()) -> threading.Thread:
    """Load the library in a thread, while Python imports the rest of the program. Returns the thread.

    Args:
        names: names of images or of formats; other texts are ignored.
    """
    formats = dict.fromkeys(re.split("[.=]", name)[-1].lower() for name in names)
    before = os.environ.get(_BLAS_THREADS)
    os.environ[_BLAS_THREADS] = "1"
    for name in itertools.chain(_EXTENSIONS, *(_OF_FORMATS.get(name, ()) for name in formats)):
        with suppress(Exception):  # it fails again, with a message, where the module is needed
            importlib.import_module(name)
    restore_variable(_BLAS_THREADS, before)
    has_cuda_driver()  # loads the driver, and caches the answer
    loading = threading.Thread(target=_load, name="upsample-load", daemon=True)
    with suppress(RuntimeError):  # the system has no more threads
        loading.start()
    return loading


def _load() -> None:
    with suppress(Exception):  # it fails again, with a message, when the library is needed
        load_library(library_path())


@functools.cache  # the guard of torch's import loads the driver of a GPU, which waits as well
def library_path() -> Path:
    """The path of the installed torch's library.

    Raises:
        NoOperatorsError: if torch is not installed, or its version is unknown.
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


@contextmanager
def loading() -> Iterator[None]:
    """Load a library in the `with` block. One thread at a time is in it, and the process neither forks nor exits then.

    A forked process would wait for the thread that loads. When a process exits, the system destroys what libraries have
    made, and a thread that is still making it crashes. Python waits for threads, but not for daemons.

    Raises:
        DeviceError: if the process is exiting.
    """
    with _loading:
        if _is_exiting:
            raise DeviceError("torch cannot be loaded while the program ends", "enlarge images before its end")
        yield


@atexit.register
def _end_loading() -> None:
    global _is_exiting  # noqa: PLW0603  a state of the process
    with _loading:
        _is_exiting = True


def load_library(path: Path) -> None:
    """Load the library without holding Python's global lock, which `ctypes.CDLL` would hold.

    Raises:
        DeviceError: if the process is exiting.
    """
    if sys.platform != "win32":
        with loading():
            _dlopen()(os.fsencode(path), _LAZILY)


@functools.cache  # to look it up waits for a library that is being loaded, and holds the global lock meanwhile
def _dlopen() -> Any:
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    return dlopen
