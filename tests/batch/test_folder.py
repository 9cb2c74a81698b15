"""`upsample_folder` and progress: results for programs, and runs that are stopped leave nothing behind."""

import base64
import io
import itertools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import spawn
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.oracles import assert_same_pixels, expected_pixels
from support.running import names, pixels_of, save

import upsample_cli
from upsample_cli import FolderRun, Result, UpsampleError, upsample_file, upsample_folder
from upsample_cli.batch.workers.no_main import without_main_module
from upsample_cli.errors import UsageError

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def save_images(*stems, size=(40, 60)):
    for index, stem in enumerate(stems):
        save(f"in/{stem}.png", size, seed=index)


def save_slow_images(count=2, side=2000):
    """Images whose enlargement takes a second or so: a billion pixels each, almost nothing on the disk."""
    Path("in").mkdir()
    for index in range(count):
        Image.new("L", (side, side)).save(f"in/{index}.png")


def workers():
    return [child for child in multiprocessing.active_children() if child.name == "upsample-worker"]


def unfinished():
    return [path for path in Path("out").glob(".*") if path.suffix == ".part"]


def until(is_true):
    end_s = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


# -- results ----------------------------------------------------------------------------------------------------------


def test_every_image_has_a_result_and_a_fault_is_not_an_exception():
    save_images("a", "b", "c")
    Path("in/bad.png").write_bytes(b"not an image")
    Path("out").mkdir()
    Path("out/c_x3.png").write_bytes(b"mine")
    run = upsample_folder("in", "out", 3)
    assert isinstance(run, FolderRun)
    assert len(run) == 4
    results = {result.input.name: result for result in run}
    assert all(isinstance(result, Result) for result in results.values())
    assert {name: result.status for name, result in results.items()} == {
        "a.png": "written", "b.png": "written", "c.png": "skipped", "bad.png": "failed",
    }  # fmt: skip
    made = results["a.png"]
    assert (made.output, made.output_height, made.output_width) == (Path("out/a_x3.png"), 120, 180)
    assert made.error is None
    assert made.warnings == ()
    assert made.engine
    assert_same_pixels(pixels_of("out/a_x3.png"), expected_pixels(pixels_of("in/a.png"), 3))
    assert results["bad.png"].error.startswith("in/bad.png: is not an image")
    assert results["c.png"].warnings == ("out/c_x3.png: exists already; add overwrite=True to replace it",)
    assert Path("out/c_x3.png").read_bytes() == b"mine"
    assert list(run) == []
    assert workers() == []


def test_sources_are_names_and_paths_of_folders_files_and_patterns():
    save_images("a", "b")
    save("one.png")
    found = upsample_folder([Path("in"), "one.png", "in/*.png"], Path("out"), kernel="nearest", format="webp")
    assert sorted(result.output for result in found) == [Path(f"out/{name}_x2.webp") for name in ("a", "b", "one")]
    (alone,) = upsample_folder("one.png")
    assert alone.output == Path("one_x2.png")
    (again,) = upsample_folder("one.png")
    assert (again.status, again.failure.kind) == ("failed", "exists")
    Path("empty").mkdir()
    assert list(upsample_folder("empty")) == []


