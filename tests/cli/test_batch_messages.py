"""Messages of a batch that is stopped, planned or resumed; its counts, and where its own files may be."""

import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from support.jobs import job_of
from support.running import COMMAND, ENVIRONMENT, names, save, tree, upsample

from upsample_cli.cli.report import gallery_page
from upsample_cli.cli.report.bars import Bars
from upsample_cli.cli.report.console import Report
from upsample_cli.cli.report.output import Output
from upsample_cli.cli.report.summary import Summary
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure

HINT = " " * 17 + "--retry-failed tries again what failed"


def truncated_image(name):
    """An image with an intact header, so that it fails only during the run and is recorded."""
    path = save(name)
    path.write_bytes(path.read_bytes()[:-40])


# Interrupted --------------------------------------------------------------------------------------------------------


def stopped(*arguments, number=signal.SIGINT, **streams):
    """(status, stdout, stderr) of a process that receives a signal once it has a temporary file on disk."""
    settings = {"stdout": -1, "stderr": -1, "text": True, "env": ENVIRONMENT} | streams
    with subprocess.Popen([*COMMAND, *arguments], start_new_session=True, **settings) as process:
        until_s = time.monotonic() + 60
        while not list(Path().glob("**/.*.part")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until_s
            time.sleep(0.005)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def large():
    first = save("in/0.png", (1500, 1601), compress_level=0)
    for index in range(1, 20):
        Path(f"in/{index}.png").hardlink_to(first)


pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals and terminals"),
]


@pytest.mark.parametrize(
    ("arguments", "end"), [((), "; run the same command again to continue"), (("--no-state",), "")]
)
def test_a_stopped_batch_first_says_how_many_images_are_left(large, arguments, end):
    status, out, err = stopped("in", "-o", "out", *arguments, number=signal.SIGTERM)
    done = len([name for name in names("out") if name.endswith(".png")])
    assert (status, err) == (143, "")
    first, second = out.splitlines()[:2]
    assert first == f"stopped: {20 - done} not done{end}"
    assert second.split()[:2] == ["written", str(done)]


def test_the_document_says_stopped_only_if_the_run_was_stopped(large):
    status, out, _ = stopped("in", "-o", "out", "--json")
    document = json.loads(out)
    assert status == 130
    assert document["stopped"] is True
    assert list(document)[:2] == ["files", "summary"]
    assert "stopped" not in upsample("in/0.png", "-n", "--json").document


@pytest.mark.parametrize("count", [1, 2])
def test_files_of_other_formats_in_a_folder_are_counted(count):
    Path("in/sub").mkdir(parents=True)
    for index in range(count):
        save(f"in/{index}.png", (3, 2), "L")
    for name in ("a.EXR", "b.exr", "c.svg", "sub/d.cr2", "notes.txt", ".e.exr"):
        Path("in", name).write_bytes(b"not looked into")
    message = "3 files of other formats: .exr 2, .svg 1"
    ended = upsample("in", "-n")
    assert message in ended.err + ended.out
    ended = upsample("in", "-n", "-r", "--json")
    assert ended.document["other_formats"] == {".exr": 2, ".svg": 1, ".cr2": 1}
    assert "formats" not in upsample("in", "-o", "out", "-q").err
    assert "other_formats" not in upsample("in/0.png", "-n", "--json").document
    for name in ("a.EXR", "b.exr", "c.svg"):
        Path("in", name).unlink()
    ended = upsample("in", "-n")
    assert "formats" not in ended.err + ended.out


def test_a_folder_with_only_other_formats_is_an_error_that_counts_them():
    Path("in").mkdir()
    Path("in/a.exr").write_bytes(b"")
    ended = upsample("in")
    assert (ended.status, ended.out) == (2, "")
    assert "no images in in, but 1 file of other formats: .exr 1; name images" in ended.err


def test_stopping_a_single_image_is_one_line():
    save("large.png", (2500, 2501), "L", compress_level=0)
    assert stopped("large.png", "-f", "12") == (130, "", "stopped; nothing was written\n")
    assert names(".") == ["large.png"]
    assert stopped("large.png", "-f", "12", "-q") == (130, "", "")


