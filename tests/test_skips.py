"""With `CI=true`, only the listed skips are allowed."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.environment import ENVIRONMENT, FINDS_SUPPORT

ALLOWED = "@pytest.mark.skipif(True, reason='there is no CUDA device here')\ndef test_one(): pass\n"
OTHERS = {
    "a mark": "@pytest.mark.skip(reason='later')\ndef test_two(): pass\n",
    "a missing package": "def test_two():\n    pytest.importorskip('not_installed')\n",
    "a whole module": "pytest.importorskip('not_installed')\ndef test_two(): pass\n",
}


def status(ci, *sources, options=()):
    """The exit status and output of pytest for a module with each of these sources and one that passes."""
    Path("test_it.py").write_text("import pytest\n" + "".join(sources), encoding="utf-8")
    Path("test_passing.py").write_text("def test_none(): pass\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "support.skips", "-p", "no:cacheprovider", *options]
    environment = ENVIRONMENT | FINDS_SUPPORT | {"CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    return ran.returncode, ran.stdout


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize("other", OTHERS)
def test_another_skip_fails_the_run_only_in_ci(other):
    found, out = status("true", ALLOWED, OTHERS[other])
    assert found == 1
    (line,) = (line for line in out.splitlines() if line.startswith("test_it.py") and "Skipped: " in line)
    assert "CUDA" not in line
    assert "not allowed in CI" in out
    assert status("", ALLOWED, OTHERS[other])[0] == 0


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize(("other", "expected"), [("a mark", 1), ("a whole module", 1), (None, 0)])
def test_the_processes_of_xdist_report_their_skips(other, expected):
    found, out = status("true", ALLOWED, OTHERS.get(other, ""), options=("-p", "xdist", "-n", "1"))
    assert (found, "not allowed in CI" in out) == (expected, bool(expected))


@pytest.mark.usefixtures("in_tmp_path")
def test_allowed_skips_and_expected_failures_do_not_fail_the_run():
    xfail = "@pytest.mark.xfail(reason='later')\ndef test_two(): assert False\n"
    found, out = status("true", ALLOWED, xfail)
    assert (found, "not allowed" in out) == (0, False)
