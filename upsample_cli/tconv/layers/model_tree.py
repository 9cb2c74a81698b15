"""The tree of modules in pasted text: `print(model)`, `nn.Sequential(...)` as code, or one layer per line.

The text becomes one Python expression, which is parsed and never evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from upsample_cli.errors import GeometryError, Setting
from upsample_cli.tconv.layers.constructors import class_name, split_name
from upsample_cli.tconv.layers.kinds import KINDS
from upsample_cli.tconv.parsing import expression

LONGEST_MODEL = 200_000
"""The most characters of a text to parse."""
MOST_LAYERS = 10_000
"""The most layers. A repetition such as `(0-9999999): 9999999 x ReLU()` must not exhaust the memory."""
EXPECTED = "give nn.Sequential(...), what print(model) shows, or a layer a line"

_PROMPT = re.compile(r"(?:>>>|\.\.\.)(?: |$)")
_SHOWS = re.compile(r"[A-Za-z_]\w*|print\([\w.]*\)")
"""A line after a prompt that shows a model and does not define one."""
_BEFORE_LABELS = re.compile(r"(?<=[(),])[ \t]+(?=\([\w.-]+\): )|(?<=\()(?=\([\w.-]+\): )")
_REPEATED = re.compile(r"^(\d{1,9}) x (?=[A-Za-z])")
_MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Module:
    """A module and its children, as the text shows them.

    Args:
        label: its name in its parent; "" if the text does not say it.
        name: name of its class; "" for a list of modules.
        call: its constructor; None for a list of modules.
        children: its children, in the order of the text. A repeated child is one entry.
        times: how many such modules follow each other.
        line: number of its line.
    """

    label: str
    name: str
    call: ast.Call | None
    children: tuple[Module, ...]
    times: int
    line: int

    def single(self) -> Iterator[Module]:
        """The children one by one: a repeated child has as many labels as modules.

        Raises:
            GeometryError: if there are too many.
        """
        count = 0
        for child in self.children:
            first, _, last = child.label.partition("-")
            is_range = first.isdecimal() and last.isdecimal() and len(first) < 10
            for number in range(child.times):
                count += 1
                if count > MOST_LAYERS:
                    raise GeometryError(f"the model has more than {MOST_LAYERS} layers", "give a part of it")
                label = str(int(first) + number) if is_range else child.label
                yield replace(child, label=label, times=1)


def parse_tree(text: str) -> Module:
    r"""The tree of a text.

    Raises:
        GeometryError: if the text is not such a model; the message names the line.

    >>> tree = parse_tree("Net((head): Conv2d(3, 8, 3)\n (body): Sequential(\n (0-1): 2 x ReLU()))")
    >>> tree.name, [(child.label, child.name) for child in tree.children]
    ('Net', [('head', 'Conv2d'), ('body', 'Sequential')])
    """
    if len(text) > LONGEST_MODEL:
        raise GeometryError(f"the model's text has {len(text)} characters", f"give {LONGEST_MODEL} or fewer")
    try:
        parsed = expression(f"({_as_python(text)}\n)")
    except SyntaxError as error:
        line = text.splitlines()[error.lineno - 1 :][:1] if error.lineno else []
        shown = f"line {error.lineno}, {line[0].strip()[:60]!r}: " if line else ""
        raise GeometryError(f"{shown}this is not a model as PyTorch prints it", EXPECTED) from None
    except (ValueError, RecursionError, MemoryError):
        raise GeometryError("this is not a model as PyTorch prints it", EXPECTED) from None
    root = _module(parsed)
    while root.call is None and len(root.children) == 1 and root.children[0].times == 1:
        root = root.children[0]
    return root


def part_of(root: Module, path: str) -> Module:
    """The module at a path of labels such as `features` or `layer1.0`, or a slice of children: `features.0:10`.

    Raises:
        GeometryError: if there is no such module; the message lists the labels that exist.

    >>> tree = parse_tree("Net((a): Sequential((0): ReLU() (1): Conv2d(3, 8, 3) (2): Tanh()))")
    >>> part_of(tree, "a.1").name, [child.name for child in part_of(tree, "a.1:").children]
    ('Conv2d', ['Conv2d', 'Tanh'])
    """
    *labels, last = path.split(".")
    sliced = re.fullmatch(r"([0-9]{0,9}):([0-9]{0,9})", last)
    for label in labels if sliced else [*labels, last]:
        found = [child for child in root.single() if child.label == label and label]
        if not found:
            raise GeometryError(_missing(root, path, label), ("name one of them in ", Setting("part")))
        root = found[0]
    if sliced is None:
        return root
    start, stop = (int(number) if number else None for number in sliced.groups())
    kept = tuple(root.single())[start:stop]
    if not kept:
        raise GeometryError(
            f"there is nothing at '{path}': {root.name or 'the text'} has {len(tuple(root.single()))} children",
            "give START:STOP within them",
        )
    return replace(root, children=kept)


def _missing(module: Module, path: str, label: str) -> str:
    labels = [child.label for child in module.single() if child.label]
    more = f" and {len(labels) - _MOST_LISTED} more" if len(labels) > _MOST_LISTED else ""
    shown = f"has {', '.join(labels[:_MOST_LISTED])}{more}" if labels else "has no labelled children"
    there = f"'{path[:60]}': there is no '{label[:40]}'"
    return f"{there}: {module.name or 'the text'} {shown}"


def _as_python(text: str) -> str:
    """Convert the text to the entries of one Python tuple, with the same lines: add commas, and make labels strings.

    A text that has lost its line breaks has labels in the middle of a line.
    """
    lines: list[str] = []
    last = "("
    for line in text.removeprefix("\ufeff").splitlines():
        entries = []
        for part in _BEFORE_LABELS.split(line.partition("#")[0]):
            entry = _entry(part.strip())
            if entry.startswith("*") and last not in "[(,":  # a line of settings precedes the children
                entry = f", {entry}"
            if entry.endswith(")"):
                entry += ","
            entries.append(entry)
            last = entry[-1:] or last
        lines.append(" ".join(entries))
    return "\n".join(lines)


def _entry(line: str) -> str:
    if prompt := _PROMPT.match(line):
        line = line[prompt.end() :].strip()
        if _SHOWS.fullmatch(line):
            return ""
    label, rest = split_name(line)
    if rest.startswith("Parameter containing:"):
        return ""
    rest = _REPEATED.sub(r"\1 @ ", rest)
    # `*` may follow named arguments, as the children of a module follow its settings.
    return f'*"{label}" >> {rest}' if label and rest else rest


def _module(node: ast.expr, label: str = "", times: int = 1) -> Module:
    if isinstance(node, ast.Starred):
        node = node.value
    if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant):
        value = node.left.value
        if isinstance(node.op, ast.RShift) and isinstance(value, str):
            return _module(node.right, value, times)
        if isinstance(node.op, ast.MatMult) and type(value) is int:
            return _module(node.right, label, min(times * value, MOST_LAYERS + 1))
    if isinstance(node, ast.Tuple | ast.List):
        return Module(label, "", None, _numbered(map(_module, node.elts)), times, node.lineno)
    if not isinstance(node, ast.Call):
        raise GeometryError(f"line {node.lineno}: this is not a layer", EXPECTED)
    name = class_name(node)
    inside: list[ast.expr] = []
    settings: list[ast.expr] = []
    for argument in node.args:
        (inside if _is_child(argument, name) else settings).append(argument)
    call = ast.Call(node.func, settings, node.keywords)
    children = tuple(map(_module, _pairs(inside)))
    if name == "Sequential":
        children = _numbered(children)
    return Module(label, name, ast.copy_location(call, node), children, times, node.lineno)


def _is_child(argument: ast.expr, name: str) -> bool:
    """Whether an argument of this class is a module and not a setting."""
    if name in KINDS:
        return isinstance(argument, ast.Starred)
    is_repeated = isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.MatMult)
    return name == "Sequential" or is_repeated or isinstance(argument, ast.Starred | ast.Call)


def _pairs(nodes: Sequence[ast.expr]) -> Sequence[ast.expr]:
    """The entries of an OrderedDict as labelled modules, if it is the only one of the nodes."""
    call = nodes[0] if len(nodes) == 1 else None
    if not isinstance(call, ast.Call) or class_name(call).rpartition(".")[2] != "OrderedDict" or len(call.args) != 1:
        return nodes
    entries = []
    for entry in getattr(call.args[0], "elts", []):
        label, *modules = entry.elts if isinstance(entry, ast.Tuple) and len(entry.elts) == 2 else (None, entry)
        labelled = ast.BinOp(label, ast.RShift(), modules[0]) if isinstance(label, ast.Constant) else modules[0]
        entries.append(ast.copy_location(labelled, entry))
    return entries


def _numbered(modules: Iterable[Module]) -> tuple[Module, ...]:
    """The modules of a Sequential or a list: those without a label have their number, as in torch."""
    return tuple(
        module if module.label else replace(module, label=str(number)) for number, module in enumerate(modules)
    )
