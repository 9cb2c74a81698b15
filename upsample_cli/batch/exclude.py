"""What a walk through folders leaves out: the litter of systems, and what the user excludes by patterns."""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upsample_cli.errors import Setting, UsageError
from upsample_cli.images.formats import format_of_path

_LITTER = frozenset(
    (
        "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot",  # network storage: Synology, QNAP
        "$recycle.bin", "recycler", "system volume information",  # Windows
        "__macosx",  # archives made by macOS
    )
)  # fmt: skip
"""Names, in small letters, of folders with thumbnails, deleted files and old versions, which a system made."""

_HIDDEN_LITTER = (".thumbnails", ".trash")
_LITTER_FILES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini"))
_APPLE_DOUBLE = "._"
"""Begins the names of files that hold what another file system cannot store of a Mac's files."""

_STAR = "[^/]*"
"""A star of a pattern in its regular expression."""

_ANY = "[^/]"
"""A question mark. Other sets of characters may contain "/", as the library writes them."""

_NOT_FIXED, _ESCAPED = set("/()|+*?{}["), re.compile(r"\\.", re.DOTALL)
_IGNORES_CASE = os.name == "nt"
_Decision = tuple[bool, int]
"""Whether a path is excluded, and the index of the pattern that decides."""


@dataclass(slots=True)
class Exclusion:
    """What is left out of folders, and how much that was. Hidden files and folders are left out in any case.

    Args:
        patterns: as in a .gitignore file, each for a path below the folder that the user named; the last one that
            matches decides. A "#" at the start is part of the name.

    Raises:
        UsageError: if a pattern cannot match anything.

    >>> rules = Exclusion(("*.tmp.png", "raw/", "!raw/best.png"))
    >>> [rules.is_excluded(path) for path in ("a.tmp.png", "a/raw/b.png", "raw/best.png", "c.png")]
    [True, True, False, False]
    """

    patterns: Sequence[str] = ()
    litter: Counter[str] = field(default_factory=Counter)
    """How many folders and files of each name were left out as litter."""
    files: int = 0
    """How many images were left out by a pattern."""
    folders: int = 0
    """How many folders were left out by a pattern, with all that is in them."""
    _matches: Callable[[str], bool] | None = None
    _reopens: bool = False

    def __post_init__(self) -> None:
        if self.patterns:
            self._matches = _matcher(self.patterns)
            self._reopens = any(pattern.startswith("!") for pattern in self.patterns)

    def clear(self) -> None:
        """Count from zero, for the next walk through the same folders."""
        self.litter.clear()
        self.files = self.folders = 0

    @property
    def causes(self) -> dict[str, int]:
        """What was left out, as words for people, with how much that was.

        >>> Exclusion(litter=Counter({"@eaDir": 2, "__MACOSX": 1}), files=3).causes
        {'excluded: 3 images': 3, 'made by systems: @eaDir 2, __MACOSX 1': 3}
        """
        counted = ((self.files, "image"), (self.folders, "folder"))
        excluded = " and ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in counted if count)
        litter = ", ".join(f"{name} {count:,}" for name, count in sorted(self.litter.items()))
        found = {
            f"excluded: {excluded}": self.files + self.folders,
            f"made by systems: {litter}": self.litter.total(),
        }
        return {cause: count for cause, count in found.items() if count}

    def is_excluded(self, path: str) -> bool:
        """Whether the patterns exclude a path, which has "/" between its parts, and at its end if it is a folder."""
        return self._matches is not None and self._matches(path)

    def leaves_out(self, path: Path) -> bool:
        """Whether the patterns exclude a file that the user named, by its path as typed. It is counted."""
        if self._matches is None or not self._matches(_typed(path)):
            return False
        self.files += 1
        return True

    def kept(
        self, entries: Iterable[os.DirEntry[str]], here: Path, top: Path, *, recursive: bool
    ) -> Iterator[os.DirEntry[str]]:
        """The entries of a folder that are neither hidden nor litter nor excluded; the others are counted.

        Args:
            here: the folder.
            top: the folder that the user named, which patterns are relative to.
            recursive: whether its subfolders are searched.
        """
        matches = self._matches
        prefix = "" if matches is None or here == top else f"{here.relative_to(top).as_posix()}/"
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                self._count_hidden(name, recursive)
            elif name.lower() in _LITTER:
                self._count_litter(name, recursive)
            elif matches is None or not self._excludes(entry, prefix + name, recursive=recursive):
                yield entry

    def _count_hidden(self, name: str, recursive: bool) -> None:
        if name.startswith(_APPLE_DOUBLE):
            self._count_litter(_APPLE_DOUBLE + "*", format_of_path(name) is not None)
        elif name.lower().startswith(_HIDDEN_LITTER):
            self._count_litter(name, recursive)

    def _count_litter(self, name: str, would_be_used: bool) -> None:
        if would_be_used:
            self.litter[name] += 1

    def _excludes(self, entry: os.DirEntry[str], path: str, *, recursive: bool) -> bool:
        if entry.is_dir(follow_symlinks=False):
            if self._reopens or not recursive or not self.is_excluded(f"{path}/"):
                return False  # a pattern with "!" may keep something below
            self.folders += 1
            return True
        if not self.is_excluded(path):
            return False
        self.files += format_of_path(path) is not None
        return True