def test_bars_leave_room_for_the_ctrl_c_of_the_terminal():
    """The bars leave two columns free: a full last line would wrap, and the bars would be erased one line too low."""
    job = job_of(Path("a.png"), Path("o.png"), 100, 201)
    bars = Bars(Output(io.StringIO()))
    bars.expect([job])
    bars.started(job)
    for columns in (20, 59, 80):
        console = Console(file=io.StringIO(), width=columns)
        console.print(bars)
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines)) == columns - 2


@contextlib.contextmanager
def terminal():
    """(the command's end of the terminal, the output so far)."""
    ours, theirs = os.openpty()
    shown = bytearray()

    def read():
        with contextlib.suppress(OSError):
            while data := os.read(ours, 1 << 16):
                shown.extend(data)

    threading.Thread(target=read, daemon=True).start()
    yield theirs, shown
    os.close(theirs)
    os.close(ours)


def test_without_bars_the_summary_begins_on_a_new_line(large):
    with terminal() as (end, shown):
        status, _, _ = stopped("in", "-o", "out", stdout=end)
        time.sleep(0.2)
        text = shown.decode()
    assert status == 130
    assert text.startswith("\r\n")
    assert "stopped:" in text.splitlines()[1]


# Planned and resumed ------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_a_line_for_each_image_and_no_hint_about_a_record():
    save("in/a.png")
    truncated_image("in/b.png")
    Path("in/empty.png").touch()
    ended = upsample("in", "-o", "out", "-n")
    assert ended.status == 1
    assert ended.out.splitlines()[:2] == [
        "in/a.png -> out/a_x2.png  17x11 -> 34x22  planned",
        "in/b.png -> out/b_x2.png  17x11 -> 34x22  planned",
    ]
    assert upsample("in", "-o", "out").out.splitlines()[-1] == HINT
    for more in ((), ("-n",)):
        assert ("--retry-failed" in upsample("in", "-o", "out", *more).out) == (not more)
    assert upsample("in", "-o", "out", "-n", "-q").out == ""


NAMES = ["[bold]a.png", "b[0].png", "c:smile:.png", "d é 漢.png", "e\\[f].png", f"{'g' * 150}.png"]


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not have")
def test_a_line_in_a_file_is_the_one_on_a_terminal_and_is_written_without_rich(monkeypatch):
    results = [Result(Path("in", name), Path("out", name), "planned", 2, 3, 4, 6) for name in NAMES]
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")  # rich writes no colours
    printed = []
    original = Console.print
    monkeypatch.setattr(Console, "print", lambda *given, **more: printed.append(given) or original(*given, **more))
    shown = []
    for is_terminal in (True, False):
        file = io.StringIO()
        file.isatty = lambda is_terminal=is_terminal: is_terminal
        report = Report(Output(file), Output(file), is_single=False, verbose=True)
        for result in results:
            report.add(result)
            report.message("warning", "yellow", str(result.output))
        report.close(Options(), "cpu", 1.0)
        assert (len(printed) > 2 * len(NAMES)) == is_terminal
        printed.clear()
        shown.append(file.getvalue())
    assert shown[0] == shown[1]
    lines = [(f"in/{name} -> out/{name}  3x2 -> 6x4  planned", f"warning: out/{name}") for name in NAMES]
    assert shown[1].splitlines()[: 2 * len(NAMES)] == [*itertools.chain.from_iterable(lines)]


def test_the_hint_appears_only_if_a_record_contains_a_failure():
    """An image that cannot even be planned is tried in each run, and needs no option."""
    save("in/a.png")
    Path("in/empty.png").touch()
    assert "--retry-failed" not in upsample("in", "-o", "out").out
    truncated_image("in/b.png")
    assert upsample("in", "-o", "out").out.splitlines()[-1] == HINT
    assert "--retry-failed" not in upsample("in", "-o", "out", "--retry-failed").out
    assert "--retry-failed" not in upsample("in", "-o", "other", "--no-state").out


def test_verbose_says_why_an_image_is_skipped():
    save("in/a.png")
    upsample("in", "-o", "out")
    line = upsample("in", "-o", "out", "-v").out.splitlines()[0]
    assert line == "in/a.png -> out/a_x2.png  17x11 -> 34x22  skipped: done already"


def test_quiet_and_verbose_cannot_be_combined():
    save("a.png")
    ended = upsample("a.png", "-q", "-v")
    assert (ended.status, ended.err) == (2, "upsample: --quiet and --verbose are opposites; leave one out\n")


