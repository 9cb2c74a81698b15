"""Read WebP animations without their damaged frames, because the decoder stops at the first one.

Each frame is decoded as a separate image. Frames that fail are left out of a view of the file.
"""

from __future__ import annotations

from typing import BinaryIO

from PIL import WebPImagePlugin

from upsample_cli.images.codecs import webp
from upsample_cli.images.codecs.spliced import spliced

_Span = tuple[int, int]


def bad_frames(file: BinaryIO) -> list[int]:
    """Indices of the frames of a WebP that cannot be decoded. The file's position is moved."""
    spans = webp.frame_spans(file)
    return [index for index in range(len(spans)) if not _decodes(_with(file, spans[index : index + 1]))]


def without_frames(file: BinaryIO, bad: list[int]) -> BinaryIO:
    """A view of the animation without the damaged frames."""
    return _with(file, [span for index, span in enumerate(webp.frame_spans(file)) if index not in set(bad)])


def _with(file: BinaryIO, frames: list[_Span]) -> BinaryIO:
    return spliced(file, webp.with_frames(file, frames))


def _decodes(file: BinaryIO) -> bool:
    try:
        WebPImagePlugin.WebPImageFile(file, "").load()
    except MemoryError:
        raise
    except Exception:  # on damaged files Pillow can raise almost any exception
        return False
    return True
