"""Whether the options suit one picture: the kernel it gets, what a user may not expect, and what --strict says."""

from __future__ import annotations

from pathlib import Path

from upsample_cli.enlarge.job import Options
from upsample_cli.errors import PictureError, UsageError
from upsample_cli.images.model import Layout, PictureInfo
from upsample_cli.kernels.choice import chosen_kernel, kernel_warnings
from upsample_cli.kernels.kernel import Kernel, misfit


def is_premultiplied(layout: Layout, options: Options) -> bool:
    """Whether a picture's colour is multiplied by its alpha on the way."""
    return layout.alpha and options.alpha == "premultiplied"


def picture_kernel(path: Path, info: PictureInfo, options: Options) -> Kernel:
    """The kernel, for such a picture and the factor that its target needs. Where a size needs none, it changes nothing.

    Raises:
        PictureError: if there is none for that factor, or it cannot take such a picture: it is for other channels, or
            for colour without alpha.
    """
    kernel = chosen_kernel(*_kernel_and_factor(path, info, options))
    layout = info.layout
    if reason := misfit(kernel, layout.channels, has_alpha=is_premultiplied(layout, options)):
        raise PictureError(path, *reason)
    return kernel


def picture_warnings(path: Path, info: PictureInfo, options: Options) -> tuple[str, ...]:
    """What the options do to such a picture that a user may not expect: stretch it, or not keep flat flat.

    Raises:
        PictureError: as `picture_kernel` does.
    """
    stretched = options.target.warnings(info.height, info.width)
    return (*stretched, *kernel_warnings(*_kernel_and_factor(path, info, options)))


def _kernel_and_factor(path: Path, info: PictureInfo, options: Options) -> tuple[str, int]:
    """What `chosen_kernel` takes for such a picture, once it has taken it."""
    target = options.target
    try:
        factor = target.whole_factor(info.height, info.width)
    except UsageError as error:
        raise PictureError(path, error.cause, error.next_step) from error
    text = "nearest" if target.is_size and factor == 1 else options.kernel
    try:
        chosen_kernel(text, factor)
    except UsageError as error:
        needed = f", and this size needs {factor} times" if target.is_size else ""
        raise PictureError(path, f"{error.cause}{needed}", error.next_step) from error
    return text, factor


def check_strict(path: Path, warnings: tuple[str, ...], options: Options) -> None:
    """Refuse a loss that the user did not accept.

    Raises:
        PictureError: under `options.strict`, if there is a warning.
    """
    if options.strict and warnings:
        raise PictureError(
            path, f"refused by --strict: {warnings[0]}", "choose another --format or --kernel, or leave out --strict"
        )
