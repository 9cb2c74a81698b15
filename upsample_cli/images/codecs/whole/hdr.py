"""Radiance HDR (RGBE), decoded by imagecodecs: light in floating point, as stored.

Source: Greg Ward, "Real Pixels", and the file formats of Radiance.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.left_out import counted_names
from upsample_cli.images.codecs.readable import CONVERT
from upsample_cli.images.codecs.whole.model import CheckSize, Whole
from upsample_cli.images.limits import check_coded_bytes
from upsample_cli.images.model import ColourSpace, Layout, Rows

_HEAD_BYTES = 1 << 16
_SIZE = re.compile(rb"([-+][XY])[ ]+(\d{1,9})[ ]+([-+][XY])[ ]+(\d{1,9})\n")
_RGBE = b"32-bit_rle_rgbe"
_MOST_PIXELS_OF_A_BYTE = 64
_LINEAR = 100000
_ONES = {b"1", b"1.0", b"1.00", b"1.000", b"1.000000", b"1.000000e+00"}
_NOT_APPLIED = {
    b"EXPOSURE": "exposure", b"COLORCORR": "colour correction", b"PIXASPECT": "proportion of its pixels",
    b"GAMMA": "gamma",
}  # fmt: skip
_READ = {b"FORMAT", b"PRIMARIES", *_NOT_APPLIED}
_NAME = re.compile(rb"([A-Z_0-9]{1,20})[ \t]*=")


def read_header(file: BinaryIO, name: str, check_size: CheckSize) -> Whole:
    """The image in `file`.

    Raises:
        ImageError: it is not stored as red, green and blue from top to bottom.
        ValueError: the file is damaged or truncated.
    """
    text, separator, rest = file.read(_HEAD_BYTES).partition(b"\n\n")
    size = _SIZE.match(rest)
    if not separator or size is None:
        raise ValueError("truncated" if len(text) + len(rest) < _HEAD_BYTES else "its header makes no sense")
    lines = [line for line in text.split(b"\n")[1:] if line.strip()]
    values = dict(line.split(b"=", 1) for line in lines if b"=" in line and line[:1] != b"#")
    if (stored := values.get(b"FORMAT", _RGBE).strip()) != _RGBE:
        cause = f"holds pixels of the kind {stored.decode('latin-1')[:40]!r}, which is not supported"
        raise ImageError(name, cause, CONVERT, kind="unsupported")
    if (size[1], size[3]) != (b"-Y", b"+X"):
        raise ImageError(name, "is stored turned or mirrored, which is not supported", CONVERT, kind="unsupported")
    height, width = int(size[2]), int(size[4])
    check_size(height, width)
    at = len(text) + len(separator) + size.end()
    size_bytes = file.seek(0, os.SEEK_END) - at
    check_coded_bytes(name, size_bytes, height * width)
    if height * width > _MOST_PIXELS_OF_A_BYTE * size_bytes:
        raise ValueError("truncated")

    def decode(_losses: set[Loss]) -> Rows:
        import numpy as np
        from imagecodecs import rgbe_decode

        file.seek(at)
        rows: Rows = np.zeros((height, width, 3), np.float32)
        rgbe_decode(file.read(), header=False, rle=True, out=rows)
        return rows

    colour = ColourSpace(gamma=_LINEAR, chromaticities=_chromaticities(values.get(b"PRIMARIES", b"")))
    stated = [what for key, what in _NOT_APPLIED.items() if key in values and set(values[key].split()) - _ONES]
    lost = [f"the {what} that its header states is not applied" for what in stated]
    losses = tuple(Loss("metadata", text) for text in [*lost, *_other_lines(lines)])
    return Whole(height, width, Layout("rgb", depth=32), decode, colour=colour, losses=losses)


def _other_lines(lines: list[bytes]) -> Iterator[str]:
    """The loss of lines that are not read, with their names."""
    named = dict.fromkeys(match[1] if (match := _NAME.match(line)) else b"remarks" for line in lines)
    names = [(name.decode(), 1) for name in named if name not in _READ]
    if names:
        yield f"lines of its header are left out ({counted_names(names)})"


def _chromaticities(text: bytes) -> tuple[int, ...] | None:
    """White, red, green and blue as in `ColourSpace`; the file has white last. None for those of sRGB."""
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        return None
    if len(numbers) != 8 or not all(math.isfinite(number) and 0 < number < 10 for number in numbers):
        return None
    scaled = [round(number * 100000) for number in numbers]
    return (*scaled[6:], *scaled[:6])
