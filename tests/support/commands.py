"""Calls of the `tconv` commands, in this process and in separate processes."""

import os
import shlex
import subprocess
import sys

import pytest

from support.environment import ENVIRONMENT, leave
from upsample_cli.cli import tconv


def call(capsys, monkeypatch, *arguments):
    """Run `tconv` in this process: (exit status, stdout, stderr)."""
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(sys, "argv", ["tconv", *map(str, arguments)])
    with pytest.raises(SystemExit) as leaving:
        tconv.main()
    printed = capsys.readouterr()
    return leaving.value.code, printed.out, printed.err


def printed_by(capsys, monkeypatch, command):
    """What a `tconv` command line prints, errors included, in this process."""
    program, *arguments = shlex.split(command)
    assert program == "tconv"
    return "".join(call(capsys, monkeypatch, *arguments)[1:])


def imported_by(*command_lines):
    """The heavy libraries in `sys.modules` after these command lines, in a new process."""
    code = f"""
import contextlib, io, os, sys
from upsample_cli.cli.tconv import main
os._exit = sys.exit  # a command ends with `os._exit` once torch is imported
for arguments in {[list(map(str, line)) for line in command_lines]!r}:
    sys.argv = ["tconv", *arguments]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as leaving:
            assert not leaving.code, arguments
print(*sorted({{"torch", "torchvision", "numpy", "PIL"}} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, env=ENVIRONMENT, timeout=60)
    return result.stdout.split()
