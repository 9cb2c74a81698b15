"""The output streams of `upsample`: results, messages, a JSON document, progress bars; and no early import of torch."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.running import COMMAND, ENVIRONMENT, names, save, tree, upsample, upsample_process

from upsample_cli import __version__

pytestmark = pytest.mark.usefixtures("in_tmp_path")


# JSON --------------------------------------------------------------------------------------------------------------

FILE_TYPES = {
    "input": str, "output": str | None, "status": str, "width": int | None, "height": int | None,
    "output_width": int | None, "output_height": int | None, "warnings": list,
    "warning_kinds": list, "error": str | None, "error_kind": str | None, "seconds": float,
    "engine": str | None,
}  # fmt: skip
TYPES = {"files": list, "summary": dict, "factor": int, "kernel": str, "border": str, "device": str}
STATUSES = ["written", "skipped", "failed", "planned"]


def check_document(document):
    """Check that the document has exactly the promised keys, in their order, each with its type."""
    assert list(document) == list(TYPES)
    assert all(isinstance(document[key], kind) for key, kind in TYPES.items())
    assert list(document["summary"]) == STATUSES
    for file in document["files"]:
        assert list(file) == list(FILE_TYPES)
        for key, kind in FILE_TYPES.items():
            assert isinstance(file[key], kind), key
            assert not isinstance(file[key], bool)
    counts = [file["status"] for file in document["files"]]
    assert document["summary"] == {status: counts.count(status) for status in STATUSES}


def test_the_json_document_has_exactly_the_promised_keys():
    """In a new process, with one file for every status; stdout contains only the document."""
    save("in/a.png", (11, 17))
    save("in/b.png", (3, 5), "RGBA")
    save("in/c.png")
    Path("in/d.png").write_bytes(b"no image")
    Path("out").mkdir()
    Path("out/c_x3.jpg").touch()
    ended = upsample_process("in", "-o", "out", "-f", "3", "--format", "jpg", "--border", "zeros", "--json")
    assert ended.status == 1
    document = ended.document
    check_document(document)
    seconds = [file.pop("seconds") for file in document["files"]]
    assert all(0 <= value < 60 and round(value, 3) == value for value in seconds)
    assert seconds[0] > 0
    engines = [file.pop("engine") for file in document["files"]]
    assert {engines[0], engines[1]} <= {"compiled", "row-phases"}
    assert engines[2:] == [None, None]
    error = document["files"][3]["error"]
    loss = "JPEG cannot hold transparency; it is laid over white"
    exists = "out/c_x3.jpg: exists already; add --overwrite to replace it"
    assert document == {
        "files": [
            {"input": "in/a.png", "output": "out/a_x3.jpg", "status": "written", "width": 17, "height": 11,
             "output_width": 51, "output_height": 33, "warnings": [], "warning_kinds": [], "error": None,
             "error_kind": None},
            {"input": "in/b.png", "output": "out/b_x3.jpg", "status": "written", "width": 5, "height": 3,
             "output_width": 15, "output_height": 9, "warnings": [loss], "warning_kinds": ["alpha"], "error": None,
             "error_kind": None},
            {"input": "in/c.png", "output": "out/c_x3.jpg", "status": "skipped", "width": 17, "height": 11,
             "output_width": 51, "output_height": 33, "warnings": [exists], "warning_kinds": ["exists"], "error": None,
             "error_kind": None},
            {"input": "in/d.png", "output": None, "status": "failed", "width": None, "height": None,
             "output_width": None, "output_height": None, "warnings": [], "warning_kinds": [], "error": error,
             "error_kind": "not-an-image"},
        ],
        "summary": {"written": 2, "skipped": 1, "failed": 1, "planned": 0},
        "factor": 3, "kernel": "bilinear", "border": "zeros", "device": "cpu",
    }  # fmt: skip
    assert error.startswith("in/d.png: is not an image")
    # Messages still go to stderr, in the order of events.
    assert sorted(ended.err.splitlines()) == sorted([f"error: {error}", f"warning: in/b.png: {loss}"])


def test_files_in_the_document_keep_the_order_of_the_inputs():
    sizes = [(400, 400), (3, 3), (200, 200), (2, 2), (1, 1)]
    for index, size in enumerate(sizes):
        save(f"{index}.png", size)
    Path("bad.png").touch()
    arguments = ["0.png", "1.png", "bad.png", "2.png", "3.png", "4.png"]
    document = upsample(*arguments, "--json", "--workers", 5, "-o", "out/").document
    assert [file["input"] for file in document["files"]] == arguments


@pytest.mark.parametrize("options", [("--dry-run",), ()])
@pytest.mark.parametrize("name", [":smile:[red]", "é\n\x1b[31m", "a" * 200, '"quotes"\\', os.fsdecode(b"\xe9")])
def test_names_in_the_document_are_unchanged(name, options):
    save(f"{name}.png", (2, 3))
    ended = upsample("--json", *options, "--", f"{name}.png")
    (file,) = ended.document["files"]
    assert (file["input"], file["output"]) == (f"{name}.png", f"{name}_x2.png")
    assert ended.out.isascii()


def test_an_impossible_command_line_prints_no_document():
    save("a.png")
    ended = upsample("a.png", "--json", "-f", 99)
    assert (ended.status, ended.out) == (2, "")


# Dry runs ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_plan_and_writes_nothing():
    save("in/a.png", (11, 17))
    save("in/deep/b.jpg", (3, 5))
    save("in/c.png")
    save("in_x2/c_x2.png")
    Path("in/bad.png").touch()
    before = tree(".")
    ended = upsample("in", "-r", "--dry-run", "-v")
    assert ended.status == 1
    assert ended.out.splitlines()[:3] == [
        "in/a.png -> in_x2/a_x2.png  17x11 -> 34x22  planned",
        "in/c.png -> in_x2/c_x2.png  17x11 -> 34x22  skipped",
        "in/deep/b.jpg -> in_x2/deep/b_x2.jpg  5x3 -> 10x6  planned",
    ]
    table = [line.split()[:2] for line in ended.out.splitlines()[3:]]
    assert table == [["skipped", "1"], ["failed", "1"], ["planned", "2"]]
    assert len(ended.errors) == 1
    document = upsample("in", "-r", "-n", "--json").document
    check_document(document)
    assert document["summary"] == {"written": 0, "skipped": 1, "failed": 1, "planned": 2}
    assert document["device"] == "auto"
    assert tree(".") == before
    assert not Path("in_x2/deep").exists()


def test_a_dry_run_of_one_image_is_one_line():
    save("a.png", (11, 17))
    assert upsample("a.png", "-n").out == "a.png -> a_x2.png  17x11 -> 34x22  planned\n"
    assert names(".") == ["a.png"]


WITHOUT_TORCH = """
import contextlib, io, json, os, sys
from upsample_cli.cli.upsample import main
os._exit = sys.exit  # the command ends with `os._exit` once torch is imported
for arguments in json.load(sys.stdin):
    sys.argv = ["upsample", *arguments]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main()
        except SystemExit as leaving:
            status = leaving.code
    print(status, "torch" in sys.modules, "PIL" in sys.modules, "numpy" in sys.modules)
