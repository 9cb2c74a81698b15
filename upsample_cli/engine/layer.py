"""Layers for networks: `torch.nn.ConvTranspose2d` with bilinear weights."""

from __future__ import annotations

import torch
from torch import nn

from upsample_cli.errors import GeometryError
from upsample_cli.kernels.profiles import axis_kernel, bilinear_taps


def bilinear_kernel(in_channels: int, out_channels: int, kernel_size: int) -> torch.Tensor:
    """Bilinear weights for a transposed convolution, to copy into a layer.

    Returns:
        (in_channels, out_channels, kernel_size, kernel_size) float32: the outer product of `bilinear_taps` with itself
        if the input channel equals the output channel, and zeros otherwise.

    Raises:
        GeometryError: if a size is less than one.

    >>> bilinear_kernel(1, 1, 4)[0, 0, 0]
    tensor([0.0625, 0.1875, 0.1875, 0.0625])
    """
    if min(in_channels, out_channels, kernel_size) < 1:
        raise GeometryError("a kernel needs one or more channels in, channels out and taps")
    taps = torch.tensor([float(tap) for tap in bilinear_taps(kernel_size)], dtype=torch.float64)
    weight = torch.zeros(in_channels, out_channels, kernel_size, kernel_size)
    for channel in range(min(in_channels, out_channels)):
        weight[channel, channel] = torch.outer(taps, taps)
    return weight


def bilinear_layer(factor: int, channels: int, *, depthwise: bool = False) -> nn.ConvTranspose2d:
    """A layer with bilinear weights: kernel_size `2s - s % 2`, stride s, padding `ceil((s - 1) / 2)`.

    Args:
        factor: the stride, 1 to 64. An input of (N, channels, H, W) becomes (N, channels, H*factor, W*factor).
        channels: number of input and of output channels.
        depthwise: one kernel per channel (`groups=channels`); if False, a dense weight with zeros off the diagonal.

    Raises:
        UsageError: if the factor is out of range.
        GeometryError: if there is less than one channel.

    >>> layer = bilinear_layer(2, 3)
    >>> layer(torch.ones(1, 3, 5, 7)).shape
    torch.Size([1, 3, 10, 14])
    """
    kernel = axis_kernel("bilinear", factor)
    out_channels, groups = (1, channels) if depthwise else (channels, 1)
    weight = bilinear_kernel(min(channels, 1) if depthwise else channels, out_channels, kernel.kernel_size)
    layer = nn.ConvTranspose2d(
        channels, channels, kernel.kernel_size, stride=factor, padding=kernel.padding, groups=groups, bias=False
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer
