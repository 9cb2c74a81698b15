"""A transposed convolution of stride s as s ordinary ones, each of which yields whole rows of interleaved outputs.

Output row `i*s + phase` depends on a few input rows around i: one convolution for each *row phase*. Along a row, the
outputs of a *block* of pixels are computed as the channels of one position, so they have the memory layout of the
output row. The multiplications are the same, in an order that fills a processor's vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from upsample_cli.engine import aten
from upsample_cli.engine.exact import Dtype
from upsample_cli.engine.operators import Array
from upsample_cli.engine.routes.plain import layer_weight
from upsample_cli.kernels.kernel import Kernel

_LANES = 16
"""Sums in one vector of 512 bits. For shorter vectors the same blocks are as good as any others."""

_MOST_LANES = 64
"""The most sums of one block that stay in registers."""

_LEAST_DEPTH = 2
"""A convolution over fewer channels wastes steps."""

_STORING = 7
"""The cost of turning a vector of sums into pixels, in multiplications of vectors."""


class Blocks(NamedTuple):
    """How the pixels of a row are grouped into blocks.

    The outputs of a block begin `offset` outputs before those of its own pixels. The window of the first of them begins
    at the first column of the block's halo, so the block touches as few columns as possible.

    Args:
        pixels: number of pixels in one block.
        group: number of neighbouring pixels that form the channels of one position; `pixels` is a multiple of it.
        factor, halo, padding: see `Kernel`.

    >>> Blocks(pixels=2, group=1, factor=2, halo=1, padding=1).columns
    3
    """

    pixels: int
    group: int
    factor: int
    halo: int
    padding: int

    @property
    def offset(self) -> int:
        """Outputs of the first block before the first output of the image."""
        return self.halo * self.factor - self.padding

    @property
    def columns(self) -> int:
        """Input columns that a block touches, in whole groups."""
        touched = self.pixels + -(-2 * self.padding // self.factor)
        return -(-touched // self.group) * self.group

    def padded_width(self, width: int) -> int:
        """How many columns a padded tile needs for whole blocks to cover its core."""
        blocks = -(-(width * self.factor + self.offset) // (self.pixels * self.factor))
        needed = max((blocks - 1) * self.pixels + self.columns, width + 2 * self.halo)
        return -(-needed // self.group) * self.group

    def widened(self, padded: Array, width: int) -> Array:
        """A padded tile with zero columns added until whole blocks cover its core. The zeros do not affect any output.

        padded: (height, width + 2*halo, channels) -> (height, `padded_width`, channels).
        """
        wide = np.empty((padded.shape[0], self.padded_width(width), padded.shape[2]), padded.dtype)
        wide[:, : padded.shape[1]] = padded
        wide[:, padded.shape[1] :] = 0
        return wide

    def grouped(self, tiles: Array) -> Array:
        """Padded tiles as the input of the row phases, in the same memory.

        tiles: (tiles, height, `padded_width`, channels), contiguous -> (tiles, group * channels, height, width /
        group), channels last.
        """
        count, height, width, channels = tiles.shape
        return tiles.reshape(count, height, width // self.group, self.group * channels).transpose(0, 3, 1, 2)


def best_blocks(kernel: Kernel, channels: int) -> Blocks:
    """The blocks with the fewest steps for each output.

    >>> from upsample_cli.kernels.kernel import kernel_named
    >>> [best_blocks(kernel_named("bilinear", factor), 3).pixels for factor in (2, 3, 4)]
    [2, 1, 1]
    """
    most = max(1, _MOST_LANES // (kernel.factor * channels))
    group = max(1, _LEAST_DEPTH // channels)
    group = group if group <= most else 1
    candidates = range(group, most + 1, group)
    sized = [Blocks(pixels, group, kernel.factor, kernel.halo, kernel.padding) for pixels in candidates]
    return min(sized, key=lambda blocks: steps_per_output(blocks, channels))


def steps_per_output(blocks: Blocks, channels: int) -> float:
    """Multiplications of whole vectors for each output, with the cost of storing it: an estimate to rank blocks."""
    lanes = blocks.pixels * blocks.factor * channels
    rows = 1 + 2 * blocks.padding / blocks.factor
    steps = rows * (blocks.columns // blocks.group) * blocks.group * channels
    return -(-lanes // _LANES) * (steps + _STORING) / lanes


class RowPhase(NamedTuple):
    """The convolution that yields one row phase.

    Args:
        blocks: how the pixels of a row are grouped.
        first: the first row of the neighbourhood that it uses.
        weight: (pixels * s * channels, group * channels, rows, columns / group): output channel `q * channels + c` is
            output column q of a block, channel c.
        bias: (pixels * s * channels,).
    """

    blocks: Blocks
    first: int
    weight: Array
    bias: Array

    @property
    def stride(self) -> list[int]:
        """The stride of the convolution."""
        return [1, self.blocks.pixels // self.blocks.group]

    def taken(self, numbers: Array, rows: int) -> Array:
        """The part of the padded tiles of `Blocks.grouped` that yields `rows` rows."""
        return numbers[:, :, self.first : self.first + rows + self.weight.shape[2] - 1]

    def convolved(self, numbers: Array, rows: int) -> Array:
        """`rows` rows of outputs in blocks, the input of `write`."""
        return aten.operators().convolution(self.taken(numbers, rows), self.weight, self.bias, self.stride)

    def write(self, outputs: Array, out: Array) -> None:
        """Write the outputs of the convolution to the rows of a tile.

        Args:
            outputs: (tiles, pixels * s * channels, rows, blocks), channels last.
            out: (rows, width, tiles * channels), any strides.
        """
        tiles, _, rows, _ = outputs.shape
        depth = out.shape[2] // tiles
        pixels = outputs.transpose(0, 2, 3, 1).reshape(tiles, rows, -1, depth)
        offset = self.blocks.offset
        for tile, made in enumerate(pixels[:, :, offset : offset + out.shape[1]]):
            out[..., tile * depth : (tile + 1) * depth] = made


def row_phases(kernel: Kernel, blocks: Blocks, mixing: Array, bias: Array, *, scale: float = 1.0) -> list[RowPhase]:
    """The row phases of a kernel.

    Output `i*s + o` uses input `i + n` with tap `o + padding - n*s`, if that tap exists.

    Args:
        mixing: (channels, channels): output channel c sums the layer's channels with the weights `mixing[c]`.
        bias: (channels,), added to each output channel.
        scale: multiplies weights and biases; a power of two.
    """
    rows, row_exists = _taps(kernel, range(kernel.factor), range(-kernel.halo, kernel.halo + 1))
    outputs = range(-blocks.offset, blocks.pixels * kernel.factor - blocks.offset)
    columns, column_exists = _taps(kernel, outputs, range(-kernel.halo, blocks.columns - kernel.halo))
    mixed = np.einsum("om,mirk->oirk", mixing, _whole_weight(kernel, len(bias), mixing.dtype)) * scale
    phases = []
    for phase in range(kernel.factor):
        touched = row_exists[phase].nonzero()[0]
        first, last = int(touched[0]), int(touched[-1]) + 1
        weight = mixed[:, :, rows[phase, first:last]][..., columns] * column_exists
        grouped = weight.reshape(*weight.shape[:4], -1, blocks.group)  # (out, in, rows, outputs, groups, within one)
        outputs_first = grouped.transpose(3, 0, 5, 1, 2, 4)
        packed = outputs_first.reshape(len(outputs) * len(bias), -1, *outputs_first.shape[4:])
        packed = np.ascontiguousarray(packed.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)  # channels last
        phases.append(RowPhase(blocks, first, packed, np.tile(bias * scale, len(outputs)).astype(bias.dtype)))
    return phases


def _taps(kernel: Kernel, outputs: range, inputs: range) -> tuple[Array, Array]:
    """Along one axis: the tap between each output and each input, and whether it exists."""
    tap = np.array(outputs)[:, None] + kernel.padding - np.array(inputs) * kernel.factor
    return tap.clip(0, kernel.kernel_size - 1), (tap >= 0) & (tap < kernel.kernel_size)


def _whole_weight(kernel: Kernel, channels: int, dtype: Dtype) -> Array:
    """(channels out, channels in, kernel_size, kernel_size): the layer's weight, with zeros between the channels."""
    weight = layer_weight(kernel, dtype)
    return weight.swapaxes(0, 1) if kernel.is_dense else np.eye(channels, dtype=dtype)[..., None, None] * weight
