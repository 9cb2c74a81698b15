"""Enlarge images exactly with a bilinear transposed convolution, and work with that layer.

`import upsample_cli` is cheap: torch is imported when a name that needs it is first used.
"""

from __future__ import annotations

import importlib

from upsample_cli.version import __version__

TYPE_CHECKING = False  # as in `typing`, which would be imported before `cli.start` can handle Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from upsample_cli.batch.folder import FolderRun, upsample_folder
    from upsample_cli.engine.arrays import upsample
    from upsample_cli.engine.layer import bilinear_kernel, bilinear_layer
    from upsample_cli.enlarge.job import Result
    from upsample_cli.enlarge.run import upsample_file
    from upsample_cli.errors import UpsampleError

__all__ = [
    "FolderRun",
    "Result",
    "UpsampleError",
    "__version__",
    "bilinear_kernel",
    "bilinear_layer",
    "upsample",
    "upsample_file",
    "upsample_folder",
]

_HOMES = {
    "FolderRun": "upsample_cli.batch.folder",
    "Result": "upsample_cli.enlarge.job",
    "UpsampleError": "upsample_cli.errors",
    "bilinear_kernel": "upsample_cli.engine.layer",
    "bilinear_layer": "upsample_cli.engine.layer",
    "upsample": "upsample_cli.engine.arrays",
    "upsample_file": "upsample_cli.enlarge.run",
    "upsample_folder": "upsample_cli.batch.folder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from upsample_cli.forks import importing

    with importing:
        return getattr(importlib.import_module(_HOMES[name]), name)
