"""Size formulas in letters, for layers and for a whole chain, and the formulas of the sizes before them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.layers.mixing import Mixing, outputs
from upsample_cli.tconv.layers.model import LETTERS, Layer, Sliding
from upsample_cli.tconv.layers.plain import SizeKeeping
from upsample_cli.tconv.layers.symbolic import Floor, Size, Symbolic, bracketed
from upsample_cli.tconv.shape import size_text

INPUT = Symbolic("in")


@dataclass(frozen=True, slots=True)
class LayerFormula:
    """The formula of the size after a layer.

    Args:
        number: its position in the chain, from 1.
        layer: the layer.
        letters: the values of k, s, p, d and op that it has; one number, or one per axis ("3x5").
        after: for each axis, the size after an input of `in`.
    """

    number: int
    layer: Layer
    letters: dict[str, str]
    after: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class ChainFormula:
    """The formulas of a chain.

    Args:
        general: the formulas in letters of the kinds of layers in the chain.
        layers: the layers that change a size.
        after: for each axis, the size for an input of `in`, after the chain or before the layer `end`.
        end: number of the first layer without such a formula, for example a Flatten; None if the formula is for the
            whole chain.
    """

    general: tuple[str, ...]
    layers: tuple[LayerFormula, ...]
    after: tuple[Size, ...]
    end: int | None

    @property
    def before(self) -> tuple[str | None, ...]:
        """For each axis, the size before the chain for an output of `out`; None if it is not a simple expression."""
        return tuple(map(size_before, self.after))


def chain_formula(layers: Sequence[Layer], axes: int, *, channels: int | None = None) -> ChainFormula:
    r"""The formulas of a chain, which must be legal, on an input with so many axes.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> chain = [parse_layer("Conv1d(1, 8, 3, 2, 1)"), parse_layer("ConvTranspose1d(8, 1, 4, 2, 1)")]
    >>> formula = chain_formula(chain, 1)
    >>> print(*formula.general, *formula.after, *formula.before, sep="\n")
    floor((in + 2*p - d*(k-1) - 1)/s) + 1
    (in-1)*s - 2*p + d*(k-1) + op + 1
    2*floor((in-1)/2)+2
    out-1 to out
    """
    general: dict[str, None] = {}
    found: list[LayerFormula] = []
    after: tuple[Size, ...] = (INPUT,) * axes
    for number, layer in enumerate(layers, start=1):
        try:
            channels, following = outputs(layer, channels, after)
        except GeometryError:  # it needs numbers
            return ChainFormula(tuple(general), tuple(found), after, number)
        if len(following) != len(after):
            return ChainFormula(tuple(general), tuple(found), after, number)
        if not isinstance(layer, SizeKeeping | Mixing):
            found.append(LayerFormula(number, layer, _letters(layer), _alone(layer, following)))
            general |= dict.fromkeys([layer.letter_formula()] if has_letters(layer) else [])
        after = following
    return ChainFormula(tuple(general), tuple(found), after, None)


def size_before(after: Size) -> str | None:
    """The sizes before layers that give `out`, from the size after them; None if they are not a simple expression.

    >>> [size_before(size) for size in (INPUT * 2 - 1, (INPUT - 1) // 2 + 1, INPUT + 2)]
    ['(out+1)/2', '2*out-1 to 2*out', 'out-2']
    >>> size_before(((INPUT - 1) // 2 + 1) * 2), size_before((INPUT * 3) // 2)
    ('out-1 to out', None)
    """
    if isinstance(after, int):
        return None
    out = Symbolic("out")
    if not isinstance(after.atom, Floor):
        rest = out - after.constant
        return str(rest) if after.factor == 1 else f"{bracketed(rest)}/{after.factor}"
    inner, divisor = after.atom.inner, after.atom.divisor
    if inner.factor != 1 or isinstance(inner.atom, Floor) or divisor % after.factor:
        return None
    # floor((in + c)/divisor) == q for the `divisor` sizes from divisor*q - c.
    least = (out - after.constant) * (divisor // after.factor) - inner.constant
    return f"{least} to {least + (divisor - 1)}"


def formula_lines(names: Sequence[str], formulas: Sequence[Any], left: str) -> list[str]:
    """A line `left = formula` for each axis, or one line if all are equal. None is left out.

    >>> formula_lines(("height", "width"), (2, 2), "out"), formula_lines(("height", "width"), (2, 3), "out")
    (['out = 2'], ['height: out = 2', 'width: out = 3'])
    """
    if len(set(formulas)) == 1:
        return [f"{left} = {formulas[0]}"] if formulas[0] is not None else []
    pairs = zip(names, formulas, strict=True)
    return [f"{name}: {left} = {formula}" for name, formula in pairs if formula is not None]


def as_json(formula: ChainFormula) -> dict[str, Any]:
    """The formulas as part of a document."""
    return {
        "general": [f"out = {one}" for one in formula.general],
        "layers": [
            {"layer": str(one.layer), "number": one.number, "letters": one.letters, "out": list(map(str, one.after))}
            for one in formula.layers
        ],
        "out": list(map(str, formula.after)),
        "in": list(formula.before),
    }


def has_letters(layer: Layer) -> TypeGuard[Sliding]:
    """Whether the formula in letters holds for a layer: it has a kernel, and the same padding at both ends."""
    return isinstance(layer, Sliding) and getattr(layer, "padding", 0) != "same"


def _alone(layer: Layer, after: tuple[Size, ...]) -> tuple[Size, ...]:
    """The sizes after a layer for an input of `in`; `after` if it needs numbers, which a layer before it gives."""
    try:
        return layer.output_sizes((INPUT,) * len(after))
    except GeometryError:
        return after


def _letters(layer: Layer) -> dict[str, str]:
    if not isinstance(layer, Sliding):
        return {}
    texts = {}
    for name, letter in LETTERS.items():
        if name != "output_padding" or isinstance(layer, TransposedConvolution):
            values = [getattr(axis, name) for axis in layer.each_axis]
            texts[letter] = size_text(values if len(set(values)) > 1 else values[:1])
    return texts if has_letters(layer) else texts | {"p": "same"}
