"""`torch.nn.Flatten` and `Unflatten` as plain data. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.mixing import Mixing, known, place_of, split_shape
from upsample_cli.tconv.layers.symbolic import Size


@dataclass(frozen=True, slots=True)
class Flatten(Mixing):
    """`torch.nn.Flatten`: several dimensions become one. With default settings, only channels remain.

    >>> Flatten().outputs(8, (4, 5)), Flatten(2).outputs(8, (4, 5))
    ((160, ()), (8, (20,)))
    """

    start_dim: int = 1
    end_dim: int = -1

    def outputs(self, channels: int | None, sizes: Sequence[Size]) -> tuple[int | None, tuple[Size, ...]]:
        """Channels and sizes after the layer."""
        shape = (channels, *sizes)
        start, end = (place_of(dim, len(shape), name) for dim, name in self._dims())
        if end < start:
            raise GeometryError("start_dim comes after end_dim", "exchange them")
        if start == end:
            return channels, tuple(sizes)
        numbers = [known(size, start) for size in shape[start : end + 1]]
        return split_shape((*shape[:start], prod(numbers), *shape[end + 1 :]))

    def _dims(self) -> tuple[tuple[int, str], ...]:
        return (self.start_dim, "start_dim"), (self.end_dim, "end_dim")

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """Nothing is uniform along the axes that remain, unless all remain."""
        rank = 1 + len(sizes)
        merged = place_of(self.end_dim, rank, "end_dim") - place_of(self.start_dim, rank, "start_dim")
        return (None,) * (len(sizes) - merged) if merged else (LayerAxis(),) * len(sizes)

    def __str__(self) -> str:
        settings = [f"{name}={dim}" for dim, name in self._dims() if dim != (1 if name == "start_dim" else -1)]
        return f"Flatten({', '.join(settings)})"


@dataclass(frozen=True, slots=True)
class Unflatten(Mixing):
    """`torch.nn.Unflatten`: one dimension becomes several.

    >>> Unflatten(1, (8, 4, 5)).outputs(160, ())
    (8, (4, 5))
    """

    dim: int
    unflattened_size: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = self.unflattened_size
        if isinstance(sizes, int) or not sizes or sizes.count(-1) > 1 or any(size < 1 and size != -1 for size in sizes):
            raise GeometryError("unflattened_size is not a list of sizes", "write for example (128, 7, 7)")

    def outputs(self, channels: int | None, sizes: Sequence[Size]) -> tuple[int | None, tuple[Size, ...]]:
        """Channels and sizes after the layer."""
        shape = (channels, *sizes)
        place = place_of(self.dim, len(shape), "dim")
        before, product = shape[place], abs(prod(self.unflattened_size))
        if before is None and -1 not in self.unflattened_size:
            before = product
        before = known(before, place)
        rest = before // product
        if rest * product != before or (rest != 1 and -1 not in self.unflattened_size):
            raise GeometryError(
                f"{before} numbers do not fill {'x'.join(map(str, self.unflattened_size))}",
                "their product must equal the size of the dimension",
            )
        filled = [rest if size == -1 else size for size in self.unflattened_size]
        return split_shape((*shape[:place], *filled, *shape[place + 1 :]))

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """Nothing is uniform along the new axes."""
        return (None,) * (len(sizes) + len(self.unflattened_size) - 1)

    def __str__(self) -> str:
        return f"Unflatten({self.dim}, {self.unflattened_size})"
