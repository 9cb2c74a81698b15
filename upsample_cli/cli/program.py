"""Options that are added to commands as a whole: `--debug` to every command, shell completion to both programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer
from typer._completion_classes import completion_init
from typer.completion import install_callback, show_callback
from typer.core import TyperCommand, TyperGroup

_Shell = Literal["auto", "bash", "zsh", "fish", "powershell", "pwsh"]
_COMPLETION_FLAGS = {"--install-completion", "--show-completion"}


@dataclass(slots=True)
class Debug:
    """Whether `--debug` was given; set while the command line is parsed, read by whoever reports an error."""

    is_on: bool = False


DEBUG = Debug()


def _turn_on_debug(is_given: bool) -> None:
    DEBUG.is_on = DEBUG.is_on or is_given  # given before the name of a command, it also holds after it


def _install(ctx: typer.Context, param: typer.CallbackParam, shell: str | None) -> None:
    install_callback(ctx, param, _shell_or_detect(shell))


def _show(ctx: typer.Context, param: typer.CallbackParam, shell: str | None) -> None:
    show_callback(ctx, param, _shell_or_detect(shell))


def _shell_or_detect(shell: str | None) -> str | bool | None:
    """For the callbacks of typer, which detect the shell if they are given True."""
    return True if shell == "auto" else shell


def _declare_debug(
    _debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            callback=_turn_on_debug,
            is_eager=True,
            expose_value=False,
            help="Show the traceback of an error.",
        ),
    ] = False,
) -> None:
    pass


def _declare_completion(
    _install_completion: Annotated[
        _Shell | None,
        typer.Option(
            "--install-completion",
            metavar="[SHELL]",
            callback=_install,
            is_eager=True,
            expose_value=False,
            help="Install completion for bash, zsh, fish, powershell or pwsh. Default: the shell in use.",
        ),
    ] = None,
    _show_completion: Annotated[
        _Shell | None,
        typer.Option(
            "--show-completion",
            metavar="[SHELL]",
            callback=_show,
            is_eager=True,
            expose_value=False,
            help="Print the completion script instead.",
        ),
    ] = None,
) -> None:
    pass


def _parameters(declare: Callable[..., None]) -> list[Any]:
    app = typer.Typer(add_completion=False)
    app.command()(declare)
    return typer.main.get_command(app).params


def _with_shell(args: list[str]) -> list[str]:
    """The arguments, with a value for an option of completion that ends them without one."""
    if args and args[-1] in _COMPLETION_FLAGS and "--" not in args:
        return [*args, "auto"]
    return args


class Command(TyperCommand):
    """A command that takes `--debug`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _parameters(_declare_debug)


class CommandProgram(Command):
    """A program of one command: it takes `--debug` and the options of completion."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        completion_init()
        self.params += _parameters(_declare_completion)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `_with_shell`."""
        return super().parse_args(ctx, _with_shell(args))


class GroupProgram(TyperGroup):
    """A program of several commands: it takes `--debug` and the options of completion before their names."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        completion_init()
        self.params += _parameters(_declare_debug) + _parameters(_declare_completion)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `_with_shell`."""
        return super().parse_args(ctx, _with_shell(args))
