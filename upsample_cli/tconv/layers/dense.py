"""`torch.nn.Linear`, `LayerNorm` and `GLU` as plain data. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.mixing import Mixing, known, place_of, split_shape
from upsample_cli.tconv.layers.symbolic import Size


@dataclass(frozen=True, slots=True)
class Linear(Mixing):
    """`torch.nn.Linear`: it works on the last axis, or on the features after a Flatten.

    >>> Linear(784, 10).outputs(784, ()), Linear(8, 5).outputs(3, (7, 8))
    ((10, ()), (3, (7, 5)))
    """

    in_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("in_features", "out_features"):
            if getattr(self, name) < 1:
                raise GeometryError(f"{name} {getattr(self, name)} is too small", "use 1 or more")

    def outputs(self, channels: int | None, sizes: Sequence[Size]) -> tuple[int | None, tuple[Size, ...]]:
        """Channels and sizes after the layer."""
        given = sizes[-1] if sizes else channels
        if given is not None and given != self.in_features:
            raise GeometryError(*self._refusal(channels, sizes))
        return (channels, (*sizes[:-1], self.out_features)) if sizes else (self.out_features, ())

    def _refusal(self, channels: int | None, sizes: Sequence[Size]) -> tuple[str, str]:
        if not sizes:
            return (
                f"in_features is {self.in_features}, but {channels} come in",
                f"write {self.name}({channels}, ...)",
            )
        step = f"write {self.name}({sizes[-1]}, ...)"
        if channels == self.in_features:
            step = "add AdaptiveAvgPool2d(1) and Flatten() before it if forward() averages there"
        elif channels and not any(isinstance(size, int) and size == self.in_features for size in sizes):
            step = f"add Flatten() before it if forward() flattens there, or {step}"
        return f"in_features is {self.in_features}, but the last axis has {sizes[-1]}", step

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return self.in_features * self.out_features + self.out_features * self.bias

    def multiply_adds_of(self, channels: int | None, sizes: Sequence[int]) -> int | None:
        """All weights for every sample of the other axes and channels."""
        times = prod(sizes[:-1]) * channels if sizes and channels else None if sizes else 1
        return None if times is None else self.in_features * self.out_features * times

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """Every output on the last axis depends on all of its inputs."""
        return ((LayerAxis(),) * (len(sizes) - 1) + (None,)) if sizes else ()

    def __str__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features}{'' if self.bias else ', bias=False'})"


@dataclass(frozen=True, slots=True)
class GatedLinearUnit(Mixing):
    """`torch.nn.GLU`: one half of a dimension times a function of the other half.

    >>> GatedLinearUnit(1).outputs(8, (4, 5)), GatedLinearUnit().outputs(8, (4, 6))
    ((4, (4, 5)), (8, (4, 3)))
    """

    dim: int = -1

    @property
    def name(self) -> str:
        """Its class in torch.nn."""
        return "GLU"

    def outputs(self, channels: int | None, sizes: Sequence[Size]) -> tuple[int | None, tuple[Size, ...]]:
        """Channels and sizes after the layer."""
        shape = (channels, *sizes)
        place = place_of(self.dim, len(shape), "dim")
        if place == 0 and channels is None:
            return None, tuple(sizes)
        before = known(shape[place], place)
        if before % 2:
            raise GeometryError(f"{before} cannot be halved", "give it an even number")
        return split_shape((*shape[:place], before // 2, *shape[place + 1 :]))

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """The halved axis is not uniform."""
        halved = place_of(self.dim, 1 + len(sizes), "dim") - 1
        return tuple(None if place == halved else LayerAxis() for place in range(len(sizes)))

    def __str__(self) -> str:
        return f"GLU({'' if self.dim == -1 else self.dim})"


@dataclass(frozen=True, slots=True)
class LayerNorm(Mixing):
    """`torch.nn.LayerNorm`: it checks the last dimensions and keeps all sizes."""

    normalized_shape: tuple[int, ...]
    learned: int

    def outputs(self, channels: int | None, sizes: Sequence[Size]) -> tuple[int | None, tuple[Size, ...]]:
        """The same channels and sizes."""
        last = (channels, *sizes)[-len(self.normalized_shape) :]
        alike = len(last) == len(self.normalized_shape) and all(
            given is None or given == wanted for given, wanted in zip(last, self.normalized_shape, strict=True)
        )
        if not alike:
            raise GeometryError(
                f"it works on {'x'.join(map(str, self.normalized_shape))}, but the last dimensions are "
                f"{'x'.join('?' if size is None else str(size) for size in last)}",
                "give normalized_shape these numbers",
            )
        return split_shape((*(channels, *sizes)[: -len(last)], *self.normalized_shape))

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """Samples of the last axes are mixed."""
        mixed = min(len(self.normalized_shape), len(sizes))
        return (LayerAxis(),) * (len(sizes) - mixed) + (None,) * mixed

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        return self.learned

    def __str__(self) -> str:
        return f"LayerNorm({self.normalized_shape})"


def layer_norm(
    *, normalized_shape: int | tuple[int, ...], elementwise_affine: bool = True, bias: bool = True
) -> LayerNorm:
    """The layer with these settings of torch."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
    if not shape or min(shape) < 1:
        raise GeometryError("normalized_shape is not a list of sizes", "write for example (96,)")
    return LayerNorm(shape, prod(shape) * elementwise_affine * (1 + bias))
