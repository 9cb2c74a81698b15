"""The interface between the engine and a device. This module is for the CPU, `torch_device.py` for other devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine import cores
from upsample_cli.engine.borders import joined, padded_tile
from upsample_cli.engine.exact import Arithmetic, Dtype, Pixels
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.routes.plain import Route
from upsample_cli.engine.routes.select import chosen_route
from upsample_cli.geometry.borders import Border
from upsample_cli.geometry.tiles import Tile
from upsample_cli.kernels.network import AnyKernel, Network

CACHE_BYTES = 12 * 2**20
"""Working memory of a tile on the CPU (measured): small enough for the cache, large enough for few calls."""

_LEAST_SHARE_BYTES = 4 * 2**20
"""Tiles with less working memory are not split to use more cores: the calls would cost more than they save."""


class DeviceSupport:
    """Memory, order of work and choice of routes on one device. This class is for the CPU; pixels are numpy arrays."""

    def __init__(self, name: str = "cpu") -> None:
        self.name = name

    @property
    def bands_in_flight(self) -> int:
        """How many bands are computed at the same time, including the one that the caller waits for."""
        return cores.core_count() + 2

    def tile_bytes(self, image_bytes: int, *, bytes_per_value: int, is_resident: bool) -> int:  # noqa: ARG002
        """The preferred working memory of a tile.

        Args:
            image_bytes: working memory of the whole image as one tile.
            bytes_per_value: working memory for each output value.
            is_resident: the enlarged pixels stay on the device.
        """
        shares = max(1, min(cores.core_count(), image_bytes // _LEAST_SHARE_BYTES))
        return min(CACHE_BYTES, -(-image_bytes // shares))

    def route(self, kernel: AnyKernel, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
        """The route that computes on this device.

        Raises:
            UsageError: if `engine` names a route that is not available for this device, kernel or type of pixels.
        """
        if isinstance(kernel, Network):
            from upsample_cli.engine.routes.network_select import chosen_network_route  # imported for networks only

            return chosen_network_route(kernel, arithmetic, channels, engine)
        return chosen_route(kernel, arithmetic, channels, engine)

    def taken(self, rows: Pixels) -> Pixels:
        """Convert rows that have been read to pixels in memory of the device or of the CPU."""
        return rows

    def event_of_caller(self) -> Any:
        """An event for the work that the calling thread has queued on this device, for `own_work` to wait for."""
        return None

    def wait_for_caller(self) -> None:
        """Wait until this device has finished the work that the calling thread has queued."""

    @contextmanager
    def own_work(self, after: Any) -> Iterator[None]:  # noqa: ARG002
        """Run the work of the `with` block in its own order, after `after`. The end of the block waits for the work."""
        yield

    def empty(self, shape: tuple[int, ...], dtype: Dtype) -> Pixels:
        """CPU memory for pixels that the device computes."""
        return np.empty(shape, dtype)

    def joined(self, pieces: Sequence[Pixels], axis: int) -> Pixels:
        """Pixels next to each other along an axis, rows (0) or columns (1)."""
        return joined(pieces, axis)

    def compute(self, route: Route, rows: Pixels, tile: Tile, border: Border, out: Pixels, *, stride: int) -> None:  # noqa: ARG002
        """Enlarge a tile.

        Args:
            route: the route to use.
            rows: (height, width, channels): the part of the tile and its halo that is inside the image.
            tile: the tile.
            border: how the halo outside the image is filled.
            out: the memory for the pixels, with any strides.
            stride: stride of the layer.
        """
        route(padded_tile(rows, tile, border, empty=self.empty), out)

    def array(self, band: Pixels) -> NDArray[Any]:
        """A band in CPU memory as a numpy array."""
        made: NDArray[Any] = band
        return made

    def is_out_of_memory(self, error: RuntimeError) -> bool:  # noqa: ARG002
        """Whether an error means that memory ran out, so that a smaller tile may fit."""
        return False

    def release_memory(self) -> None:
        """Return memory that is reserved but not used to the device."""
