"""`--engine`: which route computes, how the output names it, and which routes are refused."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.environment import ENVIRONMENT
from support.running import pixels_of, save, upsample

from upsample_cli.engine.routes.compiled import instruction_sets

pytestmark = pytest.mark.usefixtures("in_tmp_path")

is_compiled = pytest.mark.skipif(not instruction_sets(), reason="the package was built without a compiler")


def engine_of(*arguments):
    ended = upsample(*arguments, "--json")
    assert ended.status == 0, ended.err
    (file,) = ended.document["files"]
    return file["engine"]


@is_compiled
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_every_engine_writes_the_same_bytes_and_is_named(mode):
    save("in.png", (21, 34), mode)
    written = {}
    for engine in ("auto", "layer", "compiled"):
        named = engine_of("in.png", "-o", f"{engine}.png", "--engine", engine)
        written.setdefault(named, []).append(Path(f"{engine}.png").read_bytes())
    assert {name: len(made) for name, made in written.items()} == {"compiled": 2, "layer": 1}
    assert len({content for made in written.values() for content in made}) == 1


def test_any_size_is_made_in_one_step_or_after_the_layer():
    save("in.png", (21, 34))
    in_one_step = "compiled" if instruction_sets() else "matrices"
    assert engine_of("in.png", "-o", "auto.png", "--width", "50") == in_one_step
    assert engine_of("in.png", "-o", "layer.png", "--width", "50", "--engine", "layer") == "layer"
    assert Path("auto.png").read_bytes() == Path("layer.png").read_bytes()


def test_only_verbose_names_the_engine():
    save("in.png", (3, 5))
    assert re.search(r"s  layer$", upsample("in.png", "-v", "--engine", "layer").out.strip())
    assert "layer" not in upsample("in.png", "--overwrite", "--engine", "layer").out


def test_the_compiled_engine_is_refused_for_images_it_cannot_enlarge():
    tifffile.imwrite("in.tif", np.ones((21, 34), np.float32))
    ended = upsample("in.tif", "--width", "50", "--engine", "compiled")
    reason = "its pixels are not whole numbers"
    expected = (reason, "this package was not compiled for this processor") if not instruction_sets() else (reason,)
    assert ended.status == 2
    assert any(
        f"cannot enlarge this image: {why}; choose --engine auto or --engine layer" in ended.err for why in expected
    )
    assert sorted(Path().iterdir()) == [Path("in.tif")]


@is_compiled
@pytest.mark.parametrize("kernel", ["lanczos3", "fitted", "net"])
def test_kernels_that_are_not_separable_are_compiled_at_every_size(kernel):
    save("in.png", (21, 34))
    given = "in.png", "--width", "50", "--kernel", kernel
    assert engine_of(*given, "--engine", "compiled", "-o", "compiled.png") == "compiled"
    assert engine_of(*given, "--engine", "layer", "-o", "layer.png") != "compiled"
    assert np.array_equal(pixels_of("compiled.png"), pixels_of("layer.png"))


@is_compiled
def test_in_a_batch_only_the_image_that_the_engine_cannot_enlarge_fails():
    save("in/a.png", (3, 5))
    tifffile.imwrite("in/b.tif", np.ones((4, 4), np.float32))
    ended = upsample("in", "-o", "out", "--engine", "compiled", "--json")
    files = ended.document["files"]
    assert ended.status == 1
    assert [(file["status"], file["engine"], file["error_kind"]) for file in files] == [
        ("written", "compiled", None),
        ("failed", None, "no-engine"),
    ]


def test_an_unknown_engine_is_a_usage_error():
    save("in.png", (3, 5))
    ended = upsample("in.png", "--engine", "fast")
    assert (ended.status, ended.out) == (2, "")
    assert "there is no --engine 'fast'; choose one of auto, layer, compiled" in ended.err


def test_another_engine_does_not_repeat_finished_images():
    """The engine changes no pixel, so a record accepts outputs of any engine."""
    for name in ("a", "b"):
        save(f"in/{name}.png", (3, 5))
    assert upsample("in", "-o", "out", "--engine", "layer").status == 0
    files = upsample("in", "-o", "out", "--json").document["files"]
    assert [file["status"] for file in files] == ["skipped", "skipped"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_process_that_enlarges_a_photograph_takes_less_than_250_mib():
    """Peak memory in a new process, as in a worker. `ru_maxrss` would include the peak of the parent process."""
    save("in.png", (1000, 1000), "RGB")
    code = (
        "import re, sys; from pathlib import Path; from upsample_cli import upsample_file;"
        "upsample_file('in.png', 'out.jpg', 2);"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1], 'torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=100
    )
    peak_kib, has_torch = ended.stdout.split()
    assert has_torch == "False"
    assert 50 < int(peak_kib) / 1024 < 250
