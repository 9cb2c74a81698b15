"""Signals in a process that is still importing."""

import os
import signal
import subprocess
import sys

import pytest
from support.environment import ENVIRONMENT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

INTERRUPTED = """
import os, signal, sys
from upsample_cli.signals import stop_by_signals
if {is_default}:
    stop_by_signals = sys.modules["contextlib"].nullcontext
steps = []
try:
    with stop_by_signals():
        import slow
        steps.append("imported")
        while True:
            signal.pause()
except KeyboardInterrupt:
    print(steps, "slow" in sys.modules)
"""

SLOW = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.1)
"""


def output_of(code, folder):
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.stderr == ""
    return ended.stdout


@pytest.mark.parametrize("is_default", [False, True])
def test_an_interrupted_import_is_finished_first(tmp_path, is_default):
    """The control is Python's own handler."""
    (tmp_path / "slow.py").write_text(SLOW)
    expected = "[] False\n" if is_default else "['imported'] True\n"
    assert output_of(INTERRUPTED.format(is_default=is_default), tmp_path) == expected


def test_a_program_that_runs_during_an_import_is_interrupted_at_once(tmp_path):
    """If all imports below were waited for, it would never be interrupted."""
    (tmp_path / "program.py").write_text(
        INTERRUPTED.format(is_default=False).replace("import slow", "os.kill(os.getpid(), signal.SIGINT)")
    )
    assert output_of("import program", tmp_path) == "[] False\n"


def test_an_import_that_fails_leaves_no_later_interrupt(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW.replace("time.sleep(0.1)", "raise ImportError"))
    code = """
import time
from upsample_cli.signals import stop_by_signals
try:
    with stop_by_signals():
        import slow
except ImportError:
    time.sleep(0.2)
    print("ended")
"""
    assert output_of(code, tmp_path) == "ended\n"


@pytest.mark.parametrize(("before", "status"), [("default_int_handler", -signal.SIGINT), ("SIG_IGN", 0)])
def test_ctrl_c_ends_a_program_that_has_not_begun(before, status):
    """A shell shows 130 for this status. A signal that was ignored stays ignored, as in the background of a shell."""
    code = f"""
import importlib, os, signal
from upsample_cli.cli import start
signal.signal(signal.SIGINT, signal.{before})
class Program:
    def main():
        os.kill(os.getpid(), signal.SIGINT)
importlib.import_module = lambda name: Program
start.tconv()
"""
    ended = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", "")


def test_the_entry_points_import_little_before_they_handle_signals():
    code = "import sys; before = {*sys.modules}; import upsample_cli.cli.start; print(*sorted({*sys.modules} - before))"
    ended = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    ours = {name for name in ended.stdout.split() if name.startswith("upsample_cli")}
    assert ours == {"upsample_cli", "upsample_cli.cli", "upsample_cli.cli.start", "upsample_cli.version"}
    assert not {"typing", "re", "logging", "threading"} & {*ended.stdout.split()}


@pytest.mark.parametrize(("step", "status"), [("_close_output", 130), ("_status", 130), ("", 0)])
def test_an_interrupt_at_an_end_of_a_run_shows_no_traceback(step, status):
    """Nothing catches exceptions around these steps. The control is a run without a signal."""
    code = f"""
import os, signal
from upsample_cli.cli import error_handler
def interrupted(*_arguments):
    os.kill(os.getpid(), signal.SIGINT)
if {step!r}:
    setattr(error_handler, {step!r}, interrupted)
error_handler.run(lambda **_options: 0, "upsample")
"""
    ended = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", "")
