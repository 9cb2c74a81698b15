"""Outputs never follow links that the user did not name, in any part of the path, whenever the link appears."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.oracles import assert_same_pixels, expected_pixels
from support.running import names, pixels_of, save, tree, upsample

from upsample_cli.atomic import files
from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.folders import Folder
from upsample_cli.atomic.place import Place
from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.outputs import outputs_of
from upsample_cli.batch.plan import plan_run
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.run import enlarge_image, upsample_file
from upsample_cli.errors import OutputExistsError, WritingError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX links")

AT_NAME = "is a symbolic link, which is neither followed nor replaced; remove it, or write elsewhere"
ON_THE_WAY = "is a symbolic link, and outputs go through no link that you did not name; remove it, or give --output"


@pytest.fixture(autouse=True)
def _victim(tmp_path, monkeypatch):
    """A file that must never change, next to the working folder of the test."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "mine.png").write_bytes(b"mine")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    assert tree(victim) == {"mine.png": b"mine"}


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("in/a.png", "in/b.png"), "in/{}_x2.png"),
        (("in", "-o", "out"), "out/{}_x2.png"),
        (("in",), "in_x2/{}_x2.png"),
        (("in", "-o", "out", "--name", "deep/{stem}{ext}"), "out/deep/{}.png"),
    ],
)
def test_a_link_at_an_output_name_is_refused_and_other_outputs_are_written(arguments, output):
    for index, stem in enumerate("ab"):
        save(f"in/{stem}.png", seed=index)
    link = Path(output.format("a"))
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path("../victim/mine.png").absolute())
    ended = upsample(*arguments, "--overwrite")
    assert (ended.status, ended.errors) == (1, [f"{link}: {AT_NAME}"])
    assert link.is_symlink()
    assert_same_pixels(pixels_of(output.format("b")), expected_pixels(pixels_of("in/b.png"), 2))
    assert upsample(*arguments).status == 0  # replaced, as any existing output
    link.unlink()
    assert upsample(*arguments).status == 0  # the control: only the link was refused


def test_a_single_image_and_a_dangling_link_are_refused_too():
    save("a.png")
    Path("a_x2.png").symlink_to("../victim/new.png")
    for arguments in ((), ("--overwrite",)):
        ended = upsample("a.png", *arguments)
        assert (ended.status, ended.errors) == (1, [f"a_x2.png: {AT_NAME}"])
    for overwrite, error in ((False, OutputExistsError), (True, WritingError)):
        with pytest.raises(error, match="neither followed nor replaced"):
            upsample_file("a.png", overwrite=overwrite)


@pytest.mark.parametrize(
    ("arguments", "link"),
    [
        (("in", "-r", "-o", "out"), "out/sub"),
        (("in", "-r"), "in_x2/sub"),
        (("in", "in/sub", "-o", "out", "--name", "{parent}/{stem}{ext}"), "out/sub"),
        (("in", "-r", "-o", "out", "--overwrite", "--workers", "1"), "out/sub"),
    ],
)
def test_a_linked_subfolder_is_refused_and_other_outputs_are_written(arguments, link):
    save("in/a.png")
    save("in/sub/b.png", seed=1)
    Path(link).parent.mkdir()
    Path(link).symlink_to(Path("../victim").absolute())
    ended = upsample(*arguments)
    assert (ended.status, ended.errors) == (1, [f"{link}: {ON_THE_WAY} the folder that it leads to"])
    assert len(names(Path(link).parts[0])) == 1
    Path(link).unlink()
    assert upsample(*arguments).status == 0
    assert len(names(Path(link).parts[0])) == 2


def test_the_default_output_folder_may_be_a_link_only_if_it_is_named():
    save("in/a.png")
    Path("elsewhere").mkdir()
    Path("in_x2").symlink_to("elsewhere")
    for arguments in (("in",), ("in", "--no-state"), ("in", "-n")):
        ended = upsample(*arguments)
        assert ended.status == 2
        assert ended.err == (
            "upsample: in_x2 is a symbolic link, and outputs go through no link that you did not name; "
            "remove it, or give --output in_x2/\n"
        )
    assert os.listdir("elsewhere") == []  # noqa: PTH208
    assert upsample("in", "-o", "in_x2/").status == 0
    assert names("elsewhere") == ["a_x2.png"]


def test_paths_that_the_user_names_may_contain_links():
    """The controls of all refusals above."""
    save("in/a.png")
    Path("d").mkdir()
    Path("d/real.png").write_bytes(b"old")
    Path("linked").symlink_to("d")
    Path("in/named.png").symlink_to("../d/real.png")
    assert upsample("in/a.png", "-o", "in/named.png", "--overwrite").status == 0
    assert Path("in/named.png").is_symlink()
    wanted = expected_pixels(pixels_of("in/a.png"), 2)
    assert_same_pixels(pixels_of("d/real.png"), wanted)
    assert upsample("in", "-o", "linked").status == 0
    assert upsample("in/a.png", "-o", "linked/new/", "--name", "sub/{stem}{ext}").status == 0
    for name in ("a_x2.png", "new/sub/a.png"):
        assert_same_pixels(pixels_of(f"d/{name}"), wanted)
    save("d/b.png")
    assert upsample("linked/b.png").status == 0
    assert Path("d/b_x2.png").exists()


