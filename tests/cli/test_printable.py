"""A terminal obeys escape sequences, so those in names, files and errors never reach it unchanged."""

import logging
import os
import sys
import threading
import warnings
from pathlib import Path

import pytest
from support.environment import leave
from support.running import save, upsample

from upsample_cli.cli import tconv
from upsample_cli.cli.report.printable import only_printable

# Sets the terminal's title, then a colour with a one-byte sequence, then reverses the direction of the text.
NASTY = "x\x1b]0;title\x07\x9b31m\u202ey"
SHOWN = r"x\x1b]0;title\x07\x9b31m\u202ey"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", leave)


def check(text):
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert SHOWN in text  # the control: the text contains the name


def call(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["tconv", *arguments])
    with pytest.raises(SystemExit):
        tconv.main()
    return "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", f"{NASTY}.png"],
        ["info", f"missing{NASTY}.png", "--debug"],
        ["shape", "9", f"Conv2d({NASTY}", "--debug"],
        ["shape", "9", "--file", f"{NASTY}.txt", "--debug"],
        ["kernel", "--factor", "2", "-o", f"{NASTY}.npy"],
        ["checkerboard", "--weights", f"{NASTY}.npy", "--stride", "2", "--cure", "sums", "-o", f"out{NASTY}.npy"],
        ["explain", "--picture", f"{NASTY}2.png"],
        ["compare", f"{NASTY}.png", "--debug", "--kernels", NASTY],
        ["run", f"{NASTY}.png", "--factor", "2", "-o", f"out{NASTY}.png"],
        ["translate", f"ConvTranspose2d(2, 2, 4, padding_mode='{NASTY}')", "--to", "keras", "--debug"],
        ["invert", f"Conv2d(3, 16, 3, padding_mode='{NASTY}')", "--size", "224", "--debug"],
        ["solve", "--from", "112", "--to", NASTY, "--debug"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_tconv_escapes_control_characters_from_input(capsys, monkeypatch, arguments):
    save(f"{NASTY}.png")
    Path(f"{NASTY}.txt").write_text(f"({NASTY}): ReLU()\n", encoding="utf-8")
    if arguments[0] == "checkerboard":
        call(capsys, monkeypatch, "kernel", "--factor", "2", "-o", f"{NASTY}.npy")
    check(call(capsys, monkeypatch, *arguments))


def test_a_traceback_of_upsample_escapes_them_too():
    Path(f"{NASTY}.png").write_bytes(b"no image")
    ended = upsample(f"{NASTY}.png", "--kernel", f"{NASTY}.pt", "--debug")
    assert "Traceback (most recent call last):\n" in ended.err
    check(ended.err)


def test_output_of_python_itself_is_escaped_too(capsys):
    def end_early():
        raise ValueError(NASTY)

    before = logging.getLogRecordFactory(), warnings.formatwarning, threading.excepthook
    with only_printable():
        thread = threading.Thread(target=end_early)
        thread.start()
        thread.join()
        check(capsys.readouterr().err + _logged(NASTY, OSError(NASTY)))
        check(warnings.formatwarning(NASTY, UserWarning, "file.py", 1))
    assert before == (logging.getLogRecordFactory(), warnings.formatwarning, threading.excepthook)


def _logged(text, error):
    record = logging.getLogRecordFactory()("name", logging.ERROR, "file.py", 1, "%s", (text,), (OSError, error, None))
    return logging.Formatter().format(record)