def is_litter(path: Path, named: Path) -> bool:
    """Whether a path that a pattern of the user found is litter, or is in it, and the user did not write its name.

    >>> is_litter(Path("a/@eaDir/b.jpg"), Path("a/**/*.jpg")), is_litter(Path("@eaDir/b.jpg"), Path("@eaDir/*"))
    (True, False)
    """
    parts = {part for part in path.parts if part.lower() in _LITTER or part.lower() in _LITTER_FILES}
    return not parts <= set(named.parts)


def _typed(path: Path) -> str:
    """A path as the user typed it, as one below the current folder."""
    parts = path.as_posix().split("/")
    return "/".join(part for part in parts if part not in ("", ".."))


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    from pathspec import PathSpec  # imported only if there are patterns
    from pathspec.patterns.gitignore import GitIgnorePatternError

    lines = [_line(pattern) for pattern in patterns]
    for pattern, line in zip(patterns, lines, strict=True):
        try:
            PathSpec.from_lines("gitignore", [line], backend="simple")
            is_empty = not line.strip("!/ \t\n")
        except (GitIgnorePatternError, re.error):  # re.error: a range of characters such as [b-a]
            is_empty = True
        if is_empty:
            cause = (Setting("exclude", repr(pattern)), " cannot match anything")
            raise UsageError(cause, "give a pattern such as '*.tmp.png', raw/ or /top/only")
    of_folder = _quick(PathSpec.from_lines("gitignore", lines, backend="simple"))
    # A pattern that ends in "/" is for folders, and `decided_above` asks about those above a file. A comment in its
    # place keeps the indexes of the other patterns.
    others = ["#" if line.rstrip().endswith("/") else line for line in lines]
    of_file = _quick(PathSpec.from_lines("gitignore", others, backend="simple"))

    def decided(path: str) -> _Decision:
        found = (of_folder if path.endswith("/") else of_file)(path)
        if found.include:
            return True, found.index or 0
        above = decided_above(path.rstrip("/").rpartition("/")[0])
        is_kept = found.include is False and (found.index or 0) > above[1]
        return (False, found.index or 0) if is_kept else above

    @functools.lru_cache(maxsize=1024)
    def decided_above(folder: str) -> _Decision:
        return decided(f"{folder}/") if folder else (False, -1)

    return lambda path: decided(path.lower() if _IGNORES_CASE else path)[0]


def _quick(rules: Any) -> Callable[[str], Any]:
    """How the rules decide about a path: in little time, also if a pattern has many stars."""
    for pattern in rules.patterns:
        if pattern.regex is not None:
            pattern.regex = re.compile(_with_fixed_stars(pattern.regex.pattern))
    check_file: Callable[[str], Any] = rules.check_file
    return check_file


def _with_fixed_stars(expression: str) -> str:
    """The regular expression of a pattern in which a star stops at the first place where the text after it matches.

    What follows has a fixed length, and after it comes another star of the same name. So if the rest matches at all,
    it also matches after the first place where it is found.

    >>> _with_fixed_stars("^[^/]*a[^/]*b[^/]*c$")
    '^(?>[^/]*?a)(?>[^/]*?b)[^/]*c$'
    """
    first, *others = expression.split(_STAR)
    made = [first]
    for index, piece in enumerate(others, start=1):
        is_fixed = index < len(others) and not _NOT_FIXED & set(_ESCAPED.sub("", piece.replace(_ANY, "")))
        made.append(f"(?>{_STAR}?{piece})" if is_fixed else _STAR + piece)
    return "".join(made)


def _line(pattern: str) -> str:
    """A pattern as a line of a .gitignore file, in which "#" begins a comment. Names on Windows ignore case."""
    line = f"\\{pattern}" if pattern.startswith("#") else pattern
    return line.lower() if _IGNORES_CASE else line
