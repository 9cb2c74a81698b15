"""The network as torch trains it: first in real numbers, then with weights and activations of the whole-number grid.

Source: the trunk in front of a transposed convolution is FSRCNN's (Dong, Loy & Tang 2016, Accelerating the
Super-Resolution Convolutional Neural Network); gradients pass through roundings unchanged (Bengio, Léonard & Courville
2013, Estimating or Propagating Gradients Through Stochastic Neurons).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from upsample_cli.kernels.network import LINEAR_TAPS

LINEAR_REACH = LINEAR_TAPS // 2
"""Input pixels that the linear kernel reads on each side of one."""

LARGEST_WEIGHT = 127
LARGEST_ACTIVATION = 255
_MOST_SHIFT = 24
_MOST_BITS = 11
_HELD_SHARE = 0.9999
"""The share of the activations of a channel that a grid must hold without clamping."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a network.

    Args:
        factor: factor of the enlargement, 2 to 4.
        channels: channels of the trunk.
        layers: 3x3 convolutions of the trunk. The first one reads luma.
    """

    factor: int
    channels: int = 24
    layers: int = 4

    @property
    def reach(self) -> int:
        """How many input pixels an output pixel depends on, on each side of its own input pixel."""
        return max(self.layers + 1, LINEAR_REACH)

    @property
    def multiplications(self) -> int:
        """Multiplications per input pixel and channel of an image."""
        trunk = 9 * self.channels * (1 + (self.layers - 1) * self.channels)
        return trunk + (9 * self.channels + (2 * LINEAR_REACH + 1) ** 2) * self.factor**2


def shape_for(factor: int) -> Shape:
    """The size of a network for a factor: larger at x4, where the work for an input pixel serves 16 outputs."""
    return Shape(factor, channels=32, layers=5) if factor == 4 else Shape(factor)


@dataclass(frozen=True, slots=True)
class Grid:
    """The scales between real and whole numbers.

    Args:
        scales: per layer of the trunk, whole activations per real one, (channels,).
        shifts: per layer of the trunk, the binary places by which a sum is shifted, (channels,).
        bits: the binary places of the output's sum.
    """

    scales: list[Tensor]
    shifts: list[Tensor]
    bits: int


class Network(nn.Module):
    """The trainable network. Without a grid it computes in real numbers; with one it computes the whole numbers.

    Args:
        shape: the size.
        linear: (factor**2, 1, 7, 7), the linear kernel by phases, which is not trained.
    """

    def __init__(self, shape: Shape, linear: Tensor) -> None:
        super().__init__()
        self.shape = shape
        self.grid: Grid | None = None
        self.linear = linear
        counts = [1, *[shape.channels] * shape.layers]
        convolutions = [nn.Conv2d(*pair, 3) for pair in pairwise(counts)]
        self.trunk = nn.ModuleList(convolutions)
        self.detail = nn.Conv2d(shape.channels, shape.factor**2, 3, bias=False)
        nn.init.zeros_(self.detail.weight)  # training starts with the linear kernel alone
        for layer in convolutions:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(cast("Tensor", layer.bias))

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge luma in levels: (n, 1, height + 2 * reach, width + 2 * reach) -> (n, 1, height * s, width * s)."""
        around = self.shape.reach - LINEAR_REACH
        inner = low[:, :, around : low.shape[2] - around, around : low.shape[3] - around]
        surplus = self.shape.reach - self.shape.layers - 1
        seen = low[:, :, surplus : low.shape[2] - surplus, surplus : low.shape[3] - surplus]
        side = 2 * self.shape.layers + 3
        flat = self.detail_of(torch.zeros(1, 1, side, side))
        sums = functional.conv2d(inner, self._linear()) + (self.detail_of(seen) - flat)
        return functional.pixel_shuffle(sums, self.shape.factor)

    def activations(self, low: Tensor) -> list[Tensor]:
        """The activations of each layer of the trunk: real ones, or whole ones if there is a grid."""
        found = [low if self.grid else low / LARGEST_ACTIVATION]
        for index in range(self.shape.layers):
            weight, bias = self.weights(index)
            found.append(self._activated(functional.conv2d(found[-1], weight, bias), index))
        return found[1:]

    def weights(self, index: int) -> tuple[Tensor, Tensor]:
        """The weight and the bias of a layer of the trunk. Filters of the first layer sum to 0."""
        layer = cast("nn.Conv2d", self.trunk[index])
        weight = layer.weight
        if index == 0:
            weight = weight - weight.mean((1, 2, 3), keepdim=True)
        if self.grid is None:
            return weight, cast("Tensor", layer.bias)
        gain = self.grid.scales[index] * 2.0 ** self.grid.shifts[index]
        weight = weight * (gain[:, None, None, None] / self._scale_before(index))
        bias = _passed(cast("Tensor", layer.bias) * gain + 2.0 ** (self.grid.shifts[index] - 1), torch.round)
        if index > 0:
            return _passed(weight.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT), torch.round), bias
        # Clamping would change the sum of a filter, scaling does not; rounding moves a weight by up to 1 more.
        room = (LARGEST_WEIGHT - 1) / weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-9)
        return _passed(weight * room.clamp(max=1), _zero_sum_rounded), bias

    def detail_weight(self) -> Tensor:
        """The weight of the last layer, in levels, or in whole numbers of 2**-bits levels."""
        weight = self.detail.weight * LARGEST_ACTIVATION
        if self.grid is None:
            return weight
        weight = weight * 2.0**self.grid.bits / self._scale_before(self.shape.layers)
        return _passed(weight.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT), torch.round)

    def _scale_before(self, index: int) -> Tensor:
        assert self.grid is not None
        scale = torch.tensor([float(LARGEST_ACTIVATION)]) if index == 0 else self.grid.scales[index - 1]
        return scale[None, :, None, None]

    def _activated(self, sums: Tensor, index: int) -> Tensor:
        if self.grid is None:
            return sums.relu()
        shifted = sums * 2.0 ** -self.grid.shifts[index][:, None, None]
        return _passed(shifted, torch.floor).clamp(0, LARGEST_ACTIVATION)

    def detail_of(self, seen: Tensor) -> Tensor:
        """The detail by phases, in levels, before the detail of a flat area is subtracted."""
        sums = functional.conv2d(self.activations(seen)[-1], self.detail_weight())
        return sums if self.grid is None else sums * 2.0**-self.grid.bits

    def _linear(self) -> Tensor:
        if self.grid is None:
            return self.linear
        return whole_linear(self.linear, self.grid.bits) * 2.0**-self.grid.bits


