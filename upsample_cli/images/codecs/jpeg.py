"""Write JPEG with libjpeg-turbo as rows arrive.

Each strip of rows is encoded as a separate JPEG, and its coded pixels become a *restart interval* of the whole image.
All strips have the same tables, and a decoder resets its state at a restart marker. So the decoded pixels are the same
as those of an image encoded in one piece, several strips can be encoded at the same time, and the enlarged image is
never in memory as a whole. An image of one strip has the same bytes as Pillow's.

Source: ITU-T T.81, annex B (markers), E.1.4 and E.2.4 (restart intervals).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import lru_cache, partial
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from upsample_cli.images.codecs.errors import encoder_errors
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.codecs.strips import StripWriter
from upsample_cli.images.model import Colour, Layout, Rows

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not an escaped byte FF, a restart marker or a fill byte
_FRAMES = {0xC0, 0xC1}
_START_OF_SCAN, _TABLES, _END = 0xDA, 0xDB, 0xD9
_SCAN = bytes((0xFF, _START_OF_SCAN))
_FIRST_RESTART, _RESTARTS = 0xD0, 8
_MOST_UNITS = 65535  # coded units in a restart interval; each has 1 to 6 blocks of 8x8

_UNITS = {"4:4:4": (8, 8), "4:2:2": (8, 16), "4:2:0": (16, 16)}
"""Height and width of a coded unit in pixels, by Pillow's name of the subsampling."""

_SPACES: dict[Colour, tuple[str, str, str]] = {
    "grey": ("L", "GRAYSCALE", "GRAYSCALE"), "rgb": ("RGB", "RGB", "YCBCR"), "cmyk": ("CMYK", "CMYK", "CMYK"),
}  # fmt: skip
"""Pillow's mode, the colour space of the rows, and the colour space that is stored."""

_STRIP_BYTES = 1 << 20
_MOST_HEAD_BYTES = 1 << 12
_UNIT_AT = 13  # offset of the resolution's unit in the JFIF segment


class JpegSink(StripWriter[bytes]):
    """Writes a JPEG to `file`, a strip at a time; an `interfaces.Sink`.

    Args:
        file: the output file. It is written in order, never seeks, and is not closed.
        height: number of rows.
        width: pixels of a row.
        layout: grey, rgb or cmyk with 8 bits.
        quality: 1 to 100.
        subsampling: subsampling of chroma: "4:4:4", "4:2:2" or "4:2:0".
        head: the segments before the tables, see `segments_before_tables`; empty for those of a file without metadata.
        executor: threads that encode strips together with the calling thread; None for the calling thread only.

    Raises:
        OSError: here and later, if writing or encoding fails.
        ValueError: rows differ from the announced shape or type.

    >>> file = BytesIO()
    >>> sink = JpegSink(file, height=2, width=3, layout=Layout("grey"), quality=95)
    >>> sink.write_rows(np.zeros((2, 3, 1), np.uint8))
    >>> sink.finish()
    >>> Image.open(file).size
    (3, 2)
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        height: int,
        width: int,
        layout: Layout,
        quality: int,
        subsampling: str = "4:4:4",
        head: bytes = b"",
        executor: Executor | None = None,
    ) -> None:
        self._file, self._height, self._before_tables, self._written, self._scan_at = file, height, head, 0, 0
        unit_height, unit_width = _UNITS[subsampling]
        self._units_across = -(-width // unit_width)
        strip_units = max(1, _STRIP_BYTES // (width * layout.channels * unit_height))
        self._units_down = min(strip_units, _MOST_UNITS // self._units_across)
        strip_rows = self._units_down * unit_height
        self._is_cut = height > strip_rows
        super().__init__(
            height,
            width,
            layout,
            strip_rows,
            work=partial(_encoded, colour=layout.colour, quality=quality, subsampling=subsampling),
            write=self._write_strip,
            executor=executor,
        )

    def finish(self) -> None:
        """Write the pending strips and the end of the file."""
        super().finish()
        self._file.write(bytes((0xFF, _END)))

    def _write_strip(self, jpeg: bytes) -> None:
        if self._written:
            self._file.write(bytes((0xFF, _FIRST_RESTART + (self._written - 1) % _RESTARTS)))
        else:
            self._scan_at = self._write_head(jpeg)
        self._file.write(memoryview(jpeg)[self._scan_at : -2])
        self._written += 1

    def _write_head(self, jpeg: bytes) -> int:
        """Write the head, and return the offset of the coded pixels in every strip."""
        places = _head_places(jpeg)
        head = bytearray(jpeg[: places.scan_start])
        head[places.height_at : places.height_at + 2] = self._height.to_bytes(2, "big")
        interval = (self._units_across * self._units_down).to_bytes(2, "big")
        between = b"\xff\xdd\0\4" + interval if self._is_cut else b""
        before = self._before_tables or head[: places.tables_at]
        scan = jpeg[places.scan_start : places.scan_at]
        self._file.write(b"".join((before, head[places.tables_at :], between, scan)))
        return places.scan_at


class _Places(NamedTuple):
    """Offsets in a JPEG: of the tables, of the height, and of the scan's segment and of its coded pixels."""

    tables_at: int
    height_at: int
    scan_start: int
    scan_at: int


