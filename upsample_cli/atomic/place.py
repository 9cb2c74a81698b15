"""The folder of an output whose path the run chose in part. Plain data."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """The folder of an output, if the run chose a part of its path. A path that the user named in full has no `Place`.

    Args:
        named: a folder that the user named; it may be a link or be reached through links. Names below it come from
            inputs, and links below it are not followed.
        base: `named`, or the folder in it that the run names after `tree`.
        tree: the folder whose tree is mirrored below `base`; None if no tree is mirrored.
    """

    named: Path
    base: Path
    tree: Path | None = None

    def absolute(self) -> Place:
        """The same place with absolute paths."""
        return Place(self.named.absolute(), self.base.absolute(), self.tree and self.tree.absolute())

    def below(self, folder: Path, image: Path) -> list[tuple[Path, Path]]:
        """The folders from below `named` down to `folder`, each with the input folder whose permissions it gets.

        >>> place = Place(Path("."), Path("in_x2"), Path("in"))
        >>> [str(path) for pair in place.below(Path("in_x2/a/by name"), Path("in/a/b.png")) for path in pair]
        ['in_x2', 'in', 'in_x2/a', 'in/a', 'in_x2/a/by name', 'in/a']
        """
        mirrored = [image.parent]
        if self.tree is not None:
            inner = image.parent.relative_to(self.tree).parts
            mirrored = [self.tree.joinpath(*inner[:count]) for count in range(len(inner) + 1)]
        parts = folder.relative_to(self.named).parts
        ahead = len(self.base.relative_to(self.named).parts)  # folders before the mirrored part
        return [
            (self.named.joinpath(*parts[:count]), mirrored[min(max(count - ahead, 0), len(mirrored) - 1)])
            for count in range(1, len(parts) + 1)
        ]
