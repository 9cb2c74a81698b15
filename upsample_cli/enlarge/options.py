"""The options of a user, which apply to all images of a run."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Literal, cast

from upsample_cli import arguments
from upsample_cli.engine.names import ENGINES, EngineName
from upsample_cli.enlarge.names import DEFAULT_NAME, check_template, template_suffix
from upsample_cli.errors import GeometryError, Setting, UsageError, joined, listed
from upsample_cli.geometry.borders import BORDERS, Border
from upsample_cli.geometry.output_size import OutputSize, Size, factor_text, parsed_factor
from upsample_cli.geometry.print_size import checked_dpi, parsed_print
from upsample_cli.images.formats import Format, check_quality, format_named, format_of_path
from upsample_cli.images.input_formats import read_only_format
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS
from upsample_cli.images.metadata.policy import METADATA_POLICIES, MetadataPolicy
from upsample_cli.images.model import Depth
from upsample_cli.kernels.choice import chosen_kernel, is_network
from upsample_cli.models.choice import model_factor

Alpha = Literal["premultiplied", "straight"]
ALPHAS: tuple[Alpha, ...] = ("premultiplied", "straight")
OutputDepth = Literal["keep", "8", "16"]
DEPTHS: dict[OutputDepth, Depth | None] = {"keep": None, "8": 8, "16": 16}
DEFAULT_FACTOR = 2
_WITHOUT_MODEL = ("size", "width", "height", "fit", "print", "kernel", "border", "linear_light", "engine")
"""Options that do not go with a network: it has one factor and its own border, and gets pixels as they are encoded."""

_PLAIN = {
    **dict.fromkeys(("kernel", "device", "format", "name", "print", "model"), arguments.text),
    **dict.fromkeys(("memory_bytes", "tile", "quality", "max_pixels", "width", "height", "frame"), arguments.whole),
    **dict.fromkeys(("size", "fit"), arguments.size),
    **dict.fromkeys(("overwrite", "strict", "linear_light", "keep_times"), arguments.flag),
}
"""What converts an option to plain Python. `factor` and `dpi` have parsers; the others are names."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options for all images of a run.

    Args:
        factor: how many times longer each side becomes, 1 to 64, as a number or as people write it ("4/3"). It is
            converted to an int or a Fraction. If it is None, it becomes 2, unless one of the next five is given.
        size: (height, width) of every output.
        width: of every output; the height follows the proportion.
        height: of every output; the width follows the proportion.
        fit: (height, width) of a box; every output is as large as fits in it, with its proportion kept.
        print: the size of every output on paper, as text such as "30x20cm@300"; fitted like `fit`. It is kept without
            the resolution, which becomes `dpi`.
        kernel: a name in `kernels.KERNEL_NAMES`, `FILE` or `FILE:KEY` of weights, or a network's file.
        border: the values outside the image.
        alpha: "premultiplied" keeps colour hidden under transparency from bleeding; "straight" treats alpha as one more
            channel and keeps the hidden colour.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        engine: "auto" for the fastest route that gives the layer's pixels, "layer" for the layer itself, "compiled" for
            the compiled route or an error.
        memory_bytes: budget for the convolution's working memory; None for the default.
        tile: side of the tiles in input pixels; None to derive it from the budget.
        format: name of the output format; None for the format of the output's name, or without that of the input.
        quality: of the encoder; the range depends on the format.
        overwrite: replace outputs that exist.
        strict: make every warning an error.
        max_pixels: largest input accepted.
        metadata: "keep" all that the output can hold, "strip" all but the colour profile, or "orientation-only": keep
            the profile, and an Exif orientation that says that the image is upright.
        model: a file of weights (.safetensors, .pth or .pt) of a super-resolution network, which enlarges in place of
            the kernel; None for the kernel. The factor is that of the network.
        dpi: the resolution to write into outputs, in dots per inch; None to keep that of the input.
        keep_times: give new outputs the times of modification and access of their inputs, and their owner, group and
            mode as far as allowed.
        depth: bits per channel of the output: the input's ("keep"), "8" or "16"; exactly rounded.
        linear_light: mix light instead of the numbers that encode it. The image's profile, or sRGB, defines the code.
        frame: the only frame or page to enlarge, counted from 1; None for all that the output can hold.
        name: template of the outputs' names; see `names.NameFields`.

    Raises:
        UsageError: if a value is not one of those.
    """

    factor: int | float | Fraction | str | None = None
    kernel: str = "bilinear"
    border: Border = "replicate"
    alpha: Alpha = "premultiplied"
    device: str = "auto"
    engine: EngineName = "auto"
    memory_bytes: int | None = None
    tile: int | None = None
    format: str | None = None
    quality: int | None = None
    overwrite: bool = False
    strict: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    metadata: MetadataPolicy = "keep"
    depth: OutputDepth = "keep"
    linear_light: bool = False
    frame: int | None = None
    name: str = DEFAULT_NAME
    size: Size | None = None
    width: int | None = None
    height: int | None = None
    fit: Size | None = None
    print: str | None = None
    dpi: int | None = None
    keep_times: bool = False
    model: str | None = None

    def __post_init__(self) -> None:
        self._make_plain()
        if self.model is not None:
            self._take_factor(self.model)
        if self.factor is not None:
            object.__setattr__(self, "factor", parsed_factor(self.factor))
        elif (self.size, self.width, self.height, self.fit, self.print) == (None,) * 5:
            object.__setattr__(self, "factor", DEFAULT_FACTOR)
        if self.dpi is not None:
            object.__setattr__(self, "dpi", checked_dpi(self.dpi))
        if self.print is not None:
            self._divide_print(self.print)
        self._check_kernel()
        named: tuple[tuple[str, str, tuple[str, ...]], ...] = (
            ("border", self.border, BORDERS),
            ("alpha", self.alpha, ALPHAS),
            ("metadata", self.metadata, METADATA_POLICIES),
            ("depth", self.depth, tuple(DEPTHS)),
            ("engine", self.engine, ENGINES),
        )
        for name, value, choices in named:
            if not isinstance(value, str) or value not in choices:
                raise UsageError(("there is no ", Setting(name, repr(value))), f"choose one of {', '.join(choices)}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,4})?|mps", self.device):
            device = Setting("device", repr(self.device))
            raise UsageError(("there is no ", device), "choose one of auto, cpu, cuda, cuda:N, mps")
        if self.frame is not None and self.frame < 1:
            raise UsageError(f"there is no frame {self.frame}", "frames and pages are counted from 1")
        check_template(self.name)
        if (read_only := read_only_format((template_suffix(self.name) or "").lower())) is not None:
            cause = (
                Setting("name", repr(self.name)),
                f" is the name of a {read_only.title} file, which is not written",
            )
            raise UsageError(cause, ("end ", Setting("name"), " in {ext}"))
        if self.tile is not None and self.tile < 1:
            raise UsageError(f"a tile of {self.tile} pixels holds nothing", ("give ", Setting("tile", 1), " or more"))
        if self.format is not None:
            check_quality(format_named(self.format), self.quality)
            self._check_extension(format_named(self.format))

    def _make_plain(self) -> None:
        for field in fields(self):
            if field.name in _PLAIN and (value := getattr(self, field.name)) is not field.default:
                object.__setattr__(self, field.name, _PLAIN[field.name](value, field.name))

    def _take_factor(self, model: str) -> None:
        """Take the factor of a network. Settings that would have no effect, or another one, are refused.

        Raises:
            UsageError: if there are such settings, or the file is not a network.
        """
        setting = Setting("model")
        usual = {field.name: field.default for field in fields(self)}
        for name in _WITHOUT_MODEL:
            if getattr(self, name) != usual[name]:
                raise UsageError((Setting(name), " cannot be combined with ", setting), "leave one out")
        factor = model_factor(model)
        if self.factor is not None and parsed_factor(self.factor) != factor:
            asked = Setting("factor", factor_text(parsed_factor(self.factor)))
            raise UsageError((f"model {model} enlarges {factor} times, not by ", asked), "leave it out")
        object.__setattr__(self, "factor", factor)

    def _check_extension(self, fmt: Format) -> None:
        suffix = template_suffix(self.name) or ""
        announced = format_of_path(f"x{suffix}")
        if announced not in (None, fmt):
            raise UsageError(
                (Setting("name", repr(self.name)), f" gives {fmt.title} files the extension {suffix}"),
                ("leave out ", Setting("format"), ", or end ", Setting("name"), " in {ext}"),
            )

    def _divide_print(self, text: str) -> None:
        """Keep the size in `print` and the resolution in `dpi`.

        Raises:
            UsageError: if there is another size, or not exactly one resolution.
        """
        setting = Setting("print", repr(text))
        sizes = [name for name in ("factor", "size", "width", "height", "fit") if getattr(self, name) is not None]
        if sizes:
            both = listed([(Setting(name),) for name in (*sizes, "print")], " and ")
            raise UsageError(joined(both, " both say how large"), "give one of them")
        size, dpi = parsed_print(text)
        if dpi is None and self.dpi is None:
            example = Setting("print", f"{size}@300")
            raise UsageError((setting, " has no resolution"), ("write ", example, ", or give ", Setting("dpi")))
        if dpi is not None and self.dpi is not None:
            raise UsageError((setting, " and ", Setting("dpi"), " both give a resolution"), "leave one out")
        object.__setattr__(self, "print", str(size))
        object.__setattr__(self, "dpi", dpi or self.dpi)

    @property
    def output_size(self) -> OutputSize:
        """The size that the outputs will have.

        >>> Options(fit=(600, 800)).output_size.of(100, 100), Options("3/2").output_size.of(10, 20)
        ((600, 600), (15, 30))
        >>> Options(2.0, width=800)
        Traceback (most recent call last):
        upsample_cli.errors.UsageError: factor and width both say how large; give one of them
        """
        if self.print is not None and self.dpi is not None:
            return _output_size(**parsed_print(self.print)[0].pixels(self.dpi))
        return _output_size(cast("int | Fraction | None", self.factor), self.size, self.width, self.height, self.fit)

    def _check_kernel(self) -> None:
        """Refuse a kernel that no image can use. If each image has its own factor, the kernel only has to exist."""
        factor = self.output_size.factor
        if self.linear_light and is_network(self.kernel):
            raise UsageError(
                (Setting("kernel", self.kernel), " is a network for pixels as they are stored, not for linear light"),
                ("leave out ", Setting("linear_light"), ", or choose another ", Setting("kernel")),
            )
        try:
            chosen_kernel(self.kernel, 2 if factor is None else math.ceil(factor))
        except GeometryError as error:
            if factor is None:
                return
            if isinstance(factor, int):
                raise
            needed = f"and factor {factor_text(factor)} needs {math.ceil(factor)} times"
            raise GeometryError(joined(error.cause, f", {needed}"), error.next_step) from error


_output_size = functools.lru_cache(maxsize=8)(OutputSize)  # called several times for each image of a batch
