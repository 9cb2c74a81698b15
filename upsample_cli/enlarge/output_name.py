"""The names that a run chooses for its outputs."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from upsample_cli.enlarge.names import DEFAULT_NAME, SIZE_NAME, NameFields, checked_name, named
from upsample_cli.enlarge.options import Options
from upsample_cli.geometry.output_size import OutputSize, factor_text
from upsample_cli.images.formats import Format, format_of_path
from upsample_cli.kernels.kernel import KERNEL_NAMES


def output_name(image: str, fmt: Format, options: Options, *, index: int, height: int, width: int) -> str:
    """The output's name by `options.name`. The input's own extension is kept if it fits the output's format.

    Args:
        index: number of the input in the run, from 1.
        height, width: size of the input.

    Raises:
        ImageError: if no file can have that name.

    >>> from upsample_cli.images.formats import format_named
    >>> output_name("a/Photo.JPG", format_named("jpeg"), Options(factor=3), index=1, height=2, width=3)
    'Photo_x3.JPG'
    >>> by_size = Options(name="{parent}/{stem} {width}x{height}{ext}")
    >>> output_name("a/Photo.JPG", format_named("png"), by_size, index=1, height=2, width=3)
    'a/Photo 6x4.png'
    >>> output_name("a/Photo.png", format_named("png"), Options(fit=(4, 8)), index=1, height=2, width=3)
    'Photo_6x4.png'
    """
    wanted = options.output_size
    stem, suffix = _stem_and_suffix(os.path.basename(image))  # noqa: PTH119
    ext = _output_suffix(image, suffix, fmt)
    if options.name == DEFAULT_NAME:
        return checked_name(stem + _usual_end(ext, wanted, height, width), image)
    output_height, output_width = wanted.of(height, width)
    fields = NameFields(
        stem=stem,
        ext=ext,
        factor=_factor_field(wanted, output_width / width),
        parent=_name_of_folder(Path(image)) if "parent" in options.name else "",
        index=index,
        width=output_width,
        height=output_height,
        kernel=_kernel_field(options.kernel) if options.model is None else Path(options.model).stem,
    )
    return named(options.name, fields, image)


@functools.lru_cache(maxsize=64)
def _usual_end(suffix: str, wanted: OutputSize, height: int, width: int) -> str:
    """What follows `{stem}` in the default name. Most images of a batch have the same."""
    output_height, output_width = wanted.of(height, width)
    template = SIZE_NAME if wanted.is_size else DEFAULT_NAME
    return template.removeprefix("{stem}").format(
        factor=_factor_field(wanted, output_width / width), width=output_width, height=output_height, ext=suffix
    )


def _name_of_folder(image: Path) -> str:
    name = image.parent.name
    return name if name not in {"", ".."} else image.parent.resolve().name


def _kernel_field(kernel: str) -> str:
    if kernel in KERNEL_NAMES:
        return kernel
    from upsample_cli.kernels.weights.files import split_place  # imports numpy

    return split_place(kernel)[0].stem


def _factor_field(wanted: OutputSize, scale: float) -> int | str:
    if wanted.factor is None:
        return f"{scale:.4g}"
    return wanted.factor if isinstance(wanted.factor, int) else factor_text(wanted.factor)


def _stem_and_suffix(name: str) -> tuple[str, str]:
    """As `Path.stem` and `Path.suffix`, which take a multiple of the time.

    >>> [_stem_and_suffix(name) for name in ("a.b.jpg", ".jpg", "a.", "a")]
    [('a.b', '.jpg'), ('.jpg', ''), ('a.', ''), ('a', '')]
    """
    at = name.rfind(".")
    return (name[:at], name[at:]) if 0 < at < len(name) - 1 else (name, "")


def _output_suffix(image: str, suffix: str, format_: Format) -> str:
    """The extension of an output, with its dot: the input's if it fits. A PBM becomes grey, so ".pbm" does not fit."""
    if format_of_path(image) is not format_:
        return format_.extensions[0]
    return ".pgm" if suffix.lower() == ".pbm" else suffix
