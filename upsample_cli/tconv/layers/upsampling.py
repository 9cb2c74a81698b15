"""`torch.nn.Upsample` as plain data. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import over_axes
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.sizes import MAX_SIZE, bilinear_axis
from upsample_cli.tconv.layers.model import AMPLE, Weightless, constructor_text
from upsample_cli.tconv.layers.pooling import divided_axis
from upsample_cli.tconv.layers.symbolic import Size, Symbolic, bracketed

MODES: dict[str, int | None] = {
    "nearest": None, "nearest-exact": None, "area": None, "linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3
}  # fmt: skip
"""The modes of `torch.nn.Upsample`, and the number of axes that they require; None for any number."""


@dataclass(frozen=True, slots=True)
class Upsampling(Weightless):
    """`torch.nn.Upsample`, by either `size` or `scale_factor`.

    >>> Upsampling(scale_factor=1.5).output_sizes((7,)), Upsampling(size=(9, 8)).output_sizes((3, 4))
    ((10,), (9, 8))
    """

    _: KW_ONLY
    size: int | tuple[int, ...] | None = None
    scale_factor: float | tuple[float, ...] | None = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise GeometryError(f"mode '{self.mode}' is unknown", f"use one of {', '.join(MODES)}")
        if (self.size is None) == (self.scale_factor is None):
            raise GeometryError("one of size and scale_factor must be given", "write for example scale_factor=2")
        if self.align_corners is not None and MODES[self.mode] is None:
            raise GeometryError(f"mode '{self.mode}' has no align_corners", "leave it out, or use mode='bilinear'")
        if self.recompute_scale_factor and self.size is not None:
            raise GeometryError("recompute_scale_factor needs a scale_factor", "leave it out with size")

    @property
    def name(self) -> str:
        """Its class in torch.nn."""
        return "Upsample"

    @property
    def axes(self) -> int | None:
        """The number of axes that the mode requires; None for any number."""
        return MODES[self.mode]

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """Sizes after the layer."""
        if not 1 <= len(sizes) <= 3:
            raise GeometryError(f"it does not work on {len(sizes)} axes", "give it 1 to 3")
        if self.size is not None:
            return tuple(_at_least_one(size) for size in self._per_axis("size", len(sizes)))
        return over_axes(_scaled, sizes, {"factor": self._per_axis("scale_factor", len(sizes))})

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """The formula of each output size."""
        outputs = self.output_sizes(sizes)
        if self.size is not None:
            return tuple(str(output) for output in outputs)
        rows = zip(sizes, self._per_axis("scale_factor", len(sizes)), outputs, strict=True)
        return tuple(
            f"{bracketed(size)}*{factor} = {output}"
            if float(factor).is_integer()
            else f"floor({bracketed(size)}*{factor}) = {output}"
            for size, factor, output in rows
        )

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """The layer along each axis; None unless the factor is whole and align_corners is False."""
        return tuple(map(self._along_axis, sizes, self.output_sizes(sizes)))

    def _along_axis(self, size: Size, after: Size) -> LayerAxis | None:
        factor = _whole_factor(size, after)
        if factor:
            return self._axis(factor)
        return divided_axis(size, after) if self.mode == "area" else None

    def _axis(self, factor: int) -> LayerAxis | None:
        if self.align_corners and factor != 1:
            return None
        if MODES[self.mode] is None or factor == 1:
            return LayerAxis(factor, factor, transposed=True)
        if self.mode == "bicubic":
            # Each output depends on four inputs: a cubic kernel extends twice as far as a linear one.
            return LayerAxis(4 * factor - factor % 2, factor, (3 * factor) // 2, transposed=True)
        return bilinear_axis(factor)

    def _per_axis(self, name: str, axes: int) -> tuple[Any, ...]:
        value = getattr(self, name)
        if isinstance(value, int | float):
            return (value,) * axes
        if len(value) != axes:
            raise GeometryError(f"{name} has {len(value)} numbers for {axes} axes", f"give one number, or {axes}")
        return tuple(value)

    def __str__(self) -> str:
        return constructor_text(self)


def _whole_factor(before: Size, after: Size) -> int:
    """How many times longer an axis becomes; 0 if that is not a whole number."""
    if isinstance(before, Symbolic) and isinstance(after, Symbolic):
        before, after = before.at(AMPLE), after.at(AMPLE)
    if isinstance(before, int) and isinstance(after, int) and after % before == 0:
        return after // before
    return 0


def _scaled(size: Size, factor: float) -> Size:
    if not factor > 0:
        raise GeometryError(f"scale_factor {factor} is too small", "use more than 0")
    if factor > MAX_SIZE:
        raise GeometryError(f"scale_factor {factor} is too large", "no axis of a tensor can be longer than 2^63 - 1")
    if isinstance(size, int):
        return _at_least_one(int(size * factor if float(factor).is_integer() else float(size) * factor))
    exact = Fraction(factor)
    if exact.denominator > 4096:
        raise GeometryError(f"scale_factor {factor} has no exact formula", "give the size in numbers")
    return size * exact.numerator // exact.denominator


def _at_least_one(size: int) -> int:
    if size < 1:
        raise GeometryError(f"the output size {size} is too small", "use a larger scale_factor or size")
    return size