"""
CHEAP = [
    (("--help",), 0), (("-h",), 0), (("--version",), 0), ((), 2), (("--nonsense",), 2), (("a.png", "-f", "0"), 2),
    (("a.png", "--memory", "much"), 2), (("a.png", "--workers", "0"), 2), (("a.png", "--format", "psd"), 2),
    (("a.png", "--device", "gpu"), 2), (("none",), 2), (("",), 2),
]  # fmt: skip
PLANNED = [
    (("a.png", "--dry-run"), 0), (("a.png", "b.jpg", "-n", "--json"), 0), (("in", "-r", "-n", "-o", "big"), 0),
    (("a.png", "-o", "a.png"), 2), (("missing.png",), 1), (("c.png",), 1), (("a.png", "--quality", "99"), 2),
    (("in/a.png", "a.png", "-o", "out"), 2), (("bad.png", "missing.png"), 1), (("a.png", "-o", "b.xyz"), 2),
]  # fmt: skip


def test_torch_is_not_imported_on_the_cpu():
    """All command lines run in one process: an imported module stays."""
    for name in ("a.png", "b.jpg", "c.png", "c_x2.png", "in/a.png", "in/deep/b.png"):
        save(name)
    Path("bad.png").touch()
    Path("none").mkdir()
    on_devices = [("a.png", "-o", "done.png"), ("in/a.png", "--device", "mps")]
    lines = [arguments for arguments, _ in CHEAP + PLANNED] + on_devices
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], input=json.dumps(lines), capture_output=True, text=True, check=False,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = [line.split() for line in done.stdout.splitlines()]
    *before, enlarged, last = found
    assert enlarged[:2] == ["0", "False"]  # nor for an image on the CPU
    assert [line[0] for line in before] == [str(status) for _, status in CHEAP + PLANNED]
    assert {line[1] for line in before} == {"False"}
    assert {tuple(line[2:]) for line in before[: len(CHEAP)]} == {("False", "False")}
    assert last[1] == "True"  # the control: torch knows whether the device exists


# Quiet, verbose, help ----------------------------------------------------------------------------------------------


@pytest.fixture
def one_image_per_outcome():
    """A folder with one image each that is written, written with a loss, skipped, and failed."""
    save("in/a.png")
    save("in/b.png", mode="LA")
    save("in/c.png")
    Path("in/d.png").touch()
    Path("out").mkdir()
    Path("out/c_x2.jpg").touch()
    return "in", "-o", "out", "--format", "jpg"


def test_by_default_a_batch_prints_a_summary_errors_and_warnings(one_image_per_outcome):
    ended = upsample(*one_image_per_outcome)
    assert ended.status == 1
    assert [line.split()[:2] for line in ended.out.splitlines()] == [
        ["written", "2"],
        ["skipped", "1"],
        ["failed", "1"],
    ]
    speed = r"^written +2  0\.0015 MP in \d+\.\d s(: [\d.]+ images/s, 0\.\d+ MP/s)?; see out/$"
    assert re.search(speed, ended.out, re.MULTILINE)
    kinds = sorted(line.split(":")[0] for line in ended.err.splitlines())
    assert kinds == ["error", "warning"]  # skipped images are only in the summary


def test_quiet_prints_only_errors(one_image_per_outcome):
    ended = upsample(*one_image_per_outcome, "-q")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "error: in/d.png: is empty; get a new copy of it\n"
    assert upsample("in/a.png", "-q").out == ""


def test_verbose_adds_a_line_for_every_image(one_image_per_outcome):
    ended = upsample(*one_image_per_outcome, "-v", "--workers", 1)
    lines = ended.out.splitlines()
    assert lines[0] == "in/c.png -> out/c_x2.jpg  17x11 -> 34x22  skipped"
    assert re.fullmatch(r"in/a\.png -> out/a_x2\.jpg  17x11 -> 34x22  \d+\.\d\d s  [a-z-]+", lines[1])
    assert re.fullmatch(r"in/b\.png -> out/b_x2\.jpg  17x11 -> 34x22  \d+\.\d\d s  [a-z-]+", lines[2])
    assert lines[3].split()[0] == "written"


def test_one_image_is_one_line():
    save("a.png")
    ended = upsample("a.png")
    assert re.fullmatch(r"a\.png -> a_x2\.png  17x11 -> 34x22  \d+\.\d\d s\n", ended.out)
    assert ended.err == ""


def test_lines_are_not_wrapped_and_names_are_unchanged():
    name = "[bold]" + "long " * 35 + ":smile: \\[x].png"
    save(name, (2, 3))
    Path("new\nline[red]\x1b[31m.png").touch()
    ended = upsample(name, "new\nline[red]\x1b[31m.png", "-v")
    shown = f"{name} -> {name.removesuffix('.png')}_x2.png  3x2 -> 6x4"
    assert ended.out.splitlines()[0].startswith(shown)
    assert ended.err == "error: new\\nline[red]\\x1b[31m.png: is empty; get a new copy of it\n"


def test_help_and_version():
    for flag in ("-h", "--help"):
        ended = upsample(flag)
        assert (ended.status, ended.err) == (0, "")
        for option in (
            "--factor", "--output", "--kernel", "--border", "--alpha", "--device", "--memory", "--tile", "--recursive",
            "--workers", "--format", "--quality", "--overwrite", "--strict", "--max-pixels", "--dry-run", "--json",
            "--quiet", "--verbose", "--debug", "--version", "--help",
        ):  # fmt: skip
            assert option in ended.out
    assert upsample("--version").out == f"upsample {__version__}\n"


def test_only_debug_shows_a_traceback(monkeypatch):
    save("a.png")
    monkeypatch.setattr("upsample_cli.enlarge.rows.convert_rows", lambda *_: 1 // 0)
    ended = upsample("a.png")
    assert (ended.status, names(".")) == (1, ["a.png"])
    (line,) = ended.errors
    assert line.startswith("a.png: ZeroDivisionError: ")
    assert line.endswith("this should not happen: --debug shows where")
    ended = upsample("a.png", "--debug")
    assert (ended.status, names(".")) == (1, ["a.png"])
    assert "Traceback (most recent call last)" in ended.err
    assert "ZeroDivisionError" in ended.err.splitlines()[-1]


# Terminals ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def terminal(columns=100):
    """A pseudo-terminal: (the command's end, a function that returns all output)."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown = bytearray()

    def read():
        with contextlib.suppress(OSError):  # Linux raises an error at the end
            while data := os.read(ours, 1 << 16):
                shown.extend(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def everything():
        os.close(theirs)  # the reader ends when the last user closes its end
        reader.join(60)
        assert not reader.is_alive()
        return shown.decode()

    yield theirs, everything
    os.close(ours)


BARS = re.compile(r"\d of 3 images")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3|9)\d(?:;\d+)*m")


@pytest.fixture
def three_large():
    one = save("in/one.png", (3000, 4001), "RGB", compress_level=0)
    for name in ("[two].png", "a name of more than forty characters, which is cut.png"):
        Path(f"in/{name}").hardlink_to(one)
    return "in", "-o", "out/"


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_bars_are_drawn_on_a_terminal_and_not_in_a_pipe(three_large):
    """stderr is a terminal and stdout is a pipe: the bars go to the terminal, the results go to the pipe."""
    with terminal() as (end, shown):
        done = subprocess.run(
            [*COMMAND, *three_large, "-v"],
            stdout=subprocess.PIPE,
            stderr=end,
            check=True,
            env=ENVIRONMENT | {"TERM": "xterm"},
        )
        seen = shown()
    assert {"0 of 3 images", "3 of 3 images"} <= set(BARS.findall(seen))
    assert "one.png" in seen
    assert "[two].png" in seen
    assert "a name of more than fort…hich is cut.png" in seen
    assert re.search(r"[1-9]\d* MP/s", seen)
    assert re.search(r"\d:\d\d:\d\d", seen)
    assert "100%" in seen
    assert COLOUR.search(seen)
    *results, summary = done.stdout.decode().splitlines()
    assert sorted(line.split(" -> ")[0] for line in results) == [f"in/{name}" for name in names("in")]
    assert summary.split()[:2] == ["written", "3"]
    assert b"\x1b" not in done.stdout
    assert "->" not in seen


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_results_are_printed_above_the_bars_and_no_color_is_honoured(three_large):
    """stdout and stderr are the same terminal; the control for colours is the test above."""
    with terminal() as (end, shown):
        ended = upsample(*three_large, "-v", terminal=end, TERM="xterm", NO_COLOR="1", COLUMNS="100")
        seen = shown()
    assert ended.status == 0
    assert "3 of 3 images" in seen
    for name in names("in"):
        assert f"in/{name} -> out/" in seen
    assert not COLOUR.search(seen)


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_pipe_gets_no_bars_even_with_forced_colours(variable):
    save("in/a.png")
    save("in/b.png")
    ended = upsample("in", "-v", **{variable: "1"})
    assert ended.status == 0
    assert ended.err == ""
    assert "of 2 images" not in ended.out
    assert ended.out.count("->") == 4  # results stay on stdout


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_quiet_draws_no_bars():
    save("in/a.png")
    save("in/b.png")
    with terminal() as (end, shown):
        ended = upsample("in", "-q", terminal=end, TERM="xterm")
        seen = shown()
    assert (ended.status, seen) == (0, "")
    assert names("in_x2") == ["a_x2.png", "b_x2.png"]
