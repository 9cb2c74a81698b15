"""The wheel, installed in a new environment, contains all that the commands need, compiled modules included."""

import importlib.machinery
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
    pytest.mark.skipif(os.environ.get("CI") != "true", reason="builds the wheel, with a network: needs CI=true"),
    pytest.mark.skipif(os.name == "nt", reason="an environment of POSIX"),
]

ROOT = TESTS.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "upsample_cli")
WITHOUT_CHECKOUT = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}


def run(*command, **settings):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, env=WITHOUT_CHECKOUT, timeout=250, **settings
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, in which nothing is compiled yet and no earlier build can lend its files."""
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
    """The folder of the installed commands. The libraries are those of this environment, found through a .pth file."""
    environment = tmp_path_factory.mktemp("installed") / "env"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return python.parent


def test_the_wheel_holds_the_package_with_its_compiled_modules_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    modules = project["tool"]["setuptools"]["ext-modules"]
    assert len(modules) >= 2
    suffixes = importlib.machinery.EXTENSION_SUFFIXES  # of this version of Python first, then of the limited API
    paths = {each["name"].replace(".", "/") + suffixes["py-limited-api" in each] for each in modules}
    assert paths <= names
    for kind in (".py", ".json", ".html"):
        written = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(f"upsample_cli/**/*{kind}")}
        assert written
        assert {name for name in names if name.endswith(kind)} == written


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
