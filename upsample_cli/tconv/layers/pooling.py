"""Pooling layers as plain data. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import PerAxis
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.sizes import conv_output_size
from upsample_cli.tconv.layers.convolution import CONV_SETTINGS
from upsample_cli.tconv.layers.model import (
    CONV_FORMULA,
    Numbered,
    Sliding,
    Weightless,
    check_axes,
    check_count,
    constructor_text,
)
from upsample_cli.tconv.layers.symbolic import Size

_CEIL_FORMULA = (
    "min(ceil(({size} + 2*{axis.padding} - {axis.dilation}*({axis.kernel_size}-1) - 1)/{axis.stride}), "
    "floor(({size} + {axis.padding} - 1)/{axis.stride})) + 1 = {output}"
)
"""The second term excludes a last window that would start in the padding after the input."""
_NO_LARGER_KERNEL = ("AvgPool3d",)
"""Kinds for which torch refuses a kernel that is larger than the input without padding."""


@dataclass(frozen=True, slots=True)
class Pooling(Sliding, Weightless):
    """`torch.nn.MaxPool1d` to `3d`, `AvgPool1d` to `3d`.

    Args:
        kind: "MaxPool" or "AvgPool".
        stride: None or () for the same as kernel_size.

    >>> layer = Pooling("MaxPool", 1, kernel_size=3, stride=2, ceil_mode=True)
    >>> layer.output_sizes((8,)), str(layer)
    ((4,), 'MaxPool1d(kernel_size=3, stride=2, ceil_mode=True)')
    """

    _SETTINGS = CONV_SETTINGS

    kind: str
    axes: int
    _: KW_ONLY
    kernel_size: PerAxis
    stride: PerAxis | None = None
    padding: PerAxis = 0
    dilation: PerAxis = 1
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        check_axes(self)
        if isinstance(self.padding, str):
            raise GeometryError(f"padding '{self.padding}' is not a whole number", "write it in digits")
        for name in CONV_SETTINGS:
            if (name, getattr(self, name)) != ("stride", ()):
                check_count(self, name, or_one=True)

    @property
    def _formula(self) -> str:
        return _CEIL_FORMULA if self.ceil_mode else CONV_FORMULA

    def _settings(self) -> dict[str, Any]:
        settings = Sliding._settings(self)
        return settings | {"stride": self.kernel_size} if self.stride in (None, ()) else settings

    def _axis(self, **settings: Any) -> LayerAxis:
        """The layer along an axis with these settings.

        With ceil_mode, additional padding completes a last window, unless it would start in the padding after the
        input.

        >>> axis = Pooling("MaxPool", 1, kernel_size=3, stride=2, ceil_mode=True).each_axis[0]
        >>> axis.before, axis.after
        (0, 1)
        """
        axis = LayerAxis(**settings)
        return replace(axis, output_padding=min(axis.stride, axis.span - axis.padding) - 1) if self.ceil_mode else axis

    def _axis_size(self, size: int, **settings: Any) -> int:
        kernel_size, padding = settings["kernel_size"], settings["padding"]
        if padding > kernel_size // 2:
            raise GeometryError(f"padding {padding} is more than half of the kernel", f"use 0 to {kernel_size // 2}")
        if self.name in _NO_LARGER_KERNEL and kernel_size > size:
            raise GeometryError(
                f"{self.name} refuses kernel_size {kernel_size} on {size}, whatever the padding", "pool less"
            )
        if not self.ceil_mode:
            return conv_output_size(size, **settings)
        conv_output_size(max(size, settings["dilation"] * kernel_size), **settings)  # refuses illegal settings
        output = self._axis(**settings).output_size(size)
        if size < 1 or output < 1:
            raise GeometryError(f"no window fits an input of {size}", "use a larger input")
        return output

    def __str__(self) -> str:
        return constructor_text(self)


@dataclass(frozen=True, slots=True)
class AdaptivePooling(Numbered, Weightless):
    """`torch.nn.AdaptiveMaxPool1d` to `3d` and `AdaptiveAvgPool1d` to `3d`: any size becomes output_size.

    Args:
        kind: "AdaptiveMaxPool" or "AdaptiveAvgPool".
        output_size: one size, or one for each axis. None keeps the size.

    >>> AdaptivePooling("AdaptiveAvgPool", 2, output_size=(None, 7)).output_sizes((30, 40))
    (30, 7)
    """

    kind: str
    axes: int
    _: KW_ONLY
    output_size: int | tuple[int | None, ...] | None

    def __post_init__(self) -> None:
        check_count(self, "output_size")
        if self.output_size in (None, (None,)):
            raise GeometryError(f"{self.name} has no output_size {self.output_size}", "give a number")
        for size in self._wanted():
            if size is not None and size < 1:
                raise GeometryError(f"output_size {size} is too small", "use 1 or more")

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """Sizes after the layer."""
        kept = zip(sizes, self._wanted(), strict=True)
        return tuple(size if wanted is None else wanted for size, wanted in kept)

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """The sizes as text."""
        return tuple(str(size) for size in self.output_sizes(sizes))

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """The layer along each axis; None unless the size is kept or divided without a remainder."""
        return tuple(divided_axis(*pair) for pair in zip(sizes, self.output_sizes(sizes), strict=True))

    def _wanted(self) -> tuple[int | None, ...]:
        return self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * self.axes

    def __str__(self) -> str:
        return f"{self.name}({self.output_size!r})"


def divided_axis(size: Size, after: Size) -> LayerAxis | None:
    """Pooling that divides an axis without a remainder, or keeps it; None for other sizes."""
    if after == size:
        return LayerAxis()
    if isinstance(size, int) and isinstance(after, int) and size % after == 0:
        return LayerAxis(size // after, size // after)
    return None
