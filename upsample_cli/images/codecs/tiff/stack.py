"""Read a TIFF with several grey pages of one size as a volume, with the numbers as stored, in any type.

tifffile calls this a series, but its reader follows the names of other files that a TIFF may contain.
"""

from __future__ import annotations

import os
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import ImageError, Setting
from upsample_cli.images.codecs.input_file import Input, opened_file, shown_name
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.codecs.tiff.pages import first_pages
from upsample_cli.images.codecs.tiff.reader import opened_tiff, tifffile_page
from upsample_cli.images.codecs.tiff.segments import Segments
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.metered import header_read
from upsample_cli.images.space import size_text

if TYPE_CHECKING:
    from tifffile import TiffPage

MAX_STACK_SAMPLES = 1 << 29
"""The most samples: as many as `tconv run` accepts in a sound or an array."""
MAX_STACK_BYTES = 4 << 30
"""The most bytes: the volume is in memory as a whole, and more than once."""


def is_stack(path: Path) -> bool:
    """Whether a file is a TIFF with several grey pages of one size and type."""
    try:
        with quiet_pillow(), opened_file(path) as file:
            return len(_pages(file, os.fspath(path))) > 1
    except ImageError:
        return False


def read_stack(source: Input) -> NDArray[Any]:
    """Read the pages of a TIFF as an array (pages, height, width).

    Raises:
        ImageError: the file cannot be read, is not a stack of grey pages, or does not fit into memory.
    """
    name = shown_name(source)
    with quiet_pillow(), opened_file(source) as file:
        pages = _pages(file, name)
        if not pages:
            cause = "is not a stack of grey pages of one size"
            raise ImageError(name, cause, ("give ", Setting("axes", 2)), kind="unsupported")
        height, width = pages[0].shape
        dtype = np.dtype(pages[0].dtype)
        samples = len(pages) * height * width
        size_bytes, cause = samples * dtype.itemsize, ""
        if samples > MAX_STACK_SAMPLES:
            cause = f"has more than {MAX_STACK_SAMPLES} samples"
        elif size_bytes > MAX_STACK_BYTES:
            size = f"{len(pages)} pages of {width}×{height} take {size_text(size_bytes)}"
            cause = f"{size}, more than {size_text(MAX_STACK_BYTES)}"
        if cause:
            raise ImageError(name, cause, "cut it into smaller ones", kind="too-large")
        with readable(name, FORMATS["tiff"]):
            volume = np.empty((len(pages), height, width), dtype)
            for page, target in zip(pages, volume, strict=True):
                target[:] = Segments(page, file, name).box(0, height, 0, width, (0,))[..., 0]
    return volume


def _pages(file: BinaryIO, name: str) -> list[TiffPage]:
    """The pages, if they are grey and have the same size and type; otherwise an empty list."""
    with header_read(file), readable(name, FORMATS["tiff"]):
        tiff = opened_tiff(file, name)
        if tiff is None:
            return []
        pages = list(map(tifffile_page, repeat(tiff), first_pages(file, name)))
        first = pages[0]
        alike = all((page.shape, page.dtype) == (first.shape, first.dtype) for page in pages)
        return pages if alike and len(first.shape) == 2 and first.dtype is not None and all(first.shape) else []
