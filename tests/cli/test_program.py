"""`--debug` and completion: on every command of both programs, wherever the options are written."""

import inspect
import subprocess
import sys
from dataclasses import fields

import pytest
from PIL import Image
from support.commands import call
from support.environment import ENVIRONMENT

from upsample_cli.cli.option_values import field_values
from upsample_cli.cli.request import Request
from upsample_cli.cli.tconv import COMMANDS
from upsample_cli.cli.upsample import upsample
from upsample_cli.enlarge.options import Options

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
BAD = "Conv2d(\N{SNOWMAN}"
FAILING = {
    "shape": ["9x"],
    "solve": ["--from", "9x", "--to", "2"],
    "invert": [BAD, "--size", "9"],
    "overlap": [BAD],
    "translate": [BAD, "--to", "keras"],
    "kernel": ["--factor", "x"],
    "explain": ["--stride", "x"],
    "info": ["missing.png"],
    "checkerboard": [BAD],
    "run": ["missing.wav", "--stride", "x"],
    "fit": ["missing", "-o", "x.safetensors"],
    "compare": ["missing.png"],
    "upsample": ["photo.png", "--size", "x"],
}
"""For each command of `tconv`, arguments that end in one of our errors."""


def run(program, *arguments, **environment):
    command = [sys.executable, "-c", f"from upsample_cli.cli.{program} import main; main()", *arguments]
    return subprocess.run(
        command, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def tconv(capsys, monkeypatch):
    """Run `tconv` in this process: (exit status, stdout, stderr)."""
    return lambda *arguments: call(capsys, monkeypatch, *arguments)


def test_every_command_is_in_the_table():
    assert list(FAILING) == list(COMMANDS)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", ""])
def test_a_message_for_a_closed_stderr_does_not_go_to_stdout(closed):
    start = "from upsample_cli.cli.start import tconv; tconv()"
    command = f'"{sys.executable}" -c "{start}" shape 9x --json {closed}'
    ended = subprocess.run(["sh", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert bool(ended.stderr) == (not closed)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell and descriptors")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ""])
def test_no_file_gets_the_number_of_a_closed_stream(closed):
    program = "import os, sys; from upsample_cli.cli import start; start._open_closed_streams()"
    opened = "os._exit(os.open(os.devnull, os.O_RDONLY))"
    for code, safe in ((f"{program}; {opened}", True), (f"import os; {opened}", not closed)):
        ended = subprocess.run(["sh", "-c", f"\"{sys.executable}\" -c '{code}' {closed}"], env=ENVIRONMENT, check=False)
        assert (ended.returncode > 2) == safe


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell")
def test_a_run_with_closed_streams_ends_as_usual(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    command = f'cd "{tmp_path}" && "{sys.executable}" -m upsample_cli a.png -o b.png'
    for streams in ("<&- >&- 2>&-", "--overwrite"):
        ended = subprocess.run(["sh", "-c", f"{command} {streams}"], env=ENVIRONMENT, capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (6, 4)


@pytest.mark.parametrize("command", FAILING)
def test_debug_shows_the_traceback_before_and_after_the_name_of_each_command(command, tconv):
    failing = [command, *FAILING[command]]
    status, _, line = tconv(*failing)
    assert status in {1, 2}, line
    assert line.count("\n") == 1, line  # the control: without --debug there is one line
    for arguments in (["--debug", *failing], [*failing, "--debug"], [command, "--debug", *failing[1:]]):
        status_again, _, shown = tconv(*arguments)
        assert status_again == status
        assert shown.startswith("Traceback (most recent call last):")
        assert shown.endswith(f"\n{line}")


def test_debug_does_not_carry_over_to_the_next_run(tconv):
    assert "Traceback" in tconv("--debug", "shape", "9x")[2]
    assert "Traceback" not in tconv("shape", "9x")[2]


@pytest.mark.parametrize("program", ["upsample", "tconv"])
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_the_completion_script_is_printed_for_the_named_shell(program, shell):
    ended = run(program, "--show-completion", shell)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"_{program.upper()}_COMPLETE=complete_{shell}" in ended.stdout


def test_an_unknown_shell_is_refused_with_a_list_of_known_ones():
    ended = run("tconv", "--show-completion", "tcsh")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert all(shell in ended.stderr for shell in SHELLS)


@pytest.mark.parametrize("arguments", [["--show-completion"], ["shape", "9", "--show-completion"]])
def test_the_shell_is_detected_by_default_and_commands_do_not_take_the_option(arguments):
    ended = run("tconv", *arguments)
    if arguments[0] == "shape":
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "--show-completion" in ended.stderr
    else:  # the detected shell depends on where the tests run
        assert "_TCONV_COMPLETE" in ended.stdout or "not supported" in ended.stderr


@pytest.mark.parametrize(
    ("program", "line", "found"),
    [
        ("upsample", "upsample --lin", ["--linear-light"]),
        ("upsample", "upsample --show", ["--show-completion"]),
        ("tconv", "tconv sha", ["shape"]),
        ("tconv", "tconv shape --out", ["--output-padding", "--output-size"]),
        ("tconv", "tconv shape --deb", ["--debug"]),
    ],
)
def test_bash_completes_options_and_commands(program, line, found):
    """Calls the program as the completion script does."""
    ended = run(
        program,
        COMP_WORDS=line,
        COMP_CWORD=str(len(line.split()) - 1),
        **{f"_{program.upper()}_COMPLETE": "complete_bash"},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split() == found


def test_installation_writes_only_below_the_home_folder(tmp_path):
    ended = run("upsample", "--install-completion", "bash", HOME=str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")
    (script,) = tmp_path.rglob("upsample.sh")
    assert "complete_bash" in script.read_text(encoding="utf-8")
    assert str(script) in (tmp_path / ".bashrc").read_text(encoding="utf-8")


def test_options_of_upsample_and_fields_correspond():
    """They are matched by name, so a misspelt option would keep its default."""
    given = dict.fromkeys(inspect.signature(upsample).parameters)
    taken = {**field_values(Options, given), **field_values(Request, given)}
    assert set(given) - set(taken) == {"_version", "watch"}
    names = {field.name for kind in (Options, Request) for field in fields(kind)}
    assert names - set(taken) == {
        "options",
        "debug",
    }  # `options` is built from the other options, and every command has `--debug`
