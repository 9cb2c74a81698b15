"""Where the outputs of a run go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from upsample_cli.atomic.folders import is_link
from upsample_cli.atomic.place import Place
from upsample_cli.batch.inputs import Found, is_folder
from upsample_cli.errors import Setting, UsageError, joined
from upsample_cli.images.formats import is_input_name

_GIVE_FOLDER = ("give ", Setting("output"), " a folder")


class Outputs(NamedTuple):
    """Where the outputs of a run go.

    Without arguments, an output goes to the folder of its input, and the outputs of an input folder go to its mirror,
    `FOLDER_xFACTOR`.

    Args:
        file: the only output.
        folder: the folder of all outputs, in which the trees of input folders are mirrored.
    """

    file: Path | None = None
    folder: Path | None = None

    def folder_of(self, found: Found, label: str) -> Path:
        """The folder that the output of an input goes to.

        Args:
            label: see `OutputSize.label`.

        Raises:
            UsageError: see `mirror`.
        """
        if found.folder is None:
            return self.folder or Path(found.path).parent
        return (self.folder or self.mirror(found.folder, label)) / Path(found.path).parent.relative_to(found.folder)

    def place_of(self, found: Found, label: str) -> Place | None:
        """The folder of the output as a `Place`; None if the user named the output itself.

        Raises:
            UsageError: see `mirror`.
        """
        if self.file is not None:
            return None
        if found.folder is None:
            named = self.folder or Path(found.path).parent
            return Place(named, named)
        base = self.folder or self.mirror(found.folder, label)
        return Place(self.folder or base.parent, base, Path(found.folder))

    def mirror(self, tree: str, label: str) -> Path:
        """The folder next to `tree` that receives its outputs.

        Raises:
            UsageError: if `tree` is a root, or the mirror is a link.
        """
        folder = Path(tree)
        # "." and ".." have no name to append the label to.
        root = folder if folder.name not in {"", ".."} else folder.resolve()
        if not root.name:
            raise UsageError(f"{root} cannot have a mirror next to it", _GIVE_FOLDER)
        mirror = root.with_name(f"{root.name}_{label}")
        if is_link(mirror):
            raise UsageError(
                f"{mirror} is a symbolic link, and outputs go through no link that you did not name",
                ("remove it, or give ", Setting("output", f"{mirror}/")),
            )
        return mirror


def outputs_of(output: str | None, inputs: Sequence[Found]) -> Outputs:
    """Interpret the `output` setting: a folder if it is one, ends in a slash or is for several images; or else a file.

    Raises:
        UsageError: if several outputs would go into one file.
    """
    if output is None:
        return Outputs()
    path = Path(output)
    if is_folder(path) or output.endswith(("/", os.sep)):
        return Outputs(folder=path)
    if len(inputs) == 1 and inputs[0].folder is None:
        return Outputs(file=path)
    if os.path.lexists(path):
        raise UsageError(f"{output} is a file, and there are several images to write", _GIVE_FOLDER)
    if is_input_name(path):
        raise UsageError(
            f"{output} is named like an image, and there are several to write",
            joined(_GIVE_FOLDER, f"; if it is to be one, write {output}/"),
        )
    return Outputs(folder=path)
