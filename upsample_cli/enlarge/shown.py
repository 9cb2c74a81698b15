"""An image before and after as HTML for notebooks."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from upsample_cli.errors import UpsampleError
from upsample_cli.geometry.output_size import Size
from upsample_cli.text import one_line

if TYPE_CHECKING:
    from upsample_cli.images.preview import Preview

_LEAST_SIDE = 192
"""The details of a tiny image are shown at least this large, in pixels."""


def as_html(lines: Iterable[str]) -> str:
    """Lines of text. They are escaped: file names can contain markup."""
    return "<br>".join(html.escape(one_line(line)) for line in lines)


def before_and_after(source: Path, target: Path, shape: Size, frame: int | None) -> str:
    """The same detail of two images, as data URIs of less than a megabyte each. Both files are read.

    Args:
        source, target: the input, and its output.
        shape: (height, width) of the output in pixels.
        frame: the frame of the input that was enlarged, counted from 1; None for the first.

    Returns:
        HTML; the reason, if one of them cannot be shown.
    """
    from upsample_cli.images.codecs.input_file import regular_file
    from upsample_cli.images.preview import preview  # imports Pillow and numpy

    try:
        with regular_file(source) as before, regular_file(target, follow=False) as after:
            return _images(preview(before, after, shape, frame=frame))
    except UpsampleError as error:
        return as_html([str(error)])
    except (OSError, ValueError, MemoryError) as error:  # a result without images is better than an error
        return as_html([f"{target}: cannot be shown: {type(error).__name__}"])


def _images(shown: Preview) -> str:
    height, width = shown.after_shape
    zoom = max(1, _LEAST_SIDE // max(height, width))
    return "".join(
        f'<img alt="{name}" title="{name}" width="{width * zoom}" height="{height * zoom}" '
        f'style="image-rendering: pixelated; display: inline-block; margin: 2px" '
        f'src="data:image/webp;base64,{b64encode(webp).decode()}">'
        for name, webp in (("before", shown.before), ("after", shown.after))
    )
