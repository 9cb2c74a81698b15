"""Shared by the tests of the record."""

import os
import signal
import threading
from pathlib import Path

import pytest
from support.attacked_record import TOKEN
from support.running import save, upsample


@pytest.fixture
def attacked_record(tmp_path, monkeypatch):
    """A folder with two images, one of them enlarged into `out`, and unrelated files of the user."""
    monkeypatch.chdir(tmp_path)
    save("in/a.png")
    assert upsample("in", "-o", "out").status == 0
    save("in/b.png", seed=1)  # a run has something to do, and so cleans up
    Path("victim").mkdir()
    Path("victim/thesis.txt").write_text("the only copy", encoding="ascii")
    Path(f"victim/.v.png.{TOKEN}.part").write_text("mine", encoding="ascii")


@pytest.fixture
def interrupt():
    """Calls a function and interrupts it like Ctrl-C, which tests in the background of a shell would ignore."""

    def call(function, after_s):
        timer = threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGINT))

        def interrupted():
            timer.start()
            function()

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        timer.join()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield call
    signal.signal(signal.SIGINT, before)
