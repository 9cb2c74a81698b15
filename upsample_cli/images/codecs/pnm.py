"""Read and write Netpbm's formats (portable anymap) by rows: PBM, PGM, PPM and PAM, with 8 or 16 bits.

Pillow reduces 16 bits to 8 and does not support PAM. Source: Netpbm's manual pages pbm(5), pgm(5), ppm(5) and pam(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from typing import BinaryIO

import numpy as np

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.pnm_plain import BITMAPS, PlainText, PnmHeader, scaled
from upsample_cli.images.codecs.readable import readable, readable_box
from upsample_cli.images.codecs.strips import check_complete, check_rows
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.limits import check_pixels
from upsample_cli.images.metadata.comments import as_text
from upsample_cli.images.model import ImageInfo, Layout, Metadata, Rows
from upsample_cli.images.regions import ReadBox, RegionSource

_FORMAT = FORMATS["pnm"]
_HEAD_BYTES = 1 << 16  # more than three bytes for each one of `max_comment_bytes`: "# " begins each line
_MOST_LEVELS = 65535
_TOKEN = re.compile(rb"(?:\s|#[^\n]*\n)*(\d+)")
_COMMENT = re.compile(rb"#([^\n]*)\n")
_PAM_LINE = re.compile(rb"[ \t]*+(?:([A-Z]++)[ \t]++([^\n]*+)|#[^\n]*+|)\n")  # possessive quantifiers: linear time
_PAM_TYPES = {
    b"BLACKANDWHITE": Layout("grey"), b"GRAYSCALE": Layout("grey"), b"RGB": Layout("rgb"),
    b"BLACKANDWHITE_ALPHA": Layout("grey", alpha=True), b"GRAYSCALE_ALPHA": Layout("grey", alpha=True),
    b"RGB_ALPHA": Layout("rgb", alpha=True),
}  # fmt: skip
_PAM_NAMES = {(layout.colour, layout.alpha): name for name, layout in _PAM_TYPES.items() if b"BLACK" not in name}
_HOLDS = {"PGM": "levels of grey", "PPM": "colour", "PAM": "transparency"}
_MISFITS = {".pbm": {"PGM", "PPM", "PAM"}, ".pgm": {"PPM", "PAM"}, ".ppm": {"PAM"}}
"""For each extension, the kinds that do not fit it. Netpbm's programs that read PPM also read PGM."""
_NO_METADATA = Metadata()
_GREY, _PLAIN = {1, 2, 4, 5}, {1, 2, 3}


def open_pnm(file: BinaryIO, name: str, *, max_pixels: int) -> RegionSource:
    """A source for a portable anymap, which reads rows on request.

    Args:
        file: a seekable file at its start; it must stay open until the source is closed.
        name: name of the file in messages.
        max_pixels: larger images are refused.

    Raises:
        ImageError: the image is damaged, truncated, or too large.
    """
    with readable(name, _FORMAT):
        head = file.read(_HEAD_BYTES)
        header = _header(head)
        check_pixels(name, header.height, header.width, max_pixels)
        least_bytes = _least_plain_bytes(header) if header.kind in _PLAIN else header.height * header.row_bytes
        if file.seek(0, os.SEEK_END) < (end := header.pixels_at + least_bytes):
            raise ValueError("Truncated")
        read_box: ReadBox
        if header.kind in _PLAIN:
            read_box, more = PlainText(file, header).read_box, b""  # its end is not known before it is read
        else:
            read_box = _binary_box(file, header)
            file.seek(end)
            more = file.read(64).lstrip()
    others = Loss("frames", "the images behind the first one in it are left out")
    losses = (others,) if re.match(rb"P[1-7]\s", more) else ()
    info = ImageInfo("pnm", header.height, header.width, header.layout, losses, lossless=True)
    comment = b"\n".join(line.strip() for line in _COMMENT.findall(head[: header.pixels_at]))
    metadata = Metadata(text=as_text([comment.strip()]))
    return RegionSource(info, metadata, orientation=1, read_box=readable_box(read_box, name, _FORMAT))


def _header(head: bytes) -> PnmHeader:
    kind = int(head[1:2])
    if kind == 7:
        return _pam_header(head)
    numbers, at = [], 2
    for _ in range(2 if kind in BITMAPS else 3):
        found = _TOKEN.match(head, at)
        if found is None:
            raise ValueError("no size")
        numbers.append(int(found[1]))
        at = found.end()
    width, height, most = (*numbers, 1)[:3]
    return _checked(PnmHeader(kind, height, width, Layout("grey" if kind in _GREY else "rgb"), most, at + 1))


