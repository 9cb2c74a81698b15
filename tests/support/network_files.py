"""Random network files, and an oracle for networks in plain whole numbers that shares no code with the package."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

Array = NDArray[Any]
_BITS = 11
_EDGES = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap", "zeros": "constant"}


def random_network(factor: int, channels: int = 6, layers: int = 2, seed: int = 0) -> dict[str, Array]:
    """The tensors of a valid network with large weights."""
    noise = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    flat = np.zeros(1, np.int64)
    for layer in range(layers):
        weight = noise.integers(-127, 128, (channels, channels if layer else 1, 3, 3))
        if layer == 0:
            weight //= 9
            weight[:, :, 1, 1] -= weight.sum((2, 3))
        bias, shift = noise.integers(-9000, 9000, channels), noise.integers(4 + 3 * bool(layer), 9, channels)
        flat = ((weight.sum((2, 3)) * flat).sum(1) + bias >> shift).clip(0, 255)
        made[f"trunk.{layer}.weight"] = weight.astype(np.int8)
        made[f"trunk.{layer}.bias"] = bias.astype(np.int32)
        made[f"trunk.{layer}.shift"] = shift.astype(np.uint8)
    detail = noise.integers(-127, 128, (channels, 1, 3 * factor, 3 * factor))
    linear = noise.integers(-100, 300, (7 * factor, 7 * factor))
    offset = np.zeros((factor, factor), np.int32)
    for down in range(factor):
        for across in range(factor):
            linear[3 * factor + down, 3 * factor + across] += 2**_BITS - linear[down::factor, across::factor].sum()
            offset[down, across] = -(detail[:, 0, down::factor, across::factor].sum((1, 2)) * flat).sum()
    made["detail.weight"], made["detail.offset"] = detail.astype(np.int8), offset
    made["linear.weight"] = linear[None, None].astype(np.int16)
    return made


def network_file(path: Path, tensors: dict[str, Array], factor: int, /, **about: Any) -> str:
    """Write a network. `about` replaces parts of its description."""
    head = {"format": "upsample-net", "version": 1, "factor": factor, "bits": 11}
    save_file(tensors, path, metadata={"upsample-cli": json.dumps(head | about)})
    return str(path)


def expected(path: str | Path, pixels: Array, factor: int, *, border: str = "replicate", alpha: bool = False) -> Array:
    """The pixels that a network's definition gives: (height, width, channels) of 8 or 16 bits."""
    tensors = {key: tensor.astype(np.int64) for key, tensor in load_file(path).items()}
    layers = sum(key.endswith("shift") for key in tensors)
    reach = max(3, layers + 1)
    padded = _padded(pixels.astype(np.int64), reach, border)
    most, deep = (255, 1) if pixels.dtype == np.uint8 else (65535, 257)
    colours = padded[..., :-1] if alpha else padded
    level = colours[..., 0]
    if colours.shape[2] == 3:
        level = (19595 * colours[..., 0] + 38470 * colours[..., 1] + 7471 * colours[..., 2] + 32768) >> 16
    level = level if deep == 1 else (level + 128) // 257
    planes = level[
        reach - layers - 1 : len(level) - reach + layers + 1, reach - layers - 1 : level.shape[1] - reach + layers + 1
    ][None]
    for layer in range(layers):
        sums = _convolution(planes, tensors[f"trunk.{layer}.weight"]) + tensors[f"trunk.{layer}.bias"][:, None, None]
        planes = np.clip(sums >> tensors[f"trunk.{layer}.shift"][:, None, None], 0, 255)
    height, width = pixels.shape[:2]
    offset = np.tile(tensors["detail.offset"], (height, width))
    detail = sum(_transposed(planes[c], tensors["detail.weight"][c, 0], factor, 1) for c in range(len(planes))) + offset
    linear = tensors["linear.weight"][0, 0]
    total = int(linear[::factor, ::factor].sum())  # a power of 2
    core = padded[reach - 3 : len(padded) - reach + 3, reach - 3 : padded.shape[1] - reach + 3]
    out = np.zeros((height * factor, width * factor, pixels.shape[2]), np.int64)
    if not alpha:
        for channel in range(pixels.shape[2]):
            out[..., channel] = (
                _transposed(core[..., channel], linear, factor, 3) + deep * detail + total // 2
            ) // total
        return out.clip(0, most).astype(pixels.dtype)
    opaque = np.array(
        [
            [(padded[y : y + 2 * reach + 1, x : x + 2 * reach + 1, -1] == most).all() for x in range(width)]
            for y in range(height)
        ]
    )
    detail = deep * detail * opaque.repeat(factor, 0).repeat(factor, 1)
    alphas = _transposed(core[..., -1], linear, factor, 3)
    out[..., -1] = (alphas + total // 2) // total
    for channel in range(pixels.shape[2] - 1):
        sums = _transposed(core[..., channel] * core[..., -1], linear, factor, 3)
        sums = np.where(alphas > 0, sums + detail * most, 0)
        out[..., channel] = (2 * sums + alphas.clip(0)) // (2 * alphas.clip(0)).clip(1)
    return out.clip(0, most).astype(pixels.dtype)


def _padded(pixels: Array, reach: int, border: str) -> Array:
    if border == "reflect":  # numpy cannot reflect an image smaller than the margin
        indices = [
            np.abs((np.arange(-reach, n + reach) + n - 1) % (2 * n - 2) - n + 1)
            if n > 1
            else np.zeros(1 + 2 * reach, int)
            for n in pixels.shape[:2]
        ]
        return pixels[indices[0]][:, indices[1]]
    return np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode=_EDGES[border])


def _convolution(planes: Array, weight: Array) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(planes, (3, 3), (1, 2))
    return np.einsum("chwij,ocij->ohw", windows, weight)


def _transposed(plane: Array, weight: Array, factor: int, reach: int) -> Array:
    """A transposed convolution as torch defines it: every input adds its weighted kernel to the output."""
    height, width = plane.shape
    size = len(weight)
    canvas = np.zeros(((height - 1) * factor + size, (width - 1) * factor + size), np.int64)
    for down in range(size):
        for across in range(size):
            canvas[down : down + height * factor : factor, across : across + width * factor : factor] += (
                weight[down, across] * plane
            )
    margin = 2 * reach * factor  # padding reach*factor, and the halo of reach pixels
    return canvas[margin : len(canvas) - margin, margin : canvas.shape[1] - margin]
