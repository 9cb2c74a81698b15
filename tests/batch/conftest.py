"""Shared by the tests of attacks on the record."""

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
