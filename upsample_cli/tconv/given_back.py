"""Find the input sizes that come back through the decoder of `tconv invert`."""

from __future__ import annotations

from collections.abc import Sequence

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import axis_names
from upsample_cli.tconv.invert import Inversion, padding_multiple
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.symbolic import Size
from upsample_cli.tconv.size_pattern import AxisFit, find_pattern

_MOST_SIZES = 100_000
"""The most sizes of layers to compute for `sizes_given_back`."""


def sizes_given_back(layers: Sequence[Layer], inversion: Inversion) -> tuple[AxisFit, ...] | None:
    """Which input sizes of a chain come back through the decoder for one size; None if that was not found.

    They are computed one by one over several periods, not assumed.

    >>> from upsample_cli.tconv.invert import invert
    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> chain = [parse_layer("Conv1d(3, 16, 3, stride=2, padding=1)"), parse_layer("MaxPool1d(2)")]
    >>> [str(fit.pattern) for fit in sizes_given_back(chain, invert(chain, (225,))) or ()]
    ['a multiple of 4 plus 1: 5, 9, 13, ...']
    """
    periods = padding_multiple(layers)
    if periods is None or len(periods) != len(inversion.sizes):
        return None
    found = []
    for place, (name, period) in enumerate(zip(axis_names(len(periods)), periods, strict=True)):

        def comes_back(size: int, place: int = place) -> bool:
            sizes = (*inversion.sizes[:place], size, *inversion.sizes[place + 1 :])
            return _after(layers, inversion, sizes) == sizes

        most = _MOST_SIZES // (len(layers) + len(inversion.decoder))
        pattern = find_pattern(comes_back, period, most)
        if pattern is None:
            return None
        found.append(AxisFit(name, inversion.sizes[place], pattern))
    return tuple(found)


def _after(layers: Sequence[Layer], inversion: Inversion, sizes: tuple[int, ...]) -> tuple[Size, ...] | None:
    """The sizes after a chain and the decoder for another size; None if a layer refuses them."""
    after: tuple[Size, ...] = sizes
    try:
        for layer in layers:
            after = layer.output_sizes(after)
        for one in inversion.decoder:
            after = tuple(size - cut for size, cut in zip(one.layer.output_sizes(after), one.crop, strict=True))
    except GeometryError:
        return None
    return after
