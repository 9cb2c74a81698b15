"""Examples in the help: each fits on one line of a terminal and can be pasted unchanged."""

import inspect
import shlex
import subprocess
import sys

import pytest
import typer
from support.environment import ENVIRONMENT

from upsample_cli.cli import tconv
from upsample_cli.cli.upsample import app as upsample_app

COLUMNS = 80
_TCONV = typer.main.get_command(tconv.app)
COMMANDS = {("upsample",): typer.main.get_command(upsample_app)} | {
    ("tconv", name): _TCONV.get_command(typer.Context(_TCONV), name) for name in tconv.COMMANDS if name != "upsample"
}


def examples(command):
    """The example lines of a command."""
    lines = inspect.cleandoc(command.help).split("Examples:\n")[1].splitlines()
    return [line.strip() for line in lines if line.strip()]


EXAMPLES = [(path, line) for path, command in COMMANDS.items() for line in examples(command)]


def parsed(path, line):
    """The context of the command in this line; parsing raises an error for an unknown command or option."""
    words = shlex.split(line, comments=True)
    start = len(words) - 1 - words[::-1].index(path[0])  # the command after a pipe
    end = words.index(">") if ">" in words else len(words)
    given = words[start:end]
    assert tuple(given[: len(path)]) == path
    return COMMANDS[path].make_context(" ".join(path), given[len(path) :])


@pytest.mark.parametrize(("path", "line"), EXAMPLES)
def test_an_example_is_a_command_of_the_program(path, line):
    assert parsed(path, line).params


def test_control_an_option_that_does_not_exist_is_detected():
    with pytest.raises(Exception, match=r"(?i)no such option"):
        parsed(("upsample",), "upsample photo.jpg --facto 2")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_examples_are_not_wrapped(path):
    code = f"from upsample_cli.cli.start import {path[0]}; {path[0]}()"
    shown = subprocess.run(
        [sys.executable, "-P", "-c", code, *path[1:], "--help"],
        env=ENVIRONMENT | {"COLUMNS": str(COLUMNS)}, capture_output=True, text=True, check=True, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    assert max(map(len, shown)) <= COLUMNS
    assert len(examples(COMMANDS[path])) >= 2
    assert not set(examples(COMMANDS[path])) - {line.strip() for line in shown}
