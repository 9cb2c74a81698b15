"""Shared by all tests: repeatable examples, and one torch thread."""

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings
from support.skips import pytest_configure  # noqa: F401  # a hook

# The speed of generating examples depends on the load of the machine, not on the code.
too_slow = [HealthCheck.too_slow]
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=too_slow)
settings.load_profile("repeatable")

os.umask(0o022)  # tests check permissions


# The parent process may ignore these signals (a shell without job control, nohup), and children inherit that.
for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread():
    """Tests use small tensors: on a busy machine torch's threads would mostly wait for each other."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def in_tmp_path(tmp_path, monkeypatch):
    """Run the test in its own empty folder."""
    monkeypatch.chdir(tmp_path)
