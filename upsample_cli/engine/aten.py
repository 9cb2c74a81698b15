"""Load the operators of ATen.

They come from libtorch's C interface (`libtorch.py`), which loads in a quarter of a second, or from Python's torch
(`pytorch.py`), which takes two seconds. Both run the same code.
"""

from __future__ import annotations

import sys

from upsample_cli.current_folder import check_current_folder
from upsample_cli.engine.library import NoOperatorsError, loading
from upsample_cli.engine.operators import Operators
from upsample_cli.errors import DeviceError

_loaded: Operators | None = None
_note = ""


def operators() -> Operators:
    """The operators of this process. The first call loads them, from Python's torch if it is already imported.

    Raises:
        DeviceError: if torch cannot be imported, or the process is exiting.
        UsageError: if the current folder does not exist.
    """
    global _loaded, _note  # noqa: PLW0603  one library for the process
    if _loaded is not None:
        return _loaded
    with loading():
        if _loaded is None:
            check_current_folder()
        if _loaded is None and "torch" not in sys.modules:
            from upsample_cli.engine.libtorch import LibTorch

            try:
                _loaded = LibTorch()
            except NoOperatorsError as error:
                _note = str(error)
        if _loaded is None:
            import_torch(_note)
        assert _loaded is not None
        return _loaded


def import_torch(reason: str) -> bool:
    """Use the operators of Python's torch from now on. Return False if they are already in use.

    Args:
        reason: why; see `import_note`.

    Raises:
        DeviceError: if torch cannot be imported, or the process is exiting.
    """
    global _loaded, _note
    with loading():
        try:
            from upsample_cli.engine.pytorch import PyTorch
        except (ImportError, OSError) as error:
            raise DeviceError(f"torch cannot be imported: {error}", "free some memory, or install it again") from error
        if isinstance(_loaded, PyTorch):
            return False
        _loaded, _note = PyTorch(), reason
        return True


def import_note() -> str:
    """Why this package imported Python's torch; empty if it did not, or if the caller had already imported it."""
    return _note
