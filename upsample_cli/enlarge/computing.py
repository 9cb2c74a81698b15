"""The engine's inputs for one image: arithmetic, settings, device. The functions import numpy and the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from upsample_cli.current_folder import load_driver
from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.resolve import KernelChoice, is_premultiplied
from upsample_cli.images.model import Layout

if TYPE_CHECKING:
    from upsample_cli.engine.enlargement import Settings
    from upsample_cli.engine.exact import Arithmetic
    from upsample_cli.images.color.light import Light


def computed_layout(read: Layout, written: Layout) -> Layout:
    """The layout that is enlarged. For a 16-bit output, 8-bit pixels are converted first, to gain precision."""
    return read._replace(depth=16) if read.depth == 8 and written.depth == 16 else read


def settings_and_arithmetic(
    settings: Settings, choice: KernelChoice, read: Layout, written: Layout, options: Options, light: Light | None
) -> tuple[Settings, Arithmetic]:
    """The settings with the kernel of an image, and the arithmetic for its pixels.

    Args:
        settings: the settings of the run.
        read, written: pixels of the input and of the output.
        light: converts the pixels to amounts of light, which are mixed instead; None to mix the pixels themselves.
    """
    import numpy as np

    from upsample_cli.engine.exact import form_for_pixels

    kernel, arithmetic = form_for_pixels(
        choice.load(),
        np.dtype("float64" if light else computed_layout(read, written).dtype.name),
        has_alpha=is_premultiplied(read, options),
        largest_amount=light.largest_amount if light else None,
    )
    return settings if kernel is settings.kernel else settings._replace(kernel=kernel), arithmetic


def engine_settings(options: Options, kernel: KernelChoice, *, is_early: bool = False) -> Settings:
    """The settings of the engine.

    Args:
        is_early: see `engine.enlargement.Settings`.

    Raises:
        DeviceError: if the device does not exist.
    """
    from upsample_cli.engine.devices import pick_device
    from upsample_cli.engine.enlargement import Settings

    device = pick_device(options.device)
    return Settings(kernel.load(), options.border, device, options.memory_bytes, options.tile, options.engine, is_early)


def choose_route(job: Job, options: Options) -> None:
    """Begin to choose the route of a planned image, which loads libtorch, before its first rows have been decoded."""
    settings = engine_settings(options, job.resolved.kernel, is_early=True)
    layout, output = job.header.layout, job.resolved.layout
    if not options.linear_light:
        from upsample_cli.engine.enlargement import route_of

        route_of(
            *settings_and_arithmetic(settings, job.resolved.kernel, layout, output, options, None), layout.channels
        )


def options_on_device(options: Options, index: int) -> tuple[Options, str]:
    """The options for worker `index`, and the name of its device. Workers are distributed over all GPUs.

    Raises:
        DeviceError: if the device does not exist.
        UsageError: if a file in the current folder would be loaded as the driver of a GPU.
    """
    from upsample_cli.engine.devices import pick_device

    load_driver()  # here, so that the run fails and not each image
    device = pick_device(options.device)
    if device != "cpu" and options.device in ("auto", "cuda"):
        import torch

        device = f"cuda:{index % torch.cuda.device_count()}"
    return replace(options, device=device), device  # chosen once, not for each image