def test_mistakes_in_the_call_are_raised_by_the_call_and_nothing_is_written():
    save_images("a")
    before = names(".")
    for settings in (
        {"factor": 0}, {"workers": 0}, {"workers": "2"}, {"timeout_s": 0}, {"timeout_s": 1e9},
        {"timeout_s": float("nan")}, {"kernel": "x"}, {"sources": ["in", ""]}, {"target": "in/a.png"},
        {"recursive": "no"}, {"overwrite": "no"},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            upsample_folder(**{"sources": "in", **settings})
    with pytest.raises(TypeError):
        upsample_folder("in", recursively=True)
    upsample_folder("in", "out")  # planned, and never started
    assert names(".") == before


def test_a_timeout_fails_the_image_alone():
    save_slow_images(1, side=6000)  # nine times as slow
    save("in/small.png", (5, 5))
    results = {result.input.stem: result for result in upsample_folder("in", "out", 16, timeout_s=1.0, workers=1)}
    assert results["0"].failure.kind == "timeout"
    assert results["small"].status == "written"
    assert unfinished() == []


def test_the_package_stays_cheap_and_the_cpu_needs_no_torch(tmp_path):
    save_images("a", "b")
    code = """
import sys
import upsample_cli
print(sorted({"torch", "numpy", "PIL", "sqlite3", "typer", "multiprocessing"} & set(sys.modules)))
print([result.status for result in upsample_cli.upsample_folder("in", on_progress=lambda share: None)])
upsample_cli.upsample_file("in/a.png", on_progress=lambda share: None)
print(sorted({"torch", "torchvision", "typer", "rich"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert ran.stdout.splitlines() == ["[]", "['written', 'written']", "[]"], ran.stderr
    for name in ("FolderRun", "Result", "upsample_folder"):
        assert name in upsample_cli.__all__


# -- progress ---------------------------------------------------------------------------------------------------------


def assert_rises_to_one(shares, *, least=1):
    assert all(isinstance(share, float) for share in shares)
    assert all(before < after for before, after in itertools.pairwise(shares))
    assert shares[0] > 0
    assert shares[-1] == 1.0
    assert len(shares) >= least


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.webp"])
def test_the_progress_of_a_file_rises_to_one_when_the_file_is_there(name):
    frames = [Image.fromarray(np.full((900, 700, 3), shade, np.uint8)) for shade in (10, 200, 90)]
    frames[0].save(name, **({} if name == "a.png" else {"save_all": True, "append_images": frames[1:]}))
    shares, was_there = [], []

    def on_progress(share):
        shares.append(share)
        was_there.append(Path("b.png" if name == "a.png" else name.replace("a", "b")).exists())

    upsample_file(name, name.replace("a", "b"), 3, on_progress=on_progress)
    assert_rises_to_one(shares, least=2)
    assert was_there == [False] * (len(shares) - 1) + [True]


def test_the_progress_of_a_folder_rises_to_one():
    save_images(*"abcdef", size=(300, 400))
    Path("in/bad.png").write_bytes(b"not an image")
    shares, threads = [], set()

    def on_progress(share):
        shares.append(share)
        threads.add(threading.current_thread())

    results = list(upsample_folder("in", "out", on_progress=on_progress))
    assert len(results) == 7
    assert_rises_to_one(shares, least=3)
    assert threads == {threading.current_thread()}
    shares.clear()
    again = {result.status for result in upsample_folder("in", "out", on_progress=shares.append)}
    assert again == {"skipped", "failed"}
    assert shares == [1.0]


def test_large_images_are_reported_while_they_run():
    save_slow_images(1)
    shares = []
    with upsample_folder("in", "out", 16, on_progress=shares.append) as run:
        next(run)
    assert_rises_to_one(shares, least=3)


# -- stopping ---------------------------------------------------------------------------------------------------------


class StopError(Exception):
    pass


def test_an_exception_in_the_callback_gives_up_the_file():
    Image.new("RGB", (900, 700)).save("a.png")
    shares = []

    def stop(share):
        shares.append(share)
        assert any(path.suffix == ".part" for path in Path().iterdir())  # the control
        raise StopError

    with pytest.raises(StopError):
        upsample_file("a.png", "b.png", 8, on_progress=stop)
    assert len(shares) == 1
    assert names(".") == ["a.png"]


@pytest.mark.parametrize("way", ["close", "with", "exception", "dropped"])
def test_a_run_that_is_left_early_leaves_no_worker_and_no_temporary_file(way):
    save_slow_images(1)
    save("in/small.png", (4, 4))
    run = upsample_folder("in", "out", 16, workers=2)
    assert next(run).input.stem == "small"
    until(unfinished)
    assert len(workers()) == 2  # the control, with the temporary file
    if way == "close":
        run.close()
    elif way == "with":
        with run:
            pass
    elif way == "exception":
        with pytest.raises(StopError), run:
            raise StopError
    else:
        del run
    assert workers() == []
    assert unfinished() == []
    assert names("out") == ["small_x16.png"]


@pytest.mark.parametrize("is_alone", [True, False])  # in a thread, and in worker processes
@pytest.mark.parametrize("error", [StopError, KeyboardInterrupt])
def test_an_exception_in_the_callback_ends_the_run(error, is_alone):
    save_slow_images(1 if is_alone else 2)
    seen = []

    def on_progress(_share):
        if unfinished():
            seen.append(len(workers()))
            raise error

    with pytest.raises(error):
        list(upsample_folder("in", "out", 16, workers=2, on_progress=on_progress))
    assert seen == [0 if is_alone else 2]  # the control
    assert workers() == []
    assert names("out") == []


@pytest.mark.parametrize("count", [1, 2])  # in a thread, and in worker processes
def test_another_thread_can_close_a_run(count):
    save_slow_images(count)
    run = upsample_folder("in", "out", 16, workers=2)
    seen = []

    def close():
        until(unfinished)
        seen.append(len(workers()))
        run.close()

    closing = threading.Thread(target=close)
    closing.start()
    assert list(run) == []
    closing.join()
    assert seen == [0 if count == 1 else 2]  # the control
    assert workers() == []
    assert names("out") == []
    run.close()
    assert list(run) == []


SCRIPT = """
import os
from upsample_cli import upsample_folder
with open("started", "a") as file:
    file.write(f"{__name__}\\n")
print("go", flush=True)
run = upsample_folder("in", "out", 16, workers=2)
print(next(run).input.name, flush=True)
END
"""


def script(end):
    Path("script.py").write_text(SCRIPT.replace("END", end), encoding="utf-8")
    return "script.py"


def test_a_script_without_a_guard_starts_once_and_may_end_during_a_run():
    """The run is neither closed nor dropped when the script ends."""
    save_slow_images(1)
    save("in/small.png", (4, 4))
    ran = subprocess.run([sys.executable, script("")], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout, ran.stderr) == ("go\nsmall.png\n", "")
    assert Path("started").read_text(encoding="utf-8") == "__main__\n"
    assert names("out") == ["small_x16.png"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_ends_a_script_and_its_run():
    save_slow_images(1)
    save("in/small.png", (4, 4))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, script("next(run)")], **pipes) as running:
        try:
            assert [running.stdout.readline() for _ in range(2)] == ["go\n", "small.png\n"]
            until(unfinished)  # the control
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=60)  # the pipes end when the workers have ended too
        finally:
            running.kill()
    assert err.endswith("KeyboardInterrupt\n")
    assert running.returncode == -signal.SIGINT
    assert names("out") == ["small_x16.png"]


def test_only_workers_are_started_without_the_main_module(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/a/script.py", raising=False)
    key = "init_main_from_path"
    with without_main_module("ours"):
        assert key not in spawn.get_preparation_data("ours")
        assert spawn.get_preparation_data("theirs")[key] == "/a/script.py"
    assert spawn.get_preparation_data("ours")[key] == "/a/script.py"


# -- notebooks --------------------------------------------------------------------------------------------------------

DATA = re.compile(r'src="data:image/webp;base64,([A-Za-z0-9+/=]+)"')


def test_a_notebook_shows_a_detail_before_and_after():
    save("a.png", (300, 400))
    html = upsample_file("a.png", "b.png", 3)._repr_html_()
    before, after = (Image.open(io.BytesIO(base64.b64decode(data))) for data in DATA.findall(html))
    assert after.size == tuple(3 * side for side in before.size)
    found, whole = np.asarray(before), pixels_of("a.png")
    places = [
        (top, left)
        for top in range(300 - found.shape[0] + 1)
        for left in range(400 - found.shape[1] + 1)
        if np.array_equal(whole[top, left], found[0, 0])
        and np.array_equal(whole[top : top + found.shape[0], left : left + found.shape[1]], found)
    ]
    ((top, left),) = places
    assert np.array_equal(pixels_of("b.png")[3 * top :, 3 * left :][: after.height, : after.width], np.asarray(after))
    assert "a.png to b.png: 400×300 to 1200×900, " in html
    assert len(html) < 1_000_000


def test_a_notebook_shows_the_frame_that_was_enlarged():
    frames = [Image.new("L", (20, 10), shade) for shade in (10, 100, 200)]
    frames[0].save("a.gif", save_all=True, append_images=frames[1:])
    before, _ = DATA.findall(upsample_file("a.gif", "b.png", frame=2)._repr_html_())
    assert Image.open(io.BytesIO(base64.b64decode(before))).getpixel((0, 0)) == (100, 100, 100)


def test_names_in_html_are_escaped():
    name = "<b onload='x'>&\n\u202e\udcff.png"
    save("a.png", (3, 3))
    Path("a.png").rename(name)
    html = upsample_file(name, f"out{name}")._repr_html_()
    assert len(DATA.findall(html)) == 2
    assert "&lt;b onload=&#x27;x&#x27;&gt;&amp;\\n\\u202e\\udcff.png" in html
    html.encode()
    assert not re.search(r"<(?!/?div>|br>|img )", html)
    failed = Result(Path(name), status="failed", failure=UpsampleError("<i>").failure)
    assert "&lt;i&gt;" in failed._repr_html_()
    assert "<i>" not in failed._repr_html_()


def test_a_result_whose_files_are_gone_or_changed_is_shown_as_text():
    save("a.png", (3, 3))
    result = upsample_file("a.png", "b.png")
    for change in (lambda: save("b.png", (5, 5)), lambda: Path("b.png").write_bytes(b"x"), Path("b.png").unlink):
        change()
        html = result._repr_html_()
        assert DATA.findall(html) == []
        assert "a.png to b.png: 3×3 to 6×6" in html
        assert "<div>b.png" in html


def _enlarge_in(folder):
    with upsample_folder(folder, f"{folder}_out/", 2) as run:
        return [result.status for result in run]


def _child(_number):
    return []


def _with_daemons(_number):
    with multiprocessing.Pool(1) as pool:
        return pool.map(_child, range(1))


def test_a_daemon_can_enlarge_a_folder():
    """The workers of a `multiprocessing.Pool`, of a DataLoader and of some task queues are daemons."""
    for number in range(3):
        save(f"in/{number}.png", (7, 5), seed=number)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_enlarge_in, ["in"]) == [["written"] * 3]
        with pytest.raises(AssertionError, match="daemonic"):  # the control: other children are still refused
            pool.map(_with_daemons, range(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sources": 5}, "sources=5 is not text; give a str"),
        ({"sources": ["a.png", 2]}, "sources=2 is not text"),
        ({"sources": np.array(2)}, r"sources=array\(2\) is not text"),
        ({"sources": b"a.png"}, "sources=b'a.png' is not text"),
        ({"target": 2.5}, "target=2.5 is not text"),
        ({"target": "\0"}, "cannot be the name of a file"),
        ({"timeout_s": "5"}, "timeout_s='5' is not a number; give one"),
        ({"timeout_s": float("nan")}, "timeout_s=nan is out of range"),
        ({"timeout_s": 10**400}, "timeout_s=inf is out of range"),
        ({"timeout_s": True}, "timeout_s=True is not a number"),
        ({"workers": 2.5}, "workers=2.5 is not a whole number"),
        ({"on_progress": 5}, "on_progress=5 cannot be called; give a function"),
    ],
)
def test_arguments_of_other_types_are_usage_errors_that_name_them(arguments, message):
    with pytest.raises(UsageError, match=message):
        upsample_folder(**{"sources": "a.png", **arguments})
    numbers = {"workers": np.int64(1), "timeout_s": np.float32(5), "factor": np.int64(2)}  # the control
    upsample_folder([Path("a.png")], np.str_("out"), **numbers).close()
