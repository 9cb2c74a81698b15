"""The names that a run chooses for its outputs."""

from __future__ import annotations

import functools
from pathlib import Path

from upsample_cli.enlarge.names import DEFAULT_NAME, SIZE_NAME, NameFields, checked_name, named
from upsample_cli.enlarge.options import Options
from upsample_cli.geometry.output_size import OutputSize, factor_text
from upsample_cli.images.formats import Format, format_of_path
from upsample_cli.kernels.kernel import KERNEL_NAMES


def output_name(image: Path, fmt: Format, options: Options, *, index: int, height: int, width: int) -> str:
    """The output's name by `options.name`. The input's own extension is kept if it fits the output's format.

    Args:
        index: number of the input in the run, from 1.
        height, width: size of the input.

    Raises:
        ImageError: if no file can have that name.

    >>> from upsample_cli.images.formats import format_named
    >>> output_name(Path("a/Photo.JPG"), format_named("jpeg"), Options(factor=3), index=1, height=2, width=3)
    'Photo_x3.JPG'
    >>> by_size = Options(name="{parent}/{stem} {width}x{height}{ext}")
    >>> output_name(Path("a/Photo.JPG"), format_named("png"), by_size, index=1, height=2, width=3)
    'a/Photo 6x4.png'
    >>> output_name(Path("a/Photo.png"), format_named("png"), Options(fit=(4, 8)), index=1, height=2, width=3)
    'Photo_6x4.png'
    """
    wanted = options.output_size
    if options.name == DEFAULT_NAME:
        return checked_name(image.stem + _usual_end(output_suffix(image, fmt), wanted, height, width), image)
    output_height, output_width = wanted.of(height, width)
    fields = NameFields(
        stem=image.stem,
        ext=output_suffix(image, fmt),
        factor=_factor_field(wanted, output_width / width),
        parent=_name_of_folder(image) if "parent" in options.name else "",
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


def output_suffix(image: Path, format_: Format) -> str:
    """The extension of an output, with its dot: the input's if it fits. A PBM becomes grey, so ".pbm" does not fit."""
    suffix = image.suffix
    if format_of_path(image.name) is not format_:
        return format_.extensions[0]
    return ".pgm" if suffix.lower() == ".pbm" else suffix
