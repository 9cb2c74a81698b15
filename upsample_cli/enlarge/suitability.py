"""Whether the options suit one image: the kernel it gets, what a user may not expect, and what --strict says."""

from __future__ import annotations

from pathlib import Path

from upsample_cli.enlarge.options import Options
from upsample_cli.errors import ImageError, UsageError
from upsample_cli.images.model import ImageInfo, Layout
from upsample_cli.kernels.choice import chosen_kernel, kernel_warnings
from upsample_cli.kernels.kernel import Kernel, misfit


def is_premultiplied(layout: Layout, options: Options) -> bool:
    """Whether an image's colour is multiplied by its alpha on the way."""
    return layout.alpha and options.alpha == "premultiplied"


def image_kernel(path: Path, info: ImageInfo, options: Options) -> Kernel:
    """The kernel, for such an image and the factor that its target needs. Where a size needs none, it changes nothing.

    Raises:
        ImageError: if there is none for that factor, or it cannot take such an image: it is for other channels, or
            for colour without alpha.
    """
    kernel = chosen_kernel(*_kernel_and_factor(path, info, options))
    layout = info.layout
    if reason := misfit(kernel, layout.channels, has_alpha=is_premultiplied(layout, options)):
        raise ImageError(path, *reason)
    return kernel


def image_warnings(path: Path, info: ImageInfo, options: Options) -> tuple[str, ...]:
    """What the options do to such an image that a user may not expect: stretch it, or not keep flat flat.

    Raises:
        ImageError: as `image_kernel` does.
    """
    stretched = options.target.warnings(info.height, info.width)
    return (*stretched, *kernel_warnings(*_kernel_and_factor(path, info, options)))


def _kernel_and_factor(path: Path, info: ImageInfo, options: Options) -> tuple[str, int]:
    """What `chosen_kernel` takes for such an image, once it has taken it."""
    target = options.target
    try:
        factor = target.whole_factor(info.height, info.width)
    except UsageError as error:
        raise ImageError(path, error.cause, error.next_step) from error
    text = "nearest" if target.is_size and factor == 1 else options.kernel
    try:
        chosen_kernel(text, factor)
    except UsageError as error:
        needed = f", and this size needs {factor} times" if target.is_size else ""
        raise ImageError(path, f"{error.cause}{needed}", error.next_step) from error
    return text, factor


def check_strict(path: Path, warnings: tuple[str, ...], options: Options) -> None:
    """Refuse a loss that the user did not accept.

    Raises:
        ImageError: under `options.strict`, if there is a warning.
    """
    if options.strict and warnings:
        raise ImageError(
            path, f"refused by --strict: {warnings[0]}", "choose another --format or --kernel, or leave out --strict"
        )
