"""The current folder may contain files of other people: code in it is neither imported nor loaded as a library."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from upsample_cli.errors import UsageError
from upsample_cli.forks import held_at_forks

_SAFE_PATH = "PYTHONSAFEPATH"
_PACKAGES = Path(__file__).parent.parent
_DRIVER = "libcuda.so.1"
_PROCESSORS = {
    *("glibc-hwcaps", "x86-64-v2", "x86-64-v3", "x86-64-v4"),
    *("tls", "x86_64", "haswell", "xeon_phi", "avx512_1", "aarch64", "atomics"),  # glibc before 2.37
}
"""Subfolders that the dynamic loader searches before the folder itself; they may be nested."""

_lock = held_at_forks()
_entered = 0
_undo = ExitStack()


@contextmanager
def distrust_current_folder() -> Iterator[None]:
    """Keep this process, and processes that it starts inside the `with` block, from running code in the current folder.

    Python puts that folder first in `sys.path` for `python -c` and `python -m`, and `multiprocessing` starts its
    processes with `python -c`. Entries from PYTHONPATH stay. Several threads may use this at the same time.
    """
    global _entered  # noqa: PLW0603  the environment and sys.path are global too
    with _lock:
        if not _entered:
            _enter(_undo)
        _entered += 1
    try:
        yield
    finally:
        with _lock:
            _entered -= 1
            if not _entered:
                _undo.close()


def check_current_folder() -> None:
    """Refuse to work in a folder that was removed: a library of torch ends the process there.

    Raises:
        UsageError: if the current folder does not exist.
    """
    try:
        os.getcwd()  # noqa: PTH109  pathlib's function makes a path of it
    except FileNotFoundError:
        raise UsageError("the current folder no longer exists", "change to another folder") from None


def check_child_flags() -> None:
    """Refuse to start Python processes that would ignore PYTHONSAFEPATH.

    Raises:
        UsageError: if this process was started with -E alone, which `multiprocessing` passes on.
    """
    if sys.flags.ignore_environment and not sys.flags.safe_path:
        cause = "Python was started with -E, and worker processes would import modules from the current folder"
        raise UsageError(cause, "start it with -P too, or with -I")


def _enter(undo: ExitStack) -> None:
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    undo.callback(restore_variable, _SAFE_PATH, before)
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    # Code from the current folder is trusted if PYTHONPATH names it or this package was imported from it.
    is_trusted = any(_is_current_folder(entry) for entry in (*named, str(_PACKAGES)))
    for index, entry in reversed(list(enumerate(sys.path))):
        # Entries of editable installs are not paths, but would match a subfolder of that name.
        is_relative = not Path(entry).is_absolute() and entry not in named
        if not is_trusted and (is_relative or _is_current_folder(entry)):
            undo.callback(sys.path.insert, index, entry)
            del sys.path[index]
    guard = _TorchGuard()
    sys.meta_path.insert(0, guard)
    undo.callback(sys.meta_path.remove, guard)


def restore_variable(name: str, value: str | None) -> None:
    """Restore an environment variable to the value that it had before; None if it was not set."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _is_current_folder(entry: str) -> bool:
    try:
        return not entry or Path(entry).samefile(os.curdir)
    except OSError:  # one of the two does not exist
        return False


class _TorchGuard:
    """Checks the current folder before torch is imported: a finder in `sys.meta_path` that never finds a module.

    NVIDIA's libcusparseLt, which comes with torch for CUDA, has an empty entry in its RUNPATH and loads the driver of
    the GPU by name. So `libcuda.so.1` in the current folder would be loaded instead of the system's.
    """

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torch":
            load_driver()
        return None


def load_driver() -> None:
    """Load the system's GPU driver, so that it is the one used later. Without one, check the current folder.

    Raises:
        UsageError: if the current folder has a file that would be loaded as the driver.
    """
    if sys.platform != "linux":
        return
    import ctypes

    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        for found in _drivers_below(Path()):
            cause = f"{found} in the current folder would be loaded as the driver of a GPU"
            raise UsageError(cause, "remove it, or run the command from another folder") from None


def _drivers_below(folder: Path, depth: int = 3) -> Iterator[Path]:
    if os.path.lexists(folder / _DRIVER):
        yield folder / _DRIVER
    for name in _PROCESSORS if depth else ():
        if (folder / name).is_dir():
            yield from _drivers_below(folder / name, depth - 1)
