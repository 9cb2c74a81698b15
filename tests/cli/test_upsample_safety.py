"""Nothing is destroyed: bad files, existing files, full disks, Ctrl-C and SIGKILL, with the command in a process."""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.oracles import assert_same_pixels, expected_pixels
from support.running import COMMAND, ENVIRONMENT, names, pixels_of, save, tree, upsample, upsample_process

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.input_file import opened_file

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals, links and limits"),
]


# Existing outputs ---------------------------------------------------------------------------------------------------


def test_an_existing_output_stays_without_overwrite():
    save("a.png")
    Path("a_x2.png").write_bytes(b"mine")
    ended = upsample("a.png")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "error: a_x2.png: exists already; add --overwrite to replace it\n"
    assert Path("a_x2.png").read_bytes() == b"mine"
    assert upsample("a.png", "--overwrite").status == 0
    assert_same_pixels(pixels_of("a_x2.png"), expected_pixels(pixels_of("a.png"), 2))


def test_in_a_batch_existing_outputs_are_skipped_and_the_others_are_written():
    for index in range(3):
        save(f"in/{index}.png", seed=index)
    Path("out").mkdir()
    Path("out/1_x2.png").write_bytes(b"mine")
    ended = upsample("in", "-o", "out")
    assert (ended.status, ended.err) == (0, "")
    assert "exists already; add --overwrite to replace it" in ended.out
    warnings = upsample("in", "-o", "out", "-v").err.splitlines()
    assert warnings == [
        "warning: out/1_x2.png: exists already; add --overwrite to replace it"
    ]  # the other skipped outputs are done
    assert [line.split()[:2] for line in ended.out.splitlines()] == [["written", "2"], ["skipped", "1"]]
    assert names("out") == ["0_x2.png", "1_x2.png", "2_x2.png"]
    assert Path("out/1_x2.png").read_bytes() == b"mine"
    assert upsample("in", "-o", "out", "--overwrite").status == 0
    assert_same_pixels(pixels_of("out/1_x2.png"), expected_pixels(pixels_of("in/1.png"), 2))


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        (("in/a.png", "other/a.png", "in/b.png", "-o", "out/"), "in/a.png and other/a.png would both be written to"),
        (("in", "other", "-o", "out"), "in/a.png and other/a.png would both be written to out/a_x2.png"),
        (("in/b.png", "in/b_x2.png", "--overwrite"), "in/b_x2.png is an input and would be replaced by"),
        (("in/a.png", "-o", "in/a.png", "--overwrite"), "in/a.png is the input itself"),
        (("in/a.png", "-o", "link.png", "--overwrite"), "link.png is the input itself"),
        (("linked/a.png", "-o", "in/a.png", "--overwrite"), "in/a.png is the input itself"),
        (("in/b.png", "other/a.png", "-o", "linked", "--format", "jpg"), ""),
    ],
)
def test_colliding_names_are_refused_before_anything_is_written(arguments, expected_text):
    for index, name in enumerate(("in/a.png", "in/b.png", "in/b_x2.png", "other/a.png")):
        save(name, seed=index)
    Path("link.png").symlink_to("in/a.png")
    Path("linked").symlink_to("in")
    before = tree(".")
    ended = upsample(*arguments)
    if not expected_text:  # the control: these do not collide
        assert (ended.status, len(tree(".")) - len(before)) == (0, 2)
        return
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"upsample: {expected_text}")
    assert "; " in ended.err  # followed by the next step
    assert ended.err.count("\n") == 1
    assert tree(".") == before
    assert not Path("out").exists()


# Bad files ---------------------------------------------------------------------------------------------------------


