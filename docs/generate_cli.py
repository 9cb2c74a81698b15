"""Writes docs/cli.md from the commands' own help texts: `python docs/generate_cli.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from upsample_cli.cli.tconv import app as tconv_app
from upsample_cli.cli.upsample import app as upsample_app

_HEADER = "# Command reference\n\nGenerated from the help texts by `python docs/generate_cli.py`. Do not edit.\n"


def reference() -> str:
    """The whole of docs/cli.md."""
    sections = [_HEADER]
    for name, app in (("upsample", upsample_app), ("tconv", tconv_app)):
        sections.extend(_sections(name, typer.main.get_command(app)))
    return "\n".join(sections)


def _sections(name: str, command: Any) -> Iterator[str]:
    yield f"## `{name}`\n\n{_paragraphs(command.help)}\n"
    panels: dict[str, list[str]] = {}
    for parameter in command.params:
        left, right = _row(parameter)
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(f"| {left} | {right} |\n")
    for panel, rows in panels.items():
        yield (f"### {panel}\n\n" if panel else "") + "| argument | meaning |\n|---|---|\n" + "".join(rows)
    for child in command.list_commands(None) if hasattr(command, "list_commands") else []:
        if child != "upsample":  # the same command, described above
            yield from _sections(f"{name} {child}", command.get_command(None, child))


def _paragraphs(text: str | None) -> str:
    """A help text as Markdown: the text after its backspace sign is kept line by line."""
    prose, _, examples = (text or "").partition("\b\n")
    code = "\n".join(line.strip() for line in examples.splitlines()[1:] if line.strip())
    return prose.strip() + (f"\n\n```bash\n{code}\n```" if code else "")


def _row(parameter: Any) -> tuple[str, str]:
    if parameter.param_type_name == "argument":
        left = f"`{parameter.metavar or parameter.human_readable_name}`"
    else:
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        left = names if parameter.is_flag else f"{names} {parameter.metavar or ''}".strip()
    shows_default = parameter.default not in (None, False) and not callable(parameter.default)
    value = parameter.opts[0].lstrip("-") if parameter.default is True else parameter.default
    default = f" Default: `{value}`." if shows_default and parameter.param_type_name == "option" else ""
    return left.replace("|", "\\|"), ((parameter.help or "") + default).replace("|", "\\|")


if __name__ == "__main__":
    (Path(__file__).parent / "cli.md").write_text(reference(), encoding="utf-8")
