"""Writes docs/cli.md from the commands' own help texts: `python docs/generate_cli.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from command_help import PROGRAMS, Command, Parameter, commands

_HEADER = "# Command reference\n\nGenerated from the help texts by `python docs/generate_cli.py`. Do not edit.\n"


def reference() -> str:
    """The whole of docs/cli.md."""
    sections = [_HEADER]
    for program in PROGRAMS:
        for command in commands(program):
            sections.extend(_sections(command))
    return "\n".join(sections)


def _sections(command: Command) -> Iterator[str]:
    examples = "\n\n```bash\n{}\n```".format("\n".join(command.examples)) if command.examples else ""
    yield f"## `{command.name}`\n\n{command.prose}{examples}\n"
    for panel, parameters in command.panels.items():
        rows = (f"| {left} | {right} |\n" for left, right in map(_row, parameters))
        yield (f"### {panel}\n\n" if panel else "") + "| argument | meaning |\n|---|---|\n" + "".join(rows)


def _row(parameter: Parameter) -> tuple[str, str]:
    names = ", ".join(f"`{name}`" for name in parameter.names)
    left = f"{names} {parameter.metavar}".strip() if parameter.is_option else f"`{parameter.metavar}`"
    default = f" Default: `{parameter.default}`." if parameter.default else ""
    return left.replace("|", "\\|"), (parameter.help + default).replace("|", "\\|")


if __name__ == "__main__":
    (Path(__file__).parent / "cli.md").write_text(reference(), encoding="utf-8")
