"""How the command line writes what the library calls settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upsample_cli.errors import Failure, Loss, Setting, Text, spelled

if TYPE_CHECKING:
    from upsample_cli.enlarge.job import Result

_OPTIONS = {"memory_bytes": "memory", "timeout_s": "timeout"}


def option(setting: Setting) -> str:
    """A setting as an option is typed.

    >>> option(Setting("max_pixels", 100)), option(Setting("overwrite", True)), option(Setting("timeout_s"))
    ('--max-pixels 100', '--overwrite', '--timeout')
    """
    name = "--" + _OPTIONS.get(setting.name, setting.name).replace("_", "-")
    return name if setting.value is None or setting.value is True else f"{name} {setting.value}"


def sentence(fact: Failure | Loss | Text) -> str:
    """The line about a failure, a loss or something else."""
    if isinstance(fact, Failure):
        return fact.sentence(option)
    return spelled(fact.text if isinstance(fact, Loss) else fact, option)


def error_line(result: Result) -> str | None:
    """Why an image failed; None if it did not."""
    return None if result.fault is None else sentence(result.fault)
