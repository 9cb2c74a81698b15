"""Silence Pillow, libtiff, imagecodecs and tifffile while images are read, and replace Pillow's limits by ours."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from contextlib import AbstractContextManager, suppress
from typing import Any, cast

from PIL import Image, PngImagePlugin

from upsample_cli.forks import held_at_forks
from upsample_cli.images.codecs.libtiff_errors import set_libtiff_handler
from upsample_cli.images.limits import MAX_METADATA_BYTES

_LOGGERS = ("PIL", "imagecodecs")
"""Loggers that need a handler. Without one, logging prints their warnings, for example libpng's, to stderr."""


class _Quiet:
    """The threads inside `quiet_pillow`, and the state to restore after the last one."""

    def __init__(self) -> None:
        self._lock = held_at_forks()
        self._inside: list[int] = []
        self._limits: tuple[int | None, int, int] = (None, 0, 0)
        self._ignored: Any = None
        self._libtiff: Any = None
        self._handler = logging.NullHandler()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_other_threads)

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limits = _set_limits(None, MAX_METADATA_BYTES, MAX_METADATA_BYTES)
                warnings.filterwarnings("ignore", module=r"(PIL|tifffile)\.")
                self._ignored = warnings.filters[0]
                for name in _LOGGERS:
                    logging.getLogger(name).addHandler(self._handler)
                self._libtiff = set_libtiff_handler(None)
            self._inside.append(threading.get_ident())

    def __exit__(self, *_raised: object) -> None:
        with self._lock:
            thread = threading.get_ident()
            self._inside.remove(thread if thread in self._inside else self._inside[-1])  # it may have left for another
            if not self._inside:
                self._restore()

    def _restore(self) -> None:
        _set_limits(*self._limits)
        with suppress(ValueError):  # other code has replaced the filters
            cast("list[Any]", warnings.filters).remove(self._ignored)
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)
        set_libtiff_handler(self._libtiff)

    def _forget_other_threads(self) -> None:
        was_inside, own = bool(self._inside), threading.get_ident()
        self._inside = [thread for thread in self._inside if thread == own]
        if was_inside and not self._inside:
            self._restore()


_quiet = _Quiet()


def quiet_pillow() -> AbstractContextManager[None]:
    """Replace Pillow's limits by ours and silence Pillow, libtiff and tifffile, while a thread is in the `with` block.

    The limits and the warning filters are global. The first thread to enter changes them, and the last one to leave
    restores them.
    """
    return _quiet


def _set_limits(pixels: int | None, text_bytes: int, all_text_bytes: int) -> tuple[int | None, int, int]:
    """Set Pillow's limits for an image, for one text and for all texts of a PNG; return the previous limits."""
    before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    Image.MAX_IMAGE_PIXELS = pixels
    PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = text_bytes, all_text_bytes
    return before
