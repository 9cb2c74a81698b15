"""The help of both programs as data, from their commands: for docs/cli.md and the man pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from upsample_cli.cli.tconv import app as tconv_app
from upsample_cli.cli.upsample import app as upsample_app

_APPS = {"upsample": upsample_app, "tconv": tconv_app}
PROGRAMS = tuple(_APPS)


@dataclass(frozen=True)
class Parameter:
    """An argument, or an option with all its names."""

    names: tuple[str, ...]
    metavar: str
    help: str
    default: str
    is_required: bool

    @property
    def is_option(self) -> bool:
        """Whether it has names."""
        return self.names != ()


@dataclass(frozen=True)
class Command:
    """A command. Its panels are its parameters by heading; the first heading is empty."""

    name: str
    prose: str
    examples: tuple[str, ...]
    panels: dict[str, list[Parameter]]


def commands(program: str) -> Iterator[Command]:
    """A program, followed by its commands."""
    yield from _walk(program, typer.main.get_command(_APPS[program]))


def _walk(name: str, command: Any) -> Iterator[Command]:
    prose, _, examples = (command.help or "").partition("\b\n")
    lines = tuple(line.strip() for line in examples.splitlines()[1:] if line.strip())
    panels: dict[str, list[Parameter]] = {}
    for parameter in command.params:
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(_parameter(parameter))
    yield Command(name, prose.strip(), lines, panels)
    for child in command.list_commands(None) if hasattr(command, "list_commands") else []:
        if child != "upsample":  # the same command as the program
            yield from _walk(f"{name} {child}", command.get_command(None, child))


def _parameter(parameter: Any) -> Parameter:
    if parameter.param_type_name == "argument":
        metavar = parameter.metavar or parameter.human_readable_name
        return Parameter((), metavar, parameter.help or "", "", parameter.required)
    shows_default = parameter.default not in (None, False) and not callable(parameter.default)
    default = parameter.opts[0].lstrip("-") if parameter.default is True else parameter.default
    return Parameter(
        (*parameter.opts, *parameter.secondary_opts),
        "" if parameter.is_flag else parameter.metavar or "",
        parameter.help or "",
        str(default) if shows_default else "",
        parameter.required,
    )
