"""The table of image formats that are read and not written. No Pillow, no files."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class ReadFormat:
    """One image format.

    Args:
        name: its key in the table.
        title: the name for people.
        extensions: lower case, with the dot.
    """

    name: str
    title: str
    extensions: tuple[str, ...]


READ_ONLY: dict[str, ReadFormat] = {
    fmt.name: fmt
    for fmt in (
        ReadFormat("heic", "HEIC", (".heic", ".heif", ".hif")),
        ReadFormat("jpeg2000", "JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".jpc")),
        ReadFormat("psd", "PSD", (".psd", ".psb")),
        ReadFormat("tga", "TGA", (".tga",)),
        ReadFormat("ico", "ICO", (".ico", ".cur")),
        ReadFormat("qoi", "QOI", (".qoi",)),
        ReadFormat("dds", "DDS", (".dds",)),
        ReadFormat("hdr", "Radiance HDR", (".hdr",)),
    )
}

EXTRA, EXTRA_PACKAGE = "pip install 'upsample-cli[heif]'", "pillow_heif"
"""How to install what HEIC needs, and the package that is then there."""


@cache
def has_extra() -> bool:
    """Whether HEIC can be read. The package is not imported."""
    return importlib.util.find_spec(EXTRA_PACKAGE) is not None


def read_only_format(extension: str) -> ReadFormat | None:
    """The format with an extension, in lower case and with the dot; None if none that is only read has it.

    >>> read_only_format(".heif").title, read_only_format(".png")
    ('HEIC', None)
    """
    return next((fmt for fmt in READ_ONLY.values() if extension in fmt.extensions), None)
