"""docs/tconv.md shows what really comes out: its commands are run and compared, its Python is run."""

import doctest
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from upsample_cli.cli import tconv

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tconv.md"


def shown(page):
    """The commands of a page's console blocks, each with the output below it."""
    blocks = re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL)
    return [tuple(text.split("\n", 1)) for block in blocks for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]


def run(command, capsys, monkeypatch):
    """What a command prints, errors included, as a terminal shows it."""
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit):
        tconv.main()
    printed = capsys.readouterr()
    return printed.out + printed.err


@pytest.mark.parametrize(("command", "output"), shown(PAGE.read_text(encoding="utf-8")))
def test_a_command_on_the_page_prints_what_the_page_shows(command, output, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert command.startswith("tconv ")
    assert run(command, capsys, monkeypatch) == output


def test_control_a_changed_digit_on_the_page_is_noticed(capsys, monkeypatch):
    ((command, output),) = shown("```console\n$ tconv shape 50 --factor 2 --json\n{'output': [101]}\n```")
    assert run(command, capsys, monkeypatch) != output


def test_the_python_on_the_page_runs():
    page = os.path.relpath(PAGE)
    result = doctest.testfile(page, module_relative=False)
    assert result.attempted >= 5
    assert result.failed == 0
