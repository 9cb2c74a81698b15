"""What a user asks for: the options that hold for all images of a run."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from upsample_cli.enlarge.names import DEFAULT_NAME, check_template, template_suffix
from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.geometry.output_size import Size, Target, factor_text, parsed_factor
from upsample_cli.geometry.tiles import BORDERS, Border
from upsample_cli.images.formats import DEFAULT_MAX_PIXELS, Format, check_quality, format_named, format_of_path
from upsample_cli.images.metadata.policy import METADATA_POLICIES, MetadataPolicy
from upsample_cli.images.model import Depth
from upsample_cli.kernels.choice import chosen_kernel

Alpha = Literal["premultiplied", "straight"]
ALPHAS: tuple[Alpha, ...] = ("premultiplied", "straight")
OutputDepth = Literal["keep", "8", "16"]
DEPTHS: dict[OutputDepth, Depth | None] = {"keep": None, "8": 8, "16": 16}
DEFAULT_FACTOR = 2


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that holds for all images of a run.

    Args:
        factor: times the input, a side, 1 to 64: whole, or a fraction; left at 2 where one of the next four is given.
        size: (height, width) of every output.
        width: of every output; the height follows the proportion.
        height: of every output; the width follows the proportion.
        fit: (height, width) that every output lies in, as large as its proportion allows.
        kernel: a name in `kernels.KERNEL_NAMES`, or `FILE` or `FILE:KEY` of weights.
        border: what lies outside the image.
        alpha: "premultiplied" keeps colour hidden under transparency from bleeding; "straight" treats alpha as one more
            channel and keeps the hidden colour.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        memory_bytes: budget for the convolution's working memory; None for the default.
        tile: side of the tiles in input pixels; None to derive it from the budget.
        format: name of the output format; None for the one the output's name or else the input has.
        quality: of the encoder; the range depends on the format.
        overwrite: replace outputs that exist.
        strict: make every warning an error.
        max_pixels: largest input accepted.
        metadata: "keep" all that the output can hold, "strip" all but the colour profile, or "orientation-only": keep
            the profile, and Exif's word that the image is upright.
        depth: bits per channel of the output: the input's ("keep"), "8" or "16"; exactly rounded.
        linear_light: mix light instead of the numbers that encode it; by the image's profile, else as sRGB.
        frame: one frame or page alone, counted from 1; None for all, where the output can hold them.
        name: template of the outputs' names; see `names.NameFields`.

    Raises:
        UsageError: if a value is none of those.
    """

    factor: int | Fraction = DEFAULT_FACTOR
    kernel: str = "bilinear"
    border: Border = "replicate"
    alpha: Alpha = "premultiplied"
    device: str = "auto"
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

    def __post_init__(self) -> None:
        self._check_kernel()
        named: tuple[tuple[str, str, tuple[str, ...]], ...] = (
            ("border", self.border, BORDERS),
            ("alpha", self.alpha, ALPHAS),
            ("metadata", self.metadata, METADATA_POLICIES),
            ("depth", self.depth, tuple(DEPTHS)),
        )
        for name, value, choices in named:
            if value not in choices:
                raise UsageError(f"there is no --{name} {value!r}", f"choose one of {', '.join(choices)}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,4})?|mps", self.device):
            raise UsageError(f"there is no --device {self.device!r}", "choose one of auto, cpu, cuda, cuda:N, mps")
        if self.frame is not None and self.frame < 1:
            raise UsageError(f"there is no frame {self.frame}", "frames and pages are counted from 1")
        check_template(self.name)
        if self.tile is not None and self.tile < 1:
            raise UsageError(f"a tile of {self.tile} pixels holds nothing", "give --tile 1 or more")
        if self.format is not None:
            check_quality(format_named(self.format), self.quality)
            self._check_extension(format_named(self.format))

    def _check_extension(self, fmt: Format) -> None:
        suffix = template_suffix(self.name) or ""
        announced = format_of_path(f"x{suffix}")
        if announced not in (None, fmt):
            raise UsageError(
                f"--name {self.name!r} gives {fmt.title} files the extension {suffix}",
                "leave out --format, or end --name in {ext}",
            )

    @property
    def target(self) -> Target:
        """How large outputs are to be.

        >>> Options(fit=(600, 800)).target.output_size(100, 100)
        (600, 600)
        """
        return _target(self.factor, self.size, self.width, self.height, self.fit)

    def _check_kernel(self) -> None:
        """Refuse a kernel that no image can use; where each image has its own factor, one that does not exist."""
        target = self.target
        try:
            chosen_kernel(self.kernel, 2 if target.is_size else target.whole_factor(1, 1))
        except GeometryError as error:
            if target.is_size:
                return
            if isinstance(target.factor, int):
                raise
            needed = f"and factor {factor_text(self.factor)} needs {target.whole_factor(1, 1)} times"
            raise GeometryError(f"{error.cause}, {needed}", error.next_step) from error


def options_of(factor: int | float | Fraction | str | None, **others: Any) -> Options:
    """Options of which the factor, if there is one, is written as people write it, and then stands alone.

    Raises:
        UsageError: if a value cannot be.

    >>> options_of("3/2").target.output_size(10, 20), options_of(None).factor
    ((15, 30), 2)
    >>> options_of(2.0, width=800)
    Traceback (most recent call last):
    upsample_cli.errors.UsageError: --factor and --width both say how large; give one of them
    """
    if factor is None:
        return Options(**others)
    whole_or_not = parsed_factor(factor)
    Target(factor=whole_or_not, **{name: others.get(name) for name in ("size", "width", "height", "fit")})
    return Options(factor=whole_or_not, **others)


@functools.lru_cache(maxsize=8)  # asked for several times for each image of a batch
def _target(
    factor: int | Fraction, size: Size | None, width: int | None, height: int | None, fit: Size | None
) -> Target:
    if all(each is None for each in (size, width, height, fit)):
        return Target(factor=factor)
    given = None if factor == DEFAULT_FACTOR else factor  # who gives 2 as well: `options_of`
    return Target(factor=given, size=size, width=width, height=height, fit=fit)
