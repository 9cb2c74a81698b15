"""The documentation matches the program: the command reference is current, and every example for users runs."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
from pathlib import Path

import pytest
from generate_cli import reference
from PIL import Image
from support.pages import command_lines, fenced
from typer.testing import CliRunner

from upsample_cli.cli.tconv import app as tconv_app
from upsample_cli.cli.upsample import app as upsample_app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


PROGRAMS = {"upsample": upsample_app, "tconv": tconv_app}


def test_the_command_reference_matches_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert reference() == written, "run python docs/generate_cli.py"
    (command,) = upsample_app.registered_commands
    monkeypatch.setattr(command, "help", "Another help text.")  # the control: the reference follows the command
    assert reference() != written


def test_the_python_example_prints_the_stated_output(capsys: pytest.CaptureFixture[str]) -> None:
    for block in fenced(README, "python"):
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "[[0, 25, 75, 100], [0, 25, 75, 100]]"


COPIES = {"scene.jpg": "photo.jpg", "text.png": "page.png", "palette.png": "sprite.png", "animated.gif": "ball.gif",
          "zoneplate.png": "bricks.png"}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files that the pages name."""
    no_images = shutil.ignore_patterns("*.py", "*.md", "*_x[0-9]*", "__pycache__")
    shutil.copytree(ROOT / "samples", tmp_path / "shots", ignore=no_images)
    for sample, name in COPIES.items():
        shutil.copy(ROOT / "samples" / sample, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


MADE = {
    "README.md": {"photo_x2.jpg", "large.png", "shots_x2", "big", "page_x2.webp", "net.png", "bricks_x4.png"},
    "docs/guide.md": {
        *(
            "photo_x2.jpg",
            "photo_x1.5.jpg",
            "bricks_x4.png",
            "fitted.png",
            "net.png",
            "pixels.png",
            "kernels.png",
            "ball.webp",
        ),
    },
    "docs/faq.md": {"rim.png", "seamless.png", "sharper.png"},
    "docs/batch.md": {"shots_x2", "big", "run.jsonl", "look.html"},
}
"""Page: what its examples write, among other things."""


@pytest.mark.parametrize("name", MADE)
def test_every_shell_example_runs(name: str, folder: Path) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    lines = command_lines(page, *PROGRAMS)
    assert lines == command_lines(page, *PROGRAMS, language="bash")
    assert len(lines) >= 7
    for line in lines:
        program, *arguments = shlex.split(line)
        result = CliRunner().invoke(PROGRAMS[program], arguments)
        assert result.exit_code == 0, f"{line}: {result.output}"
    assert {path.name for path in folder.iterdir()} >= MADE[name]


def test_the_examples_on_the_python_page_run(folder: Path) -> None:
    (folder / "shots").rename(folder / "samples")
    path = ROOT / "docs" / "python.md"
    assert all(block.startswith(">>> ") for block in fenced(path.read_text(encoding="utf-8"), "python"))
    result = doctest.testfile(str(path), module_relative=False)
    assert result.attempted >= 10
    assert result.failed == 0


def test_the_first_command_gives_the_size_in_the_readme(tmp_path: Path) -> None:
    first = next(line for line in README.splitlines() if line.startswith("python -m pip install . && "))
    program, source, *options = shlex.split(first.split(" && ")[1])
    assert program == "upsample"
    photo = shutil.copy(ROOT / source, tmp_path / "scene.jpg")
    result = CliRunner().invoke(upsample_app, [str(photo), *options])
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "scene_x2.jpg") as image:
        assert image.size == (1280, 854)
        assert f"{image.width}x{image.height}" in README


@pytest.mark.parametrize("name", ["first", "test"])
def test_ci_runs_the_commands_of_the_readme(name: str) -> None:
    """`.ci/run` takes the line after a marker, and the README has exactly one such line for each."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f'"$(readme_command {name})"' in script
    _, following = README.split(f"<!-- {name} command -->\n```bash\n")
    command, *more = following.split("```")[0].strip().splitlines()
    assert command.startswith("python -m pip install ")
    assert " && " in command
    assert not more


def missing_files(page: str) -> set[str]:
    """Files and folders of the code that a page names and that do not exist. `NAME` stands for any name."""
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w*-]+(?:\.(?:py|h|cpp|toml)|/))`", page))
    folders = [ROOT / "upsample_cli", ROOT]
    found = {name for name in named if any(any(folder.glob(name.replace("NAME", "*"))) for folder in folders)}
    bare = {name for name in named if "/" not in name.rstrip("/") and any((ROOT / "upsample_cli").rglob(name))}
    return named - found - bare


@pytest.mark.parametrize(
    "name", ["docs/architecture.md", "docs/decisions.md", "docs/performance.md", "docs/sizes.md", "CONTRIBUTING.md"]
)
def test_every_module_that_a_page_names_exists(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert missing_files(page) == set()
    assert missing_files(page + "`batch/planning.py` `folders/` `batch/plan.py`") == {"batch/planning.py", "folders/"}