def whole_linear(linear: Tensor, bits: int) -> Tensor:
    """Round the linear kernel to multiples of 2**-bits, so that each phase sums to exactly 2**bits."""
    whole = torch.round(linear * 2.0**bits)
    whole[:, 0, LINEAR_REACH, LINEAR_REACH] += 2.0**bits - whole.sum((1, 2, 3))
    return whole


@torch.no_grad()
def grid_for(network: Network, low: Tensor) -> Grid:
    """Choose the grid of a trained network.

    Args:
        network: a network without a grid.
        low: typical input, as for `Network.forward`.
    """
    scales, shifts = [], []
    before = torch.tensor([float(LARGEST_ACTIVATION)])
    for index, activation in enumerate(network.activations(low)):
        largest = torch.quantile(activation.movedim(1, 0).flatten(1)[:, : 2**23], _HELD_SHARE, dim=1).clamp(min=1e-3)
        scales.append(LARGEST_ACTIVATION / largest)
        weight = network.weights(index)[0] / before[None, :, None, None] * scales[-1][:, None, None, None]
        room = torch.log2(LARGEST_WEIGHT / weight.abs().amax((1, 2, 3)).clamp(min=1e-9))
        shifts.append(room.floor().clamp(0, _MOST_SHIFT))
        before = scales[-1]
    weight = network.detail_weight() / before[None, :, None, None]
    room = torch.log2(LARGEST_WEIGHT / weight.abs().max().clamp(min=1e-9))
    return Grid(scales, shifts, int(room.floor().clamp(1, _MOST_BITS)))


def _passed(values: Tensor, rounding: Callable[[Tensor], Tensor]) -> Tensor:
    """Round; the gradient passes as if nothing had been rounded."""
    return values + (rounding(values.detach()) - values.detach())


def _zero_sum_rounded(weight: Tensor) -> Tensor:
    """Round filters that sum to 0 to whole numbers that sum to 0: the weights nearest to the next number move."""
    flat = weight.flatten(1)
    whole = flat.round()
    surplus = whole.sum(1, keepdim=True)
    errors = (whole - flat) * surplus.sign()
    ranks = errors.argsort(1, descending=True).argsort(1)
    return (whole - surplus.sign() * (ranks < surplus.abs())).view_as(weight)
