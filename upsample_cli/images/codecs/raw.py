"""Recognize RAW files of cameras, which are refused: many are TIFF structures that begin with a small preview.

Sources: Adobe's DNG specification, 1.7; ExifTool's lists of tags; dcraw.c by Dave Coffin.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.metadata import ifd

DEVELOP = "develop it first, for example with darktable or RawTherapee, or with dcraw or rawpy in a script"

RAW_MAGIC = {
    b"FUJIFILMCCD-RAW": "RAF", b"IIRO": "ORF", b"IIRS": "ORF", b"MMOR": "ORF", b"IIU\0": "RW2", b"FOVb": "X3F",
    b"\0MRM": "MRW", b"II\x1a\0\0\0HEAPCCDR": "CRW",
}  # fmt: skip
"""The first bytes of RAW files that are not TIFF, and the extension of such files."""

_MARKS = {"CR2": re.compile(rb"CR\x02\x00"), "IIQ": re.compile(rb"IIII.waR|MMMMRaw", re.DOTALL)}
"""What follows the 8 bytes of a TIFF's head in a RAW file. In other TIFFs, these may be the first pixels."""

_HEAD_BYTES, _MARK_AT = 16, 8
_COMPRESSION, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 259, 262, 330, 50706
_CFA, _LINEAR_RAW = 32803, 34892
_RAW_COMPRESSIONS = {
    32767: "ARW", 32769: "NEF", 32770: "SRW", 34713: "NEF", 65000: "DCR", 65535: "PEF",
}  # fmt: skip
_MOST_DIRECTORIES = 16


def refuse_raw(file: BinaryIO, name: str) -> None:
    """Refuse a TIFF structure that holds the data of a camera's sensor. Its other images are previews.

    Args:
        file: the open TIFF; its position is moved.
        name: name of the file in messages.

    Raises:
        ImageError: it is a RAW file.
    """
    # Of a damaged TIFF, its reader says what is wrong.
    with readable(name, FORMATS["tiff"]), suppress(ValueError):
        if (kind := _raw_kind(ifd.tiff_in_file(file))) is not None:
            raise ImageError(name, f"is a camera's RAW ({kind}), which is not supported", DEVELOP, kind="unsupported")


def _raw_kind(tiff: ifd.Tiff) -> str | None:
    head = tiff.read(0, _HEAD_BYTES)
    for kind, mark in _MARKS.items():
        if mark.match(head, _MARK_AT):
            return kind
    for directory in _first_directories(tiff):
        compression, photometric = (
            ifd.first_integer(tiff, directory.find(tag)) for tag in (_COMPRESSION, _PHOTOMETRIC)
        )
        if directory.find(_DNG_VERSION) is not None:
            return "DNG"
        if photometric in {_CFA, _LINEAR_RAW}:
            return _RAW_COMPRESSIONS.get(compression or 0, "pixels of its sensor in a TIFF")
    return None


def _first_directories(tiff: ifd.Tiff) -> Iterator[ifd.Directory]:
    """The first directory and its subdirectories, in which RAW files store a preview and the sensor's data."""
    first = ifd.read_directory(tiff, tiff.first)
    yield first
    for at in _integers(tiff, first.find(_SUB_IFDS)):
        with suppress(ValueError):
            yield ifd.read_directory(tiff, at)


def _integers(tiff: ifd.Tiff, entry: ifd.Entry | None) -> list[int]:
    data = ifd.value_bytes(tiff, entry) if entry is not None and entry.count <= _MOST_DIRECTORIES else None
    size = ifd.SIZES.get(entry.kind, 0) if entry is not None else 0
    if data is None or size not in {4, 8}:
        return []
    return list(struct.unpack(f"{tiff.order}{len(data) // size}{'Q' if size == 8 else 'I'}", data))
