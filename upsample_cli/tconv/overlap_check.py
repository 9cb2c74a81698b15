"""Run a chain in torch at once and chunk by chunk, and compare them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import torch

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.chunks import Cuts
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.shape import shape

_SEED = 0
_MOST_CHANNELS = 4096
_MOST_NUMBERS = 2**27
"""The most numbers after a layer: 1 GiB."""
_ROUNDING = 2.0**-40
"""The share of the largest output by which float64 sums in another order may differ: 12 bits above the last bit."""
_NOT_SHOWN: dict[str, tuple[float, ...]] = {"Threshold": (0.1, 0.0), "LocalResponseNorm": (2,)}
"""Arguments for layers whose text leaves out those that change only values."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The comparison.

    Args:
        runs: number of chunks.
        largest: largest absolute output of one run.
        difference: largest absolute difference.
    """

    runs: int
    largest: float
    difference: float

    @property
    def is_equal(self) -> bool:
        """Whether the results are equal within the rounding of float64."""
        return self.difference <= _ROUNDING * max(self.largest, 1.0)


def check(
    layers: Sequence[Layer],
    sizes: Sequence[int],
    cuts: Sequence[Cuts],
    *,
    advance: Callable[[float], None] | None = None,
) -> Checked:
    """Compare one run with the chunks of it, in float64 with random weights, in evaluation mode.

    Args:
        layers: the chain.
        sizes: sizes of the input.
        cuts: the cuts along each axis.
        advance: called with the share of the work done since the last call.

    Raises:
        GeometryError: the input is too large for a check.
    """
    channels = _first_channels(layers, sizes)
    for step in shape(tuple(sizes), layers, channels=channels):
        numbers = (step.channels or channels) * prod(size for size in step.output if isinstance(size, int))
        if numbers > _MOST_NUMBERS:
            raise GeometryError(f"the check needs {numbers} numbers after {step.layer}", "give a smaller size")
    torch.manual_seed(_SEED)
    network = torch.nn.Sequential(*map(_module, layers)).double().eval()
    tensor = torch.randn(1, channels, *sizes, dtype=torch.float64)
    tiles = list(product(*cuts))
    difference = 0.0
    with torch.no_grad():
        whole = network(tensor)
        for tile in tiles:
            ran = network(_part(tensor, [cut.read for cut in tile]))
            kept = _part(ran, [(cut.drop, cut.drop + cut.keep[1] - cut.keep[0]) for cut in tile])
            right = _part(whole, [cut.keep for cut in tile])
            same_shape = kept.shape == right.shape
            difference = max(difference, float((kept - right).abs().max()) if same_shape else float("inf"))
            if advance is not None:
                advance(1 / len(tiles))
    return Checked(len(tiles), float(whole.abs().max()), difference)


def _part(tensor: torch.Tensor, ends: Sequence[tuple[int, int]]) -> torch.Tensor:
    for axis, (start, stop) in enumerate(ends, start=2):
        tensor = tensor.narrow(axis, start, max(0, min(stop, tensor.shape[axis]) - start))
    return tensor


def _first_channels(layers: Sequence[Layer], sizes: Sequence[int]) -> int:
    """The fewest channels that the chain accepts."""
    last: GeometryError | None = None
    for channels in range(1, _MOST_CHANNELS + 1):
        try:
            shape(tuple(sizes), layers, channels=channels)
        except GeometryError as error:
            last = error
        else:
            return channels
    assert last is not None
    raise last


def _module(layer: Layer) -> torch.nn.Module:
    """The layer in torch: its text is a constructor with literal arguments."""
    call = ast.parse(str(layer), mode="eval").body
    assert isinstance(call, ast.Call)
    given = [ast.literal_eval(argument) for argument in call.args]
    named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    if layer.name.startswith("ConstantPad"):
        named["value"] = 0.5
    if layer.name == "SyncBatchNorm":
        return torch.nn.Identity()  # works on GPUs only, and changes values only
    if not hasattr(torch.nn, layer.name):
        return torch.nn.Identity()  # torchvision's, which changes values only
    module: torch.nn.Module = getattr(torch.nn, layer.name)(*given, *_NOT_SHOWN.get(layer.name, ()), **named)
    return module
