"""`--watch` in a process: images as they arrive, each once, also after a restart, until a signal; workers stay."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.oracles import assert_same_pixels, expected_pixels
from support.running import COMMAND, ENVIRONMENT, names, pixels_of, save, upsample

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
]


class Watching:
    def __init__(self, process):
        self.process = process

    def wait_for(self, count):
        """Wait until the report has this many lines; returns the last one."""
        until_s = time.monotonic() + 90
        while len(lines := report()) < count:
            assert self.process.poll() is None, "the watch has ended"
            assert time.monotonic() < until_s
            time.sleep(0.05)
        assert len(lines) == count
        return lines[-1]["input"], lines[-1]["status"]

    def stop(self, number=signal.SIGINT):
        """(exit status, stdout, stderr) after a signal."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def report():
    path = Path("r.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def watching(*arguments, **streams):
    # A short pause between scans, to keep the test quick.
    faster = "from upsample_cli.batch import watch; watch.PAUSE_S = 0.2; " + COMMAND[2]
    command = [COMMAND[0], "-c", faster, "--watch", "in", "-o", "out", "--report", "r.jsonl", "--workers", "1"]
    command += arguments
    settings = {"stdout": -1, "stderr": -1, "text": True, "env": ENVIRONMENT, "start_new_session": True} | streams
    with subprocess.Popen(command, **settings) as process:
        try:
            yield Watching(process)
        finally:
            process.kill()


def statuses():
    return [(file["input"], file["status"]) for file in report()]


def test_images_are_enlarged_as_they_arrive_and_the_next_watch_enlarges_only_changes():
    """Two of the first images want one name: they count as arriving one after the other, and the watch continues."""
    save("in/a.png")
    save("in/a.bmp", seed=7)
    with watching("--format", "png") as run:
        run.wait_for(2)
        assert statuses() == [("in/a.bmp", "written"), ("in/a.png", "skipped")]
        save("in/b.png", seed=1)
        assert run.wait_for(3) == ("in/b.png", "written")
        Path("in/c.png").write_bytes(Path("in/b.png").read_bytes()[:200])
        assert run.wait_for(4) == ("in/c.png", "failed")
        time.sleep(1)  # five scans: it is not tried again
        save("in/c.png", seed=2)
        assert run.wait_for(5) == ("in/c.png", "written")
        before = Path("out/b_x2.png").read_bytes()
        save("in/b.png", (19, 13), seed=5)
        assert run.wait_for(6) == ("in/b.png", "skipped")
        status, out, err = run.stop()
    assert status == 0  # the image that failed was repaired
    assert [line.split(" -> ")[0] for line in out.splitlines()[:3]] == ["in/a.bmp", "in/b.png", "in/c.png"]
    assert [line.split()[:2] for line in out.splitlines()[3:] if line[0] != " "] == [
        ["written", "3"],
        ["skipped", "2"],
    ]
    assert err.splitlines()[1].startswith("error: in/c.png: is truncated")
    assert err.splitlines()[-1] == ("warning: out/b_x2.png: was made before the input changed; --overwrite replaces it")
    assert Path("out/b_x2.png").read_bytes() == before
    Path("in/a.png").unlink()
    with watching("--format", "png", "--overwrite") as run:
        run.wait_for(9)
        assert sorted(statuses()[6:]) == [("in/a.bmp", "skipped"), ("in/b.png", "written"), ("in/c.png", "skipped")]
        assert run.stop(signal.SIGTERM)[0] == 0  # it was idle: all work was done
    for name, source in (("a", "a.bmp"), ("b", "b.png"), ("c", "c.png")):
        assert_same_pixels(pixels_of(f"out/{name}_x2.png"), expected_pixels(pixels_of(f"in/{source}"), 2))
    assert [name for name in names("out") if name.endswith((".png", ".part"))] == ["a_x2.png", "b_x2.png", "c_x2.png"]


def test_a_watch_stopped_during_an_image_says_so_and_leaves_no_temporary_file():
    save("in/a.png")
    with watching("-f", "16") as run:
        run.wait_for(1)
        save("in/large.png", (2500, 2501), "L", compress_level=0)
        until_s = time.monotonic() + 60
        while not list(Path("out").glob(".large_x16.png.*.part")):
            assert time.monotonic() < until_s
            time.sleep(0.01)
        status, out, _ = run.stop()
    assert status == 130
    assert out.splitlines()[-2] == "stopped: 1 not done; run the same command again to continue"
    assert out.splitlines()[-1].split()[:2] == ["written", "1"]
    assert [name for name in names("out") if name.endswith((".png", ".part"))] == ["a_x16.png"]


def test_a_watch_stopped_on_a_terminal_erases_its_bars_and_not_its_summary():
    save("in/a.png")
    ours, theirs = os.openpty()
    shown = bytearray()

    def read():
        with contextlib.suppress(OSError):  # the terminal is closed
            while data := os.read(ours, 4096):
                shown.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    with watching(stdout=theirs, stderr=theirs, env=ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "80"}) as run:
        run.wait_for(1)
        until_s = time.monotonic() + 60
        while b"waiting for more" not in shown:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        assert run.stop()[0] == 0
    os.close(theirs)
    reader.join()
    os.close(ours)
    bars, summary = bytes(shown).split(b"written ", 1)
    assert b"\x1b[2K" in bars  # a control: bars are erased in this way
    assert b"\x1b[2K" not in summary
    assert b"see out/" in summary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in", "-o", "in"), "in is watched, and what is written there would be enlarged in its turn"),
        (("in",), "--watch writes to a folder; give --output one"),
        (("in", "-o", "-"), "--watch writes to a folder; give --output one"),
        (("in", "-o", "in/a.png"), "in/a.png is a file, and --watch writes to a folder; give --output a folder"),
        (("in/a.png", "-o", "out"), "--watch takes folders, and in/a.png is not one; name one that exists"),
        (("nothing", "-o", "out"), "--watch takes folders, and nothing is not one; name one that exists"),
        (("in", "-o", "out", "-n"), "--watch cannot be combined with --dry-run"),
        (("in", "-o", "out", "--json"), "--watch cannot be combined with --json"),
        (("in", "-o", "out", "--gallery", "g.html"), "--watch cannot be combined with --gallery"),
        (("in", "-o", "out", "--name", "{index}{ext}"), "--watch cannot be combined with {index}"),
        (("in", "-o", "out", "--report", "r.png"), "--report r.png has the name of a PNG file, and is not one"),
        (("in", "-o", "out", "--report", "r.png", "--no-state"), "--report r.png has the name of a PNG file"),
    ],
)
def test_invalid_watch_options_are_refused_in_one_line(arguments, message):
    save("in/a.png")
    ended = upsample("--watch", *arguments)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"upsample: {message}")
    assert names(".") == ["in/a.png"]


def test_excluded_images_and_litter_are_not_enlarged_when_they_arrive():
    save("in/a.tmp.png")
    save("in/@eaDir/b.jpg")
    with watching("-r", "-v", "--exclude", "*.tmp.png") as run:
        save("in/c.png")
        assert run.wait_for(1) == ("in/c.png", "written")
        save("in/d.tmp.png")
        save("in/e.png")
        assert run.wait_for(2) == ("in/e.png", "written")
        status, out, err = run.stop()
    assert (status, err) == (0, "")
    assert out.splitlines()[-2:] == [
        "left out      2  excluded: 2 images",
        "left out      1  made by systems: @eaDir 1",
    ]
