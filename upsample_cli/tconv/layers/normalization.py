"""Normalizations of torch.nn that are not only a name and channels, as plain data. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.model import check_any_axis
from upsample_cli.tconv.layers.plain import SizeKeeping
from upsample_cli.tconv.layers.symbolic import Size


@dataclass(frozen=True, slots=True)
class Normalization(SizeKeeping):
    """`torch.nn.BatchNorm1d` to `3d`, `SyncBatchNorm`, and the base class of others.

    Args:
        checked: whether the input must have these channels. torch does not look at its own number of channels if it
            has neither weights nor statistics for them.
    """

    checked: bool = True

    def output_channels(self, channels: int | None) -> int | None:
        """The same channels."""
        return SizeKeeping.output_channels(self, channels) if self.checked else channels


@dataclass(frozen=True, slots=True)
class GroupNorm(Normalization):
    """`torch.nn.GroupNorm`: each group of channels is normalized.

    >>> str(GroupNorm("GroupNorm", channels=8, groups=2))
    'GroupNorm(2, 8)'
    """

    groups: int = 1

    def output_channels(self, channels: int | None) -> int | None:
        """The same channels."""
        if not self.checked and channels is not None and channels % self.groups:
            raise GeometryError(f"{channels} channels are not divisible by num_groups {self.groups}", "use a divisor")
        return Normalization.output_channels(self, channels)

    def _text(self, channels: int | None) -> str:
        return f"{self.name}({math.gcd(self.groups, channels or 0)}, {channels})"


@dataclass(frozen=True, slots=True)
class InstanceNorm(Normalization):
    """`torch.nn.InstanceNorm1d` to `3d`.

    Args:
        by_input: whether it normalizes by the input itself, and so needs two samples or more.
    """

    by_input: bool = True

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The same sizes."""
        if self.by_input and all(size == 1 for size in sizes):
            raise GeometryError("it needs more than 1 sample in a channel", "leave it out here, or use a larger input")
        return tuple(sizes)


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(SizeKeeping):
    """`torch.nn.LocalResponseNorm`: each sample is divided by the mean of its neighbours in other channels.

    Args:
        size: number of neighbouring channels.
    """

    size: int | tuple[int, ...] | None = 1

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise GeometryError(f"size {self.size} is not a number of channels", "use 1 or more")

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The same sizes."""
        check_any_axis(sizes)
        return tuple(sizes)

    def __str__(self) -> str:
        return f"LocalResponseNorm({self.size})"


@dataclass(frozen=True, slots=True)
class Softmax(SizeKeeping):
    """`torch.nn.Softmax`, `LogSoftmax` or `Softmin`: each sample is divided by a sum over one dimension.

    Args:
        dim: the dimension, counted from the batch; None for the one that torch chooses.
    """

    dim: int | None = None

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The same sizes."""
        rank = 2 + len(sizes)
        if self.dim is not None and not -rank <= self.dim < rank:
            raise GeometryError(f"there is no dimension {self.dim} (dim)", f"use 0 to {rank - 1}, or -1 to -{rank}")
        return tuple(sizes)

    def __str__(self) -> str:
        return f"{self.name}({'' if self.dim is None else f'dim={self.dim}'})"
