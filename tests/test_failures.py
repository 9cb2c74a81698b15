"""Failures and losses: their codes are documented, and their sentences do not use command-line options."""

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
from upsample_cli.failure_codes import FAILURES, LOSSES

PACKAGE = Path(upsample_cli.__file__).parent
GENERATOR = runpy.run_path(str(PACKAGE.parent / "docs" / "generate_failures.py"))
FLAG = re.compile(r"(?<![\w-])--[a-z]")
OLD_RECORDS = "batch/record/schema.py"  # it reads lines recorded by an older version


def sources():
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def flags(tree):
    """The texts in a module that name a command-line option."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and FLAG.search(node.value)
    ]


def codes(tree):
    """The codes that a module uses for failures and losses."""
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


def test_control_an_option_in_a_message_is_detected():
    assert flags(ast.parse('raise UsageError(f"{path} is there", "give --output another name")'))
    assert not flags(ast.parse('text = "a-- b", "--", "---", "x--y"'))


def test_the_page_lists_the_current_codes():
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
    assert known - used - used_by_classes == {"earlier"}  # in an SQL statement
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
def test_errors_keep_their_contents_between_processes(error):
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.failure, str(back), back.exit_status) == (
        type(error), error.failure, str(error), error.exit_status,
    )  # fmt: skip


def test_settings_are_written_differently_in_python_and_on_the_command_line():
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


def test_braces_and_percent_signs_in_a_file_name_stay_unchanged():
    assert Failure("damaged", "is {0} %s", "", "{a}%d.png").sentence() == "{a}%d.png: is {0} %s"
