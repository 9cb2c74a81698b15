"""All decisions about one image, made once: from its header, the options and the output's path."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from upsample_cli.enlarge.networks import usable_network
from upsample_cli.enlarge.options import DEPTHS, Options
from upsample_cli.errors import ImageError, Loss, Setting, Text, UsageError, joined
from upsample_cli.geometry.output_size import Size
from upsample_cli.images.formats import Format
from upsample_cli.images.model import Frames, ImageInfo, Layout, Metadata
from upsample_cli.images.output_form import nearest_form
from upsample_cli.kernels.choice import chosen_kernel, kernel_losses
from upsample_cli.kernels.network import AnyKernel
from upsample_cli.models.choice import Model


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """The choice of a kernel. Loaded weights stay in the process that loaded them and are not pickled.

    Args:
        text, factor: see `chosen_kernel`.
    """

    text: str
    factor: int
    _loaded: AnyKernel | None = field(default=None, compare=False, repr=False)

    def load(self) -> AnyKernel:
        """The kernel.

        Raises:
            UsageError: from `chosen_kernel`, if a weight file was removed or changed.
        """
        return self._loaded or chosen_kernel(self.text, self.factor)

    def __reduce__(self) -> tuple[type[KernelChoice], tuple[str, int]]:
        return KernelChoice, (self.text, self.factor)


class Resolved(NamedTuple):
    """The decisions about one image.

    The device is not part of this: "auto" is resolved by the process that computes, which may be on another machine.

    Args:
        format: name of the output's format.
        layout: layout of the output's pixels.
        frames: the frames or pages to write; None if only one image is written.
        kernel: the kernel of the enlargement.
        size: (height, width) of the output.
        losses: what the reader and the output's format lose.
        remarks: effects of the options that a user may not expect.
        possible: what may be lost, depending on the pixels.
        model: the network that enlarges in place of the kernel, which then enlarges only alpha; None without one.
        least_bytes: the least disk space that the output takes; 0 if unknown.
    """

    format: str
    layout: Layout
    frames: Frames | None
    kernel: KernelChoice
    size: Size
    losses: tuple[Loss, ...] = ()
    remarks: tuple[Loss, ...] = ()
    possible: tuple[Loss, ...] = ()
    model: Model | None = None
    least_bytes: int = 0

    @property
    def warnings(self) -> tuple[Loss, ...]:
        """Everything that is certain before the pixels are read."""
        return (*self.losses, *self.remarks)


_OTHER_FORMAT: Text = ("choose a ", Setting("format"), " or an ", Setting("output"), " extension that keeps it, or ")
_NO_METADATA: Text = ("give ", Setting("metadata", "strip"), ", or ")
_AVOIDS: dict[str, Text] = {
    "pattern": ("choose another ", Setting("kernel"), ", or "),
    "stretched": ("give ", Setting("fit"), " or another ", Setting("size"), ", or "),
    "extension": ("give ", Setting("output"), " another extension, or "),
    "preview": ("choose another ", Setting("frame"), ", or "),
    "times": ("leave out ", Setting("keep_times"), ", or "),
    "damage": "get a new copy of it, or ",
    "metadata": _NO_METADATA,
    "maker-note": _NO_METADATA,
    "channels": "",
    "range": "",
}
"""How to avoid a loss: by another format, unless its kind is in this table."""


def resolve(image: Path, info: ImageInfo, metadata: Metadata, fmt: Format, options: Options, output: Path) -> Resolved:
    """Make all decisions that follow from an image's header, the options and the output's path. No image is opened.

    `chosen_kernel` reads a weight file once for all images.

    Args:
        image: the input, for messages.
        info, metadata: from the input's header, after `options.metadata` was applied.
        fmt: format of the output.
        output: path of the output.

    Raises:
        ImageError: if there is no suitable kernel for the image.
    """
    form = nearest_form(info, metadata, fmt, depth=DEPTHS[options.depth])
    kernel = _kernel_choice(image, info, options)
    remarks = (
        *options.output_size.losses(info.height, info.width),
        *kernel_losses(kernel.text, kernel.factor),
        *_name_losses(output, fmt, form.layout),
    )
    size = options.output_size.of(info.height, info.width)
    losses = (*info.losses, *form.losses)
    model = usable_network(image, info, options)
    return Resolved(fmt.name, form.layout, form.frames, kernel, size, losses, remarks, form.possible, model)


def is_premultiplied(layout: Layout, options: Options) -> bool:
    """Whether an image's colour is multiplied by its alpha before it is enlarged."""
    return layout.alpha and options.alpha == "premultiplied"


def check_strict(path: Path, losses: tuple[Loss, ...], options: Options) -> None:
    """Refuse a loss that the user did not accept.

    Raises:
        ImageError: under `options.strict`, if there is a warning.
    """
    if options.strict and losses:
        strict, avoided = Setting("strict"), _AVOIDS.get(losses[0].kind, _OTHER_FORMAT)
        raise ImageError(
            path,
            joined(("refused by ", strict, ": "), losses[0].text),
            joined(avoided, ("leave out ", strict)),
            kind="loss-refused",
        )


def _kernel_choice(path: Path, info: ImageInfo, options: Options) -> KernelChoice:
    """The kernel for the factor that the image's size needs. Without enlargement, a kernel that changes nothing.

    Raises:
        ImageError: if the kernel does not exist for that factor, or does not support the image: it is for other
            channels, or for colour without alpha.
    """
    wanted, layout = options.output_size, info.layout
    try:
        factor = wanted.whole_factor(info.height, info.width)
    except UsageError as error:
        raise ImageError(path, error.cause, error.next_step, kind="too-large") from error
    text = "nearest" if wanted.is_size and factor == 1 else options.kernel
    try:
        kernel = chosen_kernel(text, factor)
    except UsageError as error:
        needed = f", and this size needs {factor} times" if wanted.is_size else ""
        raise ImageError(path, joined(error.cause, needed), error.next_step, kind="no-kernel") from error
    if reason := kernel.misfit(
        layout.channels,
        has_alpha=is_premultiplied(layout, options),
        is_whole=layout.depth != 32,
        has_luma=layout.colour in ("grey", "rgb"),
    ):
        raise ImageError(path, *reason, kind="no-kernel")
    return KernelChoice(text, factor, kernel)


def _name_losses(output: Path, fmt: Format, layout: Layout) -> tuple[Loss, ...]:
    """A remark if the output's extension belongs to another kind of its format: PNM has four."""
    if fmt.name != "pnm":
        return ()
    from upsample_cli.images.codecs import pnm  # imports numpy

    return pnm.name_losses(output.suffix, layout)
