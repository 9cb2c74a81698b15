"""An output is never one of the inputs of its run, whatever path leads to it."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.commands import call
from support.running import COMMAND, ENVIRONMENT, leave, names, pixels_of, save, tree, upsample

from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.same_file import is_same_file
from upsample_cli.batch.paths import CanonicalPaths, RealPaths
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import UsageError
from upsample_cli.images.streams import leads_to

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX links and mounts")

TCONV = [sys.executable, "-c", "from upsample_cli.cli.tconv import main; main()"]
IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", leave)


# Real mounts, visible only to the test -------------------------------------------------------------------------------


def can_mount():
    """Whether a process may create private mounts on this system."""
    if shutil.which("unshare") is None:
        return False
    tried = [*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


MOUNTED = [
    (["in/a.png", "-o", "again/a.png", "--overwrite"], "again/a.png is the input itself; give another --output"),
    (["again/a.png", "-o", "in/a.png", "--overwrite"], "in/a.png is the input itself; give another --output"),
    (["in/a.png", "-o", "file.png", "--overwrite"], "file.png is the input itself; give another --output"),
    (
        ["in/a.png", "in/a_x2.png", "-o", "again/", "--overwrite"],
        "again/a_x2.png is the input in/a_x2.png under another name and would be replaced by the enlarged in/a.png; ",
    ),
    (
        ["in/a.png", "file.png", "-o", "again/", "--name", "a.png", "--overwrite"],
        "again/a.png is the input itself; give another --output",
    ),
    (
        ["in/a.png", "again/a.bmp", "--format", "jpg", "--no-state"],
        "in/a.png and again/a.bmp would both be written to in/a_x2.jpg and again/a_x2.jpg, which are the same file",
    ),
    (
        ["in/b.bmp", "in/a.png", "-o", "files/", "--name", "{stem}.tif", "--overwrite"],
        "files/b.tif is the input in/a.png under another name",
    ),
    (["--watch", "in", "-o", "again"], "again is watched, and what is written there would be enlarged in its turn; "),
    (["--watch", "in", "-o", "again/"], "again is watched, and what is written there would be enlarged in its turn; "),
    (["in/a.png", "-o", "again/k.npy", "--format", "png", "--kernel", "in/k.npy", "--overwrite"], "holds the --kernel"),
    (["run", "in/k.npy", "--factor", "2", "-o", "again/k.npy", "--overwrite"], "again/k.npy is an input, and inputs"),
]


@pytest.mark.skipif(not can_mount(), reason="a process may not create mounts here")
def test_an_input_is_recognized_through_bind_mounts():
    for index, name in enumerate(("in/a.png", "in/a_x2.png", "in/b.bmp", "in/a.bmp")):
        save(name, (2, 3), seed=index)
    np.save("in/k.npy", np.ones((1, 1, 4, 4), np.float32))
    for name in ("again", "files"):
        Path(name).mkdir()
    for name in ("file.png", "files/b.tif"):
        Path(name).touch()
    before = tree(".")
    lines = [
        "set -e",
        "mount --bind in again",
        "mount --bind in/a.png file.png",
        "mount --bind in/a.png files/b.tif",
        *(
            f"code=0; {shlex.join([*(TCONV if each[0] == 'run' else COMMAND), *each])} >{index}.out 2>{index}.err"
            f" || code=$?; echo $code >{index}.code"
            for index, (each, _) in enumerate(MOUNTED)
        ),
    ]
    subprocess.run([*IN_A_NAMESPACE, "sh", "-c", "\n".join(lines)], check=True, env=ENVIRONMENT, timeout=120)
    for index, (arguments, message) in enumerate(MOUNTED):
        err = Path(f"{index}.err").read_text(encoding="utf-8")
        assert message in err, arguments
        assert err.count("\n") == 1
        assert Path(f"{index}.code").read_text(encoding="utf-8") == "2\n"
    assert {name: data for name, data in tree(".").items() if name in before} == before
    # The control: without the mounts the run succeeds.
    assert upsample("in/a.png", "in/a_x2.png", "-o", "again/", "--overwrite").status == 0


@pytest.mark.skipif(not can_mount(), reason="a process may not create mounts here")
def test_the_output_folder_is_not_an_input_through_a_mount_either():
    save("in/a.png", (2, 3))
    Path("in/out").mkdir()
    Path("again").mkdir()
    lines = ["mount --bind in/out again", shlex.join([*COMMAND, "in", "-r", "-o", "again", "-n", "--json"])]
    save("in/out/b.png", (2, 3))
    ended = subprocess.run(
        [*IN_A_NAMESPACE, "sh", "-c", "\n".join(lines)], check=True, env=ENVIRONMENT, timeout=60, capture_output=True
    )
    assert b"in/a.png" in ended.stdout
    assert b"in/out/b.png" not in ended.stdout


# Links of both kinds, and disks that ignore case ---------------------------------------------------------------------


def test_replacing_one_hard_link_keeps_the_other():
    before = save("a.png").read_bytes()
    Path("d").mkdir()
    for name in ("b.png", "d/a.png"):
        Path(name).hardlink_to("a.png")
        assert not is_same_file("a.png", name)
        assert upsample("a.png", "-o", name, "--overwrite").status == 0
        assert Path("a.png").read_bytes() == before
        assert pixels_of(name).shape == (22, 34, 3)


@pytest.mark.parametrize("other", ["A.png", "d/../a.PNG", "./A.PNG"])
def test_names_that_differ_only_in_case_and_share_a_file_are_one_file(other):
    """A hard link simulates a disk that ignores case: the system reports the same file for both names."""
    save("a.png")
    Path("d").mkdir()
    Path(other).hardlink_to("a.png")
    assert is_same_file("a.png", other)
    with pytest.raises(UsageError, match="is the input itself"):
        upsample_file("a.png", other, overwrite=True)
    Path(other).unlink()
    save(other)
    assert not is_same_file("a.png", other)  # the control: they do differ here


def test_a_folder_is_recognized_by_any_path(monkeypatch):
    """Simulates a disk that ignores case, where "SHOTS" is "shots": the system reports one number for both."""
    Path("shots").mkdir()
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **settings: stat(str(path).replace("SHOTS", "shots"), **settings))
    monkeypatch.setattr(os.path, "lexists", lambda path: Path(str(path).replace("SHOTS", "shots")).is_dir())
    one, real = CanonicalPaths(), RealPaths()
    assert one("shots/a.png") == one("SHOTS/a.png") == str(Path.cwd() / "shots/a.png")
    assert one("SHOTS/new/er/a.png") == str(Path.cwd() / "shots/new/er/a.png")
    assert one("new/a.png") != one("shots/a.png")
    assert real("shots/a.png") != real("SHOTS/a.png")


# tconv, and pipes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["itself", "link"])
@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        (["run", "a.npy", "--factor", "2", "-o"], "a.npy"),
        (["run", "a.npy", "--weights", "w.npy", "--axes", "2", "-o"], "w.npy"),
        (["run", "a.png", "--weights", "w.npy", "-o"], "a.png"),
        (["run", "a.png", "--factor", "2", "-o"], "a.png"),
        (["checkerboard", "--weights", "w.npy", "--stride", "2", "--cure", "sums", "-o"], "w.npy"),
        (["checkerboard", "--weights", "w.npy", "--stride", "2", "--picture"], "w.npy"),
        (["compare", "a.png", "-o"], "a.png"),
        (["fit", "a.png", "-o"], "a.png"),
    ],
)
def test_tconv_commands_never_replace_their_inputs(arguments, source, way, capsys, monkeypatch):
    save("a.png")
    np.save("a.npy", np.zeros((4, 4), np.float32))
    np.save("w.npy", np.ones((1, 1, 4, 4), np.float32))
    output = source
    wanted = {"--picture": ".png", "fit": ".safetensors"}
    suffix = next((wanted[argument] for argument in arguments if argument in wanted), Path(source).suffix)
    if way == "link" or suffix != Path(source).suffix:
        output = f"link{suffix}"
        Path(output).symlink_to(source)
    before = tree(".")
    status, _, err = call(capsys, monkeypatch, *arguments, output, "--overwrite")
    assert status == 2
    assert err.startswith(f"tconv: {output} is ")
    assert "input" in err
    assert err.count("\n") == 1
    assert tree(".") == before


def test_new_file_refuses_to_replace_its_sources():
    Path("a").write_bytes(b"mine")
    with pytest.raises(UsageError, match="a is an input"), new_file("a", overwrite=True, sources=["b", "./a"]):
        raise AssertionError
    assert Path("a").read_bytes() == b"mine"
    with new_file("a", overwrite=True, sources=["b"]) as file:
        file.write(b"new")
    assert Path("a").read_bytes() == b"new"


def test_a_file_behind_a_standard_stream_is_not_replaced():
    save("a.png")
    before = tree(".")
    for arguments, settings, message in (
        (["-", "-o", "a.png", "--overwrite"], {"stdin": "rb"}, "a.png is the input itself, read as standard input"),
        (["a.png", "-o", "-"], {"stdout": "ab"}, "a.png is the input, and standard output leads to it"),
    ):
        ((stream, mode),) = settings.items()
        with open("a.png", mode) as file:  # noqa: PTH123
            done = subprocess.run(
                [*COMMAND, *arguments], stderr=subprocess.PIPE, check=False, env=ENVIRONMENT, **{stream: file}
            )
        assert done.returncode == 2
        assert message in done.stderr.decode()
        assert tree(".") == before
    with open("a.png", "rb") as file:  # noqa: PTH123
        assert leads_to(file, Path("a.png"))
        assert not leads_to(file, Path("b.png"))
        assert not leads_to(io.BytesIO(), Path("a.png"))


def test_missing_paths_are_never_the_same_file():
    save("a.png")
    assert not is_same_file("a.png", "b.png")
    assert not is_same_file("b.png", "a.png")
    assert is_same_file("a.png", "new/../a.png")
    assert not is_same_file("a.png", "a.png\0")
    assert names(".") == ["a.png"]
