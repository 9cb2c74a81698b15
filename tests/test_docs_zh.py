"""The Chinese pages: the README matches the English one, and every command of the other page prints what it shows."""

import doctest
import re
from functools import partial
from pathlib import Path

import pytest
from support.commands import printed_by
from support.pages import command_lines, console_examples, fenced

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
PATH = ROOT / "docs" / "zh" / "transposed-convolution.md"
PAGE = PATH.read_text(encoding="utf-8")


def outline(page):
    """The parts that translations share: heading levels, commands, code, links and the figures in tables."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    return {
        "headings": re.findall(r"^#+(?= )", prose, flags=re.MULTILINE),
        "commands": command_lines(page, "upsample", "tconv", "python"),
        "code": [re.sub(r"  # .*", "", block) for block in fenced(page, "python")],
        "links": set(re.findall(r"\]\((.+?)\)", prose)),
        "figures": re.findall(r"\| ([\d.]+ s, \d+ MiB)", prose),
        "rows": len(re.findall(r"^\|", prose, flags=re.MULTILINE)),
        "options": set(re.findall(r"`(-[^`]+)`", prose)),
    }


def test_the_two_readmes_have_the_same_outline():
    english, chinese = outline(ENGLISH), outline(CHINESE)
    english["links"] -= {"README.zh-CN.md"}
    chinese["links"] -= {"README.md", "docs/zh/transposed-convolution.md"}
    assert english == chinese


@pytest.mark.parametrize(
    ("today", "other"),
    [
        ("## 测试", "### 测试"),
        ("--factor 1.5", "--factor 1.6"),
        (outline(CHINESE)["figures"][0], "9.99 s, 9 MiB"),
        ("install.md", "guide.md"),
    ],
)
def test_control_a_different_readme_is_detected(today, other):
    assert outline(CHINESE.replace(today, other, 1)) != outline(CHINESE)


def test_a_readme_is_short():
    assert all(len(page.splitlines()) <= 120 for page in (ENGLISH, CHINESE))


def shown(excerpt):
    """A pattern for an output in which lines may be missing where `...` is alone on a line."""
    lines = (r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in excerpt.splitlines())
    return re.compile("".join(lines))


@pytest.fixture
def printed(capsys, monkeypatch):
    """The output of a command, including errors."""
    monkeypatch.chdir(ROOT)
    return partial(printed_by, capsys, monkeypatch)


def test_every_command_of_a_console_block_is_found():
    assert len(console_examples(PAGE)) == len(re.findall(r"^\$ ", PAGE, flags=re.MULTILINE)) >= 15


@pytest.mark.parametrize(("command", "excerpt"), console_examples(PAGE))
def test_a_command_prints_what_the_page_shows(command, excerpt, printed):
    output = printed(command)
    assert shown(excerpt).fullmatch(output), output


@pytest.mark.parametrize(("command", "excerpt"), console_examples(PAGE)[::5])
def test_control_a_changed_last_digit_is_detected(command, excerpt, printed):
    changed = re.sub(r"\d(?=\D*$)", lambda digit: str((int(digit[0]) + 1) % 10), excerpt)
    assert changed != excerpt
    assert not shown(changed).fullmatch(printed(command))


def test_the_commands_that_correct_mistakes_run(printed):
    commands = re.findall(r"\| `(tconv [^`]+)` \|$", PAGE, flags=re.MULTILINE)
    assert len(commands) >= 10
    for command in commands:
        output = printed(command)
        assert output
        assert output.startswith("tconv:") == ("padding_mode" in command), output


def test_the_python_of_the_page_runs():
    assert all(block.startswith(">>> ") for block in fenced(PAGE, "python"))
    result = doctest.testfile(str(PATH), module_relative=False)
    assert result.attempted >= 8
    assert result.failed == 0