def planned(*arguments, output, **options):
    """The planned jobs of a run, and its options: everything is checked before the attacker changes a path."""
    found = list(find_inputs(arguments, recursive=True))
    options = Options(**options)
    return [entry.job for entry in plan_run(found, outputs_of(output, found), options)], options


def write(path, meanwhile=lambda: None, **settings):
    with new_file(path, **settings) as file:
        file.write(b"x")
        meanwhile()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_planted_after_planning_is_refused(overwrite):
    save("in/a.png")
    save("in/sub/b.png", seed=1)
    (first, second), options = planned("in", output="out", overwrite=overwrite)
    Path("out").mkdir()
    Path("out/a_x2.png").symlink_to("../../victim/mine.png")
    Path("out/sub").symlink_to("../../victim")
    with pytest.raises(
        WritingError if overwrite else OutputExistsError, match=r"out/a_x2\.png: is a symbolic link, which"
    ):
        enlarge_image(first, options)
    with pytest.raises(WritingError, match="out/sub: is a symbolic link, and outputs go through no link"):
        enlarge_image(second, options)
    Path("out/a_x2.png").unlink()
    Path("out/sub").unlink()
    assert {enlarge_image(job, options).status for job in (first, second)} == {"written"}


@pytest.mark.skipif(
    not {os.open, os.link, os.rename} <= os.supports_dir_fd, reason="this system opens files only by path"
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_replaced_by_a_link_during_the_write_does_not_redirect_it(overwrite):
    save("in/sub/b.png")
    place = Place(Path("out"), Path("out"), Path("in"))

    def exchange():
        Path("out/sub").rename("moved")
        Path("out/sub").symlink_to("../../victim")

    with pytest.raises(WritingError, match="its folder moved, meanwhile"):
        write("out/sub/b.png", exchange, overwrite=overwrite, place=place, sources=["in/sub/b.png"])
    assert names("moved") == []  # no temporary file is left


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_that_replaces_the_temporary_file_or_the_output_is_not_followed(overwrite, monkeypatch):
    Path("out").mkdir()

    def exchange():
        (temporary,) = Path("out").glob(".*.part")
        temporary.unlink()
        temporary.symlink_to("../../victim/mine.png")

    with pytest.raises(WritingError, match="its temporary file was removed"):
        write("out/a.png", exchange, overwrite=overwrite)
    assert names("out") == []
    put = files._put

    def late(*arguments, **settings):
        Path("out/a.png").symlink_to("../../victim/mine.png")
        put(*arguments, **settings)

    monkeypatch.setattr(files, "_put", late)
    if overwrite:  # a rename replaces the link; its target does not change
        write("out/a.png", overwrite=True)
        assert not Path("out/a.png").is_symlink()
    else:
        with pytest.raises(OutputExistsError):
            write("out/a.png", overwrite=False)


def test_without_folder_descriptors_links_are_checked_by_path(monkeypatch):
    """As on Windows."""
    monkeypatch.setattr("upsample_cli.atomic.folders._HOLDS_FOLDERS", False)
    save("in/sub/b.png")
    Path("out").mkdir()
    Path("out/sub").symlink_to("../../victim")
    (job,), options = planned("in", output="elsewhere/")
    job = replace(job, output=Path("out/sub/b.png"), place=Place(Path("out"), Path("out"), Path("in")))
    with pytest.raises(WritingError, match="out/sub: is a symbolic link"):
        enlarge_image(job, options)
    Path("out/sub").unlink()
    enlarge_image(job, options)
    with pytest.raises(OutputExistsError):
        enlarge_image(job, options)
    assert_same_pixels(pixels_of("out/sub/b.png"), expected_pixels(pixels_of("in/sub/b.png"), 2))


def test_places_are_absolute_for_other_machines(monkeypatch):
    place = Place(Path(), Path("in_x2"), Path("in")).absolute()
    here = Path.cwd()
    assert place == Place(here, here / "in_x2", here / "in")
    monkeypatch.chdir("/")
    assert place.below(here / "in_x2/sub", here / "in/sub/a.png") == [
        (here / "in_x2", here / "in"),
        (here / "in_x2/sub", here / "in/sub"),
    ]


def test_an_open_folder_stays_the_same_after_a_move(tmp_path):
    """The tests above rely on this. The control: a folder known only by its path becomes a different one."""
    Path("d").mkdir()
    with files.opened_folder("d") as folder:
        by_path = Folder(Path("d").absolute(), None)
        assert folder.is_there()
        Path("d").rename("e")
        Path("d").symlink_to("../victim")
        assert not folder.is_there()
        os.close(folder.create("x", 0o600))
        assert names("e") == ["x"]
        assert by_path.status("mine.png").st_size == 4
    shutil.rmtree("e")
