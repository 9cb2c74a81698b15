"""Normalizations of torch.nn that are not only a name and channels, as plain data. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.plain import SizeKeeping
from upsample_cli.tconv.layers.symbolic import Size


@dataclass(frozen=True, slots=True)
class GroupNorm(SizeKeeping):
    """`torch.nn.GroupNorm`: each group of channels is normalized.

    >>> str(GroupNorm("GroupNorm", channels=8, groups=2))
    'GroupNorm(2, 8)'
    """

    groups: int = 1

    def _text(self, channels: int | None) -> str:
        return f"{self.name}({math.gcd(self.groups, channels or 0)}, {channels})"


@dataclass(frozen=True, slots=True)
class InstanceNorm(SizeKeeping):
    """`torch.nn.InstanceNorm1d` to `3d` that normalizes by the input itself, and so needs two samples or more."""

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The same sizes."""
        if all(size == 1 for size in sizes):
            raise GeometryError("it needs more than 1 sample in a channel", "leave it out here, or use a larger input")
        return tuple(sizes)
