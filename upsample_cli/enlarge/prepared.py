"""Prepares the enlargement of an image: everything but its files, once for all images with the same header."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from upsample_cli.enlarge.by_header import ByHeader
from upsample_cli.enlarge.computing import computed_layout, settings_and_arithmetic
from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.resolve import Resolved
from upsample_cli.images.formats import format_named
from upsample_cli.images.interfaces import Sink
from upsample_cli.images.metadata.for_output import metadata_for_output
from upsample_cli.images.model import ImageInfo, Layout, Metadata
from upsample_cli.images.output_form import kept_metadata
from upsample_cli.images.save import sink_opener

if TYPE_CHECKING:
    from upsample_cli.engine.bands import Whole
    from upsample_cli.engine.enlargement import Settings
    from upsample_cli.engine.exact import Arithmetic
    from upsample_cli.images.color.light import Light


class Prepared(NamedTuple):
    """The enlargement of an image or frame, without its source and its sink.

    Args:
        info, metadata: from the input's header, after `options.metadata` was applied.
        resolved: the decisions about the image.
        computed: the layout that is enlarged.
        light: converts the pixels to amounts of light, which are mixed instead; None to mix the pixels themselves.
        settings, arithmetic: for the engine.
        whole: enlarges a small image at once; None for others.
        image: the arguments that describe the output to its sink.
    """

    info: ImageInfo
    metadata: Metadata
    resolved: Resolved
    computed: Layout
    light: Light | None
    settings: Settings
    arithmetic: Arithmetic
    whole: Whole | None
    image: dict[str, Any]


def prepared(
    path: Path, info: ImageInfo, metadata: Metadata, resolved: Resolved, options: Options, settings: Settings
) -> Prepared:
    """Prepare the enlargement of an image or frame.

    Args:
        path: the input, for messages.
        info, metadata, resolved: see `Prepared`.
        settings: the settings of the run, see `computing.engine_settings`.
    """
    height, width = resolved.size
    computed = computed_layout(info.layout, resolved.layout)
    light = None
    if options.linear_light:
        from upsample_cli.images.color.light import light_of

        light = light_of(path, computed, metadata.icc_profile, metadata.colour)
    own, arithmetic = settings_and_arithmetic(settings, resolved.kernel, info.layout, resolved.layout, options, light)
    kept = kept_metadata(info, metadata, resolved.layout, format_named(resolved.format))
    written = metadata_for_output(kept, height, width, info)
    image = {"height": height, "width": width, "layout": resolved.layout, "metadata": written}
    factor, whole = own.kernel.factor, None
    if resolved.model is None and resolved.size == (info.height * factor, info.width * factor):
        from upsample_cli.engine.bands import whole_of

        whole = whole_of((info.height, info.width, computed.channels), settings=own, arithmetic=arithmetic)
    return Prepared(info, metadata, resolved, computed, light, own, arithmetic, whole, image)


def prepared_file(
    job: Job, info: ImageInfo, metadata: Metadata, options: Options, settings: Settings
) -> tuple[Prepared, Callable[..., Sink]]:
    """Prepare a file of one image. Also returns what opens its sink, with the file and the executor as arguments.

    Raises:
        OSError: if its metadata cannot be encoded.
    """

    def prepare() -> tuple[Prepared, Callable[..., Sink]]:
        made = prepared(job.input, info, metadata, job.resolved, options, settings)
        fmt = format_named(job.format)
        return made, sink_opener(fmt, **made.image, quality=options.quality, info=info, suffix=job.output.suffix)

    if options.linear_light:  # tables of megabytes, of which `light.py` keeps a few
        return prepare()
    return _known.get(
        prepare, info, metadata, options, job.resolved, settings.device, settings.is_early, job.output.suffix
    )


_known = ByHeader[tuple[Prepared, Callable[..., Sink]]]()
