"""Which layers of a model are asked for, and which were found. `model_text.py` finds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from upsample_cli.tconv.layers.model import Layer

_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """Which layers of a model to take.

    Args:
        part: path of labels to a part, such as `features` or `features.0:10`; None for the whole model.
        in_order: whether the children of every class run in the order of the text.
        values: values of names, for settings such as `ngf * 8`.
    """

    part: str | None = None
    in_order: bool = False
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Chosen:
    """The layers of a model, in the order in which they run.

    Args:
        layers: the layers.
        assumed: classes whose order was assumed.
        left_out: what was left out.
        flattens: how many Flatten layers were added later, which the text does not show.
    """

    layers: list[Layer] = field(default_factory=list)
    assumed: dict[str, None] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)
    flattens: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, as text."""
        notes = []
        if self.assumed:
            notes.append(
                f"the parts of {named(self.assumed)} run in printed order here; a printed model does not show its "
                "graph: skips, branches and functions in forward()"
            )
        if self.left_out:
            notes.append(
                f"left out here and in the costs, because it runs on the input of its block: {named(self.left_out)}"
            )
        if self.flattens:
            notes.append(
                "a Flatten was added before a Linear whose in_features are all numbers that come in: forward() must "
                "flatten there"
            )
        return tuple(notes)


def named(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""
    return ", ".join(name[:40] for name in every[:_MOST_NAMED]) + more
