"""Options that all commands or programs have: `--debug` for all commands, shell completion for both programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import typer
from typer._completion_classes import completion_init
from typer.completion import install_callback, show_callback
from typer.core import TyperCommand, TyperGroup

from upsample_cli.cli.spelling import OFFERED

_Shell = Literal["auto", "bash", "zsh", "fish", "powershell", "pwsh"]
_COMPLETION_FLAGS = {"--install-completion", "--show-completion"}


@dataclass(slots=True)
class Debug:
    """Whether `--debug` was given. It is set while the command line is parsed, and read when an error is reported."""

    is_on: bool = False


DEBUG = Debug()


def _turn_on_debug(is_given: bool) -> None:
    DEBUG.is_on = DEBUG.is_on or is_given  # the option may be before or after the name of a command


def _for_shell(callback: Callable[[typer.Context, typer.CallbackParam, Any], Any]) -> Callable[..., None]:
    """Wrap a callback of typer that accepts the name of a shell, or True to detect it. "auto" becomes True."""

    def call(ctx: typer.Context, param: typer.CallbackParam, shell: str | None) -> None:
        callback(ctx, param, True if shell == "auto" else shell)

    return call


_eager_option = partial(typer.Option, is_eager=True, expose_value=False)


def _declare_debug(
    _debug: Annotated[
        bool, _eager_option("--debug", callback=_turn_on_debug, help="Show the traceback of an error.")
    ] = False,
) -> None:
    pass


def _declare_completion(
    _install: Annotated[
        _Shell | None,
        _eager_option(
            "--install-completion",
            metavar="[SHELL]",
            callback=_for_shell(install_callback),
            help="Install completion for bash, zsh, fish, powershell or pwsh. Default: the shell in use.",
        ),
    ] = None,
    _show: Annotated[
        _Shell | None,
        _eager_option(
            "--show-completion",
            metavar="[SHELL]",
            callback=_for_shell(show_callback),
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
    """Add the value "auto" if the last argument is a completion option without a value."""
    if args and args[-1] in _COMPLETION_FLAGS and "--" not in args:
        return [*args, "auto"]
    return args


class Command(TyperCommand):
    """A command with `--debug`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _parameters(_declare_debug)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Messages advise only options that this command has."""
        OFFERED.set(frozenset(flag for one in self.params for flag in (*one.opts, *one.secondary_opts)))
        return super().invoke(ctx)


class CommandProgram(Command):
    """A program with a single command, with `--debug` and the completion options."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        completion_init()
        self.params += _parameters(_declare_completion)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `_with_shell`."""
        return super().parse_args(ctx, _with_shell(args))


class GroupProgram(TyperGroup):
    """A program with several commands, with `--debug` and the completion options before the command's name."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        completion_init()
        self.params += _parameters(_declare_debug) + _parameters(_declare_completion)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `_with_shell`."""
        return super().parse_args(ctx, _with_shell(args))
