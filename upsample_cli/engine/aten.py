"""Where the operators of ATen come from.

They come through libtorch's C interface (`libtorch.py`), which starts in a quarter of a second, or through Python's
torch (`pytorch.py`), which takes two. Both run the same code.
"""

from __future__ import annotations

import sys
from threading import RLock

from upsample_cli.engine.library import NoOperatorsError
from upsample_cli.engine.operators import Operators
from upsample_cli.errors import DeviceError

_lock = RLock()
_loaded: Operators | None = None
_note = ""


def operators() -> Operators:
    """The operators of this process, loaded on the first call: from Python's torch if it is imported already."""
    global _loaded, _note  # noqa: PLW0603  one library for the process
    with _lock:
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
    """Take the operators from Python's torch from now on. False if they come from there already.

    Args:
        reason: for `import_note`.

    Raises:
        DeviceError: if torch cannot be imported.
    """
    global _loaded, _note
    with _lock:
        try:
            from upsample_cli.engine.pytorch import PyTorch
        except (ImportError, OSError) as error:
            raise DeviceError(f"torch cannot be imported: {error}", "install it again") from error
        if isinstance(_loaded, PyTorch):
            return False
        _loaded, _note = PyTorch(), reason
        return True


def import_note() -> str:
    """Why Python's torch had to be imported to compute; empty if it was not, or if the caller had imported it."""
    return _note
