"""The man pages are those of the commands, and roff reads them without a warning."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from command_help import PROGRAMS, commands
from generate_man import page

from upsample_cli.cli.upsample import app

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_man_page_is_that_of_the_commands(program):
    written = (ROOT / "man" / f"{program}.1").read_text(encoding="utf-8")
    assert page(program) == written, "run python docs/generate_man.py"


def test_control_the_page_follows_the_command(monkeypatch):
    before = page("upsample")
    monkeypatch.setattr(app.registered_commands[0], "help", "Another help text.")
    assert page("upsample") != before


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_man_page_has_every_command_and_option(program):
    text = page(program).replace(r"\-", "-")
    for command in commands(program):
        assert command.name in text
        for panel in command.panels.values():
            assert all(f"\\fB{name}\\fR" in text for parameter in panel for name in parameter.names)


def test_signs_that_roff_reads_are_escaped(monkeypatch):
    monkeypatch.setattr(app.registered_commands[0], "help", ".SH a\\fB\n\n'it' -x ~ 3×4")
    assert "\\&.SH a\\efB\n.PP\n\\(aqit\\(aq \\-x \\(ti 3\\[u00D7]4\n" in page("upsample")


def test_the_wheel_installs_every_page():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pages = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("man/*"))
    assert sorted(project["tool"]["setuptools"]["data-files"]["share/man/man1"]) == pages == sorted(
        f"man/{name}.1" for name in PROGRAMS
    )  # fmt: skip


@pytest.mark.skipif(not shutil.which("groff"), reason="there is no groff")
@pytest.mark.parametrize("program", PROGRAMS)
def test_roff_reads_the_page_without_a_warning(program):
    def warnings(text):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-z"], input=text, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stderr

    assert warnings(page(program)) == ""
    assert re.search("warning", warnings(page(program) + ".nomacro\n"))  # the control