@pytest.mark.parametrize(("after", "is_repeated"), [(20, False), (21, True)])
def test_failures_are_repeated_only_if_enough_lines_followed_them(after, is_repeated):
    out = io.StringIO()
    report = Report(Output(out), Output(io.StringIO()), is_single=False, verbose=True)
    written = Result(Path("a.png"), Path("o.png"), "written", 1, 1, 2, 2)
    for _ in range(30):
        report.add(written)
    report.add(Result(Path("b.png"), status="failed", failure=Failure("not-an-image", "is empty", "", "b.png")))
    for _ in range(after - 1):
        report.add(written)
    report.close(Options(), "cpu", 1.0)
    assert ("What failed" in out.getvalue()) == is_repeated


# Counts -------------------------------------------------------------------------------------------------------------


def test_the_bars_count_all_inputs():
    bars = Bars(Output(io.StringIO()))
    bars.expect([job_of(Path(f"{index}.png"), Path("o.png"), 10, 20) for index in range(28)], settled=3)
    bars.result(Result(Path("bad.png"), status="failed", failure=Failure("damaged", "no")))
    console = Console(file=io.StringIO(), width=80)
    console.print(bars)
    first, facts = console.file.getvalue().splitlines()
    assert first.startswith("3 of 31 images ")
    assert facts.rstrip() == "1 failed, starting"


def test_in_a_watch_a_repaired_image_does_not_count_as_failed():
    bad = Result(Path("a.png"), status="failed", failure=Failure("not-an-image", "is empty", "x", "a.png"))
    other = Result(Path("b.png"), status="failed", failure=Failure("damaged", "is damaged", "x", "b.png"))
    good = Result(Path("a.png"), Path("o.png"), "written", 1, 1, 1000, 1000)
    summary = Summary(is_watch=True)
    for result in (bad, bad, other, good):
        summary.add(result)
    assert list(summary.lines(None)) == ["written       1  1.0 MP; see ./", "failed        1  is damaged"]
    assert summary.first_failures == ["b.png: is damaged; x"]
    summary.add(Result(Path("b.png"), Path("o.png"), "skipped"))
    assert list(summary.lines(None)) == ["written       1  1.0 MP; see ./", "skipped       1  done already"]
    batch = Summary()  # the control: in a batch each result belongs to a different image
    for result in (bad, good):
        batch.add(result)
    assert batch.counts["failed"] == 1


# The run's own files -----------------------------------------------------------------------------------------------


def test_a_repeated_command_replaces_only_its_own_gallery():
    save("in/a.png")
    command = ("in", "-o", "out", "--gallery", "g.html")
    assert upsample(*command).status == 0
    first = Path("g.html").read_bytes()
    assert first.startswith(gallery_page.START.encode())
    save("in/b.png", seed=1)
    assert upsample(*command).status == 0
    assert Path("g.html").read_bytes().count(b"<article>") == 2
    Path("g.html").write_bytes(first[:40])
    ended = upsample(*command)
    assert (ended.status, Path("g.html").read_bytes()) == (2, first[:40])
    assert ended.err.startswith("upsample: g.html exists already;")


@pytest.mark.parametrize(("option", "name"), [("--report", "run.jsonl"), ("--gallery", "look.html")])
@pytest.mark.parametrize("folder", ["out", "out/sub"])
def test_a_report_or_a_gallery_may_be_in_a_folder_that_the_run_creates(folder, option, name):
    save("in/sub/a.png")
    ended = upsample("in", "-r", "-o", "out", option, f"{folder}/{name}")
    assert (ended.status, ended.errors) == (0, [])
    assert Path(folder, name).stat().st_size > 0
    assert Path("out/sub/a_x2.png").exists()


@pytest.mark.parametrize("option", ["--report", "--gallery"])
def test_a_missing_folder_for_a_report_or_a_gallery_is_an_error(option):
    save("in/a.png")
    before = tree(".")
    ended = upsample("in", "-o", "out", option, "missing/deep/x.txt")
    message = (
        f"upsample: there is no folder missing/deep for {option} missing/deep/x.txt; make it first, or name another\n"
    )
    assert (ended.status, ended.err) == (2, message)
    assert tree(".") == before
    assert not Path("missing").exists()
