"""Imports go downward only, and each of the heavy libraries has its rooms: read from the source, nothing is run."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import upsample_cli

PACKAGE = Path(upsample_cli.__file__).parent

# From the ground up. A room may use what is below it; inside "name.*" modules may use each other, but not in a circle.
LAYERS = [
    ["upsample_cli.errors", "upsample_cli.cores", "upsample_cli.version", "upsample_cli.cuda"],
    [
        "upsample_cli.quantities",
        "upsample_cli.names",
        "upsample_cli.rounding",
        "upsample_cli.current_folder",
        "upsample_cli.npy_files",
        "upsample_cli.special_files",
        "upsample_cli.pickle_bounds",
    ],
    [
        "upsample_cli.arithmetic",
        "upsample_cli.profiles",
        "upsample_cli.shipped",
        "upsample_cli.plan",
        "upsample_cli.torch_archives",
    ],
    [
        "upsample_cli.axes",
        "upsample_cli.kernels",
        "upsample_cli.weight_readers",
        "upsample_cli.targets",
        "upsample_cli.flatness",
    ],
    ["upsample_cli.weight_files"],
    ["upsample_cli.layer", "upsample_cli.pixels", "upsample_cli.kernel_choice"],
    [
        "upsample_cli.pictures.*",
        "upsample_cli.phases",
        "upsample_cli.borders",
        "upsample_cli.separable",
        "upsample_cli.fused",
    ],
    ["upsample_cli.routes", "upsample_cli.job"],
    ["upsample_cli.route_choice"],
    ["upsample_cli.engine", "upsample_cli.reduced_axes", "upsample_cli.suitability"],
    ["upsample_cli.reduction", "upsample_cli.planning"],
    ["upsample_cli.arrays"],
    ["upsample_cli.pipeline"],
    ["upsample_cli.batch.*", "upsample_cli.tconv.*"],
    ["upsample_cli.fitting.*"],
    ["upsample_cli.comparing.*"],
    ["upsample_cli"],  # its lazy names come from below
    ["upsample_cli.cli.*"],
]
TORCH_AT_ONCE = {
    f"upsample_cli.{name}"
    for name in (
        "layer",
        "pixels",
        "borders",
        "phases",
        "separable",
        "fused",
        "routes",
        "route_choice",
        "cuda",
        "engine",
        "reduced_axes",
        "reduction",
        "arrays",
        "tconv.apply",
    )
}
HOMES = {
    "typer": {"upsample_cli.cli"},
    "rich": {"upsample_cli.cli"},
    "click": set(),
    "PIL": {
        "upsample_cli.pictures",
        "upsample_cli.tconv.drawing",
        "upsample_cli.fitting.degrade",
        "upsample_cli.comparing.sheet",
    },
    **{name: {"upsample_cli.pictures"} for name in ("isal", "imagecodecs")},
    "tifffile": {"upsample_cli.pictures", "upsample_cli.tconv.signals"},
    "onnx": {"upsample_cli.tconv"},
    "safetensors": {"upsample_cli.tconv", "upsample_cli.weight_readers", "upsample_cli.fitting.file"},
    "torch": TORCH_AT_ONCE
    | {f"upsample_cli.{name}" for name in ("weight_readers", "pipeline", "tconv", "fitting.fit")},
    "torchvision": set(),
    "triton": {"upsample_cli.fused"},
    "distributed": {f"upsample_cli.batch.{name}" for name in ("cluster", "cluster_worker", "scheduler")},
}


def sources():
    """The package's modules by dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def room(module):
    """(layer, name of the room) of a module of ours."""
    for height, rooms in enumerate(LAYERS):
        for name in rooms:
            if module == name or (name.endswith(".*") and f"{module}.".startswith(name[:-1])):
                return height, name
    raise AssertionError(f"{module} is in no layer: give it one in this test")


def imports(source, modules):
    """(module imported, whether at module level) for each import; what only types need counts as module level."""
    tree = ast.parse(source)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield (submodule if submodule in modules else node.module), id(node) not in inside


def complaints(all_sources):
    """Each import that goes upward or to a library from outside its rooms, and any circle, in words."""
    graph = {}
    for module, source in all_sources.items():
        height, own = room(module)
        graph[module] = set()
        for name, at_once in imports(source, all_sources):
            library = name.partition(".")[0]
            homes = HOMES.get(library)
            if homes is not None and not any(f"{module}.".startswith(f"{home}.") for home in homes):
                yield f"{module} imports {name}"
            if library == "torch" and at_once and module not in TORCH_AT_ONCE:
                yield f"{module} imports {name} at once"
            if library != "upsample_cli":
                continue
            below, theirs = room(name)
            if below > height or (below == height and theirs != own):
                yield f"{module} imports {name}, which is not below it"
            if at_once and module != "upsample_cli":
                graph[module].add(name)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "in a circle: " + " ".join(error.args[1])


def test_imports_go_downward_and_libraries_stay_in_their_rooms():
    found = sources()
    assert len(found) > 30
    assert list(complaints(found)) == []


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        (
            "kernels",
            "from upsample_cli.engine import Settings",
            "kernels imports upsample_cli.engine, which is not below it",
        ),
        ("pictures.png", "from upsample_cli import pipeline", "imports upsample_cli.pipeline, which is not below it"),
        ("profiles", "import upsample_cli.plan", "profiles imports upsample_cli.plan, which is not below it"),
        (
            "engine",
            "def f():\n    from upsample_cli.cli import door",
            "imports upsample_cli.cli.door, which is not below it",
        ),
        ("errors", "from upsample_cli import __version__", "imports upsample_cli, which is not below it"),
        ("pipeline", "import torch.nn", "upsample_cli.pipeline imports torch.nn at once"),
        ("planning", "def f():\n    import torch", "upsample_cli.planning imports torch"),
        ("batch.run", "from rich.console import Console", "upsample_cli.batch.run imports rich.console"),
        ("cli.report", "from PIL import Image", "upsample_cli.cli.report imports PIL"),
        ("pictures.model", "from upsample_cli.pictures.png import PngSink", "in a circle"),
    ],
)
def test_each_kind_of_wrong_import_is_noticed(module, line, complaint):
    """The control: one line more in one module."""
    found = sources()
    found[f"upsample_cli.{module}"] += f"\n{line}\n"
    assert any(complaint in each for each in complaints(found))
