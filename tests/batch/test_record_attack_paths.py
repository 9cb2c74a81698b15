"""An attacker may have written the rows of the record: their paths and tokens never reach another file of the user."""

import os
from contextlib import closing
from pathlib import Path

import pytest
from support.attacked_record import FAILED, RECORD, SAME, TOKEN, change, loosened, plant, victims
from support.running import names, save, upsample

from upsample_cli.atomic.temporaries import remove_temporaries, temporary_path
from upsample_cli.batch.record.record import Record
from upsample_cli.enlarge.options import Options

pytestmark = [
    pytest.mark.usefixtures("attacked_record"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX links, pipes and owners"),
]


@pytest.mark.parametrize(
    "token",
    ["x|.*|x", ".*", "", "0123ABCD", "0123abcd\n", "0123abc", "0123abcde", "0123abcdef12", "٠١٢٣٤٥٦٧", b"0123abcd", 1],
)
def test_a_token_that_is_not_eight_hexadecimal_digits_is_refused(token):
    before = victims()
    plant(str(Path("victim/v.png").absolute()))
    loosened(("UPDATE images SET token = ? WHERE status = 'started'", (token,)))
    ended = upsample("in", "-o", "out")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(f"upsample: {RECORD}: holds a row that upsample did not write (token)")
    assert victims() == before


def test_a_row_cannot_reach_a_folder_outside_the_run():
    Path("linked").symlink_to("victim")
    Path("out/sub").symlink_to(Path("victim").absolute())
    Path("out/v.png").symlink_to(Path("victim/v.png").absolute())
    before = victims()
    here = Path.cwd()
    for output in (here / "victim/v.png", "../victim/v.png", "sub/v.png", here / "linked/v.png", "v.png",
                   "x/../../victim/v.png", "sub/../v.png", f"sub/.v.png.{TOKEN}.part", "..", ".", "sub/"):  # fmt: skip
        plant(str(output))
    plant("own.png")
    own = Path(f"out/.own.png.{TOKEN}.part")
    own.touch()
    assert upsample("in", "-o", "out").status == 0
    assert victims() == before
    assert not own.exists()  # the control: the rows were acted on


def test_only_the_temporary_files_of_recorded_outputs_are_removed():
    long = "n" * 250 + ".png"
    plant("own.png")
    plant(long)
    removed = [
        temporary_path(Path("out", name), TOKEN + end).name for name in ("own.png", long) for end in ("", "ef12")
    ]
    kept = [f".{name}.{TOKEN}{end}.part"
            for name, end in [("other.png", ""), ("own.png", "ef"), ("own.png", "ef1"), ("own.png", "ef12ef12"),
                              ("own.png", "EF12"), ("own.png", ".*")]]  # fmt: skip
    kept += [f"own.png.{TOKEN}.part", f".own.png.{TOKEN}.part.png"]
    for name in removed + kept:
        Path("out", name).touch()
    assert upsample("in", "-o", "out").status == 0
    assert not {*removed} & {*names("out")}
    assert {*kept} < {*names("out")}


def test_temporary_files_are_removed_from_output_folders_if_the_record_is_elsewhere():
    save("one/a.png")
    save("two/b.png")
    assert upsample("one/a.png", "two/b.png", "--state", "s.db").status == 0
    Path("two/b_x2.png").unlink()
    change(f"UPDATE images SET status = 'started', token = '{TOKEN}'", path="s.db")
    left, others = Path(f"two/.b_x2.png.{TOKEN}.part"), Path(f"one/.a_x2.png.{TOKEN}.part")
    left.touch()
    others.touch()
    assert upsample("two/b.png", "--state", "s.db").status == 0
    assert (left.exists(), others.exists()) == (False, True)


@pytest.mark.parametrize("content", [b"my notes", None])
def test_a_user_file_with_the_name_of_an_unfinished_output_is_not_replaced(content):
    output = Path("out/b_x2.png")
    if content is None:
        save(output, (5, 5))  # whole, and not what the run would have made
    else:
        output.write_bytes(content)
    plant("b_x2.png")
    before = output.read_bytes()
    found = upsample("in", "-o", "out", "--json").document["files"][1]
    assert output.read_bytes() == before
    assert (found["status"], found["warnings"]) == (
        "skipped",
        [f"{output}: was left unfinished by a killed run, or is another file; --overwrite replaces it"],
    )
    assert upsample("in", "-o", "out", "--overwrite").status == 0
    assert output.read_bytes() != before


def test_an_empty_file_of_a_killed_run_is_replaced_and_the_target_of_a_link_is_not():
    Path("out/b_x2.png").touch()
    plant("b_x2.png")
    save("in/c.png", seed=2)
    Path("empty").touch()
    Path("out/c_x2.png").symlink_to("../empty")
    plant("c_x2.png")
    ended = upsample("in", "-o", "out")
    assert [line.split(";")[0] for line in ended.errors] == [
        "out/c_x2.png: is a symbolic link, which is neither followed nor replaced"
    ]
    assert Path("out/b_x2.png").stat().st_size > 0
    assert Path("empty").stat().st_size == 0
    assert Path("out/c_x2.png").is_symlink()


def test_many_unfinished_rows_list_a_folder_once(monkeypatch):
    listed = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": listed.append(path) or listdir(path))
    remove_temporaries((f"out/{index}.png", f"{index:08x}") for index in range(1000))
    assert len(listed) == 1


def test_the_rows_read_for_one_input_are_bounded():
    change(
        "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 3000) INSERT INTO images"
        f" SELECT 'o' || value, {SAME}, 'failed', '{FAILED}', 0, NULL, NULL, seconds, ended, token FROM images, n"
        " WHERE output = 'a_x2.png'"
    )
    with closing(Record(RECORD, Options())) as record:
        assert 0 < len(record.of_input("in/a.png")) <= 100
    assert [file["status"] for file in upsample("in", "-o", "out", "--json").document["files"]] == [
        "skipped",  # because of the row of its output
        "written",
    ]


def test_an_empty_file_behind_a_planted_link_is_not_removed():
    """Both the row and the link lead to the file, and the link is refused."""
    Path("victim/c_x2.png").touch()
    save("in/sub/c.png", seed=2)
    Path("out/sub").symlink_to(Path("victim").absolute())
    plant(str(Path("victim/c_x2.png").absolute()))
    ended = upsample("in", "-r", "-o", "out")
    assert [line.split(",")[0] for line in ended.errors] == ["out/sub: is a symbolic link"]
    assert Path("victim/c_x2.png").exists()


def test_only_the_first_round_of_a_watch_removes_temporary_files():
    left = Path(f"out/.own.png.{TOKEN}.part")
    plant("own.png")
    with closing(Record(RECORD, Options(), folders=[Path("out")])) as record:
        for is_gone in (True, False):
            left.touch()
            record.begin()
            assert left.exists() != is_gone
