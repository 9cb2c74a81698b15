"""Worker processes do not run the caller's script, as `multiprocessing` does to find what the script defines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from typing import Any

_MAIN = ("init_main_from_name", "init_main_from_path")
"""What tells a new process to import the main module of its parent. Source: multiprocessing/spawn.py, `prepare`."""


@contextmanager
def without_main_module(process_name: str) -> Iterator[None]:
    """Start processes of this name without the main module of this process.

    A script that calls `upsample_folder` outside of `if __name__ == "__main__":` would start again in each worker. Our
    workers need nothing from it. Processes with other names, which other threads may start, are not affected.
    """
    prepared = spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        data: dict[str, Any] = prepared(name)
        return {key: value for key, value in data.items() if name != process_name or key not in _MAIN}

    spawn.get_preparation_data = without_main
    try:
        yield
    finally:
        spawn.get_preparation_data = prepared
