"""Paths that can be compared, made quickly for many files of few folders."""

from __future__ import annotations

import os


class RealPaths:
    """Resolves the links of paths' folders, asking the system once for each folder.

    The last part stays as it is: a link to an image is an input of its own, with a name of its own.

    >>> RealPaths()("/a/../b.png")
    '/b.png'
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str | os.PathLike[str]) -> str:
        """The path with the links of its folder resolved."""
        parent, name = os.path.split(path)
        if parent not in self._folders:
            self._folders[parent] = self.folder(parent)
        return os.path.join(self._folders[parent], name)  # noqa: PTH118

    def folder(self, path: str) -> str:
        """A folder's path with its links resolved."""
        return os.path.realpath(path)


class OnePaths(RealPaths):
    """One path for each folder, made yet or not, however it is reached: by mounts, by "a" for "A".

    It is the first that was asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[tuple[int, int], str] = {}

    def folder(self, path: str) -> str:
        """The path of a folder by which it was reached first."""
        there, missing = os.path.realpath(path), list[str]()
        while not os.path.lexists(there) and os.path.dirname(there) != there:  # noqa: PTH120
            there, name = os.path.split(there)
            missing.insert(0, name)
        try:
            status = os.stat(there)  # noqa: PTH116
        except OSError:
            return os.path.join(there, *missing)  # noqa: PTH118
        if status.st_ino:  # some file systems do not number their files
            there = self._first.setdefault((status.st_dev, status.st_ino), there)
        return os.path.join(there, *missing)  # noqa: PTH118
