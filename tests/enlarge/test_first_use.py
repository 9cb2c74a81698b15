"""The first calls of a process, in threads at the same time: one of two importers may get an incomplete module."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.environment import ENVIRONMENT
from support.oracles import assert_same_pixels, expected_pixels
from support.running import COMMAND, pixels_of, save

pytestmark = pytest.mark.usefixtures("in_tmp_path")

FORMATS = ["bmp", "gif", "jpg", "png", "tif", "webp"]

TOGETHER = """
import sys, threading
import upsample_cli
def array():
    import numpy
    upsample_cli.upsample(numpy.zeros((9, 9, 3), numpy.uint8), 2)
def layer():
    upsample_cli.bilinear_layer(3, 2)
def file(name):
    upsample_cli.upsample_file(name, "x2." + name, 2, device="cpu")
calls = [*[lambda name=name: file(name) for name in sys.argv[1:]], array, layer]
start, failed = threading.Barrier(len(calls)), []
def begin(call):
    start.wait()
    try:
        call()
    except BaseException as error:
        failed.append(repr(error))
threads = [threading.Thread(target=begin, args=[call]) for call in calls]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*failed, sep="\\n", end="")
"""


@pytest.mark.parametrize("attempt", range(3))
def test_threads_may_make_the_first_calls_together(attempt):
    names = [save(f"a.{end}", mode="P" if end == "gif" else "RGB", seed=attempt).name for end in FORMATS]
    command = [sys.executable, "-c", TOGETHER, *names]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)
    assert_same_pixels(pixels_of("x2.a.png"), expected_pixels(pixels_of("a.png"), 2))


@pytest.mark.parametrize("end", FORMATS)
def test_an_image_from_a_pipe_is_the_first(end):
    """One thread decodes it, and another one imports the engine."""
    save(f"a.{end}", mode="P" if end == "gif" else "RGB")
    with Path(f"a.{end}").open("rb") as source:
        ran = subprocess.run(
            [*COMMAND, "-", "-o", "b.png", "--device", "cpu"], stdin=source, env=ENVIRONMENT, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert_same_pixels(pixels_of("b.png", "RGB"), expected_pixels(pixels_of(f"a.{end}", "RGB"), 2))
