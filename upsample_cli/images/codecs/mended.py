"""Read GIF and WebP animations without their damaged frames, because decoders stop at the first one.

Each frame is decoded as a separate image. Frames that fail are left out of a view of the file.
"""

from __future__ import annotations

from importlib import import_module
from typing import BinaryIO

from PIL import Image

from upsample_cli.images.codecs import gif, webp
from upsample_cli.images.codecs.spliced import Piece, spliced
from upsample_cli.images.format_table import Format

_Span = tuple[int, int]


def frame_spans(file: BinaryIO, fmt: Format) -> list[_Span]:
    """(start, end) of each frame of an animation, in order. The file's position is moved."""
    return gif.frame_spans(file) if fmt.name == "gif" else webp.frame_spans(file)


def bad_frames(file: BinaryIO, fmt: Format) -> list[int]:
    """Indices of the frames of a GIF or WebP that cannot be decoded. The file's position is moved."""
    spans = frame_spans(file, fmt)
    return [index for index in range(len(spans)) if not _decodes(_with(file, fmt, spans[index : index + 1]), fmt)]


def without_frames(file: BinaryIO, fmt: Format, bad: list[int]) -> BinaryIO:
    """A view of the animation without the damaged frames."""
    spans = frame_spans(file, fmt)
    return _with(file, fmt, [span for index, span in enumerate(spans) if index not in set(bad)])


def _with(file: BinaryIO, fmt: Format, frames: list[_Span]) -> BinaryIO:
    pieces: list[Piece] = gif.with_frames(file, frames) if fmt.name == "gif" else webp.with_frames(file, frames)
    return spliced(file, pieces)


def _decodes(file: BinaryIO, fmt: Format) -> bool:
    import_module(f"PIL.{'WebP' if fmt.name == 'webp' else 'Gif'}ImagePlugin")
    try:
        Image.OPEN[fmt.pillow_name][0](file, "").load()
    except MemoryError:
        raise
    except Exception:  # on damaged files Pillow can raise almost any exception
        return False
    return True
