"""What the plan of an image says except for its paths. It is decided once for all images with the same header."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from upsample_cli.enlarge.known import ByHeader
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.resolve import Resolved, check_strict, resolve
from upsample_cli.images.formats import Format, check_output_size, check_quality
from upsample_cli.images.limits import check_all_frames
from upsample_cli.images.model import ImageInfo, Metadata
from upsample_cli.images.space import least_output_bytes


class Decided(NamedTuple):
    """The decisions about an image, and the least disk space that its output takes; 0 if unknown."""

    resolved: Resolved
    least_bytes: int


_known = ByHeader[Decided]()


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
    decide = partial(_decided, image, info, metadata, fmt, options, output)
    return _known.get(decide, info, metadata, options, fmt.name, output.suffix)


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
