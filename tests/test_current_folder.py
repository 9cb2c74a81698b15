"""If the current folder belongs to another user, no process of a command runs code in it."""

import ctypes
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.environment import ENVIRONMENT
from support.running import names, save

import upsample_cli
from upsample_cli.current_folder import distrust_current_folder
from upsample_cli.errors import UsageError

PACKAGES = str(Path(upsample_cli.__file__).parent.parent)
THIRD_PARTY = [
    "PIL",
    "imagecodecs",
    "isal",
    "numpy",
    "pathspec",
    "psutil",
    "safetensors",
    "tifffile",
    "torch",
    "torchvision",
    "triton",
]
CUSTOMIZE = ["sitecustomize", "usercustomize"]
LONG_S = 100.0

# An installer writes this script: unlike `python -c`, it puts its own folder into sys.path.
SCRIPT = "from upsample_cli.cli.start import {0}\nif __name__ == '__main__':\n    {0}()\n"

# Starts a worker as a parent with the current folder in sys.path would; its pipe is closed, so the worker ends.
START_A_WORKER = """
import sys
from upsample_cli.batch.workers.started import started_worker
sys.path[:0] = {entries}
worker = started_worker()
worker.connection.close()
worker.process.join()
sys.exit(worker.process.exitcode)
"""


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """The file in which planted modules write their names; the current folder has one module for every name."""
    marker = tmp_path / "ran.txt"
    folder = tmp_path / "images"
    folder.mkdir()
    for name in [*sys.stdlib_module_names, *THIRD_PARTY, *CUSTOMIZE]:
        (folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write('{name} ')\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    return marker


def run(*command, **environment):
    # Only the package is in PYTHONPATH, and nothing else from the caller that could be this folder.
    settings = {**ENVIRONMENT, "PYTHONPATH": PACKAGES, **environment}
    return subprocess.run(
        [sys.executable, *map(str, command)], env=settings, capture_output=True, text=True, check=False, timeout=LONG_S
    )


def script(tmp_path, program):
    path = tmp_path / "bin" / program
    path.parent.mkdir(exist_ok=True)
    path.write_text(SCRIPT.format(program), encoding="utf-8")
    return path


def test_workers_do_not_run_modules_planted_in_the_current_folder(tmp_path, marker):
    for name in ("a.png", "b.png"):
        save(name)
    ended = run(script(tmp_path, "upsample"), "a.png", "b.png", "-o", tmp_path / "out", "--workers", "2")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {"a_x2.png", "b_x2.png"} <= set(names(tmp_path / "out"))
    assert not marker.exists(), marker.read_text()


def test_tconv_does_not_run_planted_modules(tmp_path, marker):
    ended = run(script(tmp_path, "tconv"), "kernel", "--factor", "3")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not marker.exists(), marker.read_text()


@pytest.mark.parametrize("entries", ["['']", "[__import__('os').getcwd()]", "['.']", "['..', '../images']"])
def test_a_worker_does_not_inherit_a_path_entry_for_the_current_folder(tmp_path, marker, entries):
    """`python -c` and `python -m` have such an entry."""
    ended = run("-P", "-c", START_A_WORKER.format(entries=entries))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not marker.exists(), marker.read_text()


def test_python_itself_would_run_planted_modules(marker):
    """The control: without PYTHONSAFEPATH, the first import of `python -c` is from the folder."""
    ended = run("-c", "import multiprocessing.spawn")
    assert ended.returncode == 1
    assert marker.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX folders")
@pytest.mark.parametrize("code", ["upsample_file('{0}/a.png', '{0}/c.png')", "[*upsample_folder('{0}', '{0}/out')]"])
def test_a_current_folder_that_was_removed_is_named(tmp_path, code):
    """Without the check, a library of torch ends the process without a word of ours."""
    (tmp_path / "gone").mkdir()
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    for command in (
        [sys.executable, "-m", "upsample_cli", str(tmp_path), "-o", str(tmp_path / "o")],
        [sys.executable, "-c", "from upsample_cli import upsample_file, upsample_folder; " + code.format(tmp_path)],
    ):
        for removing in ("rmdir ../gone; ", ""):
            (tmp_path / "gone").mkdir(exist_ok=True)
            done = subprocess.run(
                ["sh", "-c", removing + 'exec "$@"', "-", *command],
                cwd=tmp_path / "gone", env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            said = "the current folder no longer exists; change to another folder" in done.stderr
            assert said == bool(removing), done.stderr


def test_the_environment_and_the_path_of_the_caller_are_restored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    path = ["/first", "", "relative", "/second", str(tmp_path), "/third"]
    monkeypatch.setattr(sys, "path", [*path])
    finders = [*sys.meta_path]
    with distrust_current_folder():
        assert os.environ["PYTHONSAFEPATH"] == "1"
        assert sys.path == ["/first", "/second", "/third"]
        sys.path.insert(0, "new")  # as another thread might do
    assert "PYTHONSAFEPATH" not in os.environ
    assert sorted(sys.path) == sorted([*path, "new"])
    assert sys.meta_path == finders
    monkeypatch.setenv("PYTHONSAFEPATH", "x")
    with distrust_current_folder():
        pass
    assert os.environ["PYTHONSAFEPATH"] == "x"


def test_the_current_folder_stays_excluded_until_the_last_thread_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    is_inside, may_leave = threading.Event(), threading.Event()

    def other():
        with distrust_current_folder():
            is_inside.set()
            may_leave.wait(LONG_S)

    with distrust_current_folder():
        thread = threading.Thread(target=other)
        thread.start()
        assert is_inside.wait(LONG_S)
    assert "" not in sys.path
    may_leave.set()
    thread.join()
    assert sys.path[0] == ""


@pytest.mark.parametrize("why", ["PYTHONPATH", "package"])
def test_a_current_folder_that_the_user_imports_from_stays_in_the_path(tmp_path, monkeypatch, why):
    monkeypatch.chdir(tmp_path if why == "PYTHONPATH" else PACKAGES)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with distrust_current_folder():
        assert sys.path[0] == ""


def test_an_empty_entry_in_pythonpath_does_not_include_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}elsewhere")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with distrust_current_folder():
        assert "" not in sys.path


def test_a_python_started_with_e_starts_no_workers(tmp_path):
    code = f"import sys; sys.path.append({PACKAGES!r})" + START_A_WORKER.format(entries="[]")
    ended = run("-E", "-c", code)
    assert ended.stderr.splitlines()[-1].endswith(
        "Python was started with -E, and worker processes would import modules from the current folder; "
        "start it with -P too, or with -I"
    )
    assert run("-E", "-P", "-c", code).returncode == 0


def _import_torch(folder, monkeypatch, loads):
    """The result of the finders for `import torch` in this folder, on a system with or without a driver."""
    monkeypatch.chdir(folder)

    def load(_name):
        if not loads:
            raise OSError

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", load)
    with distrust_current_folder():
        return sys.meta_path[0].find_spec("torch")


@pytest.mark.parametrize("place", ["", "tls", "glibc-hwcaps/x86-64-v3", "tls/x86_64/x86_64"])
def test_a_planted_gpu_driver_prevents_the_import_of_torch(tmp_path, monkeypatch, place):
    """torch includes a library from NVIDIA that looks for the driver in the current folder before the system's."""
    library = tmp_path / place / "libcuda.so.1"
    library.parent.mkdir(parents=True, exist_ok=True)
    assert _import_torch(tmp_path, monkeypatch, loads=False) is None
    library.touch()
    with pytest.raises(UsageError, match=f"^{Path(place, 'libcuda.so.1')} in the current folder would be loaded as"):
        _import_torch(tmp_path, monkeypatch, loads=False)
    # Once the driver of the system is loaded, no other is: names are first looked up among loaded libraries.
    assert _import_torch(tmp_path, monkeypatch, loads=True) is None


def test_a_folder_named_like_a_processor_does_not_prevent_the_import(tmp_path, monkeypatch):
    (tmp_path / "x86_64" / "photos").mkdir(parents=True)
    (tmp_path / "x86_64" / "photos" / "libcuda.so.1").touch()  # the loader does not look there
    assert _import_torch(tmp_path, monkeypatch, loads=False) is None


@pytest.mark.parametrize("images", [["a.png"], ["a.png", "b.png"]])
def test_a_planted_gpu_driver_is_one_line_for_one_image_and_for_a_batch(tmp_path, monkeypatch, images):
    if _has_driver():
        pytest.skip("a driver for CUDA devices is installed and would be loaded instead of the planted file")
    monkeypatch.chdir(tmp_path)
    for name in images:
        save(name)
    Path("libcuda.so.1").touch()
    ended = run(script(tmp_path, "upsample"), *images, "-o", "out/", "--json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert json.dumps(ended.stderr).startswith('"upsample: libcuda.so.1 in the current folder would be loaded as ')


def _has_driver():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def test_path_entries_that_the_user_did_not_add_are_not_searched_in_the_current_folder(tmp_path, monkeypatch):
    """An editable install adds such a name, and a planted folder with that name would be searched for packages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, "__editable__.something.__path_hook__", "lib"])
    monkeypatch.setenv("PYTHONPATH", "lib")
    with distrust_current_folder():
        assert "__editable__.something.__path_hook__" not in sys.path
        assert "lib" in sys.path
    assert sys.path[-2:] == ["__editable__.something.__path_hook__", "lib"]
