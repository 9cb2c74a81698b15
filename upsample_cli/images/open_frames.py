"""Several images in one file: their number, and the images one after the other. One is in memory at a time.

Frames of an animation are composed: where a frame does not have pixels, earlier frames show, according to their
disposal method.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image, ImageFile

from upsample_cli.errors import ImageError, Loss, joined
from upsample_cli.images.model import Frames, FramesKind, Layout

if TYPE_CHECKING:
    from upsample_cli.images.codecs.png.ancillary import Animation

_KINDS: dict[str, FramesKind] = {"gif": "animation", "png": "animation", "webp": "animation", "avif": "animation"}
_OF_ONE_PAGE = {"damaged", "unsupported", "too-large"}
_ALPHA_MODES = {"LA", "PA", "RGBA", "La", "RGBa"}


def frames_of(
    image: ImageFile.ImageFile,
    file: BinaryIO,
    name: str,
    format_name: str,
    layout: Layout,
    animated_png: Animation | None,
) -> Frames | None:
    """All images in the file of an opened image; None if it has only one.

    Args:
        image: the image as Pillow opened it, not decoded.
        file: the open file of the image; its position is restored.
        name: name of the file in messages.
        format_name: a key of `FORMATS`.
        layout: layout of the first frame as it is read.
        animated_png: the animation chunks of an animated PNG; None for other images.
    """
    at = file.tell()
    if format_name == "tiff":
        from upsample_cli.images.codecs.tiff.pages import pages_of

        return pages_of(file, name)[1]
    if format_name == "png":
        return animated_png and _frames_of_png(image, file, layout, animated_png)
    count: int = getattr(image, "n_frames", 1)
    if count < 2:
        return None
    kind = _KINDS.get(format_name, "views")
    if kind != "animation":
        return Frames(count, kind)
    alpha = layout.alpha or image.mode in _ALPHA_MODES
    if format_name == "gif":
        from upsample_cli.images.codecs.gif_frames import has_holes

        alpha = has_holes(file, image.height, image.width)
    file.seek(at)
    colour = "rgb" if format_name == "gif" else layout.colour
    composed = Layout(colour, alpha, layout.depth)
    return Frames(count, kind, composed, _plays(image, format_name))


def _frames_of_png(image: ImageFile.ImageFile, file: BinaryIO, layout: Layout, animation: Animation) -> Frames:
    from upsample_cli.images.codecs.png.animation_reader import has_holes

    still = "the still image for viewers that know no animated PNG is left out"
    composed = Layout(layout.colour, layout.alpha or has_holes(file, image.height, image.width), layout.depth)
    losses = (Loss("frames", still),) if animation.has_still else ()
    return Frames(animation.frames, "animation", composed, animation.plays, losses=losses)


def changed(name: str) -> ImageError:
    """The error for an animation that is a single image when it is read again."""
    cause = "holds one image now, and held several before"
    return ImageError(name, cause, "leave it alone, and try again", kind="changed")


def lost_page(error: ImageError, number: int, count: int, what: str = "page") -> Loss:
    """The loss of a page or frame, counted from 1, that cannot be read.

    Raises:
        ImageError: `error`, if it concerns more than this page.
    """
    if error.failure.kind not in _OF_ONE_PAGE:
        raise error
    advice = joined("; ", error.next_step) if error.failure.kind == "too-large" else ()
    return Loss("frames", joined(f"{what} {number} of {count} is left out: ", error.cause, advice))


def _plays(image: Image.Image, format_name: str) -> int:
    loop = image.info.get("loop")
    if format_name == "gif":  # GIF counts the repetitions
        return 1 if loop is None else loop + 1 if loop else 0
    return loop if isinstance(loop, int) else 0


def animation_frames(image: ImageFile.ImageFile, first: int, count: int) -> Iterator[Fraction]:
    """Move `image` to one decoded frame after the other, and yield the duration of each frame in milliseconds.

    Args:
        image: the image as Pillow opened it.
        first: index of the first frame.
        count: number of all frames in the file.
    """
    for index in range(first, count):
        image.seek(index)
        image.load()
        yield _duration_ms(image.info.get("duration"))


def _duration_ms(duration: Any) -> Fraction:
    """Pillow's duration in milliseconds as a fraction. It is a whole number, or, from PNG, a fraction as a float."""
    try:
        return max(Fraction(duration / 1000).limit_denominator(65535) * 1000, Fraction(0))
    except (TypeError, ValueError, OverflowError):
        return Fraction(0)
