"""Paths that can be compared, made quickly for many files of few folders."""

from __future__ import annotations

import os


class RealPaths:
    """Resolves the links of paths' folders, asking the system once for each folder.

    The last part stays as it is: a link to a picture is an input of its own, with a name of its own.

    >>> RealPaths()("/a/../b.png")
    '/b.png'
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str | os.PathLike[str]) -> str:
        """The path with the links of its folder resolved."""
        parent, name = os.path.split(path)
        if parent not in self._folders:
            self._folders[parent] = os.path.realpath(parent)
        return os.path.join(self._folders[parent], name)  # noqa: PTH118
