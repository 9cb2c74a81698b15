"""Output folders: reached without following links that the user did not name, and held open while in use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from upsample_cli.atomic.opened import has_acl
from upsample_cli.atomic.place import Place
from upsample_cli.errors import Setting, WritingError

_HOLDS_FOLDERS = {os.open, os.stat, os.mkdir, os.link, os.rename, os.unlink} <= os.supports_dir_fd
"""Whether files can be opened relative to an open folder. If not, as on Windows, paths are checked beforehand."""

_OPEN = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)  # O_PATH: the folder need not be readable
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


class Folder:
    """An open folder. Files are made and renamed in this folder even if its path now leads to another.

    Args:
        path: path of the folder; it must not be a link.
        descriptor: descriptor of the open folder; None if the system works with paths only.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self.descriptor = descriptor
        self._opened = None if descriptor is None else os.fstat(descriptor)

    def status(self, name: str, *, follow: bool = False) -> os.stat_result:
        """The status of a file in the folder; of the link itself if it is one and `follow` is False."""
        return os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=follow)

    def create(self, name: str, mode: int) -> int:
        """Create a file for reading and writing, and return its descriptor. Permissions are `mode` minus the umask."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _NO_FOLLOW
        return os.open(self._at(name), flags, mode, dir_fd=self.descriptor)

    def rename(self, name: str, new: str) -> None:
        """Rename a file and replace an existing one. A link is replaced, not followed."""
        os.replace(self._at(name), self._at(new), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def link(self, name: str, new: str) -> None:
        """Give a file a second name; unlike `rename`, this fails if the name exists."""
        os.link(
            self._at(name),
            self._at(new),
            src_dir_fd=self.descriptor,
            dst_dir_fd=self.descriptor,
            follow_symlinks=os.link not in os.supports_follow_symlinks,
        )

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self.descriptor)

    def is_there(self) -> bool:
        """Whether the path still leads to this folder."""
        return self.path.is_dir() if self._opened is None else self.is_at(self.path)

    def is_at(self, path: str | Path) -> bool:
        """Whether a path leads to this folder, which is open."""
        try:
            return self._opened is not None and os.path.samestat(self._opened, os.stat(path))  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _at(self, name: str) -> str | Path:
        return name if self.descriptor is not None else self.path / name


class _Kept:
    """The folder that `folder_kept_open` keeps open, and for which path and place it was opened.

    `below` are the folders of the path that must not be links.
    """

    stack: ExitStack | None = None
    key: tuple[str, Place] | None = None
    folder: Folder | None = None
    below: Sequence[Path] = ()


@contextmanager
def folder_kept_open() -> Iterator[None]:
    """In the `with` block, the folder of an output stays open for the next output if that goes to the same folder.

    Only one thread at a time may write outputs in it.
    """
    with ExitStack() as stack:
        _Kept.stack = stack
        try:
            yield
        finally:
            _Kept.stack = _Kept.key = _Kept.folder = None


def opened_folder(path: str, place: Place | None = None, image: Path | None = None) -> AbstractContextManager[Folder]:
    """Open the folder of an output.

    Args:
        path: path of the folder. Without `place` it must exist, and links in it are followed.
        place: if given, missing folders are made, and links below `place.named` are refused.
        image: the input of the output; required with `place`.

    Raises:
        WritingError: the path contains a link that the user did not name.
        OSError: the folder cannot be opened or made.
    """
    if place is not None and image is not None and _Kept.stack is not None:
        return nullcontext(_kept_folder(_Kept.stack, path, place, image))
    return _opened_once(Path(path), place, image)


@contextmanager
def _opened_once(path: Path, place: Place | None, image: Path | None) -> Iterator[Folder]:
    with ExitStack() as open_folders:
        if place is None or image is None:
            yield _opened(path, open_folders)
        else:
            yield _opened_place(path, place, image, open_folders)


def _kept_folder(stack: ExitStack, path: str, place: Place, image: Path) -> Folder:
    """The folder that is kept open; one that another path leads to now is opened again."""
    if _Kept.folder is None or _Kept.key != (path, place) or not _leads_to(path, _Kept.folder):
        _Kept.key = _Kept.folder = None
        stack.close()
        _Kept.folder = _opened_place(Path(path), place, image, stack)
        _Kept.key, _Kept.below = (path, place), [shown for shown, _ in place.below(Path(path), image)]
    return _Kept.folder


def _leads_to(path: str, folder: Folder) -> bool:
    """Whether the path, as the run named it, leads to the kept folder, and through no link below `Place.named`."""
    if folder.descriptor is None or any(map(os.path.islink, _Kept.below)):  # a path would follow a new link
        return False
    try:
        return folder.is_at(path)
    except OSError:  # opening it again reports that
        return False


def _opened_place(path: Path, place: Place, image: Path, open_folders: ExitStack) -> Folder:
    _make(place.named, [place.tree] if place.tree is not None and place.base == place.named else [])
    folder = _opened(Path(os.path.realpath(place.named)), open_folders)
    for shown, like in place.below(path, image):
        folder = _opened_below(folder, shown, [like], open_folders)
    return folder


def check_way(path: Path, place: Place) -> None:
    """Check for links that `opened_folder` would refuse.

    Raises:
        WritingError: the path contains a link that the user did not name.
    """
    made_up = len(path.relative_to(place.named).parts)
    for folder in [path, *path.parents][:made_up]:
        if is_link(folder):
            raise _linked(folder)


def make_bases(places: Iterable[Place]) -> None:
    """Make the base folders of a run. A folder that several trees share is as private as the most private tree.

    Errors are ignored here: the first image reports them.
    """
    trees: dict[tuple[Path, Path], set[Path]] = {}
    for place in set(places):
        if place.tree is not None:
            trees.setdefault((place.named, place.base), set()).add(place.tree)
    for (named, base), like in trees.items():
        with suppress(OSError, WritingError), ExitStack() as open_folders:
            if named == base:
                _make(named, like)
            else:
                _opened_below(_opened(Path(os.path.realpath(named)), open_folders), base, like, open_folders)


def _opened(path: Path, open_folders: ExitStack, parent: int | None = None) -> Folder:
    if not _HOLDS_FOLDERS:
        return Folder(path, None)
    name, flags = (path, _OPEN) if parent is None else (path.name, _OPEN | _NO_FOLLOW)
    descriptor = os.open(name, flags, dir_fd=parent)
    open_folders.callback(os.close, descriptor)
    return Folder(path, descriptor)


def _opened_below(folder: Folder, shown: Path, like: Iterable[Path], open_folders: ExitStack) -> Folder:
    """Open a subfolder of an open folder, and make it if it is missing."""
    path, parent = folder.path / shown.name, folder.descriptor
    with suppress(FileExistsError):
        os.mkdir(path if parent is None else path.name, _mode_like(like), dir_fd=parent)
    if is_link(path):
        raise _linked(shown)
    return _opened(path, open_folders, parent)


def _make(path: Path, like: Iterable[Path]) -> None:
    with suppress(FileExistsError):  # it is not a folder; opening it reports that
        path.mkdir(_mode_like(like), parents=True, exist_ok=True)


def _mode_like(folders: Iterable[Path]) -> int:
    """Permissions for a new folder: all for its owner, and for others only what all of these folders grant."""
    mode = 0o777
    for folder in folders:
        try:
            mode &= 0o700 if has_acl(folder) else folder.stat().st_mode | 0o700
        except OSError:
            mode = 0o700
    return mode


def _linked(path: Path) -> WritingError:
    cause = "is a symbolic link, and outputs go through no link that you did not name"
    return WritingError(path, cause, ("remove it, or give ", Setting("output"), " the folder that it leads to"))


def is_link(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a symbolic link or a Windows junction."""
    return Path(path).is_symlink() or (sys.version_info >= (3, 12) and os.path.isjunction(path))
