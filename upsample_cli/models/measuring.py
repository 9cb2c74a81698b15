"""Measure how far a network reaches, and so whether an image can be cut into tiles without a seam.

The measurements run on strips: an image as long as needed in one direction, and thin in the other. A block of NaN in
the middle of a strip spreads to every output that depends on it, even with a weight of zero. So the outputs that are
NaN bound the *reach* of the block. If cutting at multiples of a *grid* gives the same outputs as the whole strip, up to
float rounding, tiles that start on the grid, with a halo of the reach, have no seam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from upsample_cli.geometry.tiles import core_of, spans
from upsample_cli.models.meter import Meter
from upsample_cli.models.network import Network

Class = Literal["seam-free", "window grid", "global"]

TOLERANCE = 2.0**-12
"""The largest difference between tiles and the whole that counts as float rounding, as a share of the largest output:
a sixteenth of a level of 8 bits."""

_BLOCK = 64
"""Side of the block of NaN: a multiple of the usual windows, so that it covers every position in them."""

_THICKNESS, _LENGTHS = 16, (128, 256, 512, 1024)
_GRIDS = (1, 2, 4, 8, 16, 32, 64, 3, 6, 12, 24, 48, 5, 10, 20, 40, 7, 14, 28, 56)
"""The grids that are tried: powers of two, then windows of other sizes."""
_METERED_SIDE = 64


@dataclass(frozen=True, slots=True)
class Measured:
    """What measuring a network has found.

    Args:
        kind: "seam-free" if tiles may start anywhere, "window grid" if they start on a grid, "global" if the image
            cannot be cut.
        reach: the number of input pixels around a block of the grid on which its outputs depend; 0 if global.
        grid: tiles start at multiples of it.
        difference: the largest difference between tiles and the whole strip, as a share of the largest output.
        bytes_per_pixel: working memory for each input pixel.
    """

    kind: Class
    reach: int
    grid: int
    difference: float
    bytes_per_pixel: int

    @property
    def halo(self) -> int:
        """Input pixels around the core of a tile: the reach, in whole cells of the grid."""
        return _multiple(self.reach, self.grid)


def measured(network: Network) -> Measured:
    """Measure a network.

    Raises:
        RuntimeError, ValueError: or any other exception of a network that cannot run.
    """
    bytes_per_pixel = _bytes_per_pixel(network)
    cut = None if network.is_square else _cut(network)
    if cut is None:
        return Measured("global", 0, 1, 0.0, bytes_per_pixel)
    reach, grid, difference = cut
    return Measured("seam-free" if grid == 1 else "window grid", reach, grid, difference, bytes_per_pixel)


def _cut(network: Network) -> tuple[int, int, float] | None:
    """The reach, the grid and the largest difference; None if the image cannot be cut."""
    found = []
    for strips in (_Strips(network, is_across=True), _Strips(network, is_across=False)):
        reach = strips.reach(_BLOCK)
        grid = None if reach is None else strips.grid(reach + _BLOCK)
        if grid is None:
            return None
        found.append((strips, grid))
    grid = math.lcm(network.multiple, *(grid for _, grid in found))
    reaches = [strips.reach(_multiple(_BLOCK, grid)) for strips, _ in found]
    if (known := [reach for reach in reaches if reach is not None]) != reaches:
        return None
    # A tile at the end of an image is as long as the network needs, so that it is padded like the whole image.
    reach = max(*known, network.minimum)
    difference = max(strips.difference(_multiple(reach, grid), grid) for strips, _ in found)
    return (reach, grid, difference) if difference <= TOLERANCE else None


class _Strips:
    """A network as a function of strips, along one axis.

    Args:
        network: the network.
        is_across: whether strips are wide; otherwise they are high.
    """

    def __init__(self, network: Network, *, is_across: bool) -> None:
        self._network, self._is_across = network, is_across
        self._thickness = _multiple(max(_THICKNESS, network.minimum), network.multiple)

    def _strip(self, length: int) -> torch.Tensor:
        """A random strip, wide: (1, channels, thickness, length)."""
        random = torch.Generator().manual_seed(length)
        return torch.rand((1, self._network.channels, self._thickness, length), generator=random)

    def _of(self, strip: torch.Tensor) -> torch.Tensor:
        """The output of the network for a strip; it is wide too."""
        if self._is_across:
            return self._network.unclamped(strip)
        return self._network.unclamped(strip.transpose(2, 3).contiguous()).transpose(2, 3)

    def reach(self, block: int) -> int | None:
        """How far a block spreads, in input pixels; None if it reaches an end of the longest strip."""
        factor = self._network.factor
        for length in _LENGTHS:
            start = length // 2 // block * block
            strip = self._strip(length)
            strip[..., start : start + block] = torch.nan
            with self._network.pooled_pixels() as pooled:
                columns = self._of(strip).isnan().any(dim=2).any(dim=1)[0].nonzero()
            if not len(columns):
                raise ValueError("its outputs do not depend on its inputs")
            first, last = int(columns[0]) // factor, int(columns[-1]) // factor
            if first > 0 and last < length - 1:
                return max(start - first, last + 1 - (start + block), 0)
            if max(pooled, default=0) >= length * self._thickness:
                return None  # it pools over the whole image: longer strips would show the same
        return None

    def grid(self, halo: int) -> int | None:
        """The first grid by which a strip can be shifted, and its outputs with it; None if there is none.

        The strip has a line of NaN. The outputs that are NaN show the windows of a network, even if its weights are so
        small that no value shows them.

        Args:
            halo: outputs at most this many input pixels from an end of the strip are not compared.
        """
        network = self._network
        length = 4 * halo + 2 * _BLOCK
        strip = self._strip(length + max(_GRIDS))
        strip[..., length // 2] = torch.nan
        whole = self._of(strip[..., :length])
        for grid in _GRIDS:
            if grid % network.multiple and network.multiple % grid:
                continue
            shifted = self._of(strip[..., grid : length + grid].contiguous())
            core = whole[..., (halo + grid) * network.factor : (length - halo) * network.factor]
            other = shifted[..., halo * network.factor : (length - halo - grid) * network.factor]
            if _difference(core, other) <= TOLERANCE:
                return grid
        return None

    def difference(self, halo: int, grid: int) -> float:
        """The largest difference between a strip in tiles and the whole strip, whose length is not on the grid."""
        factor, step = self._network.factor, _multiple(halo + _BLOCK, grid)
        strip = self._strip(3 * step - 3)
        whole = self._of(strip)
        return max(
            _difference(
                whole[..., span.start * factor : span.stop * factor],
                self._of(strip[..., span.first : span.last].contiguous())[..., core_of(span, factor)],
                largest=float(whole.abs().max()),
            )
            for span in spans(strip.shape[-1], step, halo)
        )


def _difference(one: torch.Tensor, other: torch.Tensor, largest: float = 0.0) -> float:
    """The largest difference as a share of the largest output, or of 1 if that is smaller; infinite if NaN differ."""
    are_numbers = ~one.isnan()
    if not (are_numbers.any() and torch.equal(are_numbers, ~other.isnan())):
        return math.inf
    one, other = one[are_numbers], other[are_numbers]
    largest = max(1.0, largest or float(one.abs().max()))
    difference = float((one - other).abs().max()) / largest
    return difference if math.isfinite(difference) else math.inf


def _bytes_per_pixel(network: Network) -> int:
    side = _multiple(max(_METERED_SIDE, network.minimum), network.multiple)
    meter = Meter()
    with meter:
        network(torch.full((1, network.channels, side, side), 0.5))
    return -(-meter.peak_bytes // side**2)


def _multiple(length: int, of: int) -> int:
    """The smallest multiple that is not below a length."""
    return -(-length // of) * of
