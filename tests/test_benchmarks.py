"""Contenders of the benchmarks that run in a process of their own."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import resizers
from benchmarks.engine import Case, image

_SMALL = (Case(factor=3, megapixels=0.001), Case(layout="grey", megapixels=0.001))


@pytest.mark.parametrize("case", _SMALL, ids=str)
def test_a_process_enlarges_the_pixels_of_the_case(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setenv("PILLOW_SIMD_PYTHON", sys.executable)
    pixels = image(case)
    size = (pixels.shape[1] * case.factor, pixels.shape[0] * case.factor)
    expected = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    with resizers.processes(case, pixels) as found:
        run, as_array = found[f"pillow {Image.__version__}"]
        np.testing.assert_array_equal(as_array(run()), expected.ravel())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX: a script as a program")
def test_a_python_without_pillow_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("PILLOW_SIMD_PYTHON", str(broken))
    monkeypatch.setenv("PATH", "")  # no node
    with resizers.processes(_SMALL[0], image(_SMALL[0])) as found:
        assert found == {}


def test_the_distance_of_each_resizer_is_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resizers, "_CASES", _SMALL)
    monkeypatch.setenv("PILLOW_SIMD_PYTHON", sys.executable)
    for rows in resizers.resizers(1):
        notes = {row.contender: row.note for row in rows}
        pillow, alone = f"Pillow {Image.__version__}", f"pillow {Image.__version__}"
        assert notes["upsample"] == "0.0% differ, at most by 0"
        assert notes[pillow] == notes[alone] != notes["upsample"]
