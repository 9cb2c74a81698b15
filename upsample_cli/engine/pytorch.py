"""ATen's operators through Python's torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from upsample_cli.engine.exact import Dtype
from upsample_cli.engine.operators import Array, Layer


class PyTorch:
    """The operators of `operators.Operators`, from Python's torch."""

    set_threads = staticmethod(torch.set_num_threads)
    threads = staticmethod(torch.get_num_threads)

    def layer(self, weight: Array, *, stride: int, padding: int, groups: int) -> Layer:
        """See `operators.Operators`."""
        layer = torch_layer(weight, stride=stride, padding=padding, groups=groups)

        @torch.inference_mode()
        def forward(image: Array) -> Array:
            return layer(torch.from_numpy(image)).numpy()  # type: ignore[no-any-return]

        return forward

    @torch.inference_mode()
    def convolution(self, image: Array, weight: Array, bias: Array, stride: Sequence[int]) -> Array:
        """See `operators.Operators`."""
        taken, weights, biases = (torch.from_numpy(array) for array in (image, weight, bias))
        made: Array = nn.functional.conv2d(taken, weights, biases, list(stride)).numpy()
        return made

    @torch.inference_mode()
    def product(self, left: Array, right: Array) -> Array:
        """See `operators.Operators`."""
        return (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()


def torch_layer(
    weight: Array, *, stride: int, padding: int, groups: int, device: torch.device | None = None
) -> nn.ConvTranspose2d:
    """A layer with this weight, (channels in, channels out / groups, height, width), and of its type."""
    channels_in, channels_out, *kernel_size = weight.shape
    layer = nn.ConvTranspose2d(
        channels_in,
        channels_out * groups,
        (kernel_size[0], kernel_size[1]),
        stride=stride,
        padding=padding,
        groups=groups,
        bias=False,
        device=device,
        dtype=torch_dtype(weight.dtype),
    )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
    return layer.requires_grad_(False)


def torch_dtype(dtype: Dtype) -> torch.dtype:
    """Torch's type with the same name.

    >>> import numpy as np
    >>> torch_dtype(np.dtype(np.uint16))
    torch.uint16
    """
    made: torch.dtype = getattr(torch, dtype.name)
    return made
