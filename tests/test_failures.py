"""Failures and losses: codes that are documented, and sentences without the words of the command line."""

from __future__ import annotations

import ast
import pickle
import re
import runpy
from pathlib import Path

import pytest

import upsample_cli
from upsample_cli.cli.spelling import option, sentence
from upsample_cli.errors import (
    FAILURES,
    LOSSES,
    Failure,
    ImageError,
    InputChangedError,
    Interrupted,
    OutputExistsError,
    Setting,
    UpsampleError,
    UsageError,
    joined,
    listed,
    spelled,
)

PACKAGE = Path(upsample_cli.__file__).parent
GENERATOR = runpy.run_path(str(PACKAGE.parent / "docs" / "generate_failures.py"))
FLAG = re.compile(r"(?<![\w-])--[a-z]")
OLD_RECORDS = "batch/record/schema.py"  # it reads the lines that an older version recorded


def sources():
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def flags(tree):
    """The texts of a module that name an option of a command line."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and FLAG.search(node.value)
    ]


def codes(tree):
    """The codes that a module gives to failures and losses."""
    values = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            values += [word.value for word in node.keywords if word.arg == "kind"]
            if getattr(node.func, "id", "") in ("Failure", "Loss"):
                values += node.args[:1]
    chosen = [
        part for value in values for part in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])
    ]
    return {value.value for value in chosen if isinstance(value, ast.Constant)}


def test_only_the_command_line_names_its_options():
    named = {name: flags(tree) for name, tree in sources().items() if not name.startswith("cli/")}
    assert {name for name, texts in named.items() if texts} == {"errors.py", OLD_RECORDS}  # errors.py explains it


def test_control_an_option_in_a_message_is_seen():
    assert flags(ast.parse('raise UsageError(f"{path} is there", "give --output another name")'))
    assert not flags(ast.parse('text = "a-- b", "--", "---", "x--y"'))


def test_the_page_lists_the_codes_of_today():
    written = (PACKAGE.parent / "docs" / "failures.md").read_text(encoding="utf-8")
    assert GENERATOR["page"]() == written, "run python docs/generate_failures.py"


def test_every_code_in_the_source_is_documented_and_every_documented_code_is_used():
    trees = sources()
    used = set().union(*map(codes, trees.values()))
    known = set(FAILURES) | set(LOSSES)
    parents = (UpsampleError, ImageError, UsageError)
    used_by_classes = {"unexpected"} | {error.kind for parent in parents for error in parent.__subclasses__()}
    others = {"", "animation", "pages", "views"}  # of the class; of `Frames`, whose parameter has the same name
    assert used - known <= others
    assert known - used - used_by_classes == {"earlier"}  # in a statement of SQL
    assert not set(FAILURES) & set(LOSSES)


@pytest.mark.parametrize(
    "error",
    [
        UpsampleError("it is wrong"),
        UsageError(("give ", Setting("factor", 2)), "now"),
        ImageError("a.png", "is bad", "get another", kind="timeout", limit_s=2.5),
        OutputExistsError("a.png"),
        InputChangedError("a.png"),
        Interrupted(),
    ],
)
def test_errors_travel_between_processes_with_all_they_say(error):
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.failure, str(back), back.exit_status) == (
        type(error), error.failure, str(error), error.exit_status,
    )  # fmt: skip


def test_python_and_the_command_line_write_settings_in_their_own_way():
    failure = OutputExistsError("a.png").failure
    assert failure.sentence() == "a.png: exists already; add overwrite=True to replace it"
    assert sentence(failure) == "a.png: exists already; add --overwrite to replace it"
    assert [option(Setting(*given)) for given in (("linear_light",), ("max_pixels", 5), ("timeout_s", "2"))] == [
        "--linear-light", "--max-pixels 5", "--timeout 2",
    ]  # fmt: skip


def test_texts_are_joined_and_listed():
    both = joined("a", ("b", Setting("c")), "d")
    assert both == ("a", "b", Setting("c"), "d")
    assert spelled(listed([both, "e", ""], " and ")) == "abcd and e and "
    assert listed([], ", ") == ()


def test_a_file_name_in_braces_or_percent_signs_stays_as_it_is():
    assert Failure("damaged", "is {0} %s", "", "{a}%d.png").sentence() == "{a}%d.png: is {0} %s"
