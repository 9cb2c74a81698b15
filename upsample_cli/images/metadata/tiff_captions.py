"""The captions of a TIFF, and what Photoshop stores in one.

Source: TIFF revision 6.0, supplement 1 of Photoshop's notes (tags 33723 and 34377).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from upsample_cli.errors import Loss
from upsample_cli.images.limits import MAX_METADATA_BYTES
from upsample_cli.images.metadata import ifd
from upsample_cli.images.metadata.iptc import RECORD, TIFF_TAG
from upsample_cli.images.metadata.photoshop import lost_resources, read_resources

RESOURCES = 34377
_MOST_BYTES = {TIFF_TAG: MAX_METADATA_BYTES, RESOURCES: 1 << 20}
"""The most bytes of a value. Resources of 1 MiB may take 0.2 s, and all pages of a file may share them."""


class Captions(NamedTuple):
    """Captions of a page as IPTC-NAA records, the tags that were read for them, and the losses of other resources."""

    iptc: bytes | None
    tags: set[int]
    losses: tuple[Loss, ...]


def read_captions(tiff: ifd.Tiff, directory: ifd.Directory) -> Captions:
    """Read the captions. Photoshop stores them twice, and some programs only among Photoshop's resources."""
    values = {tag: _value(tiff, directory, tag) for tag in (TIFF_TAG, RESOURCES)}
    resources, captions = read_resources(values[RESOURCES] or b""), values[TIFF_TAG]
    if captions is not None and captions[:1] != RECORD and captions[3:4] == RECORD:
        # 32-bit numbers of the other byte order
        whole = len(captions) // 4 * 4
        captions = np.frombuffer(captions[:whole], "<u4").byteswap().tobytes() + captions[whole:][::-1]
    tags = {tag for tag, value in values.items() if value is not None}
    return Captions(captions or resources.captions, tags, lost_resources(resources.lost))


def _value(tiff: ifd.Tiff, directory: ifd.Directory, tag: int) -> bytes | None:
    entry = directory.find(tag)
    return ifd.value_bytes(tiff, entry) if entry is not None and entry.size_bytes <= _MOST_BYTES[tag] else None
