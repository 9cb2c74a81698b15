"""The receptive field and the shift of a chain of layers along one axis. No torch.

Consecutive layers are merged where that is exact, so that the time for a chain is proportional to its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axis import LayerAxis

MOST_PHASES = 4096
"""The most neighbouring outputs whose receptive fields are compared. Beyond this factor, a chain has more phases."""
_MOST_EXAMINED = 2**21
"""The most inputs to examine for one chain, over all layers and phases; they take a second or two."""
_MOST_BITS = 900
"""The most bits of the product of a chain's strides. A larger one, or its inverse, overflows a float."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Consecutive layers along one axis. Start from `Chain()` and add layers with `after`.

    Args:
        links: the layers, merged where that is exact.
        shift: how far they move an image, in pixels of the last output.
        reduces: product of the strides of the ordinary layers.
        enlarges: product of the strides of the transposed layers.
        receptive_field: the most input samples that one output sample can see, from the first to the last, ignoring
            borders. If a chain enlarges, neighbouring outputs can see different numbers; the first `MOST_PHASES` are
            compared.

    >>> chain = Chain().after(LayerAxis(3, 2, 1)).after(LayerAxis(3, 2, 1, transposed=True))
    >>> chain.shift, chain.receptive_field
    (Fraction(0, 1), 5)
    """

    links: tuple[LayerAxis, ...] = ()
    shift: Fraction = Fraction(0)
    reduces: int = 1
    enlarges: int = 1
    receptive_field: int = 1
    _examined: int = field(default=0, repr=False)

    def after(self, axis: LayerAxis) -> Chain:
        """The chain with one more layer at its end.

        Raises:
            GeometryError: if tracing it would take more than seconds, or the product of its strides is too large.
        """
        if axis == LayerAxis():
            return self
        joined = self.links[-1].followed_by(axis) if self.links else None
        links = (*self.links, axis) if joined is None else (*self.links[:-1], joined)
        reduces, enlarges = self.reduces, self.enlarges
        if axis.transposed:
            enlarges *= axis.stride
        else:
            reduces *= axis.stride
        if max(reduces, enlarges).bit_length() > _MOST_BITS:
            raise GeometryError("the strides up to here multiply to more than can be shown", "give a part of the chain")
        phases = min(enlarges, MOST_PHASES)
        examined = self._examined + phases * sum(link.inputs_examined for link in links)
        if examined > _MOST_EXAMINED:
            raise GeometryError("the receptive field up to here takes too long to compute", "give a part of the chain")
        seen = max(_seen_through(links, position) for position in range(phases))
        return Chain(links, self.shift * axis.scale + axis.shift, reduces, enlarges, seen, examined)


def _seen_through(links: Sequence[LayerAxis], position: int) -> int:
    first, last = position, position
    for link in reversed(links):
        ends = link.seen(first, last)
        if ends is None:
            return 0
        first, last = ends
    return last - first + 1
