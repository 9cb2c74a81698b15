"""Write animated PNG, a frame at a time: each frame is written as a separate PNG, whose chunks are changed here.

Every frame covers the whole image and replaces the one before it, so viewers need not compose it.
Source: the PNG specification (W3C, third edition), 11.3.6.
"""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any, BinaryIO

from upsample_cli.images.codecs.png.chunks import SIGNATURE, png_chunk, read_chunks
from upsample_cli.images.codecs.png.writer import PngSink
from upsample_cli.images.interfaces import Sink
from upsample_cli.images.model import Frames, Layout, Metadata

_MOST_PLAYS = 2**31 - 1
_COUNT_AT = len(SIGNATURE) + 12 + 13
"""Offset of acTL, after IHDR."""


class ApngWriter:
    """Writes an animated PNG; an `interfaces.FrameWriter`. It takes as much memory as one `PngSink`.

    Args:
        file: the output file. It is written in order, and seeks only if frames are left out.
        frames: gives the number of frames and of plays.
        settings: further arguments of `PngSink`: level, executor.
    """

    def __init__(self, file: BinaryIO, frames: Frames, **settings: Any) -> None:
        self._file, self._frames, self._settings = file, frames, settings
        self._written, self._sequence = 0, 0
        self._held: list[bytes] = []  # the last data of IDAT, which are not written yet
        self._control = b""  # of a frame whose fcTL is not written yet

    def frame(self, *, height: int, width: int, layout: Layout, metadata: Metadata, duration_ms: Fraction) -> Sink:
        """The sink of the next frame; call its `finish` before the next frame."""
        self._written += 1
        is_first = self._written == 1
        passed = _Passed(self, is_first=is_first, control=(width, height, *_delay(duration_ms)))
        kept = metadata if is_first else Metadata()
        return PngSink(passed, height=height, width=width, layout=layout, metadata=kept, **self._settings)  # type: ignore[arg-type]

    def finish(self) -> None:
        """Write the end of the file, and correct the number of frames if damaged frames were left out.

        Raises:
            ValueError: no frame was written, or more than announced.
            OSError: fewer were written, and the file is not seekable.
        """
        if not 0 < self._written <= self._frames.count:
            raise ValueError(f"{self._written} frames came where {self._frames.count} were announced")
        self._file.write(png_chunk(b"IEND", b""))
        if self._written < self._frames.count:  # damaged ones are left out
            if not self._file.seekable():
                lost, count = self._frames.count - self._written, self._frames.count
                raise OSError(f"{lost} of {count} frames are damaged, and what is written counts them")
            self._file.seek(_COUNT_AT)
            self._file.write(self._count(self._written))
            self._file.seek(0, io.SEEK_END)

    def _count(self, frames: int) -> bytes:
        return png_chunk(b"acTL", struct.pack(">II", frames, min(self._frames.plays, _MOST_PLAYS)))

    def pass_on(self, data: bytes, *, is_first: bool, control: tuple[int, int, int, int]) -> None:
        """Write whole chunks of the PNG of a frame in the form that an animation needs."""
        written = io.BytesIO(data)
        for kind, size in read_chunks(written, len(SIGNATURE) if data.startswith(SIGNATURE) else 0):
            body = written.read(size)
            if kind == b"IHDR":
                if is_first:
                    self._file.write(SIGNATURE + png_chunk(kind, body) + self._count(self._frames.count))
                self._control = struct.pack(">IIIIHHBB", control[0], control[1], 0, 0, control[2], control[3], 0, 0)
            elif kind == b"IDAT":
                self._held.append(body)
                if len(self._held) > 2:
                    self._pass_pixels(self._held.pop(0), is_first=is_first)
            elif kind == b"IEND":
                # The last IDAT only ends the stream. It is joined with the one before, because some readers fail at a
                # chunk without pixels.
                self._pass_pixels(b"".join(self._held), is_first=is_first)
                self._held = []
            elif is_first:
                self._file.write(png_chunk(kind, body))

    def _pass_pixels(self, body: bytes, *, is_first: bool) -> None:
        if self._control:
            self._file.write(png_chunk(b"fcTL", self._next_number() + self._control))
            self._control = b""
        self._file.write(png_chunk(b"IDAT", body) if is_first else png_chunk(b"fdAT", self._next_number() + body))

    def _next_number(self) -> bytes:
        self._sequence += 1
        return struct.pack(">I", self._sequence - 1)


class _Passed(io.RawIOBase):
    """The file that the sink of one frame writes to. Each call writes whole chunks."""

    def __init__(self, writer: ApngWriter, *, is_first: bool, control: tuple[int, int, int, int]) -> None:
        self._writer, self._is_first, self._control = writer, is_first, control

    def write(self, data: Any) -> int:
        self._writer.pass_on(bytes(data), is_first=self._is_first, control=self._control)
        return len(data)


def _delay(duration_ms: Fraction) -> tuple[int, int]:
    """A duration in seconds, as a fraction of two 16-bit numbers.

    >>> _delay(Fraction(40)), _delay(Fraction(100, 3)), _delay(Fraction(10**9))
    ((1, 25), (1, 30), (65535, 1))
    """
    seconds = min(Fraction(duration_ms) / 1000, Fraction(65535))
    most = max(1, min(65535, int(65535 / seconds))) if seconds else 1
    near = seconds.limit_denominator(most)
    return near.numerator, near.denominator
