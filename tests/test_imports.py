"""Imports: the contracts in pyproject.toml hold, and heavy libraries are imported late and by few modules."""

import ast
import shutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

import upsample_cli

PACKAGE = Path(upsample_cli.__file__).parent
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

TORCH_AT_ONCE = {
    *(
        f"upsample_cli.engine.{name}"
        for name in (
            "arrays", "cuda", "layer", "pytorch", "torch_device", "routes.race", "routes.triton",
        )
    ),
    *(f"upsample_cli.models.{name}" for name in ("bands", "measuring", "meter", "network")),
    "upsample_cli.quality.network", "upsample_cli.tconv.run.apply", "upsample_cli.tconv.overlap_check",
    "upsample_cli.transforms",
}  # fmt: skip
"""Modules and packages that may import torch at module level. Whoever imports them pays for it."""

HOMES = {
    "typer": {"upsample_cli.cli"},
    "rich": {"upsample_cli.cli"},
    "click": set(),
    "PIL": {
        "upsample_cli.images",
        "upsample_cli.tconv.explain.drawing",
        "upsample_cli.quality.degrade",
        "upsample_cli.quality.sheet",
        "upsample_cli.transforms",
    },
    **{name: {"upsample_cli.images"} for name in ("isal", "imagecodecs")},
    "tifffile": {"upsample_cli.images", "upsample_cli.tconv.run.signals"},
    "onnx": {"upsample_cli.tconv"},
    "safetensors": {"upsample_cli.tconv", "upsample_cli.kernels.weights", "upsample_cli.quality"},
    "torch": TORCH_AT_ONCE
    | {f"upsample_cli.{name}" for name in ("engine.devices", "enlarge.computing")}
    | {f"upsample_cli.{name}" for name in ("kernels.weights.readers", "models.state", "tconv")},
    "spandrel": {"upsample_cli.models.network"},
    "torchvision": {"upsample_cli.transforms"},
    "triton": {"upsample_cli.engine.routes.triton"},
    "distributed": {"upsample_cli.batch.cluster"},
    "pathspec": {"upsample_cli.batch.exclude"},
}
"""Modules and packages that may import a library, wherever in their code."""


def sources():
    """The modules of the package by dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def imports(source):
    """(imported module, whether at module level) for each import; imports only for types count as module level."""
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
            yield node.module, id(node) not in inside


def is_in(module, homes):
    return any(f"{module}.".startswith(f"{home}.") for home in homes)


def complaints(all_sources):
    """A sentence for each import of a library outside its home modules, and for each early import of torch."""
    for module, source in all_sources.items():
        for name, at_once in imports(source):
            library = name.partition(".")[0]
            if library in HOMES and not is_in(module, HOMES[library]):
                yield f"{module} imports {name}"
            elif library == "torch" and at_once and not is_in(module, TORCH_AT_ONCE):
                yield f"{module} imports {name} at once"


def test_libraries_are_imported_only_by_their_home_modules():
    found = sources()
    assert len(found) > 200
    assert list(complaints(found)) == []


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("enlarge.computing", "import torch.nn", "upsample_cli.enlarge.computing imports torch.nn at once"),
        ("engine.devices", "import torch", "upsample_cli.engine.devices imports torch at once"),
        ("engine.routes.select", "def f():\n    import torch", "upsample_cli.engine.routes.select imports torch"),
        ("engine.libtorch", "def f():\n    import torch", "upsample_cli.engine.libtorch imports torch"),
        ("enlarge.planning", "def f():\n    import torch", "upsample_cli.enlarge.planning imports torch"),
        ("batch.run", "from rich.console import Console", "upsample_cli.batch.run imports rich.console"),
        ("cli.report.console", "from PIL import Image", "upsample_cli.cli.report.console imports PIL"),
    ],
)
def test_each_kind_of_wrong_import_is_detected(module, line, complaint):
    """The control: one added line in one module."""
    name = f"upsample_cli.{module}"
    assert complaint in list(complaints({name: f"{sources()[name]}\n{line}\n"}))


ENLARGED_ON_THE_CPU = """
import sys
import numpy as np
from upsample_cli import upsample
for_cuda = {"upsample_cli.engine.cuda", "upsample_cli.engine.routes.race", "upsample_cli.engine.routes.triton"}
for_torch = {"torch", "upsample_cli.engine.pytorch", "upsample_cli.engine.torch_device"}
for dtype in (np.uint8, np.uint16, np.float32):
    upsample(np.zeros((5, 7, 3), dtype))
print(sorted((for_cuda | for_torch) & set(sys.modules)))
import torch
upsample(torch.zeros(3, 5, 7, dtype=torch.uint8))
print(sorted(for_cuda & set(sys.modules)))
import upsample_cli.engine.cuda
print(sorted(for_cuda & set(sys.modules)))
"""


def test_the_cpu_does_not_import_the_code_for_cuda():
    ran = subprocess.run(
        [sys.executable, "-c", ENLARGED_ON_THE_CPU], capture_output=True, text=True, check=False, timeout=100
    )
    found = ran.stdout.splitlines()
    assert found[:2] == ["[]", "[]"], ran.stderr
    assert found[2] == "['upsample_cli.engine.cuda', 'upsample_cli.engine.routes.race']"  # the control


@pytest.mark.parametrize(("module", "is_there"), [("enlarge.run", False), ("engine.resize", True)])
def test_an_image_can_be_opened_before_the_engine_is_imported(module, is_there):
    """So another thread can import it while the image is decoded. The second module is the control."""
    code = f"import sys, upsample_cli.{module}; print('upsample_cli.engine.bands' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert ran.stdout == f"{is_there}\n"


def test_imports_have_no_cycles():
    """Imports inside functions are included."""
    graph = grimp.build_graph("upsample_cli", cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imported).prepare()
    imported["upsample_cli.engine.support"].add("upsample_cli.engine.devices")  # the control
    with pytest.raises(CycleError):
        TopologicalSorter(imported).prepare()


def contracts_hold(folder):
    """Run import-linter with the contracts of pyproject.toml on the package in a folder: (status, output)."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    ran = subprocess.run(
        [*command, "--config", str(PYPROJECT)], cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    return ran.returncode == 0, ran.stdout + ran.stderr


def test_the_contracts_of_pyproject_hold():
    holds, printed = contracts_hold(PACKAGE.parent)
    assert holds, printed


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("geometry/tiles.py", "from upsample_cli.kernels import profiles"),
        ("geometry/sizes.py", "import numpy"),
        ("images/codecs/png/writer.py", "def f():\n    from upsample_cli.enlarge import run"),
        ("enlarge/run.py", "from upsample_cli.batch import run"),
        ("batch/run.py", "from upsample_cli.cli import error_handler"),
        ("engine/exact.py", "def f():\n    import rich"),
        ("engine/bands.py", "def f():\n    from upsample_cli.engine import cuda"),
        ("engine/devices.py", "def f():\n    from upsample_cli.engine.routes import triton"),
    ],
)
def test_a_contract_is_broken_by_a_wrong_import(module, line, tmp_path):
    """The control: one added line in one module of a copy."""
    shutil.copytree(PACKAGE, tmp_path / "upsample_cli", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    with (tmp_path / "upsample_cli" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    holds, printed = contracts_hold(tmp_path)
    assert not holds
    assert "BROKEN" in printed, printed
