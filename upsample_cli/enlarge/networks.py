"""A network in place of the kernel: whether it can enlarge an image, and its run. The first one imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from upsample_cli.engine.available import available_bytes
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import ImageError, Setting, Text, joined
from upsample_cli.geometry.tiles import Plan, plan_on_grid
from upsample_cli.images.model import ImageInfo, Layout
from upsample_cli.images.space import size_text
from upsample_cli.models.choice import Model, chosen_model, loaded_network

if TYPE_CHECKING:
    from upsample_cli.engine.enlargement import Settings
    from upsample_cli.models.bands import NetworkRun

_UNKNOWN_BYTES = 2**33
"""The available memory to assume if the system does not report it."""

_MORE_MEMORY: Text = ("give a larger ", Setting("memory_bytes"), ", or enlarge it on a machine with more memory")


def usable_network(image: Path, info: ImageInfo, options: Options) -> Model | None:
    """The network of the options, if it can enlarge an image of this header; None if a kernel enlarges.

    Raises:
        UsageError: if the file is not a network that can be used.
        ImageError: if the network is for other channels, or would take too much memory.
    """
    if options.model is None:
        return None
    from upsample_cli.engine.devices import pick_device

    _, model = chosen_model(options.model, pick_device(options.device))
    _check_layout(image, info.layout, model)
    _plan(image, info, options, model)
    return model


def network_run(image: Path, info: ImageInfo, options: Options, model: Model, settings: Settings) -> NetworkRun:
    """The network, ready to run on an image.

    Args:
        settings: the settings of the bilinear layer, which enlarges alpha.

    Raises:
        UsageError: if the file of the network is not the one that the run was planned with.
    """
    from upsample_cli.models.bands import NetworkRun

    network = loaded_network(model, settings.device)
    layout = info.layout
    return NetworkRun(
        network,
        _plan(image, info, options, model),
        colours=layout.channels - layout.alpha,
        has_alpha=layout.alpha,
        fills=layout.alpha and options.alpha == "premultiplied",
        settings=settings,
    )


def not_finite(image: Path, place: str) -> ImageError:
    """The error for a tile in which the network made infinities or NaN."""
    return ImageError(image, f"the network makes infinities or NaN in {place}", "use another network", kind="no-model")


def _check_layout(image: Path, layout: Layout, model: Model) -> None:
    wanted = "RGB" if model.channels == 3 else "grey"
    if layout.colour not in ("grey", "rgb") or (layout.colour == "rgb" and model.channels == 1):
        shown = {"rgb": "RGB", "grey": "grey", "cmyk": "CMYK"}.get(layout.colour, "Lab")
        raise ImageError(
            image, f"is {shown}, and {model.architecture} of these weights is for {wanted} images",
            f"convert it to {wanted} first", kind="no-model",
        )  # fmt: skip
    if layout.depth == 32:
        raise ImageError(
            image, "has floating-point pixels, and a network is for values from black to white",
            "convert it to 16 bits first", kind="no-model",
        )  # fmt: skip


def _plan(image: Path, info: ImageInfo, options: Options, model: Model) -> Plan:
    """The tiles of an image.

    Raises:
        ImageError: if the network takes too much memory.
    """
    found, height, width = model.measured, info.height, info.width
    most_bytes = options.memory_bytes or (available_bytes() or _UNKNOWN_BYTES) // 2
    needed = size_text(model.whole_bytes(height, width))
    if found.kind == "global":
        is_cut = options.tile is not None and options.tile < max(height, width)
        if is_cut or model.whole_bytes(height, width) > most_bytes:
            cut = (Setting("tile", options.tile), " cuts it") if is_cut else f"{size_text(most_bytes)} may be used"
            cause = joined(f"{model.architecture} is not tileable: the whole image needs about {needed}, and ", cut)
            raise ImageError(image, cause, "leave it out" if is_cut else _MORE_MEMORY, kind="no-memory")
        return Plan(height, width, 0, height, width)
    pixels = most_bytes // found.bytes_per_pixel
    plan = plan_on_grid(height, width, halo=found.halo, grid=found.grid, pixels=pixels, tile_size=options.tile)
    if plan is None:
        side = min(found.grid, height) + 2 * found.halo if options.tile is None else options.tile + 2 * found.halo
        least = size_text(found.bytes_per_pixel * min(side, height) * min(side, width))
        reaches = f"{model.architecture} reaches {found.reach} pixels, so a tile needs about {least}"
        raise ImageError(image, f"{reaches}, and {size_text(most_bytes)} may be used", _MORE_MEMORY, kind="no-memory")
    return plan
