"""Layers for networks: `torch.nn.ConvTranspose2d` with bilinear weights, and differentiable enlargement."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from upsample_cli.arguments import flag, whole
from upsample_cli.engine.borders import sources
from upsample_cli.engine.devices import device_support, pick_device
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.routes.plain import layer_settings, layer_weight
from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.geometry.borders import Border
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.network import AnyKernel
from upsample_cli.kernels.profiles import axis_kernel, bilinear_taps, checked_factor


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
    in_channels, out_channels = whole(in_channels, "in_channels"), whole(out_channels, "out_channels")
    kernel_size = whole(kernel_size, "kernel_size")
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
    kernel, channels = axis_kernel("bilinear", checked_factor(factor)), whole(channels, "channels")
    depthwise = flag(depthwise, "depthwise")
    out_channels, groups = (1, channels) if depthwise else (channels, 1)
    weight = bilinear_kernel(min(channels, 1) if depthwise else channels, out_channels, kernel.kernel_size)
    layer = nn.ConvTranspose2d(
        channels, channels, kernel.kernel_size, stride=kernel.factor, padding=kernel.padding, groups=groups, bias=False
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


_WIDENED = {torch.float16: torch.float32, torch.bfloat16: torch.float32}


def enlarged_by_layer(image: torch.Tensor, kernel: AnyKernel, border: Border) -> torch.Tensor:
    """Enlarge floating-point images with operators of torch only, which are differentiable any number of times.

    Args:
        image: (..., C, H, W) or (H, W); float16 and bfloat16 are computed in float32.
        kernel: the kernel.
        border: the pixels outside the image.

    Returns:
        (..., C, H*factor, W*factor) of the same dtype and on the same device: what `arrays.upsample` gives, up to
        rounding.

    Raises:
        UsageError: if the kernel is a network, or for another number of channels.
    """
    *leading, height, width = image.shape
    channels = leading[-1] if leading else 1
    if reason := kernel.misfit(channels, has_alpha=False, is_whole=False):
        raise UsageError(*reason, kind="no-kernel")
    assert isinstance(kernel, Kernel)  # networks are for whole pixels
    padded = image.to(_WIDENED.get(image.dtype, image.dtype)).reshape(-1, kernel.channels, height, width)
    for axis, length in ((2, height), (3, width)):
        padded = _padded(padded, axis, sources(-kernel.halo, length + kernel.halo, length, border))
    dtype = np.dtype(str(padded.dtype).removeprefix("torch."))
    whole, arithmetic = exact_form(kernel, dtype)
    weight = torch.from_numpy(layer_weight(whole, dtype)).to(image.device)
    # torch has TF32 on for convolutions by default
    support: Any = None if image.device.type == "cpu" else device_support(pick_device(str(image.device)))
    with support.exact_convolutions(stride=kernel.factor) if support else nullcontext():
        settings: dict[str, Any] = dict(layer_settings(kernel))
        sums = nn.functional.conv_transpose2d(padded, weight, **settings)
    rows, columns = height * kernel.factor, width * kernel.factor
    crop = kernel.halo * kernel.factor
    cropped = sums[..., crop : crop + rows, crop : crop + columns] / arithmetic.divisor
    return cropped.reshape(*leading, rows, columns).to(image.dtype)


def _padded(planes: torch.Tensor, axis: int, indices: Any) -> torch.Tensor:
    """Planes with the samples of an axis at the given indices; -1 for zero."""
    index = torch.from_numpy(indices).to(planes.device)
    taken = planes.index_select(axis, index.clamp(min=0))
    return taken.where((index >= 0).view([-1 if dim == axis else 1 for dim in range(4)]), 0)
