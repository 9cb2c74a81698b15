"""Real disks that are full or not writable: a small disk in memory, visible only to the test."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.running import COMMAND, ENVIRONMENT, names, save, tree, upsample

pytestmark = pytest.mark.usefixtures("in_tmp_path")

SCRIPT = """
set -e
mkdir disk && mount -t tmpfs -o size=500k tmpfs disk
run() { code=0; "$@" --state state.sqlite --json || code=$?; echo "status $code"; }
run "$@" in -o disk/out --workers 2 >full.txt 2>full.err
cp -a disk/out full
mount -o remount,size=20m disk
run "$@" in -o disk/out --workers 1 >roomy.txt 2>roomy.err
cp -a disk/out roomy
mount -o remount,ro disk
run "$@" in/0.png in/1.png -o disk/other --workers 1 >locked.txt 2>locked.err
"""
IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def can_mount():
    """Whether a process may create private mounts on this system."""
    if shutil.which("unshare") is None:
        return False
    tried = [*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def run_result(name):
    """(status, files) from the document of a run and the status printed after it."""
    document, _, status = Path(f"{name}.txt").read_text(encoding="utf-8").rpartition("status ")
    return int(status), json.loads(document)["files"]


@pytest.mark.skipif(not can_mount(), reason="a process may not create mounts here")
def test_a_full_disk_fails_some_images_and_a_read_only_disk_fails_all():
    """Four images of about 150 kB on a disk of 500 kB, in real workers. The record is elsewhere, so the run goes on."""
    for index in range(4):
        save(f"in/{index}.png", (131, 150), seed=index)
    assert upsample("in", "-o", "whole").status == 0
    whole = tree("whole")
    assert sum(map(len, whole.values())) > 550_000  # the control: they do not fit
    subprocess.run([*IN_A_NAMESPACE, "sh", "-c", SCRIPT, "sh", *COMMAND], check=True, env=ENVIRONMENT)

    status, files = run_result("full")
    failed = [file for file in files if file["status"] == "failed"]
    written = [file["output"].rpartition("/")[2] for file in files if file["status"] == "written"]
    assert (status, len(failed) + len(written)) == (1, 4)
    assert failed
    for file in failed:
        assert file["error"].startswith(f"{file['output']}: cannot be written: the disk is full; ")
    assert tree("full") == {name: whole[name] for name in written}  # neither incomplete nor temporary files

    status, files = run_result("roomy")
    assert (status, tree("roomy")) == (0, whole)
    assert sorted(file["status"] for file in files) == ["skipped"] * len(written) + ["written"] * len(failed)

    status, files = run_result("locked")
    assert (status, len(files)) == (1, 2)
    assert {file["error"].split(": ", 1)[1].split("; ")[0] for file in files} == {
        "cannot be written: its disk is mounted read-only"
    }
    assert names("disk") == []  # the disk is visible only inside the namespace


SMALL_TEMPORARY_FOLDER = """
mkdir disk && mount -t tmpfs -o size=20k tmpfs disk
export TMPDIR="$PWD/disk"
run() { name=$1; shift; "$@" >$name.out 2>$name.err; echo $? >$name.status; }
run gallery "$@" in -o out --gallery page.html
run plan "$@" in -o out --dry-run
run pipe "$@" in/0.png -o - --format webp
run report "$@" in -o out --report disk/report.jsonl
cp disk/report.jsonl full.jsonl
dd if=/dev/zero of=disk/filled bs=1k >/dev/null 2>&1
truncate -s 8192 disk/report.jsonl && dd if=/dev/zero of=disk/filled bs=1k >/dev/null 2>&1
run continued "$@" in/0.png in/1.png -o out --report disk/report.jsonl
"""


@pytest.fixture
def on_a_small_disk():
    """Runs whose temporary files and report are on a disk of 20 kB: (status, message) of each."""
    if not can_mount():
        pytest.skip("a process may not create mounts here")
    for index in range(120):
        save(f"in/{index}.png", (90, 90) if index < 3 else (1, 1), seed=index)
    script = [*IN_A_NAMESPACE, "sh", "-c", SMALL_TEMPORARY_FOLDER, "sh", *COMMAND]
    subprocess.run(script, check=True, env=ENVIRONMENT)
    names = ("gallery", "plan", "pipe", "report", "continued")
    return {name: (int(Path(f"{name}.status").read_text()), Path(f"{name}.err").read_text()) for name in names}


FULL = "the disk is full; free some space there, or set TMPDIR to another folder\n"


def test_a_full_folder_for_temporary_files_is_named_and_no_page_is_written_without_its_images(on_a_small_disk):
    status, err = on_a_small_disk["gallery"]
    cause = f"error: page.html: cannot be collected in the folder for temporary files: {FULL}"
    assert (status, cause in err, Path("page.html").exists()) == (1, True, False)
    assert len(names("out")) == 120
    cause = f"upsample: out/.upsample.sqlite: the record cannot be copied to the folder for temporary files: {FULL}"
    assert on_a_small_disk["plan"] == (1, cause)
    status, err = on_a_small_disk["pipe"]
    assert (status, Path("pipe.out").read_bytes()) == (1, b"")
    assert err.startswith("error: -: cannot be kept in the folder for temporary files (No space left on device); free")
    assert upsample("in", "-o", "out", "--gallery", "page.html").status == 0  # control: on another disk
    assert upsample("in", "-o", "out", "--dry-run").status == 0


def test_a_report_on_a_full_disk_holds_whole_lines_and_cannot_be_continued_there(on_a_small_disk):
    cause = "disk/report.jsonl: cannot be written: the disk is full; give --report another name\n"
    status, err = on_a_small_disk["report"]
    assert (status, f"error: {cause}" in err) == (1, True)
    content = Path("full.jsonl").read_bytes()
    written = [json.loads(line) for line in content.split(b"\n")[:-1]]
    assert 10 < len(written) < 120
    assert content.endswith(b"}\n")
    assert len(content) < 20 * 1024  # control: the last write was cut off, because no line ends at the end of the disk
    assert on_a_small_disk["continued"] == (2, f"upsample: {cause}")
