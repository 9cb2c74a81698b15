"""The wheel, installed in a new environment without a compiler, has all that the commands need and passes tests."""

import os
import shutil
import site
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from support.environment import ENVIRONMENT, TESTS

pytestmark = [
    pytest.mark.skipif(os.environ.get("CI") != "true", reason="builds the wheel and needs a network: set CI=true"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX environment"),
    pytest.mark.timeout(900),  # the first test compiles for every instruction set, which takes minutes
]

ROOT = TESTS.parent
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in", "man", "upsample_cli")
WITHOUT_CHECKOUT = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
ELSEWHERE = ("engine/test_compiled.py", "engine/test_arrays.py", "cli/test_engine_option.py")
"""Tests that run on the installed package: the compiled kernels, the API, and the choice between routes."""


def run(*command, more=(), **settings):
    environment = WITHOUT_CHECKOUT | dict(more)
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, env=environment, timeout=600, **settings
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy without compiled files, so that no earlier build can supply them."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / "source" / name)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, folder / "source")
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The folder with the installed commands. Their libraries are those of this environment, through a .pth file."""
    environment = tmp_path_factory.mktemp("installed") / "env"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    install = ("install", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--python", python, *install, more={"CC": "false", "CXX": "false"})
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return python.parent


def test_the_wheel_is_for_every_later_python(wheel):
    assert wheel.name.split("-")[2:4] == ["cp311", "abi3"]


def test_the_wheel_holds_the_package_with_its_compiled_module_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    modules = project["tool"]["setuptools"]["ext-modules"]
    assert len(modules) >= 2
    paths = {module["name"].replace(".", "/") + ".abi3.so" for module in modules}
    assert paths == {name for name in names if name.endswith(".so")}
    for kind in (".py", ".pyi", ".json", ".html"):
        written = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(f"upsample_cli/**/*{kind}")}
        assert written
        assert {name for name in names if name.endswith(kind)} == written


def test_the_man_pages_are_installed_where_man_looks_for_them(programs):
    pages = programs.parent / "share" / "man" / "man1"
    assert {path.name for path in pages.iterdir()} == {"upsample.1", "tconv.1"}


def test_the_installed_commands_run_outside_the_checkout(programs, tmp_path):
    shutil.copy(ROOT / "samples" / "scene.jpg", tmp_path)
    shutil.copy(ROOT / "samples" / "text.png", tmp_path)
    place = run(programs / "python", "-c", "import upsample_cli; print(upsample_cli.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(programs.parent)
    run(programs / "upsample", "scene.jpg", "--gallery", "page.html", cwd=tmp_path)
    run(programs / "upsample", "text.png", "--kernel", "fitted", cwd=tmp_path)  # its weights are a file of the package
    with Image.open(tmp_path / "scene_x2.jpg") as image:
        assert image.size == (1280, 854)
    assert (tmp_path / "text_x2.png").exists()
    shown = run(
        programs / "tconv", "shape", "50", "--kernel-size", "3", "--stride", "2", "--padding", "1", cwd=tmp_path
    )
    assert "50 -> 99" in shown


def test_the_installed_package_passes_tests_outside_the_checkout(programs, tmp_path):
    """Without the longest test of the kernels. A wheel without them fails, because CI allows no such skip."""
    shutil.copytree(TESTS, tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ran = run(
        *(programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not every_factor"),
        *(f"tests/{name}" for name in ELSEWHERE),
        cwd=tmp_path,
    )
    assert "passed" in ran
