"""A batch started again does exactly the missing work, whatever has changed and whenever it was killed."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.running import COMMAND, ENVIRONMENT, names, save, tree, upsample, upsample_process

from upsample_cli.batch.entry import DoneEntry
from upsample_cli.batch.record.record import RECORD_NAME, Record
from upsample_cli.enlarge import run

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals and links"),
]

KILLS = int(os.environ.get("UPSAMPLE_TEST_KILLS", "3"))
"""How often the run of 60 images is killed. Each start imports torch, so set a larger number only by hand."""


def statuses(*arguments):
    """{input: (status, warning or error)} of a run."""
    files = upsample(*arguments, "--json").document["files"]
    return {Path(file["input"]).name: (file["status"], *file["warnings"]) for file in files}


def rows(path=f"out/{RECORD_NAME}"):
    """{output: row} as another program reads them."""
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        found = db.execute("SELECT * FROM images").fetchall()
    db.close()
    return {each["output"]: dict(each) for each in found}


def change(path, **columns):
    """Overwrite columns in every row."""
    with sqlite3.connect(path) as db:
        for name, value in columns.items():
            db.execute(f"UPDATE images SET {name} = ?", (value,))
    db.close()


@pytest.fixture
def batch():
    """Three images, enlarged into `out`."""
    for index, name in enumerate(("a.png", "b.jpg", "c.bmp")):
        save(f"in/{name}", (11, 17 + index), seed=index)
    assert upsample("in", "-o", "out").status == 0
    return tree("out")


# Finished work ------------------------------------------------------------------------------------------------------


def test_finished_images_are_looked_up_together_and_changed_ones_one_by_one(batch, monkeypatch):
    looked_up = []
    of_input = Record.of_input
    monkeypatch.setattr(Record, "of_input", lambda record, path: looked_up.append(path.name) or of_input(record, path))
    assert [status for status, *_ in statuses("in", "-o", "out").values()] == ["skipped"] * 3
    assert looked_up == []
    save("in/b.jpg", (12, 18), seed=7)
    Path("out/c_x2.bmp").touch() if Path("out/c_x2.bmp").exists() else Path("out/c_x2.png").touch()
    statuses("in", "-o", "out", "--dry-run")
    assert looked_up == ["b.jpg", "c.bmp"]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not Unicode")
@pytest.mark.parametrize("more", [[], ["-o", "big"], ["-f", "3", "--name", "{parent}/{index:03}"], ["--state", "r.db"]])
def test_a_look_up_finds_what_is_done_whatever_the_names_are(more, monkeypatch):
    for name in ("a.png", "ä.png", os.fsdecode(b"b\xff.png"), "sub/c'.png", "sub/a.png"):
        save(f"in/{name}", (4, 5))
    assert upsample("in", "-r", *more).status == 0
    monkeypatch.delattr(Record, "of_input")  # images that the look-up does not find are looked up one by one
    ended = upsample("in", "-r", *more)
    assert [line.split() for line in ended.out.splitlines()][-1] == ["skipped", "5", "done", "already"]


def test_finished_images_have_no_results_unless_a_reporter_needs_them(batch, monkeypatch):
    made, result_of = [], DoneEntry.result.fget
    monkeypatch.setattr(DoneEntry, "result", property(lambda entry: made.append(entry.input) or result_of(entry)))
    assert upsample("in", "-o", "out").out.splitlines()[1:] == ["skipped       3  done already"]
    assert made == []
    for more in (["-v"], ["--json"], ["--report", "r.jsonl"], ["--gallery", "page.html"], ["--dry-run"]):
        upsample("in", "-o", "out", *more)
        assert set(made) == {"in/a.png", "in/b.jpg", "in/c.bmp"}, more
        made.clear()


@pytest.mark.parametrize("more", [[], ["-v"]])  # counted, or with a result each
def test_equally_frequent_causes_have_the_order_of_the_images(batch, more):
    for name in ("0", "z"):
        save(f"in/{name}.png")
        Path(f"out/{name}_x2.png").touch()
    done, there = "done already", "exists already; add --overwrite to replace it"
    for counts in ((f"5  3: {done}", f"2: {there}"), (f"4  2: {there}", f"2: {done}")):
        lines = upsample("in", "-o", "out", *more).out.splitlines()
        assert lines[-2:] == [f"skipped       {counts[0]}", f"{' ' * 17}{counts[1]}"]
        Path("in/c.bmp").unlink(missing_ok=True)


def test_finished_images_are_skipped_without_being_opened(batch, monkeypatch):
    def opened(*arguments, **keywords):
        raise AssertionError("opened")

    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir() if path.suffix != ".sqlite"}
    monkeypatch.setattr("upsample_cli.batch.plan.plan_job", opened)
    for more in ([], ["--overwrite"], ["--dry-run"], ["--check-content"], ["--device", "cpu", "--memory", "1G"]):
        ended = upsample("in", "-o", "out", *more)
        assert (ended.status, ended.err) == (0, ""), more
        assert [line.split() for line in ended.out.splitlines()][-1] == ["skipped", "3", "done", "already"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    document = upsample("in", "-o", "out", "--json").document
    assert [(file["status"], file["warnings"], file["output_height"]) for file in document["files"]] == [
        ("skipped", [], 22)
    ] * 3


def test_only_missing_outputs_are_made(batch):
    Path("out/b_x2.jpg").unlink()
    save("in/d.png", seed=9)
    assert {name: outcome[0] for name, outcome in statuses("in", "-o", "out").items()} == {
        "a.png": "skipped", "b.jpg": "written", "c.bmp": "skipped", "d.png": "written",
    }  # fmt: skip
    assert tree("out")["b_x2.jpg"] == batch["b_x2.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kernel", "nearest"], "was made with --kernel bilinear"),
        (["--border", "zeros"], "was made with --border replicate"),
        (["--border", "wrap"], "was made with --border replicate"),
        (["--metadata", "strip"], "was made with --metadata keep"),
        (["--linear-light"], "was made with no --linear-light"),
        (["--factor", "3", "--name", "{stem}_x2{ext}"], "was made with --factor 2"),
    ],
)
def test_a_changed_setting_is_reported_and_applied_only_with_overwrite(batch, arguments, message):
    found = statuses("in", "-o", "out", *arguments)
    assert found["a.png"] == ("skipped", f"out/a_x2.png: {message}; --overwrite replaces it")
    assert tree("out") == batch
    planned = statuses("in", "-o", "out", *arguments, "--overwrite", "--dry-run")
    assert planned["a.png"] == ("planned", f"made again: its output {message}")
    assert [outcome[0] for outcome in statuses("in", "-o", "out", *arguments, "--overwrite").values()] == [
        "written"
    ] * 3
    assert [outcome[0] for outcome in statuses("in", "-o", "out", *arguments).values()] == ["skipped"] * 3
    again = statuses("in", "-o", "out", *arguments, "--overwrite")
    assert list(again.values()) == [("skipped",)] * 3  # up to date, so not made again
    if "strip" not in arguments:  # these images have no metadata to strip
        assert tree("out")["a_x2.png"] != batch["a_x2.png"]


def test_a_changed_input_is_detected(batch):
    save("in/a.png", (13, 7), seed=5)
    message = "was made before the input changed"
    assert statuses("in", "-o", "out")["a.png"] == ("skipped", f"out/a_x2.png: {message}; --overwrite replaces it")
    assert {name: outcome[0] for name, outcome in statuses("in", "-o", "out", "--overwrite").items()} == {
        "a.png": "written", "b.jpg": "skipped", "c.bmp": "skipped",
    }  # fmt: skip


def test_check_content_compares_inputs_by_content_and_not_by_time():
    save("in/a.png")
    save("in/b.png", seed=1)
    assert upsample("in", "-o", "out", "--check-content").status == 0
    os.utime("in/a.png", ns=(1, 1))
    kept = Path("in/b.png").stat()
    twin = bytearray(Path("in/b.png").read_bytes())
    twin[-1] ^= 1  # changes the final checksum and keeps the size
    Path("in/b.png").write_bytes(twin)
    os.utime("in/b.png", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    by_time = statuses("in", "-o", "out")
    assert (len(by_time["a.png"]), by_time["b.png"]) == (2, ("skipped",))
    by_content = statuses("in", "-o", "out", "--check-content")
    assert (by_content["a.png"], len(by_content["b.png"])) == (("skipped",), 2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b""),
        lambda path: os.utime(path, ns=(5, 5)),
    ],
)
def test_an_altered_output_does_not_count_as_done(batch, spoil):
    spoil(Path("out/a_x2.png"))
    message = "was altered after it was written"
    assert statuses("in", "-o", "out")["a.png"] == ("skipped", f"out/a_x2.png: {message}; --overwrite replaces it")
    assert statuses("in", "-o", "out", "--overwrite")["a.png"][0] == "written"
    assert tree("out") == batch


def test_an_output_made_from_another_input_does_not_count_as_done(batch):
    shutil.copytree("in", "other")
    for path in Path("in").iterdir():
        status = path.stat()
        os.utime(f"other/{path.name}", ns=(status.st_atime_ns, status.st_mtime_ns))
    message = f"was made from the one in {Path.cwd()}/in"
    assert statuses("other", "-o", "out")["a.png"][1] == f"out/a_x2.png: {message}; --overwrite replaces it"


def test_moved_inputs_share_one_line_in_the_summary(batch):
    Path("in").rename("moved")
    ended = upsample("moved", "-o", "out")
    message = f"was made from the one in {Path.cwd()}/in; --overwrite replaces it"
    assert ended.out.splitlines()[1:] == [f"skipped       3  {message}"]


def test_outputs_in_the_input_folder_are_not_inputs_of_the_next_run():
    for name in ("in/a.png", "in/b.png", "in/sub/c.png"):
        save(name)
    arguments = ("in", "-r", "-o", "in")
    assert len(statuses(*arguments)) == 3
    made = names("in")
    assert statuses(*arguments) == dict.fromkeys(("a.png", "b.png", "c.png"), ("skipped",))
    assert list(statuses(*arguments, "-f", "3").values()) == [("written",)] * 3
    change(f"in/{RECORD_NAME}", status="started")  # killed while writing them
    assert statuses(*arguments, "--dry-run").keys() == {"a.png", "b.png", "c.png"}
    assert names("in") == sorted([*made, "a_x3.png", "b_x3.png", "sub/c_x3.png"])
    # With another output folder, named as inputs, or without our record, they are images like any other.
    assert len(statuses("in", "-r", "-o", "out", "--state", "in/.upsample.sqlite")) == 9
    assert len(statuses("in/a.png", "in/a_x2.png", "-o", "in/", "--dry-run")) == 2
    assert len(statuses(*arguments, "--no-state", "--dry-run")) == 9


def test_existing_outputs_without_a_record_stay(batch):
    Path("out", RECORD_NAME).unlink()
    assert statuses("in", "-o", "out")["a.png"] == (
        "skipped", "out/a_x2.png: exists already; add --overwrite to replace it",
    )  # fmt: skip
    assert not Path("out", RECORD_NAME).exists()  # nothing was done, so nothing is recorded


def test_outputs_with_two_factors_in_one_folder_are_both_recorded():
    save("in/a.png")
    for factor in (2, 3, 2, 3):
        assert upsample("in", "-o", "out", "-f", factor).status == 0
    assert sorted(rows()) == ["a_x2.png", "a_x3.png"]
    assert statuses("in", "-o", "out", "-f", "3") == {"a.png": ("skipped",)}


def test_a_folder_moved_with_its_record_is_still_done(batch):
    Path("out").rename("elsewhere")
    assert statuses("in", "-o", "elsewhere") == dict.fromkeys(("a.png", "b.jpg", "c.bmp"), ("skipped",))


def test_names_that_are_not_valid_text_are_recorded():
    name = os.fsencode("in/") + b"\xff\xfe.png"
    save("in/a.png")
    os.rename("in/a.png", name)  # noqa: PTH104
    assert upsample("in", "-o", "out").status == 0
    assert [file["status"] for file in upsample("in", "-o", "out", "--json").document["files"]] == ["skipped"]
    assert [key for key in rows() if isinstance(key, bytes)] == [b"\xff\xfe_x2.png"]


# The place of the record --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["in"], f"in_x2/{RECORD_NAME}"),
        (["in/a.png", "in/b.png", "-o", "out/"], f"out/{RECORD_NAME}"),
        (["in/a.png", "-o", "out/"], None),
        (["in/a.png"], None),
        (["in/a.png", "in/b.png"], None),
        (["in", "other"], None),
        (["in", "--no-state"], None),
        (["in/a.png", "in/b.png", "--state", "s/run.db"], "s/run.db"),
        (["in", "--state", "run.db"], "run.db"),
        (["in", "--dry-run"], None),
    ],
)
def test_the_record_is_in_the_output_folder_or_at_the_given_path(arguments, place):
    for name in ("in/a.png", "in/b.png", "other/c.png"):
        save(name)
    assert upsample(*arguments).status == 0
    found = [path.as_posix() for path in Path().rglob("*") if path.name == RECORD_NAME or path.suffix == ".db"]
    assert found == ([place] if place else [])
    if place:
        assert set(statuses(*arguments).values()) == {("skipped",)}


def test_a_dry_run_writes_nothing_and_reports_unfinished_outputs(batch):
    before = tree("in"), names(".")
    upsample("in", "-o", "new", "--dry-run", "--name", "{parent}/{stem}{ext}")
    assert (tree("in"), names(".")) == before
    Path("out/a_x2.png").unlink()
    change(f"out/{RECORD_NAME}", status="started")
    bytes_before = Path("out", RECORD_NAME).read_bytes()
    Path("out/.a_x2.png.0123abcd.part").touch()
    found = statuses("in", "-o", "out", "--dry-run")
    assert found["a.png"] == ("planned", "made again: its output was not finished")
    assert Path("out", RECORD_NAME).read_bytes() == bytes_before
    assert Path("out/.a_x2.png.0123abcd.part").exists()


def test_a_record_is_never_an_input(batch):
    assert statuses("out", "-o", "again").keys() == {"a_x2.png", "b_x2.jpg", "c_x2.bmp"}
    assert statuses(f"out/{RECORD_NAME}", "in/a.png", "-o", "more/") == {
        RECORD_NAME: ("failed",),
        "a.png": ("written",),
    }


# Files left by killed runs ------------------------------------------------------------------------------------------


def test_a_complete_output_of_a_killed_run_is_kept_and_an_empty_one_is_made_again(batch):
    """The run was killed after an output got its final name and before the record said so."""
    change(f"out/{RECORD_NAME}", status="started", output_bytes=None, output_mtime_ns=None, token="0123abcd")
    Path("out/b_x2.jpg").write_bytes(b"")
    other = save("out/c_x2.bmp", (3, 3)).read_bytes()  # of another size, so it may belong to the user
    Path("out/.a_x2.png.0123abcd.part").touch()
    Path("out/.a_x2.png.89abcdef.part").touch()  # of a run that may still be running
    before = Path("out/a_x2.png").stat().st_mtime_ns
    assert {name: outcome[0] for name, outcome in statuses("in", "-o", "out").items()} == {
        "a.png": "skipped", "b.jpg": "written", "c.bmp": "skipped",
    }  # fmt: skip
    assert Path("out/a_x2.png").stat().st_mtime_ns == before
    assert {key: value for key, value in tree("out").items() if ".part" not in key} == batch | {"c_x2.bmp": other}
    assert [name for name in names("out") if ".part" in name] == [".a_x2.png.89abcdef.part"]
    assert {key: row["status"] for key, row in rows().items()} == {
        "a_x2.png": "written", "b_x2.jpg": "written", "c_x2.bmp": "started",
    }  # fmt: skip
    assert statuses("in", "-o", "out", "--overwrite")["c.bmp"][0] == "written"
    assert {key: value for key, value in tree("out").items() if ".part" not in key} == batch


def test_an_old_output_that_a_killed_run_did_not_replace_does_not_count_as_done(batch):
    status = Path("out/a_x2.png").stat()
    # No earlier file is recorded for the other outputs.
    change(f"out/{RECORD_NAME}", status="started", output_bytes=status.st_size, output_mtime_ns=status.st_mtime_ns)
    found = statuses("in", "-o", "out")
    assert found["a.png"] == (
        "skipped", "out/a_x2.png: was to be replaced, and was not; --overwrite replaces it",
    )  # fmt: skip
    assert found["b.jpg"] == ("skipped",)


def test_a_run_killed_at_random_moments_resumes_with_complete_outputs_each_made_once():
    random_ = random.Random(7)
    for index in range(60):
        save(f"in/{index % 4}/{index:02}{('.png', '.jpg', '.tif')[index % 3]}", (90 + index, 130), seed=index)
    assert upsample("in", "-r", "-o", "whole", "-f", 4).status == 0
    expected = tree("whole")
    assert len(expected) == 60
    arguments = ["in", "-r", "-o", "out", "-f", "4", "--workers", "2", "-q"]
    recorded, kills = {}, 0
    for kill in range(KILLS):
        kills += kill_while_writing([*COMMAND, *arguments], done=len(recorded), random_=random_, early=kill % 4 == 2)
        found = tree("out") if Path("out").exists() else {}
        found = {name: data for name, data in found.items() if not Path(name).name.startswith(".")}
        assert found == {name: expected[name] for name in found}
        if Path("out", RECORD_NAME).exists():
            now = {key: row for key, row in copied_rows().items() if row["status"] == "written"}
            assert {key: now[key] for key in recorded} == recorded  # nothing recorded as done was done again
            recorded = now
    assert kills >= KILLS // 2  # otherwise the kills tested nothing
    ended = upsample_process(*arguments)
    assert (ended.status, ended.err) == (0, "")
    assert tree("out") == expected
    final = rows()
    assert {key: final[key] for key in recorded} == recorded
    assert {row["status"] for row in final.values()} == {"written"}
    assert sorted(final) == sorted(expected)


def kill_while_writing(command, *, done, random_, early):
    """Start a run and kill it: early, or after a few more images and a short wait. Returns whether it was writing."""
    process = subprocess.Popen(command, env=ENVIRONMENT)
    if early:
        time.sleep(random_.uniform(0, 1))
    else:
        more, deadline_s = random_.randint(1, max(1, 50 // KILLS)), time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline_s and visible("out") < done + more:
            time.sleep(0.002)
        time.sleep(random_.uniform(0, 0.03))
    is_writing = process.poll() is None and visible("out") > 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.3)  # its workers end
    return is_writing


def visible(folder):
    return sum(not name.startswith(".") for _, _, found in os.walk(folder) for name in found)


def copied_rows():
    """Rows of a copy: opening the original would clean up what the kill left."""
    for end in ("", "-wal"):
        if Path(f"out/{RECORD_NAME}{end}").exists():
            shutil.copyfile(f"out/{RECORD_NAME}{end}", f"copy{end}")
    found = rows("copy")
    for path in Path().glob("copy*"):
        path.unlink()
    return found


# Failures ----------------------------------------------------------------------------------------------------------


def spoiled_batch():
    for index in range(50):
        save(f"in/{index:02}.png", (5, 7), seed=index)
    for index in range(0, 50, 10):
        path = Path(f"in/{index:02}.png")
        path.write_bytes(path.read_bytes()[:-40])


def test_corrupt_images_are_reported_again_without_being_opened(monkeypatch):
    spoiled_batch()
    first = upsample("in", "-o", "out", "--json")
    assert first.document["summary"] == {"written": 45, "skipped": 0, "failed": 5, "planned": 0}
    opened = []
    open_image = run.open_image
    monkeypatch.setattr(run, "open_image", lambda path, **k: opened.append(path) or open_image(path, **k))
    again = upsample("in", "-o", "out", "--json")
    assert (again.status, opened) == (1, [])
    errors = [[file["error"] for file in run.document["files"]] for run in (first, again)]
    assert errors[0] == errors[1]
    upsample("in", "-o", "out", "--retry-failed")
    assert len(opened) == 5
    save("in/00.png", (5, 7), seed=100)  # a new copy
    document = upsample("in", "-o", "out", "--json").document
    assert document["summary"] == {"written": 1, "skipped": 45, "failed": 4, "planned": 0}


def test_an_image_that_failed_because_of_the_settings_is_tried_with_other_settings():
    spoiled_batch()
    upsample("in", "-o", "out", "--strict")
    assert statuses("in", "-o", "out", "--strict", "--dry-run")["00.png"][0] == "failed"
    assert statuses("in", "-o", "out", "--dry-run")["00.png"][0] == "planned"


def test_images_that_failed_on_a_full_disk_are_made_by_the_next_run():
    for index in range(3):
        save(f"in/{index}.bmp", (150 * (1 + index), 200), seed=index)
    first = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))"
    ended = upsample_process("in", "-o", "out", "--workers", "1", first=first)
    assert ended.status == 1
    assert sorted(line.split(": ")[1:3] for line in ended.err.splitlines()) == [
        [f"out/{index}_x2.bmp", "cannot be written"] for index in (1, 2)
    ]
    assert names("out") == ["0_x2.bmp"]
    assert statuses("in", "-o", "out") == {"0.bmp": ("skipped",), "1.bmp": ("written",), "2.bmp": ("written",)}


def test_a_record_that_does_not_fit_on_the_disk_ends_the_run_in_one_line():
    save("in/a.png")
    first = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))"
    ended = upsample_process("in", "-o", "out", first=first)
    assert ended.status == 1
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith(f"upsample: out/{RECORD_NAME}: ")
    assert upsample("in", "-o", "out").status == 0  # the remains of the record do no harm


def test_an_output_folder_that_cannot_be_made_or_written_to_ends_the_run_in_one_line(monkeypatch):
    save("in/a.png")
    save("in/b.png")
    Path("file").touch()
    ended = upsample("in", "-o", "file/out")
    assert (ended.status, len(ended.err.splitlines())) == (1, 1)
    Path("out").mkdir(mode=0o500)
    if os.access("out", os.W_OK):
        return  # root may write anywhere
    ended = upsample("in", "-o", "out")
    assert (ended.status, len(ended.err.splitlines())) == (1, 1)


def test_an_input_replaced_or_deleted_during_the_run_does_not_count_as_done(monkeypatch):
    for name in ("a", "b", "c", "d"):
        save(f"in/{name}.png", (11, 17))
    opened_regular = run.opened_regular

    def late_opened_regular(path, **keywords):
        if Path(path).name in {"a.png", "d.png"}:
            save(path, (11, 17) if Path(path).name == "a.png" else (7, 5), seed=9)
        if Path(path).name == "b.png":
            Path(path).unlink()
        return opened_regular(path, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(run, "opened_regular", late_opened_regular)
        assert {name: outcome[0] for name, outcome in statuses("in", "-o", "out").items()} == {
            "a.png": "written", "b.png": "failed", "c.png": "written", "d.png": "failed",
        }  # fmt: skip
    found = statuses("in", "-o", "out")
    assert found.keys() == {"a.png", "c.png", "d.png"}
    assert found["d.png"][0] == "written"  # its dimensions were not the planned ones, so it is tried again
    assert found["a.png"] == ("skipped", "out/a_x2.png: was made before the input changed; --overwrite replaces it")
    assert found["c.png"] == ("skipped",)


# Concurrent runs and unusable records -------------------------------------------------------------------------------


def test_a_second_run_on_the_same_folder_ends_in_one_line_and_the_first_continues(monkeypatch):
    save("in/a.png")
    save("in/b.png")
    seconds = []
    open_image = run.open_image

    def open_and_start_another(path, **keywords):
        if not seconds:
            seconds.append(upsample_process("in", "-o", "out", "--overwrite"))
        return open_image(path, **keywords)

    monkeypatch.setattr(run, "open_image", open_and_start_another)
    assert upsample("in", "-o", "out", "--workers", "1").status == 0
    (second,) = seconds
    assert (second.status, second.out) == (1, "")
    assert second.err.startswith(f"upsample: out/{RECORD_NAME}: another run is at work here; ")
    assert len(second.err.splitlines()) == 1
    assert names("out") == ["a_x2.png", "b_x2.png"]


def sqlite_file(path, *statements):
    path.parent.mkdir(exist_ok=True)
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"no database at all " * 99), "is a damaged record"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 9000), "is a damaged record"),
        (lambda path: change_version(path, 3), "was written by a newer version of upsample"),
        (lambda path: (path.unlink(), sqlite_file(path, "CREATE TABLE mine (a)")), "is a database, but not a record"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_an_unusable_record_ends_the_run_in_one_line_with_the_next_step(batch, make, message, more):
    path = Path("out", RECORD_NAME)
    make(path)
    before = path.read_bytes()
    save("in/new.png")
    ended = upsample("in", "-o", "out", *more)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(f"upsample: out/{RECORD_NAME}: {message}")
    assert "--no-state" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert path.read_bytes() == before
    assert upsample("in", "-o", "out", "--no-state").status == 0


@pytest.mark.parametrize("state", ["taken/run.db", "taken/s/run.db"])
def test_a_record_whose_folder_cannot_be_made_is_one_line_that_says_so(state):
    save("in/a.png")
    Path("taken").touch()
    ended = upsample("in", "-o", "out", "--state", state)
    assert (ended.status, names("out")) == (1, [])
    assert ended.err == (
        f"upsample: {state}: the record cannot be made or opened: a part of its path is not a folder; "
        "check its folder, or give another --output or --state\n"
    )


def change_version(path, version):
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()


def test_an_empty_record_counts_as_new():
    """A kill between creating the file and creating its tables leaves an empty file."""
    save("in/a.png")
    Path("out").mkdir()
    Path("out", RECORD_NAME).touch()
    assert statuses("in", "-o", "out") == {"a.png": ("written",)}
    assert statuses("in", "-o", "out") == {"a.png": ("skipped",)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--state", "run.png"], "named like an image"),
        (["--state", "in"], "is not the name of a file"),
        (["--state", ""], "is not the name of a file"),
        (["--state", "a.db", "--no-state"], "leave one out"),
        (["--retry-failed", "--no-state"], "leave one out"),
    ],
)
def test_invalid_states_are_refused(arguments, message):
    save("in/a.png")
    ended = upsample("in", *arguments)
    assert ended.status == 2
    assert message in ended.err
    assert names(".") == ["in/a.png"]


def test_the_parent_of_a_resumed_run_never_imports_torch():
    save("in/a.png")
    save("in/b.png")
    assert upsample("in", "-o", "out").status == 0
    program = (
        "import sys, os; os._exit = sys.exit\n"
        "from upsample_cli.cli.start import upsample\n"
        "sys.argv = ['upsample', 'in', '-o', 'out', '--json']\n"
        "try: upsample()\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules, 'PIL.Image' in sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([COMMAND[0], "-c", program], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert ended.stderr.split() == ["False", "False"]
    assert json.loads(ended.stdout)["summary"]["skipped"] == 2
