"""A call imports only the parts of the program that it uses."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.environment import ENVIRONMENT
from support.running import save

OPTIONAL = {
    "json",
    "pathspec",
    "rich",
    "rich.live",
    "rich.progress",
    "upsample_cli.batch.cluster",
    "upsample_cli.batch.record.resume",
    "upsample_cli.batch.watch",
    "upsample_cli.batch.workers.processes",
    "upsample_cli.batch.workers.worker",
    "upsample_cli.cli.report.gallery",
    "upsample_cli.cli.report.json_lines",
    "upsample_cli.cli.watch",
}

# The command may end with `os._exit`, so both ways to end print the modules.
CODE = """
import os, sys
leave = os._exit
def end(status):
    print(*sorted(sys.modules), file=sys.stderr, flush=True)
    leave(status)
os._exit = sys.exit = end
from upsample_cli.cli.start import upsample
upsample()
"""


def imported_by(*arguments):
    command = [sys.executable, "-c", CODE, *arguments]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100)
    return set(ended.stderr.splitlines()[-1].split())


@pytest.fixture
def photo(in_tmp_path):
    return str(save("photo.png", (3, 5)))


def test_help_imports_no_module_of_a_run():
    modules = imported_by("--help")
    run = ("upsample_cli.batch", "upsample_cli.cli.run", "upsample_cli.cli.watch", "upsample_cli.cli.report.gallery")
    assert [module for module in modules if module.startswith(run)] == []
    assert modules.isdisjoint({"torch", "numpy", "PIL", "sqlite3"})


def test_one_image_without_a_terminal_needs_no_bars_watch_gallery_cluster_record_or_worker_pool(photo):
    modules = imported_by(photo)
    assert "upsample_cli.engine.bands" in modules  # it did run
    assert OPTIONAL & modules == set()


def test_rich_prints_where_a_variable_asks_for_colours(photo, monkeypatch):
    """The control of the test above."""
    monkeypatch.setitem(ENVIRONMENT, "FORCE_COLOR", "1")
    assert "rich.console" in imported_by(photo)


OF_FORMATS = {
    "jpg": set(),
    "png": {"upsample_cli.images.codecs.png.ancillary"},
    "gif": {"upsample_cli.images.codecs.gif"},
    "webp": {"upsample_cli.images.codecs.webp"},
    "tiff": {"upsample_cli.images.codecs.webp", "upsample_cli.images.metadata.exif_from_tiff"},  # a TIFF may hold WebP
}


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize("name", OF_FORMATS)
def test_an_image_needs_no_code_for_other_formats(name):
    modules = imported_by(str(save(f"photo.{name}", (3, 5))))
    assert set().union(*OF_FORMATS.values()) & modules == OF_FORMATS[name]


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize(("name", "is_there"), [("photo.jpg", False), ("photo.gif", True)])
def test_a_jpeg_needs_no_other_format_of_pillow(name, is_there):
    assert ("PIL.GifImagePlugin" in imported_by(str(save(name, (3, 5))))) == is_there


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.gif", "photo.webp"])
def test_the_parent_of_a_batch_needs_no_numpy(name):
    """Its workers need them. The run starts a tenth of a second sooner."""
    for folder in ("a", "b"):
        save(f"in/{folder}-{name}", (3, 5))
    for arguments in (("in", "-n"), ("in", "-o", "out", "--workers", "1")):
        modules = imported_by(*arguments, "--device", "cpu")
        assert "PIL.Image" in modules
        assert modules.isdisjoint({"numpy", "imagecodecs", "torch", "tifffile"})
    assert len(list(Path("out").glob(f"*_x2{name[5:]}"))) == 2


@pytest.mark.parametrize("options", [[], ["--factor", "1.5"], ["--kernel", "lanczos3"], ["--linear-light"]])
def test_an_image_on_the_cpu_needs_no_torch(photo, options):
    assert "torch" not in imported_by(photo, "--device", "cpu", *options)


def test_a_torch_layer_needs_torch():
    """The control of the test above."""
    command = [sys.executable, "-c", "import sys, upsample_cli; upsample_cli.bilinear_layer(2, 1); print(*sys.modules)"]
    assert (
        "torch" in subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--gallery", "missing/page.html"], "upsample_cli.cli.report.gallery"),
        (["--watch"], "upsample_cli.cli.watch"),
    ],
)
def test_requested_features_are_imported(photo, arguments, needed):
    """The control of the test above; both are refused before torch is imported."""
    assert needed in imported_by(photo, *arguments)


def test_libtorch_is_loaded_early_only_for_a_single_file(photo):
    """A process that only plans an image, or whose workers compute, does not need the library."""
    again = str(save("again.png", (3, 5)))
    assert "upsample_cli.engine.library" in imported_by(photo, "--nonsense")
    for arguments in ((photo, "-n"), (photo, again, "--nonsense"), ("--help",), ("missing.png",)):
        assert "upsample_cli.engine.library" not in imported_by(*arguments)


def test_a_command_that_ends_while_libtorch_is_loading_ends_normally(photo):
    start = [sys.executable, "-c", "from upsample_cli.cli.start import upsample; upsample()"]
    for arguments, status in ((("--nonsense",), 2), (("--version",), 0), (("-o", photo), 2)):
        command = [*start, photo, *arguments]
        ends = [subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False).returncode for _ in range(4)]
        assert ends == [status] * 4


@pytest.mark.usefixtures("in_tmp_path")
def test_patterns_import_their_library():
    save("in/a.png", (3, 5))
    assert "pathspec" not in imported_by("in", "-r", "--dry-run")
    assert "pathspec" in imported_by("in", "-r", "--dry-run", "--exclude", "*.tmp.png")


COLLECTING = """
import gc
from upsample_cli.cli import run, session
from upsample_cli.cli.start import upsample
plan_run, run_entries = run.plan_run, session.run_entries
def planned(*arguments, **named):
    print(gc.isenabled(), flush=True)
    return plan_run(*arguments, **named)
def enlarged(*arguments, **named):
    print(gc.isenabled(), gc.get_freeze_count() > 0, flush=True)
    return run_entries(*arguments, **named)
run.plan_run, session.run_entries = planned, enlarged
upsample()
"""


def test_garbage_is_collected_only_while_images_are_enlarged(photo):
    command = [sys.executable, "-c", COLLECTING, photo]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.stdout.splitlines()[:2] == ["False", "True True"], ended.stderr