def _head_places(jpeg: bytes) -> _Places:
    """The places in a JPEG that was encoded here. Heads of images of one size and quality are the same."""
    at = jpeg.find(_SCAN)  # in most heads this is the scan; in others, the segments before it are incomplete
    head = jpeg[: at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")]
    return _known_places(head) or _places_in(jpeg)


def _places_in(jpeg: bytes) -> _Places:
    starts = dict[int, tuple[int, int]]()
    for marker, start, end in segments(jpeg):
        starts.setdefault(marker, (start, end))
        if marker == _START_OF_SCAN:
            break
    height_at = next(start for marker, (start, _) in starts.items() if marker in _FRAMES) + 5
    return _Places(starts[_TABLES][0], height_at, *starts[_START_OF_SCAN])


@lru_cache(maxsize=64)
def _known_places(head: bytes) -> _Places | None:
    try:
        found = _places_in(head)
    except (KeyError, StopIteration):
        return None
    return found if found.scan_at == len(head) else None


def segments_before_tables(layout: Layout, settings: dict[str, Any]) -> bytes:
    """All segments before the tables: the file's kind and the metadata, as Pillow writes them. Empty without settings.

    Args:
        layout: layout of the rows.
        settings: Pillow's settings for the metadata; and "aspect", a resolution without a unit.
    """
    if not settings:
        return b""
    file = BytesIO()
    file.name = "a.jpg"  # Pillow chooses the format by it; named as "JPEG", it would import four other formats
    aspect, dpi = settings.get("aspect"), settings.get("dpi")
    given = {name: value for name, value in settings.items() if name != "aspect"}
    if aspect and not dpi:
        given["dpi"] = aspect
    with quiet_pillow(), encoder_errors("JPEG"):
        Image.new(_SPACES[layout.colour][0], (1, 1)).save(file, **given)
    data = file.getvalue()
    if aspect and not dpi:
        data = data[:_UNIT_AT] + b"\0" + data[_UNIT_AT + 1 :]
    return data[: next(start for marker, start, _ in segments(data) if marker == _TABLES)]


def _encoded(pieces: list[Rows], _above: Rows | None, *, colour: Colour, quality: int, subsampling: str) -> bytes:
    """Encode a strip of rows as a separate JPEG; a `strips.Work`."""
    import imagecodecs

    _, given, stored = _SPACES[colour]
    rows = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    rows = np.ascontiguousarray(~rows if colour == "cmyk" else rows)  # Adobe stores ink inverted
    chroma = subsampling.replace(":", "")
    with encoder_errors("JPEG"):
        return bytes(
            imagecodecs.jpeg8_encode(rows, quality, colorspace=given, outcolorspace=stored, subsampling=chroma)
        )


def all_segments(data: bytes) -> list[tuple[int, int, int]]:
    """`segments` as a list. Those before the coded pixels are found once for all files that begin alike."""
    scan_at = data.find(_SCAN)  # in most files this is the scan; in others, the segments before it are incomplete
    head_end = scan_at + 2 + int.from_bytes(data[scan_at + 2 : scan_at + 4], "big")
    head = _known_segments(data[:head_end]) if head_end <= _MOST_HEAD_BYTES else ()
    if not head or head[-1] != (_START_OF_SCAN, scan_at, head_end):
        return [*segments(data)]
    return [*head, *segments(data, head_end)]


@lru_cache(maxsize=64)
def _known_segments(head: bytes) -> tuple[tuple[int, int, int], ...]:
    return tuple(segments(head))


def segments(data: bytes, at: int = 2) -> Iterator[tuple[int, int, int]]:
    r"""The markers of a JPEG that have a length, with the start and end of their segments; last, the end of the image.

    The coded pixels are between the segments.

    Args:
        data: the file.
        at: where to start: behind the marker that starts the image, or behind a segment.

    >>> list(segments(b"\xff\xd8\xff\xfe\0\5sea\xff\xda\0\2\7\xff\0\xff\xd0\7\xff\xd9"))
    [(254, 2, 9), (218, 9, 13), (217, 19, 21)]
    """
    while (found := _MARKER.search(data, at)) is not None:
        start = found.start()
        marker = data[start + 1]
        if marker == _END:
            yield marker, start, start + 2
            return
        at = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        yield marker, start, at
