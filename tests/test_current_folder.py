"""The current folder is a folder of another user's images: no process of a command runs code in it."""

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
    "psutil",
    "safetensors",
    "tifffile",
    "torch",
    "torchvision",
    "triton",
]
CUSTOMIZE = ["sitecustomize", "usercustomize"]
LONG_S = 100.0

# What an installer writes: unlike `python -c`, it puts its own folder into sys.path.
SCRIPT = "from upsample_cli.cli.start import {0}\nif __name__ == '__main__':\n    {0}()\n"

# Starts a worker as a parent does that Python has given the current folder; the worker finds its pipe closed, and ends.
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
    """The file that planted modules write their names to; the current folder holds one for every name."""
    marker = tmp_path / "ran.txt"
    folder = tmp_path / "images"
    folder.mkdir()
    for name in [*sys.stdlib_module_names, *THIRD_PARTY, *CUSTOMIZE]:
        (folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write('{name} ')\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    return marker


def run(*command, **environment):
    # The package is where PYTHONPATH says, and nothing else of the caller's that could be this folder.
    settings = {**ENVIRONMENT, "PYTHONPATH": PACKAGES, **environment}
    return subprocess.run(
        [sys.executable, *map(str, command)], env=settings, capture_output=True, text=True, check=False, timeout=LONG_S
    )


def script(tmp_path, program):
    path = tmp_path / "bin" / program
    path.parent.mkdir(exist_ok=True)
    path.write_text(SCRIPT.format(program), encoding="utf-8")
    return path


def test_images_are_enlarged_by_workers_in_a_folder_full_of_modules_and_none_runs(tmp_path, marker):
    for name in ("a.png", "b.png"):
        save(name)
    ended = run(script(tmp_path, "upsample"), "a.png", "b.png", "-o", tmp_path / "out", "--workers", "2")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {"a_x2.png", "b_x2.png"} <= set(names(tmp_path / "out"))
    assert not marker.exists(), marker.read_text()


def test_tconv_runs_none_of_them_either(tmp_path, marker):
    ended = run(script(tmp_path, "tconv"), "kernel", "--factor", "3")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not marker.exists(), marker.read_text()


@pytest.mark.parametrize("entries", ["['']", "[__import__('os').getcwd()]", "['.']", "['..', '../images']"])
def test_a_worker_gets_no_entry_for_the_current_folder_from_a_parent_that_has_one(tmp_path, marker, entries):
    """As `python -c` and `python -m` have."""
    ended = run("-P", "-c", START_A_WORKER.format(entries=entries))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not marker.exists(), marker.read_text()


def test_python_itself_would_run_them(marker):
    """The control: without PYTHONSAFEPATH, the first import of `python -c` is the folder's."""
    ended = run("-c", "import multiprocessing.spawn")
    assert ended.returncode == 1
    assert "multiprocessing " in marker.read_text()


def test_a_caller_keeps_its_environment_and_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    path = ["/first", "", "relative", "/second", str(tmp_path), "/third"]
    monkeypatch.setattr(sys, "path", [*path])
    finders = [*sys.meta_path]
    with distrust_current_folder():
        assert os.environ["PYTHONSAFEPATH"] == "1"
        assert sys.path == ["/first", "/second", "/third"]
        sys.path.insert(0, "new")  # by another thread, perhaps
    assert "PYTHONSAFEPATH" not in os.environ
    assert sorted(sys.path) == sorted([*path, "new"])
    assert sys.meta_path == finders
    monkeypatch.setenv("PYTHONSAFEPATH", "x")
    with distrust_current_folder():
        pass
    assert os.environ["PYTHONSAFEPATH"] == "x"


def test_threads_that_overlap_leave_it_closed_until_the_last_is_done(tmp_path, monkeypatch):
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
def test_a_folder_that_the_user_takes_code_from_stays(tmp_path, monkeypatch, why):
    monkeypatch.chdir(tmp_path if why == "PYTHONPATH" else PACKAGES)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with distrust_current_folder():
        assert sys.path[0] == ""


def test_an_empty_entry_of_pythonpath_is_nobodys_wish(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}elsewhere")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with distrust_current_folder():
        assert "" not in sys.path


def test_a_python_whose_children_would_ignore_it_starts_none(tmp_path):
    code = f"import sys; sys.path.append({PACKAGES!r})" + START_A_WORKER.format(entries="[]")
    ended = run("-E", "-c", code)
    assert ended.stderr.splitlines()[-1].endswith(
        "Python was started with -E, and worker processes would import modules from the current folder; "
        "start it with -P too, or with -I"
    )
    assert run("-E", "-P", "-c", code).returncode == 0


def _import_torch(folder, monkeypatch, loads):
    """The finders' answer to `import torch` in that folder, where the system has a driver or not."""
    monkeypatch.chdir(folder)

    def load(_name):
        if not loads:
            raise OSError

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", load)
    with distrust_current_folder():
        return sys.meta_path[0].find_spec("torch")


@pytest.mark.parametrize("place", ["", "tls", "glibc-hwcaps/x86-64-v3", "tls/x86_64/x86_64"])
def test_a_library_that_would_be_loaded_as_the_gpus_driver_stops_the_import_of_torch(tmp_path, monkeypatch, place):
    """torch brings a library of NVIDIA's that looks for the driver in the current folder before the system's."""
    library = tmp_path / place / "libcuda.so.1"
    library.parent.mkdir(parents=True, exist_ok=True)
    assert _import_torch(tmp_path, monkeypatch, loads=False) is None
    library.touch()
    with pytest.raises(UsageError, match=f"^{Path(place, 'libcuda.so.1')} in the current folder would be loaded as"):
        _import_torch(tmp_path, monkeypatch, loads=False)
    # Once the system's own is loaded, there is no other: a name is looked for among what is loaded first.
    assert _import_torch(tmp_path, monkeypatch, loads=True) is None


def test_a_folder_called_like_a_processors_is_no_reason_to_stop(tmp_path, monkeypatch):
    (tmp_path / "x86_64" / "photos").mkdir(parents=True)
    (tmp_path / "x86_64" / "photos" / "libcuda.so.1").touch()  # the loader does not look there
    assert _import_torch(tmp_path, monkeypatch, loads=False) is None


@pytest.mark.parametrize("images", [["a.png"], ["a.png", "b.png"]])
def test_a_command_says_so_in_a_line_whether_torch_is_in_it_or_in_workers(tmp_path, monkeypatch, images):
    if _has_driver():
        pytest.skip("there is a driver of CUDA devices, which is loaded in place of the planted file")
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


def test_a_name_in_the_path_that_is_no_folder_of_the_users_is_not_looked_into(tmp_path, monkeypatch):
    """An editable install leaves such a name, and a planted folder of that name would be searched for packages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, "__editable__.something.__path_hook__", "lib"])
    monkeypatch.setenv("PYTHONPATH", "lib")
    with distrust_current_folder():
        assert "__editable__.something.__path_hook__" not in sys.path
        assert "lib" in sys.path
    assert sys.path[-2:] == ["__editable__.something.__path_hook__", "lib"]
