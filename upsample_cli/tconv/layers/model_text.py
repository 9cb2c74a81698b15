"""Choose the layers of a model from its text, in the order in which they run.

`print(model)` shows modules, not the graph. The order is certain for Sequential and for modules with one child.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from upsample_cli.errors import GeometryError, Setting
from upsample_cli.geometry.axes import located
from upsample_cli.tconv.layers.chosen import Choice, Chosen, named
from upsample_cli.tconv.layers.constructors import layer_of_call, parse_layer, without_names
from upsample_cli.tconv.layers.kinds import KINDS
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.model_tree import EXPECTED, MOST_LAYERS, Module, parse_tree, part_of
from upsample_cli.tconv.layers.plain import Gate

_IN_NO_ORDER = ("ModuleList", "ModuleDict", "MultiheadAttention")
"""Classes whose only child, or whose children with the labels 0, 1, 2, can run otherwise."""
_GATES = ("SqueezeExcitation", "QuantizableSqueezeExcitation")
_BESIDE = ("downsample", "shortcut")
"""Labels of convolutions on the skip connection of a residual block."""


def choose(text: str, choice: Choice) -> Chosen:
    r"""The chosen layers of a model.

    Raises:
        GeometryError: if the text is not such a model, the part does not exist, the order of its layers is unknown, or
            torch would refuse a setting; the message names the line.

    >>> text = "Net(\n (conv): Conv2d(3, 8, 3)\n (act): ReLU()\n)"
    >>> print(*choose(text, Choice(in_order=True)).layers)
    Conv2d(3, 8, kernel_size=3) ReLU()
    """
    root = parse_tree(text)
    if choice.part is not None:
        root = part_of(root, choice.part)
    chosen = Chosen()
    above = (choice.part or "").rpartition(".")[0] if ":" in (choice.part or "") else choice.part
    for layer in _layers(root, choice, chosen, f"{above}." if above else ""):
        chosen.layers.append(layer)
        if len(chosen.layers) > MOST_LAYERS:
            raise GeometryError(f"the model has more than {MOST_LAYERS} layers", "give a part of it")
    if not chosen.layers:
        raise GeometryError("the model has no layers", EXPECTED)
    return chosen


def parse_model(text: str) -> tuple[Layer, ...]:
    r"""The layers of a whole model whose order is certain. See `choose`.

    >>> for layer in parse_model("Sequential((0): Conv2d(3, 8, 3)\n (1): Sequential(\n (0-1): 2 x ReLU()))"):
    ...     print(layer)
    Conv2d(3, 8, kernel_size=3)
    ReLU()
    ReLU()
    """
    return tuple(choose(text, Choice()).layers)


def choose_from(texts: Sequence[str], choice: Choice) -> Chosen:
    """The layers of arguments, each of which is a layer or a model. A part is one of all arguments together.

    >>> [str(layer) for layer in choose_from(["nn.Sequential(nn.Conv2d(3, 8, 3))", "nn.ReLU()"], Choice()).layers]
    ['Conv2d(3, 8, kernel_size=3)', 'ReLU()']
    """
    if choice.part is not None:
        return choose("\n".join(texts), choice)
    every = Chosen()
    for text in texts:
        chosen = choose(text, choice) if _is_model(text) else Chosen([parse_layer(text, choice.values)])
        every.layers += chosen.layers
        every.assumed |= chosen.assumed
        every.left_out |= chosen.left_out
    return every


def _is_model(text: str) -> bool:
    """Whether a text is more than one layer. Errors in one layer show its text, errors in a model its line."""
    if "\n" in text.strip() or text.startswith((">>>", "\ufeff")):
        return True
    named = re.match(r"\s*(?:(?:torch\.)?nn\.)?(\w+)\s*\(|\s*\[", without_names(text))
    return named is not None and (named[1] in (None, "Sequential") or (named[1] not in KINDS and "): " in text))


def _layers(module: Module, choice: Choice, chosen: Chosen, path: str) -> Iterator[Layer]:
    """The layers of a module once, in the order in which they run. Its children's labels follow `path`."""
    if module.call is not None and _is_layer(module):
        with located(f"line {module.line}"):
            yield layer_of_call(module.call, choice.values)
    elif module.name in _GATES and module.children:
        yield _gate(module, choice)
    elif module.call is not None and not module.children and module.name != "Sequential":
        with located(f"line {module.line}"):
            layer_of_call(module.call)  # raises an error with the names of known layers
    else:
        for child in _in_order(module, choice, chosen, path):
            below = f"{path}{child.label.partition('-')[0] if child.times > 1 else child.label}."
            repeated = tuple(islice(_layers(child, choice, chosen, below), MOST_LAYERS + 1))
            for _ in range(child.times if repeated else 0):
                yield from repeated


def _is_layer(module: Module) -> bool:
    """Whether a module is a layer of torch, and not a class with such a name that has children."""
    return module.name in KINDS and all(child.label == "parametrizations" for child in module.children)


def _in_order(module: Module, choice: Choice, chosen: Chosen, path: str) -> Sequence[Module]:
    """The children that run one after the other."""
    if _is_certain(module):
        return module.children
    if not choice.in_order:
        labels = [child.label for child in module.children if child.label]
        first = Setting("part", f"{path}{labels[0][:40]}" if labels else "LABEL")
        there = f": it has {named(labels)}" if labels else ""
        raise GeometryError(
            f"line {module.line}: the text of {module.name} does not say in which order its layers run{there}",
            ("choose ", first, ", or give ", Setting("in_order", True), " to take them in the order of the text"),
        )
    chosen.assumed[module.name] = None
    convolution = _first_convolution(module)
    kept = []
    for child in module.children:
        if _is_beside(child, convolution):
            chosen.left_out[f"{child.label} of {module.name}"] = None
        else:
            kept.append(child)
    return kept


def _is_certain(module: Module) -> bool:
    """Whether children run in the order of the text: in Sequential and its subclasses, whose labels are 0, 1, 2, ..."""
    if module.call is None or module.name == "Sequential":
        return True
    if module.name in _IN_NO_ORDER or module.name in KINDS:
        return False
    if len(module.children) == 1 and module.children[0].times == 1:
        return True
    expected = 0
    for child in module.children:
        if child.label.partition("-")[0] != str(expected):
            return False
        expected += child.times
    return True


def _is_beside(child: Module, first: Module | None) -> bool:
    """Whether a child of a residual block runs on the block's input: it begins with the channels of the first layer."""
    own = _first_convolution(child) if child.label in _BESIDE else None
    return own is not None and own is not first and _in_channels(own) == _in_channels(first)


def _first_convolution(module: Module) -> Module | None:
    if module.name.startswith("Conv") and module.name in KINDS:
        return module
    return next(filter(None, map(_first_convolution, module.children)), None)


def _in_channels(module: Module | None) -> str:
    arguments = module.call.args if module is not None and module.call is not None else []
    return ast.dump(arguments[0]) if arguments else ""


def _gate(module: Module, choice: Choice) -> Layer:
    """The layer of squeeze-and-excitation: it multiplies its input by one factor for each channel."""
    with located(f"line {module.line}"):
        calls = [child.call for child in module.children if child.call is not None and child.name == "Conv2d"]
        return Gate.of(module.name, [layer_of_call(call, choice.values) for call in calls])
