"""Random networks of whole numbers, and what they compute, in numpy's int64."""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


class Network(NamedTuple):
    """The arguments of `_kernels.net_detail` and `_kernels.net_combine` that do not depend on the image."""

    layers: list
    weight: np.ndarray
    offset: np.ndarray
    linear: np.ndarray
    bits: int

    @property
    def rim(self):
        return len(self.layers) + 1

    @property
    def factor(self):
        return {4: 2, 9: 3, 16: 4}[len(self.offset)]


def random_network(factor, channels, layer_count, seed, bits=11):
    """A network whose activations are neither all 0 nor all 255."""
    random = np.random.default_rng(seed)
    layers = []
    for layer in range(layer_count):
        weight = random.integers(-127, 128, (channels, channels if layer else 1, 3, 3)).astype(np.int8)
        bias = random.integers(-20000, 20000, channels).astype(np.int32)
        shift = random.integers(*((8, 12) if layer else (5, 9)), channels).astype(np.uint8)
        layers.append((weight, bias, shift))
    weight = random.integers(-127, 128, (factor**2, channels, 3, 3)).astype(np.int8)
    offset = random.integers(-(10**5), 10**5, factor**2).astype(np.int32)
    linear = random.integers(-100, 300, (factor**2, 7, 7))
    linear[:, 3, 3] += 2**bits - linear.sum((1, 2))
    return Network(layers, weight, offset, linear.astype(np.int16), bits)


def convolved(numbers, weight):
    """(outputs, height, width) of (inputs, height, width), without padding."""
    windows = sliding_window_view(numbers.astype(np.int64), (3, 3), (1, 2))
    return np.einsum("cyxij,ocij->oyx", windows, weight.astype(np.int64), optimize=True)


def expected_detail(luma, network):
    """(height, width, outputs), from luma with its rim."""
    numbers = luma[None]
    for weight, bias, shift in network.layers:
        sums = convolved(numbers, weight) + bias[:, None, None]
        numbers = np.clip(sums >> shift[:, None, None].astype(np.int64), 0, 255)
    detail = convolved(numbers, network.weight) + network.offset[:, None, None]
    return detail.transpose(1, 2, 0).astype(np.int32)


def expected_sum(pixels, network, detail):
    """(height * factor, width * factor, channels), from pixels with their rim."""
    factor, (height, width, _) = network.factor, detail.shape
    windows = sliding_window_view(pixels.astype(np.int64), (7, 7), (0, 1))
    sums = np.einsum("yxcij,oij->yxoc", windows, network.linear.astype(np.int64))
    sums += detail[..., None].astype(np.int64) * (1 if pixels.dtype == np.uint8 else 257)
    made = np.clip((sums + 2 ** (network.bits - 1)) >> network.bits, 0, np.iinfo(pixels.dtype).max)
    made = made.reshape(height, width, factor, factor, -1).transpose(0, 2, 1, 3, 4)
    return made.reshape(height * factor, width * factor, -1).astype(pixels.dtype)
