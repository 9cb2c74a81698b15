"""Writes man/upsample.1 and man/tconv.1 from the commands' own help texts: `python docs/generate_man.py`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from command_help import PROGRAMS, Command, Parameter, commands

from upsample_cli.version import __version__

_ROOT = Path(__file__).parent.parent
_EXIT_STATUS = {
    "0": "Everything was done.",
    "1": "An image or a file failed; the others were done.",
    "2": "The command line or a setting is wrong.",
    "129, 130, 143": "Stopped by SIGHUP, Ctrl-C or SIGTERM.",
}
_SPECIAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}


def page(program: str) -> str:
    """The man page of a program with all its commands, in the macros of man(7)."""
    first, *children = commands(program)
    others = ", ".join(f"{_bold(name)}(1)" for name in PROGRAMS if name != program)
    lines = [
        r".\" Generated from the help texts by docs/generate_man.py. Do not edit.",
        f'.TH {program.upper()} 1 {_released()} "upsample\\-cli {__version__}"',
        ".nh",  # a broken word is not found by a search, and cannot be copied
        ".SH NAME",
        f"{program} \\- {_text(_title(first.prose))}",
        ".SH SYNOPSIS",
        "\n.br\n".join(_synopsis(command) for command in children or [first]),
        ".SH DESCRIPTION",
        *_paragraphs(first.prose),
        *_options(first, "SH"),
        *([".SH COMMANDS"] if children else []),
        *(line for child in children for line in _subcommand(child)),
        *_examples(first),
        ".SH EXIT STATUS",
        *(line for status, meaning in _EXIT_STATUS.items() for line in (".TP", _bold(status), _text(meaning))),
        ".SH SEE ALSO",
        others,
    ]
    return "\n".join(lines) + "\n"


def _released() -> str:
    """The date of the version, from CITATION.cff."""
    found = re.search(r'^date-released: "(.+)"$', (_ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def _title(prose: str) -> str:
    sentence = prose.partition("\n\n")[0].rstrip(".")
    return sentence[0].lower() + sentence[1:]


def _text(words: str) -> str:
    """A line of text as roff: what roff reads as a sign or as a request is escaped, so that examples can be copied."""
    escaped = "".join(_SPECIAL.get(sign, sign if sign.isascii() else f"\\[u{ord(sign):04X}]") for sign in words)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def _filled(prose: str) -> str:
    """A paragraph in lines of less than 80 characters; roff fills it again."""
    lines = textwrap.wrap(prose, 64, break_long_words=False, break_on_hyphens=False)
    return "\n".join(map(_text, lines))


def _bold(word: str) -> str:
    return f"\\fB{_text(word)}\\fR"


def _italic(word: str) -> str:
    return f"\\fI{_text(word)}\\fR"


def _paragraphs(prose: str) -> Iterator[str]:
    for number, paragraph in enumerate(prose.split("\n\n")):
        if number:
            yield ".PP"
        yield _filled(paragraph)


def _synopsis(command: Command) -> str:
    parameters = [parameter for panel in command.panels.values() for parameter in panel]
    words = [_bold(command.name), f"[{_italic('options')}]"]
    for parameter in parameters:
        if not parameter.is_option:
            words.append(_italic(parameter.metavar) if parameter.is_required else f"[{_italic(parameter.metavar)}]")
    return " ".join(words)


def _options(command: Command, heading: str) -> Iterator[str]:
    for panel, parameters in command.panels.items():
        if heading == "SH":
            yield f".SH {_text((panel or 'options').upper())}"
        elif panel:
            yield f".PP\n{_bold(panel)}"
        for parameter in parameters:
            yield from (".TP", _head(parameter), _filled(_meaning(parameter)))


def _head(parameter: Parameter) -> str:
    metavar = _italic(parameter.metavar) if parameter.metavar else ""
    return f"{', '.join(map(_bold, parameter.names))} {metavar}".strip()


def _meaning(parameter: Parameter) -> str:
    default = f" Default: {parameter.default}." if parameter.default else ""
    return (parameter.help + default) or "See above."


def _subcommand(command: Command) -> Iterator[str]:
    yield f".SS {_text(command.name)}"
    yield from _paragraphs(command.prose)
    yield from _options(command, "SS")
    if command.examples:
        yield from (".PP", *_example_lines(command))


def _examples(command: Command) -> Iterator[str]:
    if command.examples:
        yield from (".SH EXAMPLES", *_example_lines(command))


def _example_lines(command: Command) -> list[str]:
    return [".EX", *map(_text, command.examples), ".EE"]


if __name__ == "__main__":
    for _program in PROGRAMS:
        (_ROOT / "man" / f"{_program}.1").write_text(page(_program), encoding="utf-8")
