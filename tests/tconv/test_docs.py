"""The pages in docs/tconv/ show real output: their commands are run and compared, and their Python is run."""

import doctest
import os
import re
from functools import partial
from pathlib import Path

import pytest
from support.commands import printed_by
from support.pages import console_examples, fenced

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "docs" / "tconv").glob("*.md"))
PAGE = "".join(path.read_text(encoding="utf-8") for path in PATHS)


@pytest.fixture
def printed(capsys, monkeypatch):
    """The output of a command, including errors, as a terminal shows it."""
    monkeypatch.chdir(ROOT)
    return partial(printed_by, capsys, monkeypatch)


def test_every_command_of_a_console_block_is_found():
    assert len(console_examples(PAGE)) == len(re.findall(r"^\$ ", PAGE, flags=re.MULTILINE)) >= 20


@pytest.mark.parametrize(("command", "output"), console_examples(PAGE))
def test_a_command_on_the_page_prints_what_the_page_shows(command, output, printed):
    assert printed(command) == output


def test_control_a_changed_digit_on_the_page_is_detected(printed):
    page = re.sub(r"\d$", lambda digit: str((int(digit[0]) + 1) % 10), PAGE, flags=re.MULTILINE)
    changed = [example for example in console_examples(page) if example not in console_examples(PAGE)]
    assert len(changed) >= 5
    with pytest.raises(AssertionError):
        test_a_command_on_the_page_prints_what_the_page_shows(*changed[0], printed)


def test_the_python_on_the_page_runs():
    assert all(block.startswith(">>> ") for block in fenced(PAGE, "python"))
    results = [doctest.testfile(os.path.relpath(path), module_relative=False) for path in PATHS]
    assert sum(result.attempted for result in results) >= 5
    assert not any(result.failed for result in results)
