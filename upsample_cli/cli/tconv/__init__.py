"""The `tconv` program. Each command has a module, which is imported when the command is called."""

from __future__ import annotations

import importlib
import inspect
from typing import Annotated, Any

import typer

from upsample_cli.cli import error_handler
from upsample_cli.cli.options import APP_SETTINGS, version_printer
from upsample_cli.cli.program import Command, GroupProgram

COMMANDS = {
    "shape": ("upsample_cli.cli.tconv.shape", "shape_command"),
    "solve": ("upsample_cli.cli.tconv.solve", "solve_command"),
    "invert": ("upsample_cli.cli.tconv.invert", "invert_command"),
    "overlap": ("upsample_cli.cli.tconv.overlap", "overlap_command"),
    "translate": ("upsample_cli.cli.tconv.translate", "translate_command"),
    "kernel": ("upsample_cli.cli.tconv.kernel", "kernel_command"),
    "explain": ("upsample_cli.cli.tconv.explain", "explain_command"),
    "info": ("upsample_cli.cli.tconv.info", "info_command"),
    "checkerboard": ("upsample_cli.cli.tconv.checkerboard", "checkerboard_command"),
    "run": ("upsample_cli.cli.tconv.run", "run_command"),
    "fit": ("upsample_cli.cli.tconv.fit", "fit_command"),
    "compare": ("upsample_cli.cli.tconv.compare", "compare_command"),
    "upsample": ("upsample_cli.cli.upsample", "upsample"),
}
"""The module and the function of each command."""

_PANELS = {
    "Sizes and settings": ("shape", "solve", "invert", "overlap", "translate"),
    "Kernels and weights": ("kernel", "checkerboard", "fit", "compare"),
    "Run the layer": ("explain", "run", "upsample"),
    "Files": ("info",),
}
_HELP = """Answer questions about the transposed convolution, torch.nn.ConvTranspose.

\b
Examples:
  tconv shape 50x100 --kernel-size 3 --stride 2 --padding 1
  tconv solve --from 112 --to 224
  tconv invert "Conv2d(3, 16, 3, stride=2, padding=1)" --size 224
  tconv explain --stride 2
  tconv shape --help
"""


class _Commands(GroupProgram):
    """Imports a command when it is called, so that a command does not wait for the imports of others."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name]
        only = typer.Typer(**APP_SETTINGS)
        command = getattr(importlib.import_module(module), function)
        parameters = inspect.signature(command).parameters.values()
        needs_arguments = cmd_name == "shape" or any(one.default is one.empty for one in parameters)
        panel = next(title for title, names in _PANELS.items() if cmd_name in names)
        only.command(cmd_name, cls=Command, no_args_is_help=needs_arguments, rich_help_panel=panel)(command)
        return typer.main.get_command(only)


app = typer.Typer(
    name="tconv",
    cls=_Commands,
    help=_HELP,
    no_args_is_help=True,
    **APP_SETTINGS,
)


def main() -> None:
    """Entry point of `tconv`."""
    error_handler.run(app, "tconv")


@app.callback()
def _tconv(
    version: Annotated[
        bool,
        typer.Option("--version", callback=version_printer("tconv"), is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass
