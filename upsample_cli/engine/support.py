"""What the engine needs from the device that computes: here on the CPU, in `torch_device.py` on others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine import cores
from upsample_cli.engine.borders import padded_tile
from upsample_cli.engine.exact import Arithmetic, Dtype, Pixels
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.routes.plain import Route
from upsample_cli.engine.routes.select import chosen_route
from upsample_cli.geometry.borders import Border
from upsample_cli.geometry.tiles import Tile
from upsample_cli.kernels.kernel import Kernel

CACHE_BYTES = 12 * 2**20
"""Working memory of a tile on the CPU: small enough for the cache, large enough to make calls few. Measured."""

_LEAST_SHARE_BYTES = 2**20
"""Working memory below which a tile is not split to give another core a share: the calls would cost more."""


class DeviceSupport:
    """Memory, order of work and choice of routes on one device; here on the CPU, where pixels are numpy arrays."""

    def __init__(self, name: str = "cpu") -> None:
        self.name = name

    @property
    def bands_in_flight(self) -> int:
        """How many bands are computed at once, including the one that the caller waits for."""
        return cores.core_count() + 2

    def tile_bytes(self, image_bytes: int, *, bytes_per_value: int, is_resident: bool) -> int:  # noqa: ARG002
        """The preferred working memory of a tile.

        Args:
            image_bytes: working memory of the whole image as one tile.
            bytes_per_value: working memory for each number of the output.
            is_resident: the enlarged pixels stay on the device.
        """
        return min(CACHE_BYTES, max(_LEAST_SHARE_BYTES, image_bytes // cores.core_count()))

    def route(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
        """The route that computes on this device.

        Raises:
            UsageError: if `engine` names one that this device, this kernel or these pixels do not have.
        """
        return chosen_route(kernel, arithmetic, channels, engine)

    def taken(self, rows: Pixels) -> Pixels:
        """Rows that have been read, as pixels of the device or of the CPU's memory."""
        return rows

    def event_of_caller(self) -> Any:
        """The work that the calling thread has queued on this device so far, for `own_work` to wait for."""
        return None

    def wait_for_caller(self) -> None:
        """Wait until this device has done the work that the calling thread has queued on it."""

    @contextmanager
    def own_work(self, after: Any) -> Iterator[None]:  # noqa: ARG002
        """Run the block's work in an order of its own, after `after`; it is done when the block ends."""
        yield

    def empty(self, shape: tuple[int, ...], dtype: Dtype) -> Pixels:
        """Memory of the CPU for pixels that the device computes."""
        return np.empty(shape, dtype)

    def compute(self, route: Route, rows: Pixels, tile: Tile, border: Border, out: Pixels, *, stride: int) -> None:  # noqa: ARG002
        """Enlarge a tile.

        Args:
            rows: (height, width, channels), the part of the tile and its halo that is inside the image.
            out: receives the pixels, any strides.
            stride: of the layer.
        """
        route(padded_tile(rows, tile, border, empty=self.empty), out)

    def array(self, band: Pixels) -> NDArray[Any]:
        """A band in memory of the CPU, as numpy sees it."""
        made: NDArray[Any] = band
        return made

    def is_out_of_memory(self, error: RuntimeError) -> bool:  # noqa: ARG002
        """Whether a smaller tile may fit where this one did not."""
        return False

    def release_memory(self) -> None:
        """Give memory that is held and not used back to the device."""
