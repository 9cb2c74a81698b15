"""Where the outputs of a run go."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upsample_cli.atomic.folders import Place, is_link
from upsample_cli.batch.inputs import Found, is_folder
from upsample_cli.errors import UsageError
from upsample_cli.images.formats import format_of_path


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the outputs of a run go.

    Args:
        file: the one output of the one input.
        folder: the folder of all outputs, trees mirrored below it. Neither: beside the inputs, and for a folder input
            its mirror `FOLDER_xFACTOR`.
    """

    file: Path | None = None
    folder: Path | None = None

    def folder_of(self, found: Found, label: str) -> Path:
        """The folder an input's output goes to.

        Args:
            label: of `targets.Outputs`.

        Raises:
            UsageError: if there is no place for it.
        """
        if found.folder is None:
            return self.folder or found.path.parent
        return _mirrored(self, os.path.dirname(found.path), found.folder, label)  # noqa: PTH120  often: no Path is made

    def place_of(self, found: Found, label: str) -> Place | None:
        """Of that folder, what the user named; None if the output is named whole.

        Raises:
            UsageError: if there is no place for it.
        """
        if self.file is not None:
            return None
        if found.folder is None:
            named = self.folder or found.path.parent
            return Place(named, named)
        base = self.folder or self.mirror(found.folder, label)
        return Place(self.folder or base.parent, base, found.folder)

    def mirror(self, folder: Path, label: str) -> Path:
        """The folder beside a folder that takes the outputs of its tree.

        Raises:
            UsageError: if there is no place for it.
        """
        # "." and ".." have no name to make another of.
        root = folder if folder.name not in {"", ".."} else folder.resolve()
        if not root.name:
            raise UsageError(f"there is no place beside {root} for its mirror", "give --output a folder")
        mirror = root.with_name(f"{root.name}_{label}")
        if is_link(mirror):
            raise UsageError(
                f"{mirror} is a symbolic link, and outputs go through no link that you did not name",
                f"remove it, or give --output {mirror}/",
            )
        return mirror


@functools.lru_cache(maxsize=16)
def _mirrored(outputs: Outputs, parent: str, folder: Path, label: str) -> Path:
    return (outputs.folder or outputs.mirror(folder, label)) / Path(parent).relative_to(folder)


def outputs_of(output: str | None, inputs: Sequence[Found]) -> Outputs:
    """What `--output` means: a file for one image, else a folder; also a folder if it is one or ends in a slash.

    Raises:
        UsageError: if several outputs were to go into one file.
    """
    if output is None:
        return Outputs()
    path = Path(output)
    if is_folder(path) or output.endswith(("/", os.sep)):
        return Outputs(folder=path)
    if len(inputs) == 1 and inputs[0].folder is None:
        return Outputs(file=path)
    if os.path.lexists(path):
        raise UsageError(f"{output} is a file, and there are several images to write", "give --output a folder")
    if format_of_path(path) is not None:
        raise UsageError(
            f"{output} is named like an image, and there are several to write",
            f"give --output a folder; if it is to be one, write {output}/",
        )
    return Outputs(folder=path)