def _pam_header(head: bytes) -> PnmHeader:
    at, fields = head.index(b"\n") + 1, dict[bytes, bytes]()
    while not head.startswith(b"ENDHDR", at):
        line = _PAM_LINE.match(head, at)
        if line is None:
            raise ValueError("a header that does not end")
        if line[1]:
            fields[line[1]] = line[2].strip()
        at = line.end()
    height, width, depth, most = (int(fields[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL"))
    by_depth = {1: b"GRAYSCALE", 2: b"GRAYSCALE_ALPHA", 3: b"RGB", 4: b"RGB_ALPHA"}
    layout = _PAM_TYPES[fields.get(b"TUPLTYPE") or by_depth[depth]]
    if layout.channels != depth:
        raise ValueError("a type of pixels that has other channels")
    return _checked(PnmHeader(7, height, width, layout, most, head.index(b"\n", at) + 1))


def _checked(header: PnmHeader) -> PnmHeader:
    if header.height < 1 or header.width < 1 or not 0 < header.most <= _MOST_LEVELS:
        raise ValueError("no pixels, or no levels")
    return header if header.most < 256 else header._replace(layout=header.layout._replace(depth=16))


def _binary_box(file: BinaryIO, header: PnmHeader) -> ReadBox:
    stored = header.layout.dtype.newbyteorder(">")

    def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
        file.seek(header.pixels_at + top * header.row_bytes)
        data = file.read((bottom - top) * header.row_bytes)
        if header.kind in BITMAPS:
            bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(bottom - top, -1), axis=1, count=header.width)
            return scaled(1 - bits[:, left:right, np.newaxis], header)
        levels = np.frombuffer(data, stored).reshape(bottom - top, header.width, header.layout.channels)
        return scaled(levels[:, left:right], header)

    return read_box


def _least_plain_bytes(header: PnmHeader) -> int:
    """The fewest bytes of plain text: a digit for each number and a separator, which bitmaps do not need."""
    count = header.height * header.width * header.layout.channels
    return count if header.kind in BITMAPS else 2 * count - 1


def name_losses(suffix: str, layout: Layout) -> tuple[Loss, ...]:
    """A remark if a file's extension does not fit the kind that `PnmSink` writes.

    >>> print(*name_losses(".pgm", Layout("rgb")), *name_losses(".ppm", Layout("rgb")))
    its name ends in .pgm, and it holds colour: it is written as PPM
    """
    kind = _kind(layout, suffix)
    if kind not in _MISFITS.get(suffix.lower(), ()):
        return ()
    text = f"its name ends in {suffix}, and it holds {_HOLDS[kind]}: it is written as {kind}"
    return (Loss("extension", text),)


def _kind(layout: Layout, suffix: str) -> str:
    if layout.alpha or suffix.lower() == ".pam":
        return "PAM"
    return "PGM" if layout.colour == "grey" else "PPM"


class PnmSink:
    r"""Writes a PGM, a PPM, or a PAM (for alpha, or if the extension is .pam) as rows come; an `interfaces.Sink`.

    Args:
        file: the output file; it is written in order.
        height: number of rows.
        width: pixels of a row.
        layout: "grey" or "rgb", with or without alpha, 8 or 16 bits.
        suffix: the extension of the file name.
        metadata: its text is written as comments.

    >>> import io
    >>> file = io.BytesIO()
    >>> sink = PnmSink(file, height=1, width=2, layout=Layout("grey"))
    >>> sink.write_rows(np.array([[[65], [66]]], np.uint8))
    >>> sink.finish()
    >>> file.getvalue()
    b'P5\n2 1\n255\nAB'
    """

    losses: Collection[Loss] = ()

    def __init__(
        self, file: BinaryIO, *, height: int, width: int, layout: Layout, suffix: str = "",
        metadata: Metadata = _NO_METADATA, **_unused: object,
    ) -> None:  # fmt: skip
        self._write: Callable[[bytes], object] = file.write
        self._layout, self._width, self._rows_left = layout, width, height
        most = np.iinfo(layout.dtype).max
        kind = _kind(layout, suffix)
        lines = (line for _, comment in metadata.text for line in comment.splitlines())
        comments = "".join(f"# {line}\n" for line in lines)
        if kind == "PAM":
            pixels = _PAM_NAMES[layout.colour, layout.alpha].decode()
            sizes = f"WIDTH {width}\nHEIGHT {height}\nDEPTH {layout.channels}\nMAXVAL {most}\n"
            head = f"P7\n{comments}{sizes}TUPLTYPE {pixels}\nENDHDR\n"
        else:
            head = f"P{5 if kind == 'PGM' else 6}\n{comments}{width} {height}\n{most}\n"
        self._write(head.encode())

    def write_rows(self, rows: Rows) -> None:
        """Write the next rows."""
        check_rows(rows, (self._width, self._layout.channels), self._layout.dtype, self._rows_left)
        self._rows_left -= len(rows)
        self._write(rows.astype(self._layout.dtype.newbyteorder(">")).tobytes())

    def finish(self) -> None:
        """Check that all rows have been written."""
        check_complete(self._rows_left)
