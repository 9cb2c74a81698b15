"""Sets the error handler of the libtiff inside Pillow. Pillow silences only its warnings.

`engine.library` imports this module before libtorch, so it imports as little as possible.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from PIL import _imaging


def set_libtiff_handler(handler: int | None) -> int | None:
    """Set the error handler, None for silence; return the previous handler.

    If the libtiff inside Pillow cannot be found, errors are still printed.
    """
    return _set_handler(handler) if _set_handler is not None else None


def _libtiff_setter() -> Callable[[int | None], int | None] | None:
    with suppress(AttributeError, OSError):
        set_handler = ctypes.CDLL(cast("Any", _imaging).__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        return cast("Callable[[int | None], int | None]", set_handler)
    return None


_set_handler = _libtiff_setter()  # now, because loading a library waits while another one is loaded
