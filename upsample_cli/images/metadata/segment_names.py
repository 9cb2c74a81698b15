"""Names of JPEG segments that are left out, in messages."""

from __future__ import annotations

import re
from collections import Counter

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.jpeg_markers import COMMENT_MARKER
from upsample_cli.images.codecs.left_out import counted_names

_NAME = re.compile(rb"[ -~]{2,24}")


def segment_name(marker: int, signature: bytes) -> str:
    r"""The name of a segment in a message: its number, and its first characters if they are text.

    >>> segment_name(0xE1, b"FLIR\0\1\0"), segment_name(0xE7, b"\1\2\3")
    ('APP1 FLIR', 'APP7')
    """
    if marker == COMMENT_MARKER:
        return "COM"
    text = _NAME.match(signature)
    return f"APP{marker & 15}" + (f" {text[0].decode().strip()}" if text else "")


def unknown_loss(names: Counter[str]) -> Loss:
    """The loss of unknown segments, with their names."""
    return Loss("metadata", f"segments of other programs are left out: {counted_names(names.most_common())}")
