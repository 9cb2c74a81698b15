"""`--report`: the entries of `files` in `--json`, one whole line each, never into another file; and the summary."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from support.running import COMMAND, ENVIRONMENT, save, tree, upsample

from upsample_cli.cli.report.gallery import Gallery
from upsample_cli.cli.report.json_lines import ReportFile
from upsample_cli.cli.report.summary import KEPT_FAILURES, Summary, cause_of
from upsample_cli.enlarge.job import Result
from upsample_cli.errors import Failure, OutputExistsError

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def lines(path):
    text = Path(path).read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_each_line_is_an_entry_of_the_json_document():
    save("in/a.png")
    save("in/b.png", mode="LA")
    Path("in/c.png").touch()
    Path("out").mkdir()
    Path("logs").mkdir()
    Path("out/a_x2.jpg").touch()
    ended = upsample("in", "-o", "out", "--format", "jpg", "--report", "logs/r.jsonl", "--json")
    assert ended.status == 1
    files = ended.document["files"]
    assert sorted(lines("logs/r.jsonl"), key=lambda each: each["input"]) == files
    assert [file["status"] for file in files] == ["skipped", "written", "failed"]
    assert files[1]["warnings"]


def test_a_resumed_run_appends_to_the_report_after_ending_an_incomplete_line():
    save("in/a.png")
    upsample("in", "-o", "out/", "--report", "r.jsonl")
    whole = Path("r.jsonl").read_bytes()
    Path("r.jsonl").write_bytes(whole + whole[:30])  # as after a full disk
    save("in/b.png")
    assert upsample("in", "-o", "out/", "--report", "r.jsonl").status == 0
    first, incomplete, *rest = Path("r.jsonl").read_bytes().splitlines(keepends=True)
    assert (first, incomplete) == (whole, whole[:30] + b"\n")
    assert sorted((record["input"], record["status"]) for record in map(json.loads, rest)) == [
        ("in/a.png", "skipped"),
        ("in/b.png", "written"),
    ]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_run_leaves_whole_lines():
    for index in range(40):
        save(f"in/{index}.png", (300, 401), seed=index)
    command = [*COMMAND, "in", "-o", "out/", "-f", "4", "--report", "r.jsonl"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        until_s = time.monotonic() + 60
        while not (Path("r.jsonl").exists() and Path("r.jsonl").read_bytes().count(b"\n") >= 3):
            assert time.monotonic() < until_s
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    assert 3 <= len(lines("r.jsonl")) <= 40


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("b.txt", "b.txt exists and is not a report; give --report another name"),
        ("b.png", "--report b.png has the name of a PNG file, and is not one; give it another extension"),
        ("new.JPG", "--report new.JPG has the name of a JPEG file, and is not one; give it another extension"),
        ("in", "in: is a folder; give --report another name"),
        ("in/a.png/r.jsonl", "in/a.png/r.jsonl: cannot be written: a part of its path is not a folder"),
        ("", "--report '' is not the name of a file; give it one"),
        ("-", "--report '-' is not the name of a file; give it one"),
    ],
)
def test_an_invalid_report_ends_the_run_before_the_first_pixel(name, message):
    save("in/a.png")
    image = save("b.png").read_bytes()
    Path("b.txt").write_bytes(image)
    ended = upsample("in", "-o", "out/", "--report", name)
    assert ended.status == 2
    assert ended.err.startswith(f"upsample: {message}"), ended.err
    assert ended.err.count("\n") == 1
    assert not Path("out/a_x2.png").exists()
    assert Path("b.png").read_bytes() == Path("b.txt").read_bytes() == image
    assert not Path("new.JPG").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--state", "x", "--report", "x"], "--state and --report would both be written to x; give each a name"),
        (["--state", "in/../x", "--gallery", "x"], "--state and --gallery would both be written to x; give each a"),
        (["--report", "x.html", "--gallery", "./x.html"], "--report and --gallery would both be written to x.html"),
        (["--gallery", "in/a.png"], "in/a.png is an image of this run, so it cannot be the --gallery; give it another"),
        (["--gallery", "link.png"], "in/a.png is an image of this run, so it cannot be the --gallery; give it another"),
        (["--gallery", "out/b_x2.png"], "out/b_x2.png is an image of this run, so it cannot be the --gallery; give it"),
        (
            ["--report", "in/../out/b_x2.png"],
            "out/b_x2.png is an image of this run, so it cannot be the --report; give",
        ),
    ],
)
def test_report_gallery_and_record_never_share_a_file_with_each_other_or_an_image(arguments, message):
    """Otherwise `--overwrite` would replace an image by the page, or one of two files would overwrite the other."""
    for name in ("a", "b"):
        save(f"in/{name}.png")
    Path("link.png").symlink_to("in/a.png")
    before = tree(".")
    ended = upsample("in", "-o", "out", "--overwrite", *arguments)
    assert (ended.status, ended.err.startswith(f"upsample: {message}")) == (2, True), ended.err
    assert tree(".") == before


@pytest.mark.parametrize("option", ["--gallery", "--report"])
def test_neither_a_report_nor_a_gallery_replaces_the_file_of_the_kernel(option):
    save("a.png")
    np.save("kernel.npy", np.ones((1, 1, 2, 2), np.float32))
    Path("link").symlink_to("kernel.npy")
    before = tree(".")
    for name in ("kernel.npy", "link"):
        ended = upsample("a.png", "--kernel", "kernel.npy", "--overwrite", option, name)
        assert (ended.status, tree(".")) == (2, before)
        message = f"upsample: kernel.npy holds the --kernel, so it cannot be the {option}; give it another name\n"
        assert ended.err == message
    assert upsample("a.png", "--kernel", "kernel.npy", option, "new").status == 0  # control: another name


def test_a_dry_run_writes_no_report():
    save("a.png")
    ended = upsample("a.png", "-n", "--report", "r.jsonl")
    assert (ended.status, Path("r.jsonl").exists()) == (2, False)
    assert ended.err == "upsample: --report writes a file, and --dry-run writes nothing; use --json\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_report_that_cannot_be_completed_is_an_error_and_the_images_are_written():
    save("in/a.png")
    save("in/b.png")
    ended = upsample("in", "-o", "out/", "--report", "/dev/full")
    assert ended.status == 1
    assert ended.errors == ["/dev/full: cannot be written: the disk is full; give --report another name"]
    assert Path("out/a_x2.png").exists()
    assert Path("out/b_x2.png").exists()


def existing_report(path):
    path.write_bytes(b'{"input": "mine.png"}\n')
    return path


@pytest.mark.skipif(os.name == "nt", reason="POSIX links and pipes")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("new.txt"), "is a symbolic link"),
        (lambda path: path.symlink_to(existing_report(Path("mine.jsonl"))), "is a symbolic link"),
        (lambda path: path.hardlink_to(existing_report(Path("mine.jsonl"))), "has another name too (a hard link)"),
        (os.mkfifo, "is not a regular file"),
    ],
)
@pytest.mark.parametrize("option", ["--report", "--gallery"])
def test_links_and_pipes_planted_at_the_name_of_a_report_or_a_gallery_are_refused(option, make, message):
    save("in/a.png")
    planted = Path("in/r.txt")
    make(planted)
    before, status = tree("."), planted.lstat()
    ended = upsample("in", "-o", "out/", "--overwrite", option, planted)
    assert (ended.status, ended.err) == (2, f"upsample: {planted}: {message}; give {option} another name\n")
    assert tree(".") == before
    assert planted.lstat().st_ino == status.st_ino


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_a_link_that_appears_at_the_name_of_the_gallery_during_the_run_is_not_followed(monkeypatch):
    save("in/a.png")
    make = Gallery._make

    def make_late(self, result):
        make(self, result)
        Path("out/g.html").symlink_to(Path("new.html").absolute())

    monkeypatch.setattr(Gallery, "_make", make_late)
    ended = upsample("in", "-o", "out/", "--gallery", "out/g.html")
    message = "out/g.html: is a symbolic link, which is neither followed nor replaced; remove it, or write elsewhere"
    assert (ended.status, ended.errors) == (1, [message])
    assert Path("out/a_x2.png").exists()
    assert not Path("new.html").exists()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd")
def test_a_report_may_go_to_a_pipe_from_the_shell():
    save("in/a.png")
    reading, writing = os.pipe()
    assert upsample("in", "-o", "out/", "--report", f"/dev/fd/{writing}").status == 0
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert json.loads(pipe.read())["status"] == "written"


def test_names_that_are_not_valid_text_stay_on_one_line(tmp_path):
    path = tmp_path / "r.jsonl"
    with ReportFile(path) as report:
        report.add(Result(Path("new\nline\udcff.png"), status="failed", failure=Failure("damaged", "é")))
    (record,) = lines(path)
    assert record["input"] == "new\nline\udcff.png"
    assert len(path.read_bytes().splitlines()) == 1


# The summary --------------------------------------------------------------------------------------------------------


def failure(name, cause):
    return Result(Path(name), Path("out", name), "failed", failure=Failure("damaged", cause, "do something", name))


def test_causes_are_counted_without_names_and_results_are_not_kept():
    summary = Summary()
    for index in range(250):
        summary.add(failure(f"{index}.png", "is empty"))
    for index in range(150):
        summary.add(failure(f"{index}.jpg", f"is wrong in way {index}"))
    summary.add(Result(Path("a; b.png"), Path("o.png"), "written", 1, 2, 1000, 1500, elapsed_s=1))
    summary.add(Result(Path("c.png"), Path("o.png"), "skipped"))
    exists = OutputExistsError("o.png").failure
    summary.add(Result(Path("d.png"), Path("o.png"), "skipped", failure=exists))
    assert list(summary.lines(2.0, retry="again")) == [
        "written       1  1.5 MP in 2.0 s: 0.5 images/s, 0.75 MP/s; see ./",
        "skipped       2  1: done already",
        "                 1: exists already; add --overwrite to replace it",
        "failed      400  250: is empty",
        "                 1: is wrong in way 0",
        "                 1: is wrong in way 1",
        "                 1: is wrong in way 2",
        "                 147: other causes",
        "                 again",
    ]
    assert len(summary.first_failures) == KEPT_FAILURES
    assert len(summary.causes["failed"]) <= 101


def test_a_semicolon_in_a_name_does_not_split_the_cause():
    assert cause_of(failure("a; b: c.png", "is empty")) == "is empty"


def test_failures_that_scrolled_away_are_repeated_in_the_summary():
    save("in/ok.png")
    for index in range(30):
        Path(f"in/{index:02}.png").touch()
    ended = upsample("in", "-o", "out/")
    assert len(ended.errors) == 30  # each once, for programs that read them
    printed = ended.out.splitlines()
    assert printed[-6] == "What failed, the first 5 of 30:"
    assert printed[-5] == "  in/00.png: is empty; get a new copy of it"
    for index in range(29):
        Path(f"in/{index:02}.png").unlink()
    assert "What failed" not in upsample("in", "-o", "out/").out


def test_the_document_is_formatted_as_json_does():
    for names in ((), ("b", "a", "c")):
        for name in names:
            save(f"in/{name}.png")
        Path("in/bad.png").parent.mkdir(exist_ok=True)
        Path("in/bad.png").touch()
        ended = upsample("in", "-o", "out/", "--json")
        assert ended.out == json.dumps(ended.document, indent=2) + "\n"
        assert [file["input"] for file in ended.document["files"]] == sorted(str(path) for path in Path("in").iterdir())
