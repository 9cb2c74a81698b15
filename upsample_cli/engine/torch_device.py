"""The interface between the engine and a device of torch: MPS here, CUDA in `cuda.py`. Pixels are tensors."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray

from upsample_cli.engine.borders import joined, padded_tile
from upsample_cli.engine.exact import FLOAT64, Arithmetic, Dtype, Pixels
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.pytorch import torch_dtype, torch_layer
from upsample_cli.engine.routes.network import NetworkRoute, convolved_by_products
from upsample_cli.engine.routes.network_select import with_alpha_apart
from upsample_cli.engine.routes.network_whole import agrees_with_whole
from upsample_cli.engine.routes.plain import PlainRoute, Route, layer_settings, layer_weight
from upsample_cli.engine.routes.select import no_compiled_route
from upsample_cli.engine.support import DeviceSupport
from upsample_cli.errors import DeviceError, Setting
from upsample_cli.geometry.borders import Border
from upsample_cli.geometry.tiles import Tile
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.network import AnyKernel, Network

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

    def route(self, kernel: AnyKernel, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
        """See `DeviceSupport`."""
        if engine == "compiled":
            raise no_compiled_route("it computes on the CPU only")
        if self.device.type == "mps" and arithmetic.sum_dtype == FLOAT64:
            raise DeviceError(
                "mps has no float64, which exact sums of this image at this factor need",
                ("use ", Setting("device", "cpu")),
            )
        if isinstance(kernel, Network):
            return self._network_route(kernel, arithmetic, channels, engine)
        if engine == "layer":
            return device_layer(kernel, arithmetic, self.device)
        with torch.inference_mode():
            return self.fastest_route(kernel, arithmetic, channels)

    def _network_route(self, network: Network, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
        def straight(without_alpha: Arithmetic) -> Route:
            with torch.inference_mode(), self.exact_convolutions(stride=network.factor):
                return device_network(network, without_alpha, channels - arithmetic.has_alpha, self.device)

        def premultiplied(kernel: Kernel, with_alpha: Arithmetic) -> Route:
            return self.route(kernel, with_alpha, channels, engine)

        return with_alpha_apart(network, arithmetic, straight, premultiplied)

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


class TensorNumbers:
    """The operators of a network on a device of torch: matrix products. See `network.Numbers`."""

    bytes_per_channel = (9 + 2) * 4

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def weights(self, array: NDArray[Any]) -> torch.Tensor:
        """See `network.Numbers`."""
        return torch.from_numpy(array).to(self._device)

    def convolution(self, planes: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """See `network.Numbers`."""
        made: torch.Tensor = convolved_by_products(planes, weight, bias, planes.new_empty, torch.matmul)
        return made

    def activate(self, sums: torch.Tensor) -> torch.Tensor:
        """See `network.Numbers`."""
        return sums.floor_().clamp_(0, 255)


@functools.lru_cache(maxsize=16)
def device_network(network: Network, arithmetic: Arithmetic, channels: int, device: torch.device) -> Route:
    """A network as a route on a device of torch, for pixels without alpha.

    Raises:
        DeviceError: if the device gives other pixels than whole numbers.
    """
    linear = device_layer(network.linear, arithmetic, device)
    route = NetworkRoute("layer", network, arithmetic, channels, TensorNumbers(device), linear)
    if not agrees_with_whole(
        route, network, arithmetic, channels,
        send=lambda tile: torch.from_numpy(tile).to(device), fetch=lambda made: made.cpu().numpy(),
    ):  # fmt: skip
        raise DeviceError(
            f"{device.type} gives other pixels than whole numbers for kernel {network.name}",
            ("use ", Setting("device", "cpu")),
        )
    return route


def device_layer(kernel: Kernel, arithmetic: Arithmetic, device: torch.device) -> PlainRoute:
    """The layer as a route on a device of torch."""
    weight = layer_weight(kernel, arithmetic.sum_dtype)
    return PlainRoute(kernel, arithmetic, torch_layer(weight, **layer_settings(kernel), device=device))
