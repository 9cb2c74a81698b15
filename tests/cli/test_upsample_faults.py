"""Five faults among fifty images, in real worker processes: five lines, and forty-five correct images."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.oracles import assert_same_pixels, expected_pixels
from support.running import COMMAND, ENVIRONMENT, CommandResult, names, pixels_of, save, upsample

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
]

FAULTS_WHILE_READING = """
import multiprocessing, os, signal, sys, time

def cause_fault(event, arguments):
    # Act like a crashing decoder when a worker opens the file. By then the run has read its header.
    if event == "open" and multiprocessing.parent_process() is not None:
        name = os.path.basename(str(arguments[0]))
        if name == "crash.png":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "hang.png":
            time.sleep(600)
        if name == "gone.png" and os.path.exists(arguments[0]):
            os.unlink(arguments[0])

sys.addaudithook(cause_fault)
"""

# One worker needs far less for one small image, even on a busy machine. The test waits for it once.
TIMEOUT_S = 8


def run(*arguments):
    Path("hooks").mkdir()
    Path("hooks/sitecustomize.py").write_text(FAULTS_WHILE_READING, encoding="utf-8")
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(["hooks", ENVIRONMENT.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


def test_five_faults_among_fifty_are_five_lines_and_the_others_are_correct():
    faults = ("crash", "hang", "gone", "cut", "empty")
    for index in range(45):
        save(f"in/{index:02}.png", (11 + index % 7, 17 + index % 5), seed=index)
    for name in faults:
        save(f"in/{name}.png")
    Path("in/empty.png").write_bytes(b"")
    Path("in/cut.png").write_bytes(Path("in/cut.png").read_bytes()[:-90])
    ended = run("in", "-o", "out/", "--json", "--timeout", TIMEOUT_S, "--workers", 2)
    assert ended.status == 1
    files = {Path(file["input"]).stem: file for file in ended.document["files"]}
    assert list(files) == sorted(files)  # in the order of the inputs, whichever ended first
    assert ended.document["summary"] == {"written": 45, "skipped": 0, "failed": 5, "planned": 0}
    for name, cause in {
        "crash": r"crashed the process that was at work on it \(SIGSEGV\); .+",
        "hang": rf"took longer than --timeout {TIMEOUT_S} and was stopped; .+",
        "gone": r"no such file; .+",
        "cut": r"is truncated: .+",
        "empty": r"is empty; .+",
    }.items():
        assert re.fullmatch(rf"in/{name}\.png: {cause}", files[name]["error"])
    assert sorted(ended.errors) == sorted(files[name]["error"] for name in faults)
    assert [name for name in names("out") if not name.startswith(".upsample")] == [
        f"{index:02}_x2.png" for index in range(45)
    ]
    for index in range(0, 45, 11):
        assert_same_pixels(pixels_of(f"out/{index:02}_x2.png"), expected_pixels(pixels_of(f"in/{index:02}.png"), 2))


def test_a_single_image_with_a_timeout_is_stopped_too():
    save("hang.png")
    ended = run("hang.png", "--timeout", 1)
    assert (ended.status, ended.errors) == (
        1,
        ["hang.png: took longer than --timeout 1 and was stopped; give it more seconds"],
    )
    assert [name for name in names(".") if "__pycache__" not in name] == ["hang.png", "hooks/sitecustomize.py"]


def test_an_image_that_timed_out_is_tried_again_only_with_a_longer_timeout():
    save("in/hang.png")
    late = "in/hang.png: took longer than --timeout 1 and was stopped; give it more seconds"
    assert run("in", "-o", "out", "--timeout", 1).errors == [late]
    for timeout in ("1", "0.5"):
        assert upsample("in", "-o", "out", "--timeout", timeout).errors == [late]
    for more in (["--timeout", "1.5", "-n"], ["-n"], ["--timeout", "100"]):  # the image does not hang here
        ended = upsample("in", "-o", "out", *more)
        assert (ended.status, ended.errors) == (0, [])
    assert "out/hang_x2.png" in names(".")


def test_a_timeout_must_be_positive_and_cannot_be_used_with_a_pipe():
    save("a.png")
    for arguments, line in [
        (("a.png", "--timeout", "0"), "upsample: --timeout 0 leaves no time; give it seconds, more than 0, 1,000,000"),
        (("a.png", "--timeout", "nan"), "upsample: --timeout nan cannot be waited for; give it seconds, more than 0"),
        (("a.png", "--timeout", "1e9"), "upsample: --timeout 1e+09 cannot be waited for; give it seconds"),
        (("a.png", "-o", "-", "--timeout", "3"), "upsample: --timeout cannot be combined with -; name files"),
    ]:
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, check=False, env=ENVIRONMENT, timeout=60)
        assert done.returncode == 2
        assert done.stderr.decode().startswith(line)


def test_the_parent_process_does_not_import_torch():
    """The parent stays small: when memory runs out, the system kills a worker instead."""
    for index in range(3):
        save(f"in/{index}.png", seed=index)
    code = (
        "import os, sys\n"
        "leave = os._exit\n"
        "def tell(status):\n"
        "    print('torch' in sys.modules, file=sys.stderr)\n    sys.stderr.flush()\n    leave(status)\n"
        "os._exit = tell\n"
        "from upsample_cli.cli.upsample import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    os._exit(end.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "in"], capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert names("in_x2")[-3:] == ["0_x2.png", "1_x2.png", "2_x2.png"]


NO_MORE_THREADS = """
import sys, threading
start, begun = threading.Thread.start, []
def start_few(thread):
    if len(begun) == {count}:
        raise RuntimeError("can't start new thread")
    begun.append(thread)
    start(thread)
threading.Thread.start = start_few
sys.argv = ["upsample", "a.png", "-o", "b.png"]
from upsample_cli.cli.start import upsample
upsample()
"""


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000])
def test_a_system_without_more_threads_is_one_line(count):
    save("a.png")
    command = [sys.executable, "-c", NO_MORE_THREADS.format(count=count)]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode == 0:
        assert names(".") == ["a.png", "b.png"]
        return
    assert (ran.returncode, names(".")) == (1, ["a.png"])
    assert count < 1000
    assert len(ran.stderr.splitlines()) == 1
    assert "thread" in ran.stderr
    assert "this should not happen" not in ran.stderr
