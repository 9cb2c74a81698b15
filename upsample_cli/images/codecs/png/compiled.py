"""The compiled module of `unfilter.cpp`, which is optional."""

from __future__ import annotations

import contextlib
import importlib
from functools import cache
from typing import Any


@cache
def compiled() -> Any:
    """The module; None if it was not built."""
    with contextlib.suppress(ImportError):
        return importlib.import_module("upsample_cli.images.codecs.png._unfilter")
    return None
