"""The interface between the engine and a device of torch: MPS here, CUDA in `cuda.py`. Pixels are tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray

from upsample_cli.engine.borders import joined, padded_tile
from upsample_cli.engine.exact import FLOAT64, Arithmetic, Dtype, Pixels
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.pytorch import torch_dtype, torch_layer
from upsample_cli.engine.routes.plain import PlainRoute, Route, layer_settings, layer_weight
from upsample_cli.engine.routes.select import no_compiled_route
from upsample_cli.engine.support import DeviceSupport
from upsample_cli.errors import DeviceError, Setting
from upsample_cli.geometry.borders import Border
from upsample_cli.geometry.tiles import Tile
from upsample_cli.kernels.kernel import Kernel

MOST_TILE_BYTES = 2**30
"""The most working memory of a tile that stays on the device: far below 2**31 elements, where operators fail."""

LANES = 3
"""The number of bands at the same time: one is copied to the device, one computed, and one copied back."""


class TorchSupport(DeviceSupport):
    """Memory, order of work and choice of routes on one device of torch. This class is for MPS."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.device = torch.device(name)

    @property
    def bands_in_flight(self) -> int:
        """See `DeviceSupport`."""
        return LANES

    def tile_bytes(self, image_bytes: int, *, bytes_per_value: int, is_resident: bool) -> int:  # noqa: ARG002
        """See `DeviceSupport`."""
        return MOST_TILE_BYTES // LANES

    def route(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
        """See `DeviceSupport`."""
        if engine == "compiled":
            raise no_compiled_route("it computes on the CPU only")
        if self.device.type == "mps" and arithmetic.sum_dtype == FLOAT64:
            raise DeviceError(
                "mps has no float64, which exact sums of this image at this factor need",
                ("use ", Setting("device", "cpu")),
            )
        if engine == "layer":
            return device_layer(kernel, arithmetic, self.device)
        with torch.inference_mode():
            return self.fastest_route(kernel, arithmetic, channels)

    def fastest_route(self, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> Route:  # noqa: ARG002
        """The fastest route of this device. MPS has only the layer."""
        return device_layer(kernel, arithmetic, self.device)

    @contextmanager
    def exact_convolutions(self, *, stride: int) -> Iterator[None]:  # noqa: ARG002
        """Settings of torch with which convolutions sum products exactly. On MPS, no settings are needed."""
        yield

    def taken(self, rows: Pixels) -> torch.Tensor:
        """See `DeviceSupport`."""
        return rows if isinstance(rows, torch.Tensor) else torch.from_numpy(rows)

    @contextmanager
    def own_work(self, after: Any) -> Iterator[None]:
        """See `DeviceSupport`."""
        with torch.inference_mode(), self.own_stream(after):
            yield

    @contextmanager
    def own_stream(self, after: Any) -> Iterator[None]:  # noqa: ARG002
        """Run the work of the `with` block on this thread's stream, after `after`. The block's end waits for it."""
        yield

    def empty(self, shape: tuple[int, ...], dtype: Dtype) -> torch.Tensor:
        """See `DeviceSupport`."""
        return self.empty_for_transfer(shape, torch_dtype(dtype))

    def empty_for_transfer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """CPU memory for pixels that are copied to or from the device."""
        return torch.empty(shape, dtype=dtype)

    def joined(self, pieces: Sequence[Pixels], axis: int) -> Pixels:
        """See `DeviceSupport`."""
        return joined(pieces, axis, empty=self._empty_like(pieces[0]))

    def compute(self, route: Route, rows: Pixels, tile: Tile, border: Border, out: Pixels, *, stride: int) -> None:
        """See `DeviceSupport`."""
        padded = self._send(padded_tile(rows, tile, border, empty=self._empty_like(rows)))
        is_here = out.device == self.device
        target = out if is_here else torch.empty(out.shape, dtype=out.dtype, device=self.device)
        with self.exact_convolutions(stride=stride):
            route(padded, target)
        if not is_here:
            self._fetch(target, out)

    def _empty_like(self, rows: torch.Tensor) -> Any:
        if rows.device.type == "cpu":
            return self.empty_for_transfer
        return lambda shape, dtype: torch.empty(shape, dtype=dtype, device=rows.device)

    def _send(self, tile: torch.Tensor) -> torch.Tensor:
        """Copy a tile to the device. The copy need not be complete yet."""
        return tile.to(self.device)

    def _fetch(self, made: torch.Tensor, out: torch.Tensor) -> None:
        """Copy from the device to `out`, with any strides. The copy is complete when `own_stream` ends."""
        out.copy_(made)

    def array(self, band: Pixels) -> NDArray[Any]:
        """See `DeviceSupport`."""
        made: NDArray[Any] = band.numpy()
        return made

    def is_out_of_memory(self, error: RuntimeError) -> bool:
        """See `DeviceSupport`."""
        return isinstance(error, torch.OutOfMemoryError)


def device_layer(kernel: Kernel, arithmetic: Arithmetic, device: torch.device) -> PlainRoute:
    """The layer as a route on a device of torch."""
    weight = layer_weight(kernel, arithmetic.sum_dtype)
    return PlainRoute(kernel, arithmetic, torch_layer(weight, **layer_settings(kernel), device=device))
