"""Decode JPEG with libjpeg-turbo into a numpy array, and examine the segments between and after the coded pixels.

Source: ITU-T T.81, annexes B (markers), G (progressive) and H (lossless).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.jpeg import all_segments
from upsample_cli.images.codecs.jpeg_markers import APPLICATION, COMMENT_MARKER, FRAMES, START_OF_SCAN
from upsample_cli.images.metadata.segment_names import segment_name, unknown_loss
from upsample_cli.images.model import Colour, Layout, Rows
from upsample_cli.images.regions import ReadBox, box_of

_END = 0xD9
END_OF_IMAGE = bytes((0xFF, _END))
_PROGRESSIVE = {0xC2, 0xCA}
_ARITHMETIC = {*range(0xC9, 0xD0)}
_COEFFICIENTS = 64
_RESTARTS = b"".join(bytes((0xFF, 0xD0 + number)) + b"\x55" * 16 for number in range(8))
FILLINGS = (b"", b"\x55" * 64, b"\xaa" * 64, b"\xff\0" * 64, _RESTARTS)
"""Bytes to append to coded pixels. If the decoded pixels are the same with each of them, no pixel is missing. The last
ones continue pixels that end where a restart marker follows.
"""

_MOST_ZEROS = 8
"""The most zeros at the end that can be coded pixels. More are space in the file that was never written."""

_PADDING = b"\0\r\n \xff\xd9"
_SPACES: dict[Colour, str] = {"grey": "GRAYSCALE", "rgb": "RGB", "cmyk": "CMYK"}


class Decoded(NamedTuple):
    """A decoded JPEG.

    Args:
        read_box: reads its pixels; None if Pillow must decode it or report what is wrong.
        losses: losses that are known only from the whole file.
        is_cut: pixels are missing.
    """

    read_box: ReadBox | None
    losses: tuple[Loss, ...] = ()
    is_cut: bool = False


def decoded_jpeg(
    file: BinaryIO,
    layout: Layout,
    height: int,
    width: int,
    check: Callable[[int], object],
    *,
    bits: int = 8,
    has_others: bool = False,
) -> Decoded:
    """Decode a JPEG whose size has been checked.

    Args:
        file: a seekable file; it is not needed afterwards.
        layout: the layout from the header.
        height, width: size as stored, in pixels.
        check: called with the number of scans; raises an error if there are too many.
        bits: bits of a stored sample.
        has_others: whether the header announces further images after the first.

    Raises:
        EOFError: the file is too short for the size in its header.
    """
    file.seek(0)
    data = file.read()
    found = all_segments(data)
    scans = [index for index, (marker, _, _) in enumerate(found) if marker == START_OF_SCAN]
    check(len(scans))
    frame = next((marker for marker, _, _ in found if marker in FRAMES), None)
    if frame not in _ARITHMETIC and 8 * len(data) < -(-height // 8) * -(-width // 8):  # each block takes a bit
        raise EOFError("truncated")
    losses = [*_late_losses(data, found[scans[0] :])] if scans else []
    has_end, is_progressive = bool(found) and found[-1][0] == _END, frame in _PROGRESSIVE
    if has_end:
        is_one = len(scans) == 1 and not is_progressive and data[found[scans[0]][1] + 4] == layout.channels
        if not is_one and not _has_all_scans(data, found):
            losses.append(Loss("damage", "scans at its end are missing, and details with them"))
        rest = data[found[-1][2] :]
        if rest.strip(_PADDING) and not has_others:
            size = f"{len(rest)} byte" + "s" * (len(rest) > 1)
            losses.append(Loss("metadata", f"what follows the image in its file is left out ({size})"))
    elif (whole := _completed(data, found, layout, (height, width), bits)) is not None:
        data = whole
        losses.append(Loss("damage", "the end marker of the file is missing; all pixels are there"))
    else:
        return Decoded(None, is_cut=True)  # decoders invent the missing pixels
    try:
        pixels = _pixels(data, layout, (height, width), bits)
        in_scans = len(scans) > 1 and not is_progressive  # only one colour may be missing
        if has_end and (in_scans or _ends_in_middle(pixels, bits)):
            del pixels
            if not _has_all_pixels(data[: found[-1][1]], layout, (height, width), bits):
                losses.append(Loss("damage", "pixels at its end are missing and become grey"))
            pixels = _pixels(data, layout, (height, width), bits)
    except (ValueError, RuntimeError):
        return Decoded(None)
    return Decoded(box_of(_full_range(pixels, bits)), tuple(losses))


def _ends_in_middle(pixels: Rows, bits: int) -> bool:
    """Whether the last pixels are what decoders make of missing ones: the middle, or one less for CMYK from YCCK."""
    middles = (middle := 1 << (bits - 1)), middle - 1
    return pixels.item(-1) in middles and bool(np.isin(pixels[-1, -8:], middles).all())


def _pixels(data: bytes, layout: Layout, size: tuple[int, int], bits: int) -> Rows:
    import imagecodecs

    channels = () if layout.colour == "grey" else (layout.channels,)
    pixels = np.empty((*size, *channels), np.uint8 if bits <= 8 else np.uint16)
    imagecodecs.jpeg8_decode(data, outcolorspace=_SPACES[layout.colour], out=pixels)
    return pixels.reshape(*size, layout.channels)


def _full_range(pixels: Rows, bits: int) -> Rows:
    """Scale samples to the full range of 8 or 16 bits, and invert CMYK, which Adobe stores inverted."""
    if bits < 8:
        pixels = (pixels.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
    elif 8 < bits < 16:
        pixels = pixels << (16 - bits) | pixels >> (2 * bits - 16)
    return ~pixels if pixels.shape[2] == 4 else pixels


def _late_losses(data: bytes, late: list[tuple[int, int, int]]) -> Iterator[Loss]:
    """The losses of segments from the first scan on, which the header does not include."""
    names = [
        segment_name(marker, data[start + 4 : min(end, start + 44)])
        for marker, start, end in late
        if marker in APPLICATION or marker == COMMENT_MARKER
    ]
    if names:
        yield unknown_loss(Counter(names))


def _completed(
    data: bytes, found: list[tuple[int, int, int]], layout: Layout, size: tuple[int, int], bits: int
) -> bytes | None:
    """Add a missing end marker to a JPEG; None if pixels are also missing."""
    if not _has_all_scans(data, found):
        return None
    ended = data.rstrip(b"\0")
    data = (ended if len(data) - len(ended) > _MOST_ZEROS else data).rstrip(b"\xff")
    try:
        return data + END_OF_IMAGE if _has_all_pixels(data, layout, size, bits) else None
    except (ValueError, RuntimeError):
        return None


def _has_all_pixels(data: bytes, layout: Layout, size: tuple[int, int], bits: int) -> bool:
    """Whether a JPEG without its end marker has the same pixels whatever follows.

    Raises:
        ValueError, RuntimeError: the decoder refuses it.
    """
    from hashlib import blake2b

    first: bytes | None = None
    for filling in FILLINGS:
        pixels: Any = _pixels(data + filling + END_OF_IMAGE, layout, size, bits)
        digest = blake2b(pixels).digest()
        if first is not None and digest != first:
            return False
        first = digest
    return True


def _has_all_scans(data: bytes, found: list[tuple[int, int, int]]) -> bool:
    """Whether the scans contain every coefficient of every component, down to its lowest bit."""
    missing_bits: dict[int, list[int]] = {}
    progressive = False
    for marker, start, end in found:
        body = data[start + 4 : end]
        if marker in FRAMES and len(body) >= 6:
            progressive = marker in _PROGRESSIVE
            missing_bits = {component: [1] * _COEFFICIENTS for component in body[6::3]}
        elif marker == START_OF_SCAN and body and len(body) == 4 + 2 * body[0]:
            first, last, lowest_bit = body[-3], body[-2], body[-1] & 15
            if not progressive:
                first, last, lowest_bit = 0, _COEFFICIENTS - 1, 0
            for component in body[1:-3:2]:
                left = missing_bits.get(component, [])
                left[first : last + 1] = [lowest_bit] * len(left[first : last + 1])
    return bool(missing_bits) and not any(any(bits) for bits in missing_bits.values())
