"""What the plan of an image says except for its paths. It is decided once for all images with the same header."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.resolve import Resolved, check_strict, resolve
from upsample_cli.images.formats import Format, check_output_size, check_quality
from upsample_cli.images.limits import check_all_frames
from upsample_cli.images.model import ImageInfo, Metadata
from upsample_cli.images.space import least_output_bytes
from upsample_cli.kernels.kernel import KERNEL_NAMES

_MOST = 256
_MOST_METADATA = 64 << 10
"""Bytes of metadata. Images with more are rarely alike, and 256 of them would fill the memory."""

_known: dict[tuple[object, ...], Decided] = {}  # changed by atomic operations only: threads share it


class Decided(NamedTuple):
    """The decisions about an image, and the least disk space that its output takes; 0 if unknown."""

    resolved: Resolved
    least_bytes: int


def decided(image: Path, info: ImageInfo, metadata: Metadata, fmt: Format, options: Options, output: Path) -> Decided:
    """Decide and check everything that follows from a header, the options and the output's extension.

    Args:
        image: the input, for messages.
        info, metadata: from the input's header, after `options.metadata` was applied.
        fmt: format of the output.
        output: path of the output.

    Raises:
        ImageError: if there is no suitable kernel for the image, or the output cannot hold the result.
        UsageError: if the format does not have the quality.
    """
    is_large = metadata.tags is not None or _size(metadata) > _MOST_METADATA
    if is_large or options.kernel not in KERNEL_NAMES or options.model is not None:  # a file of weights may change
        return _decided(image, info, metadata, fmt, options, output)
    key = info, metadata, fmt.name, options, output.suffix
    known = _known.get(key)
    if known is None:
        known = _decided(image, info, metadata, fmt, options, output)
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = known
    return known


def _size(metadata: Metadata) -> int:
    """The bytes of the parts that may be large."""
    blocks = [metadata.icc_profile, metadata.exif, metadata.xmp, metadata.iptc]
    blocks += [data for _, data in metadata.colour.mastering] if metadata.colour is not None else []
    text = sum(len(keyword) + len(value) for keyword, value in metadata.text)
    return text + sum(len(block) for block in blocks if block is not None)


def _decided(image: Path, info: ImageInfo, metadata: Metadata, fmt: Format, options: Options, output: Path) -> Decided:
    resolved = resolve(image, info, metadata, fmt, options, output)
    check_all_frames(str(image), resolved.frames, info.height, info.width, options.max_pixels)
    if options.linear_light:
        from upsample_cli.images.color.light import light_of  # imports numpy

        light_of(image, info.layout, metadata.icc_profile)
    check_strict(image, resolved.warnings, options)
    check_quality(fmt, options.quality)
    check_output_size(image, fmt, *resolved.size, resolved.layout)
    least_bytes = least_output_bytes(
        fmt, *resolved.size, resolved.layout,
        frames=resolved.frames, factor=int(options.output_size.factor or 0), quality=options.quality,
    )  # fmt: skip
    return Decided(resolved, least_bytes)
