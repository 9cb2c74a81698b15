"""Errors become one line and an exit status, in a real process, for every way in which a command can end."""

import os
import signal
import subprocess
import sys
import time

import pytest

from upsample_cli.cli.spelling import OFFERED, advised, option
from upsample_cli.errors import Failure, Setting, spelled

COMMAND = """
import os, signal, sys, time, typer
from upsample_cli.cli import error_handler
from upsample_cli.cli.program import Command
from upsample_cli.errors import Interrupted, ImageError, UsageError

app = typer.Typer(add_completion=False)

def pretend(error):
    raise error

class Stopping:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

WAYS = {
    "image": lambda: pretend(ImageError("a [red]b\\x1b[31m\\n.jpg", "is bad", "do [bold]that[/bold]")),
    "usage": lambda: pretend(UsageError("bad option")),
    "interrupted": lambda: pretend(Interrupted()),
    "unexpected": lambda: pretend(RuntimeError("two\\nlines [red]")),
    "full": lambda: pretend(OSError(28, "another disk is full")),
    "silent": lambda: pretend(KeyError()),
    "no memory": lambda: pretend(MemoryError()),
    "no library": lambda: pretend(ImportError("lib.so: failed to map\\nsegment")),
    "panic": lambda: pretend(type("PanicException", (BaseException,), {})("index out of bounds\\n")),
    "ctrl-c": lambda: pretend(KeyboardInterrupt()),
    "in a class": lambda: type("Made", (), {"attribute": Stopping()}),
    "exit": lambda: pretend(typer.Exit(3)),
    "much": lambda: [print("x" * 99) for _ in range(9999)],
    "odd": lambda: print("\\xd7 \\udcff"),
    "fine": lambda: print("fine"),
    "sleep": lambda: print("asleep", flush=True) or time.sleep(60),
}

@app.command(cls=Command)
def pretend_to(way: str):
    WAYS[way]()

error_handler.run(app, "demo")
"""

# As in most shells: output is buffered, and writing it may fail only at the end.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(*arguments, env=BUFFERED, **keywords):
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env, **keywords)


@pytest.mark.parametrize(
    ("way", "status", "line"),
    [
        ("image", 1, r"demo: a [red]b\x1b[31m\n.jpg: is bad; do [bold]that[/bold]"),
        ("usage", 2, "demo: bad option"),
        ("interrupted", 130, "demo: stopped before the end"),
        ("unexpected", 1, "demo: unexpected RuntimeError: two lines [red]; add --debug to see the traceback"),
        ("silent", 1, "demo: unexpected KeyError; add --debug to see the traceback"),
        ("no memory", 1, "demo: there is not enough memory; free some, or ask for less"),
        (
            "no library",
            1,
            "demo: a library cannot be imported: lib.so: failed to map segment; free some memory, or install it again",
        ),
        ("panic", 1, "demo: unexpected PanicException: index out of bounds; add --debug to see the traceback"),
        ("ctrl-c", 130, ""),
        ("exit", 3, ""),
    ],
)
def test_every_error_is_one_line_on_stderr_and_a_status(way, status, line):
    result = run(way)
    assert result.returncode == status
    assert result.stderr.strip() == line
    assert result.stdout == ""


def test_debug_shows_the_traceback_before_the_error_line():
    result = run("unexpected", "--debug")
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert "in pretend" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("demo: unexpected RuntimeError: two lines")
    assert "Traceback" not in run("unexpected").stderr


def test_debug_after_two_dashes_is_an_argument():
    result = run("usage", "--", "--debug")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "cause"), [(("--nope",), "--nope"), ((), "missing argument"), (("fine", "too much"), "too much")]
)
def test_an_invalid_command_line_is_status_2_and_one_line_with_the_help_command(arguments, cause):
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("demo: ")
    assert result.stderr.endswith("; see demo --help\n")
    assert cause in result.stderr
    assert result.stderr.count("\n") == 1


def test_characters_missing_from_the_encoding_are_escaped():
    assert run("odd", env={**BUFFERED, "PYTHONIOENCODING": "ascii"}).stdout == "\\xd7 \\udcff\n"
    assert run("odd", env={**BUFFERED, "PYTHONIOENCODING": "utf-8"}, encoding="utf-8").stdout == "\xd7 \\udcff\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes and signals")
def test_a_reader_that_closes_its_pipe_ends_the_command_silently():
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "much"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=BUFFERED
    ) as process:
        assert process.stdout.readline() == b"x" * 99 + b"\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_pipe_without_a_reader_is_detected_at_the_last_flush():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", COMMAND, "fine"]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, env=BUFFERED)
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("way", ["much", "fine"])
@pytest.mark.parametrize("env", [BUFFERED, {**BUFFERED, "PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_full_disk_under_stdout_is_one_line(way, env):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-c", COMMAND, way]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=env)
    assert result.returncode == 1
    reason = "standard output cannot be written: No space left on device"
    assert result.stderr == f"demo: {reason}; free some space, or redirect it to another disk\n"


def test_another_full_disk_is_not_taken_for_stdout():
    result = run("full")
    assert result.stderr.startswith("demo: unexpected OSError: [Errno 28] another disk is full; ")


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
def test_a_closed_stdout_is_not_an_error():
    command = f'exec "{sys.executable}" -c "$COMMAND" fine >&-'
    result = subprocess.run(
        ["sh", "-c", command], capture_output=True, check=False, env={**BUFFERED, "COMMAND": COMMAND}
    )
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_signal_while_a_class_is_made_is_no_unexpected_error():
    ended = run("in a class")
    assert (ended.returncode, ended.stderr) == (143, "")


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes and signals")
def test_ctrl_c_ends_the_command_with_130_and_without_a_traceback():
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "sleep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "asleep\n"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert time.monotonic() - begun < 10  # it would have slept for 60 s
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("step", "offered"),
    [
        (("give ", Setting("kernel"), ", or fit one"), "fit one"),
        (("give ", Setting("kernel"), ", or fit one by ", Setting("factor", 2)), "fit one by --factor 2"),
        (("try ", Setting("factor", 2), " or ", Setting("kernel")), "try --factor 2"),
        (("give ", Setting("kernel"), ", or ", Setting("factor", 2)), ""),
        (("give ", Setting("kernel")), ""),
        ("wait", "wait"),
    ],
)
def test_an_option_that_the_command_lacks_is_not_advised(step, offered):
    token = OFFERED.set(frozenset({"--factor"}))
    try:
        assert spelled(advised(Failure("usage", "", step)).next_step, option) == offered
    finally:
        OFFERED.reset(token)