def header_of(width, height):
    """A PNG with this size in its header and one row of black pixels."""
    bodies = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"\0"))
    chunks = (struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in bodies)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def bad_files(folder):
    """{name: phrases of its message}; one bad file of each kind."""
    phrases = {}
    for end in ("png", "jpg", "webp", "tif", "bmp", "gif"):
        whole = save(f"whole/a.{end}", (60, 50)).read_bytes()
        for percent in (1, 10, 50, 90):
            name = f"cut{percent}.{end}"
            Path(folder, name).write_bytes(whole[: max(1, len(whole) * percent // 100)])
            phrases[name] = ("truncated", "damaged", "not an image", "pixels is not supported")
    Path(folder, "empty.png").touch()
    Path(folder, "text.png").write_text("not an image\nat all\n")
    Path(folder, "folder.png").mkdir()
    Path(folder, "huge.png").write_bytes(header_of(60_000, 50_000))
    Path(folder, "zero.png").write_bytes(header_of(0, 7))
    Path(folder, "dangling.png").symlink_to("nowhere.png")
    Path(folder, "circle.png").symlink_to("circle.png")
    os.mkfifo(Path(folder, "pipe.png"))
    (Path(folder) / "new\nline [red].png").write_bytes(b"")
    return phrases | {
        "empty.png": ("is empty",),
        "text.png": ("not an image",),
        "huge.png": ("60000×50000 is 3000000000 pixels", "add --max-pixels 3000000000"),
        "zero.png": ("damaged",),
        "dangling.png": ("no such file",),
        "circle.png": ("leads in a circle",),
        "pipe.png": ("not a regular file",),
        "new\nline [red].png": ("is empty",),
    }


def test_every_bad_file_is_one_line_and_good_files_are_enlarged():
    """In a new process, so that any other line on stderr is seen. 36 bad files, 2 good ones."""
    Path("in").mkdir()
    phrases_of = bad_files("in")
    for index, name in enumerate(("aaa.png", "zzz.png")):
        save(f"in/{name}", seed=index)
    missing = ["missing.png", "in/aaa.png/x.png", "n" * 300 + ".png", "folder.png/"]
    ended = upsample_process("in", *missing, "-o", "out/", "--json")
    assert ended.status == 1
    failed = {file["input"]: file["error"] for file in ended.document["files"] if file["status"] == "failed"}
    assert ended.document["summary"] == {"written": 2, "skipped": 0, "failed": len(phrases_of) + 4, "planned": 0}
    assert failed.keys() == {f"in/{name}" for name in phrases_of} | {name.rstrip("/") for name in missing}
    for name, phrases in phrases_of.items():
        message = failed[f"in/{name}"]
        assert message.startswith(f"in/{name}: ")
        assert any(phrase in message for phrase in phrases), message
    shown = {error.replace("\n", "\\n") for error in failed.values()}
    assert sorted(ended.errors) == sorted(shown)
    assert names("out") == ["aaa_x2.png", "zzz_x2.png"]
    for name in ("aaa", "zzz"):
        assert_same_pixels(pixels_of(f"out/{name}_x2.png"), expected_pixels(pixels_of(f"in/{name}.png"), 2))


def test_pipes_devices_and_sockets_are_one_line_and_never_waited_for():
    """Pipes, devices and sockets, directly and through links, named by the user or found in a folder."""
    save("in/a.png")
    os.mkfifo("in/pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("in/socket.png")
        links = {"null.png": "/dev/null", "zero.png": "/dev/zero", "pipes.png": "pipe.png", "sockets.png": "socket.png"}
        for name, target in links.items():
            Path("in", name).symlink_to(target)
        bad = ["pipe.png", "socket.png", *links]
        started_s = time.monotonic()
        found = upsample("in", "-n", "--json").document
        named = [upsample(name, "-n") for name in ("/dev/zero", "in/pipe.png", "in/socket.png", "in/zero.png")]
        assert time.monotonic() - started_s < 20
    errors = {file["input"]: file["error"] for file in found["files"] if file["status"] == "failed"}
    line = "is not a regular file; copy it into one; upsample and tconv info read - as standard input"
    assert errors == {f"in/{name}": f"in/{name}: {line}" for name in bad}
    assert [(ended.status, ended.err.count("\n"), line in ended.err) for ended in named] == [(1, 1, True)] * 4


def test_an_image_that_becomes_a_pipe_after_the_check_is_not_waited_for(monkeypatch):
    save("a.png")
    os.mkfifo("pipe.png")
    status = Path("a.png").stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: status)
    with pytest.raises(ImageError, match="is not a regular file"), opened_file("pipe.png"):
        raise AssertionError
    with opened_file("a.png") as file:  # the control
        assert file.read(4) == b"\x89PNG"


def test_a_single_bad_file_is_one_line_and_leaves_no_output():
    whole = save("a.png", (60, 50)).read_bytes()
    Path("a.png").write_bytes(whole[: len(whole) // 2])
    ended = upsample_process("a.png", "-o", "out/b.png")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "error: a.png: is truncated: the file ends before its image does; get a new copy of it\n"
    assert names(".") == ["a.png"]


# File permissions do not restrict root. Without these two capabilities (1 and 2, linux/capability.h) they do.
BIND_ROOT = """
import ctypes, os
if os.geteuid() == 0 and any(ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) for capability in (1, 2)):
    raise SystemExit(77)
"""


def test_a_file_that_cannot_be_read_or_written_is_one_line():
    save("in/a.png").chmod(0)
    save("in/b.png")
    save("in/sub/c.png").parent.chmod(0)
    Path("locked").mkdir(mode=0o500)
    try:
        ended = upsample_process("in", "-r", "-o", "locked/", "--no-state", first=BIND_ROOT)
        recorded = upsample_process("in", "-r", "-o", "locked/", first=BIND_ROOT)
    finally:
        Path("in/sub").chmod(0o700)
    if ended.status == 77:
        pytest.skip("runs as root, which cannot drop its privileges here")
    assert recorded.err == (
        "upsample: locked/.upsample.sqlite: the record cannot be made or opened: "
        "it or its folder may not be written to; check its folder, or give another --output or --state\n"
    )
    assert (recorded.status, ended.status, names("locked")) == (1, 1, [])
    assert sorted(ended.errors) == [
        "in/a.png: may not be read; check its permissions",
        "in/sub: cannot be opened: Permission denied; check its permissions",
        "locked/b_x2.png: cannot be written: it or its folder may not be written to; "
        "check the permissions, or give another --output",
    ]


def test_the_pixel_limit_names_the_option_that_raises_it():
    save("a.png", (40, 50))
    ended = upsample("a.png", "--max-pixels", "1999")
    assert (ended.status, ended.out, names(".")) == (1, "", ["a.png"])
    (line,) = ended.errors
    assert line == (
        "a.png: 50×40 is 2000 pixels, more than the limit of 1999; add --max-pixels 2000 if you trust the file"
    )
    assert upsample("a.png", "--max-pixels", "2000").status == 0
    save("large.png", (1, 30_000_000 // 2), "1")
    assert upsample("large.png", "--dry-run").status == 0
    assert upsample("large.png", "--dry-run", "--max-pixels", "14M").status == 1


def test_an_output_too_large_for_its_format_is_refused_before_work():
    save("wide.png", (1, 16_383))
    for format_, factor in (("webp", 2), ("jpg", 5), ("gif", 5), ("avif", 3)):
        ended = upsample("wide.png", "--format", format_, "-f", factor, "--dry-run")
        assert ended.status == 1
        (line,) = ended.errors
        assert f"not {16_383 * factor}×{factor}; write PNG or TIFF" in line
    assert upsample("wide.png", "--format", "webp", "-f", 1, "--dry-run").status == 0
    assert names(".") == ["wide.png"]


def test_strict_refuses_losses_and_writes_nothing():
    save("a.png", mode="RGBA")
    save("b.png")
    ended = upsample("a.png", "b.png", "--format", "jpg", "--strict", "-o", "out/")
    assert ended.status == 1
    (line,) = ended.errors
    assert line == (
        "a.png: refused by --strict: JPEG cannot hold transparency; it is laid over white; "
        "choose a --format or an --output extension that keeps it, or leave out --strict"
    )
    assert names("out") == ["b_x2.jpg"]
    ended = upsample("a.png", "-o", "out/a.jpg")
    assert (ended.status, ended.err) == (0, "warning: a.png: JPEG cannot hold transparency; it is laid over white\n")


def test_a_file_larger_than_allowed_is_one_line_and_leaves_no_output():
    """A limit on file sizes simulates a full disk: the error comes from the same write."""
    save("in/small.png", (11, 17))
    save("in/large.png", (300, 400))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"
    ended = upsample_process("in", "-o", "out/", first=limit)
    assert ended.status == 1
    assert ended.errors == [
        "out/large_x2.png: cannot be written: the file would be larger than allowed here; "
        "write a format that is smaller, or write elsewhere"
    ]
    assert names("out") == ["small_x2.png"]


# Signals -----------------------------------------------------------------------------------------------------------

INPUTS = 40
PROMPT_S = 15.0
"""How long the run may take to end after Ctrl-C. Measured: 0.15 s while enlarging; 1.1 s while importing torch,
which cannot be stopped and is given 1 s. The margin is for a machine ten times slower. The missing outputs show that
the run did not simply finish."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder of 40 images (three, each under many names) and the outputs of an uninterrupted run for the three."""
    folder = tmp_path_factory.mktemp("large")
    generator = np.random.default_rng(7)
    for index in range(3):
        pixels = generator.integers(0, 256, (1201, 1601, 3), dtype=np.uint8)
        (folder / "in").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"in/{index}.png", compress_level=0)
    originals = [str(folder / f"in/{index}.png") for index in range(3)]
    assert upsample(*originals, "-o", f"{folder}/undisturbed/").status == 0
    for index in range(3, INPUTS):
        (folder / f"in/{index}.png").hardlink_to(originals[index % 3])
    whole = tree(folder / "undisturbed")
    assert_same_pixels(pixels_of(folder / "undisturbed/0_x2.png"), expected_pixels(pixels_of(originals[0]), 2))
    return folder / "in", whole


def start(folder, output, *, before=()):
    return subprocess.Popen(
        [*before, *COMMAND, str(folder), "-o", output, "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True,
    )  # fmt: skip


def group(number):
    """The running processes of a process group: the run and its workers."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == number and state != "Z":
                found.append(stat.parent)
    return found


def is_importing(number):
    """Whether one of the processes in the group is loading torch."""
    for process in group(number):
        with contextlib.suppress(OSError):
            if b"libtorch" in (process / "maps").read_bytes():
                return True
    return False


def wait_for(moment, process):
    """Wait until a file matches this pattern, or until torch is being imported."""
    end_s = time.monotonic() + 60
    while not (is_importing(process.pid) if moment == IMPORTING else any(Path().glob(moment))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s
        time.sleep(0.001)


def assert_nothing_is_left(process):
    """No worker and no temporary file. The helper processes of `multiprocessing` end soon after the run."""
    end_s = time.monotonic() + PROMPT_S
    while group(process.pid):
        assert time.monotonic() < end_s, group(process.pid)
        time.sleep(0.01)
    assert not [name for name in names("out") if name.endswith(".part")]


def check_whole(output, whole):
    """Check that every finished file equals the output of an uninterrupted run, and count the files."""
    final = {name: content for name, content in tree(output).items() if not name.startswith(".")}
    for name, content in final.items():
        number = int(name.removesuffix("_x2.png"))
        assert content == whole[f"{number % 3}_x2.png"], name
    return len(final)


IMPORTING, BEGUN, FINISHED = "importing", "out/.*.part", "out/[0-9]*.png"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux shows the state of processes")
@pytest.mark.parametrize(
    ("moment", "later_s", "number"),
    [
        (IMPORTING, 0, signal.SIGINT),
        (BEGUN, 0.1, signal.SIGINT),
        (FINISHED, 0.03, signal.SIGTERM),
    ],
)
def test_a_signal_stops_promptly_reports_and_leaves_only_complete_files(large, moment, later_s, number):
    """The terminal sends Ctrl-C to the workers too, but only the run responds to it."""
    folder, whole = large
    with start(folder, "out") as process:
        wait_for(moment, process)
        time.sleep(later_s)
        begun_s = time.monotonic()
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
        elapsed_s = time.monotonic() - begun_s
    assert process.returncode == 128 + number
    assert elapsed_s < PROMPT_S
    assert_nothing_is_left(process)
    finished = check_whole("out", whole)
    assert finished < INPUTS - 4  # the run was stopped and did not simply finish
    assert finished > 0 or moment != FINISHED
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["stopped:", str(INPUTS - finished)],
        ["written", str(finished)],
    ]
    assert err == ""


def test_a_second_signal_ends_without_waiting_and_still_cleans_up(large):
    folder, whole = large
    with start(folder, "out") as process:
        wait_for(BEGUN, process)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.killpg(process.pid, number)
            time.sleep(0.1)  # Python handles signals that are pending together by number, not in order of arrival
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert_nothing_is_left(process)
    check_whole("out", whole)


def test_closing_the_terminal_stops_the_run(large):
    folder, whole = large
    ours, theirs = os.openpty()
    steps = (
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        f"from upsample_cli.cli.upsample import main; sys.argv[1:] = [{str(folder)!r}, '-o', 'out']; main()"
    )
    command = [sys.executable, "-c", steps]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=ENVIRONMENT) as process:
        os.close(theirs)
        wait_for(BEGUN, process)
        os.close(ours)  # the kernel sends SIGHUP, and every later write fails
        process.wait(timeout=60)
    assert process.returncode == 128 + signal.SIGHUP
    assert_nothing_is_left(process)
    assert check_whole("out", whole) < INPUTS - 4


@pytest.mark.skipif(shutil.which("nohup") is None, reason="there is no nohup")
def test_under_nohup_closing_the_terminal_does_not_stop_the_run(tmp_path):
    for index in range(3):
        save(f"in/{index}.png", (300, 400), seed=index)
    with start("in", "out", before=["nohup"]) as process:
        wait_for("out", process)
        os.killpg(process.pid, signal.SIGHUP)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.replace("nohup: ignoring input\n", "")) == (0, "")
    assert names("out")[-3:] == ["0_x2.png", "1_x2.png", "2_x2.png"]


def test_a_killed_run_leaves_no_incomplete_file_under_a_final_name(large):
    """During the first files, and after some have finished; in at least one case the kill interrupts a write."""
    folder, whole = large
    unfinished = 0
    for moment, later_s in [(BEGUN, 0.05), (FINISHED, 0.1)]:
        with start(folder, "out") as process:
            wait_for(moment, process)
            time.sleep(later_s)
            os.killpg(process.pid, signal.SIGKILL)  # including its workers, which would otherwise clean up
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        finished = check_whole("out", whole)
        assert finished > 0 or moment != FINISHED
        unfinished += any(name.endswith(".part") for name in names("out"))
        shutil.rmtree("out")
    assert unfinished


def test_temporary_files_of_a_killed_run_are_not_inputs():
    save("in/a.png")
    Path("in/.b_x2.png.0123abcd.part").write_bytes(b"half an image")
    assert upsample("in", "-o", "out/").status == 0
    assert names("out") == ["a_x2.png"]
